#ifndef POUND_ADDON_ARENA_BINDING_H
#define POUND_ADDON_ARENA_BINDING_H

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "exposures.h"
#include "handle.h"
#include "host/memory/arena.h"
#include "host/memory/forkable.h"
#include "host/memory/shared_object.h"

namespace pound::addon {

/** An object that uses an arena's bytes and ends when the arena is reset or destroyed. */
class ArenaDependent {
public:
    /** Called once, before the arena loses or replaces its bytes. */
    virtual void end() = 0;

protected:
    ~ArenaDependent() = default;
};

/** What destroy() does with the ArrayBuffer under an arena that has no pages of its own. */
enum class OwnerEnd {
    /** The buffer belongs to the caller and stays attached. */
    KEEP,
    /** The package allocated the buffer in place of pages; destroy() detaches it. */
    DETACH,
};

/** The pages of an arena that owns them, and of those that replace them after a reset. */
enum class PagesKind {
    /** Pages of arena_init(). */
    ORDINARY,
    /** Pages of arena_init_huge(). */
    HUGE_PAGES,
    /** Pages of arena_init_watched(). */
    WATCHED,
    /** Pages of forkable_t::reserve(), or ordinary pages on systems without. */
    FORKABLE,
};

/**
 * An arena, shared by its handles and the guest memories on it. exposures.h explains what keeps its
 * pages mapped. A reference to the caller's view keeps the caller's memory alive.
 */
class SharedArena {
public:
    /**
     * Makes an arena that owns its pages.
     *
     * @return Null if the capacity is 0 or the system refuses the memory; `result` says which.
     */
    static std::shared_ptr<SharedArena> make(napi_env env, PagesKind kind, size_t capacity,
                                             host::memory::arena_result_t* result);

    /**
     * Makes an arena whose pages are those of a part of a file, all of them allocated.
     *
     * @param offset Bytes, a multiple of the page size.
     * @return Null if the system cannot do that.
     */
    static std::shared_ptr<SharedArena> map(napi_env env, int descriptor, uint64_t offset,
                                            size_t size);

    /** Takes over the pages of `arena`. */
    SharedArena(napi_env env, PagesKind kind, const host::memory::arena_t& arena,
                std::optional<host::memory::forkable_t> block);

    /** Takes over `arena`, made by shared_object_t::map(), and the object. */
    SharedArena(napi_env env, const host::memory::arena_t& arena,
                host::memory::shared_object_t object);

    /**
     * Takes over `arena`, made by arena_init_over() on the bytes of `view`. `buffer` is the buffer
     * under the view.
     */
    SharedArena(napi_env env, const host::memory::arena_t& arena, Napi::DataView view,
                Napi::Value buffer, OwnerEnd owner_end);

    SharedArena(const SharedArena&) = delete;
    SharedArena& operator=(const SharedArena&) = delete;

    host::memory::arena_t& arena() {
        return arena_;
    }

    /**
     * Whether the arena's bytes are accessible: the arena is not destroyed, and the caller's
     * ArrayBuffer, if any, is neither detached nor shrunk.
     */
    bool usable() const {
        return arena_.data != nullptr && (owner_buffer_.IsEmpty() || owner_intact());
    }

    /** Whether usable() can become false without a call of reset() or destroy(). */
    bool can_lose_memory() const {
        return !owner_buffer_.IsEmpty();
    }

    /** Whether the bytes are pages that the arena reserved. */
    bool owns_pages() const {
        return arena_.backing == host::memory::ARENA_BACKING_PAGES;
    }

    /** Whether the bytes are those of an object that other processes may map. */
    bool is_shared_object() const {
        return arena_.backing == host::memory::ARENA_BACKING_SHARED;
    }

    /** The descriptor of the shared object; -1 if there is none, and after destroy(). */
    int descriptor() const {
        return object_.descriptor();
    }

    /** Whether the pages are to be huge ones. */
    bool asks_for_huge_pages() const {
        return kind_ == PagesKind::HUGE_PAGES;
    }

    /** Whether the pages are those of a file, which other arenas may map too. */
    bool maps_file() const {
        return block_ && !block_->is_ordinary();
    }

    /** forkable_t::has_lost(). */
    bool has_lost() const {
        return block_ && block_->has_lost();
    }

    /** What keeps the bytes mapped. Null for memory of the caller, and after destroy(). */
    const std::shared_ptr<Pages>& pages() const {
        return pages_;
    }

    /** A new reference to the caller's view. Empty if there is none, and after destroy(). */
    Napi::Reference<Napi::DataView> reference_view() const;

    /** Whether the arena is over a SharedArrayBuffer. */
    bool seen_by_other_threads() const {
        return !owner_view_.IsEmpty() && owner_buffer_.IsEmpty();
    }

    /** Whether others may write to bytes of the arena that nothing here has given them. */
    bool seen_by_others() const {
        return seen_by_other_threads() || is_shared_object();
    }

    /** Registers an object that the next reset() or destroy() ends. */
    void add_dependent(ArenaDependent* dependent) {
        dependents_.insert(dependent);
    }

    void remove_dependent(ArenaDependent* dependent) {
        dependents_.erase(dependent);
    }

    /**
     * arena_reset(). The arena moves to fresh pages if an ArrayBuffer over the current ones may
     * have been transferred to another owner, or if another addon is accessing them.
     *
     * @return False if the system refuses fresh pages. The dependents have ended then, and the
     * arena is otherwise unchanged.
     */
    bool reset();

    /**
     * Makes the arena unusable. Returns the resident memory of its pages to the system, unless an
     * ArrayBuffer over them may have been transferred to another owner. The pages stay mapped until
     * their last exposure has ended. Memory that other processes share keeps its bytes.
     */
    void destroy();

    /**
     * Makes an arena with the same bytes and allocations.
     *
     * @param target An arena over memory of the caller that becomes the clone; null for an arena
     *               with pages of its own.
     * @return The clone; null if there is none, as `result` says.
     */
    std::shared_ptr<SharedArena> fork(const std::shared_ptr<SharedArena>& target,
                                      host::memory::fork_result_t* result);

    /** forkable_t::rebase(). */
    host::memory::fork_result_t rebase() {
        return block().rebase();
    }

    /** forkable_t::reset(). @return Nothing if there was no fork. */
    std::optional<size_t> revert(size_t from, size_t to,
                                 const host::memory::forkable_t::changed_t& changed);

    /** forkable_t::find_changes(). @return False if there was no fork. */
    bool find_changes(size_t from, size_t to, const host::memory::forkable_t::changed_t& changed);

    /** forkable_t::resident(). */
    std::vector<host::memory::page_run_t> resident();

    /** expose() of allocated pages. Only for an arena that owns its pages. */
    napi_value expose(size_t offset, size_t length, bool handed_out);

private:
    bool owner_intact() const;
    void end_dependents();
    /** `block_`, which this makes if it is not set. */
    host::memory::forkable_t& block();
    bool move_to_fresh_pages();

    napi_env env_;
    host::memory::arena_t arena_;
    /** For an arena that owns its pages. */
    PagesKind kind_ = PagesKind::ORDINARY;
    /** Set when the arena was forked or made by a fork, and for forkable pages. */
    std::optional<host::memory::forkable_t> block_;
    /** Null for an arena over the caller's memory, and after destroy(). */
    std::shared_ptr<Pages> pages_;
    /** Open for an arena over a shared object. */
    host::memory::shared_object_t object_;
    OwnerEnd owner_end_ = OwnerEnd::KEEP;
    std::unordered_set<ArenaDependent*> dependents_;
    Napi::Reference<Napi::DataView> owner_view_;
    /** Empty if the view is over a SharedArrayBuffer, which cannot be detached or shrunk. */
    Napi::Reference<Napi::ArrayBuffer> owner_buffer_;
};

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedArena> = {0x6f1d0c5b7a2e4913, 0x9c3e5d7f1b8a2046};

/** The arena of the handle in the first argument, or null and an exception pending. */
std::shared_ptr<SharedArena> to_arena(const Napi::CallbackInfo& info);

/** As to_arena(), but throws ERR_DESTROYED if the arena has lost its memory. */
std::shared_ptr<SharedArena> to_usable_arena(const Napi::CallbackInfo& info);

/** Adds the arena functions to the module's exports. */
void init_arena_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_ARENA_BINDING_H
