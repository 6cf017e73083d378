#ifndef POUND_TESTS_SUPPORT_ARENAS_H
#define POUND_TESTS_SUPPORT_ARENAS_H

#include "host/memory/arena.h"

namespace pound::tests {

/** An arena that is freed even if a REQUIRE fails. */
struct scoped_arena_t : host::memory::arena_t {
    scoped_arena_t() : arena_t{} {
    }

    scoped_arena_t(const scoped_arena_t&) = delete;
    scoped_arena_t& operator=(const scoped_arena_t&) = delete;

    ~scoped_arena_t() {
        host::memory::arena_free(this);
    }
};

inline bool same(const host::memory::arena_t& left, const host::memory::arena_t& right) {
    return left.data == right.data && left.capacity == right.capacity && left.used == right.used &&
           left.backing == right.backing;
}

inline bool zeroed(const host::memory::arena_t& arena) {
    return same(arena, host::memory::arena_t{});
}

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_ARENAS_H
