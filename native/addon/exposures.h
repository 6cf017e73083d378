#ifndef POUND_ADDON_EXPOSURES_H
#define POUND_ADDON_EXPOSURES_H

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "host/memory/arena.h"

/*
 * Who keeps what alive (docs/lifetimes.md has the whole of it)
 *
 * - Pages are reserved for one arena and unmapped with the last shared_ptr to
 *   them. The arena holds one until it is destroyed, or moves to other pages.
 * - Every ArrayBuffer over pages has an exposure, which holds another. JavaScript
 *   can move an ArrayBuffer to other owners and threads, so the exposure ends with
 *   the *bytes* that the runtime was given, not with the ArrayBuffer object.
 * - The runtime says that the bytes are no longer used by its finalizer. In an
 *   environment that is going down it says so of every buffer, also of those that
 *   now belong to another thread. Those exposures never end: their pages stay
 *   mapped for as long as the process lives.
 * - Handles hold arenas and memories; memories hold their arena. All of them belong
 *   to one environment and are used on its thread only.
 * - The call block is a SharedArrayBuffer, which JavaScript can neither detach nor
 *   move, held by the environment's instance data.
 */
namespace pound::addon {

/** Pages reserved by arena_init(), unmapped with the last reference to them. */
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

private:
    host::memory::arena_t arena_;
};

/** To be called once, before the first expose(). */
void watch_environment(napi_env env);

/**
 * Makes an ArrayBuffer over `length` bytes at `data`, which lie in `pages`, and
 * keeps these for as long as anybody may use the bytes.
 *
 * @param handed_out Whether JavaScript outside this package gets it at once.
 * @return The buffer; or null, with nothing kept and no exception pending, where the
 *         runtime refuses.
 */
napi_value expose(napi_env env, const std::shared_ptr<Pages>& pages, uint8_t* data, size_t length,
                  bool handed_out);

/** Notes that JavaScript outside this package gets the buffer. @return As detach_exposed(). */
bool hand_out(napi_env env, napi_value buffer);

/**
 * Whether the bytes of an ArrayBuffer over `pages` that was handed out may have
 * another owner than that ArrayBuffer. To be asked on the thread of `env` alone.
 */
bool may_have_moved(napi_env env, const Pages* pages);

/**
 * Detaches a buffer that expose() made in this environment.
 *
 * @return Whether it is one, or detached already.
 */
bool detach_exposed(napi_env env, napi_value buffer);

} // namespace pound::addon

#endif // POUND_ADDON_EXPOSURES_H
