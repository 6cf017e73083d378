#ifndef POUND_ADDON_ARENA_BINDING_H
#define POUND_ADDON_ARENA_BINDING_H

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_set>

#include "exposures.h"
#include "handle.h"
#include "host/memory/arena.h"

namespace pound::addon {

/** What lives on an arena's bytes, and ends with them. */
class ArenaDependent {
public:
    /** The arena's bytes are about to go, or to become others. */
    virtual void end() = 0;

protected:
    ~ArenaDependent() = default;
};

/** What an arena over memory of JavaScript's does with it in the end. */
enum class OwnerEnd {
    /** The caller's, which is left alone. */
    KEEP,
    /** A stand-in for pages, which destroy() detaches. */
    DETACH,
};

/**
 * An arena as handles and guest memories share it; exposures.h says what keeps
 * its pages. Memory of the caller's is held by a reference to the view that was
 * given.
 */
class SharedArena {
public:
    /** Takes over `arena`, made by arena_init(). */
    SharedArena(napi_env env, const host::memory::arena_t& arena);
    /** Takes over `arena`, made by arena_init_over() on the bytes of `view`, which is over
     * `buffer`. */
    SharedArena(napi_env env, const host::memory::arena_t& arena, Napi::DataView view,
                Napi::Value buffer, OwnerEnd owner_end);

    SharedArena(const SharedArena&) = delete;
    SharedArena& operator=(const SharedArena&) = delete;

    host::memory::arena_t& arena() {
        return arena_;
    }

    /**
     * Whether the arena's bytes can still be touched: not destroyed, and a
     * caller's ArrayBuffer neither detached nor shrunk.
     */
    bool usable() const {
        return arena_.data != nullptr && (owner_buffer_.IsEmpty() || owner_intact());
    }

    /** Whether usable() can turn false without reset() or destroy(). */
    bool can_lose_memory() const {
        return !owner_buffer_.IsEmpty();
    }

    /** Whether the arena lies over a SharedArrayBuffer. */
    bool seen_by_other_threads() const {
        return !owner_view_.IsEmpty() && owner_buffer_.IsEmpty();
    }

    /** Has reset() and destroy() end it, once. */
    void add_dependent(ArenaDependent* dependent) {
        dependents_.insert(dependent);
    }

    void remove_dependent(ArenaDependent* dependent) {
        dependents_.erase(dependent);
    }

    /**
     * arena_reset() on the arena, at other pages where an ArrayBuffer over these
     * may have another owner by now.
     *
     * @return False where the system has no other pages, and then the arena is
     *         unchanged, but for its dependents, which have ended.
     */
    bool reset();

    /**
     * Makes the arena unusable. Pages give their resident memory back, unless an
     * ArrayBuffer over them may have another owner, and stay mapped until the last
     * exposure of them has ended.
     */
    void destroy();

    /** expose() on allocated pages of the arena's own. */
    napi_value expose(size_t offset, size_t length, bool handed_out);

private:
    bool owner_intact() const;
    void end_dependents();
    bool move_to_fresh_pages();

    napi_env env_;
    host::memory::arena_t arena_;
    /** Null for memory of the caller's, and once destroyed. */
    std::shared_ptr<Pages> pages_;
    OwnerEnd owner_end_ = OwnerEnd::KEEP;
    std::unordered_set<ArenaDependent*> dependents_;
    Napi::Reference<Napi::DataView> owner_view_;
    /** Empty for a SharedArrayBuffer, which can be neither detached nor shrunk. */
    Napi::Reference<Napi::ArrayBuffer> owner_buffer_;
};

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedArena> = {0x6f1d0c5b7a2e4913, 0x9c3e5d7f1b8a2046};

/** Adds the arena functions to the module's exports. */
void init_arena_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_ARENA_BINDING_H
