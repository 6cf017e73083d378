#ifndef POUND_ADDON_MEMORY_BINDING_H
#define POUND_ADDON_MEMORY_BINDING_H

#include <napi.h>

#include <cstdint>
#include <memory>

#include "arena_binding.h"
#include "call_block.h"
#include "handle.h"
#include "kvm/guest.h"

namespace pound::addon {

/** Guest RAM as the accessors see it, valid until its arena is reset or destroyed. */
class SharedMemory {
public:
    SharedMemory(std::shared_ptr<SharedArena> arena, const kvm::memory::guest_memory_t& memory,
                 CallBlock* block)
        : arena_(std::move(arena)), generation_(arena_->generation()), memory_(memory),
          block_(block) {
    }

    /** Whether an access may touch the RAM; if not, it is ERROR_INTERNAL. */
    bool usable() const {
        return open_ && generation_ == arena_->generation() && arena_->usable();
    }

    /** Ends this memory's use of the RAM; the arena keeps the bytes. */
    void close() {
        open_ = false;
    }

    SharedArena& arena() {
        return *arena_;
    }

    /**
     * The descriptor, by value. The one in the arena may lie in a buffer that
     * JavaScript can write to, where its pointer could be forged.
     */
    kvm::memory::guest_memory_t* memory() {
        return &memory_;
    }

    CallBlock* block() {
        return block_;
    }

private:
    std::shared_ptr<SharedArena> arena_;
    uint32_t generation_;
    bool open_ = true;
    kvm::memory::guest_memory_t memory_;
    CallBlock* block_;
};

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedMemory> = {0x2b8e4f7019c6d35a, 0x81d7a3e65f0c924b};

/** Adds the guest memory functions to the module's exports. */
void init_memory_binding(Napi::Env env, Napi::Object exports, EnvironmentData& data);

} // namespace pound::addon

#endif // POUND_ADDON_MEMORY_BINDING_H
