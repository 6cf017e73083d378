#ifndef POUND_ADDON_MEMORY_BINDING_H
#define POUND_ADDON_MEMORY_BINDING_H

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_set>

#include "arena_binding.h"
#include "environment.h"
#include "handle.h"
#include "host/memory/write_watch.h"
#include "kvm/guest.h"

namespace pound::addon {

/** An object that uses the pages of a guest memory without a check at each use. */
class MemoryUser {
public:
    /** Called when the memory ends. */
    virtual void memory_ended() = 0;

protected:
    ~MemoryUser() = default;
};

/** Guest RAM that the accessors use until it ends or its arena is reset or destroyed. */
class SharedMemory final : public ArenaDependent {
public:
    SharedMemory(std::shared_ptr<SharedArena> arena, const kvm::memory::guest_memory_t& memory,
                 std::shared_ptr<Environment> environment)
        : memory_(memory), arena_(std::move(arena)), environment_(std::move(environment)),
          number_(environment_->add(this, descriptor())) {
        arena_->add_dependent(this);
    }

    ~SharedMemory() {
        host::memory::write_watch_stop(&watch_);
        arena_->remove_dependent(this);
        environment_->remove(number_);
    }

    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    /** Whether an access may touch the RAM. If not, its result is ERROR_INTERNAL. */
    bool usable() const {
        return open_ && arena_->usable();
    }

    /** Ends the use of the RAM. The arena keeps the bytes. */
    void end() override {
        open_ = false;
        host::memory::write_watch_stop(&watch_);
        environment_->forget(number_);
        for (MemoryUser* user : users_) {
            user->memory_ended();
        }
    }

    void add_user(MemoryUser* user) {
        users_.insert(user);
    }

    void remove_user(MemoryUser* user) {
        users_.erase(user);
    }

    /** The descriptor for accesses without usable(), or NO_DESCRIPTOR. */
    Environment::Descriptor descriptor() const {
        return open_ && !arena_->can_lose_memory()
                   ? Environment::Descriptor{memory_.base, memory_.size}
                   : Environment::NO_DESCRIPTOR;
    }

    SharedArena& arena() {
        return *arena_;
    }

    /**
     * A copy of the descriptor. The descriptor in the arena may lie in a buffer that JavaScript can
     * write to, so that a script could forge its pointer.
     */
    kvm::memory::guest_memory_t* memory() {
        return &memory_;
    }

    /** The watch of writes to the RAM, which is stopped by default and when the RAM ends. */
    host::memory::write_watch_t& watch() {
        return watch_;
    }

    /** The number of this memory in CallBlock::memory(), valid while this object lives. */
    uint32_t number() const {
        return number_;
    }

private:
    kvm::memory::guest_memory_t memory_;
    host::memory::write_watch_t watch_ = host::memory::STOPPED_WRITE_WATCH;
    bool open_ = true;
    std::shared_ptr<SharedArena> arena_;
    std::shared_ptr<Environment> environment_;
    std::unordered_set<MemoryUser*> users_;
    uint32_t number_;
};

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedMemory> = {0x2b8e4f7019c6d35a, 0x81d7a3e65f0c924b};

/** The memory of the handle in the first argument, or null and an exception pending. */
std::shared_ptr<SharedMemory> to_memory(const Napi::CallbackInfo& info);

/** Adds the guest memory functions to the module's exports. */
void init_memory_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_MEMORY_BINDING_H
