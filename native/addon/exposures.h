#ifndef POUND_ADDON_EXPOSURES_H
#define POUND_ADDON_EXPOSURES_H

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "host/memory/arena.h"

/*
 * Lifetimes (docs/lifetimes.md has the details)
 *
 * - Pages are reserved for one arena and unmapped with the last shared_ptr to them. The arena holds
 *   one shared_ptr until it is destroyed or moves to other pages.
 * - Each ArrayBuffer over pages has an exposure, which holds another shared_ptr. JavaScript can
 *   transfer an ArrayBuffer to another owner or thread, which leaves the old ArrayBuffer object
 *   detached. Therefore an exposure ends when the runtime releases the bytes, not when the
 *   ArrayBuffer object is detached or collected.
 * - The runtime calls a finalizer when it releases the bytes. While an environment is torn down,
 * the runtime also finalizes buffers whose bytes now belong to another thread. Exposures that may
 * have been transferred never end then: their pages stay mapped until the process exits.
 * - Handles own arenas and memories, and memories own their arena. All of them belong to one
 *   environment and are used on its thread only.
 * - The instance data of the environment owns the call block, a SharedArrayBuffer, which JavaScript
 *   can neither detach nor move.
 */
namespace pound::addon {

/** Owns the pages of arena_init() and unmaps them in its destructor. */
class Pages {
public:
    /** Takes over `arena`. */
    explicit Pages(const host::memory::arena_t& arena) : arena_(arena) {
    }

    ~Pages() {
        host::memory::arena_free(&arena_);
    }

    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    /** Counts a run of another addon that accesses the pages. Any thread may call it. */
    void begin_run() {
        ++runs_;
    }

    void end_run() {
        --runs_;
    }

    /** Whether a run may access the pages, so that they cannot become RAM of another memory. */
    bool in_run() const {
        return runs_ > 0;
    }

private:
    host::memory::arena_t arena_;
    std::atomic<uint32_t> runs_{0};
};

/** Registers the cleanup of an environment. Call it once, before the first expose(). */
void watch_environment(napi_env env);

/**
 * Makes an ArrayBuffer over `length` bytes at `data`, and keeps `pages`, which contain them, mapped
 * while JavaScript may use the bytes.
 *
 * @param handed_out Whether code outside this package receives the buffer at once.
 * @return The buffer. If the runtime refuses it: null, with no exposure made and no exception
 *         pending.
 */
napi_value expose(napi_env env, const std::shared_ptr<Pages>& pages, uint8_t* data, size_t length,
                  bool handed_out);

/**
 * Records that code outside this package receives a buffer of expose(), and may transfer it.
 *
 * @return As detach_exposed().
 */
bool hand_out(napi_env env, napi_value buffer);

/**
 * Whether an ArrayBuffer over `pages` may have been transferred, so that another owner has its
 * bytes. Call it on the thread of `env` only.
 */
bool may_have_moved(napi_env env, const Pages* pages);

/**
 * Detaches a buffer that expose() made in this environment.
 *
 * @return True if the buffer is such a buffer or is detached already.
 */
bool detach_exposed(napi_env env, napi_value buffer);

} // namespace pound::addon

#endif // POUND_ADDON_EXPOSURES_H
