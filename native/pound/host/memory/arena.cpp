#include "host/memory/arena.h"

#include <cassert>
#include <cstring>

#include "host/memory/pages.h"
#include "host/memory/shared_object.h"

namespace pound::host::memory {

namespace {

constexpr arena_t EMPTY_ARENA = {nullptr, 0, 0, ARENA_BACKING_NONE};

bool is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

arena_result_t init(arena_t* arena, size_t capacity, void* (*reserve)(size_t size)) {
    assert(nullptr != arena);
    *arena = EMPTY_ARENA;
    if (capacity == 0) {
        return ARENA_ERROR_ARGUMENT;
    }
    void* data = reserve(capacity);
    if (data == nullptr) {
        return ARENA_ERROR_NO_MEMORY;
    }
    *arena = {static_cast<uint8_t*>(data), capacity, 0, ARENA_BACKING_PAGES};
    return ARENA_OK;
}

} // namespace

arena_result_t arena_init(arena_t* arena, size_t capacity) {
    return init(arena, capacity, pages_reserve);
}

arena_result_t arena_init_huge(arena_t* arena, size_t capacity) {
    return init(arena, capacity, pages_reserve_huge);
}

arena_result_t arena_init_watched(arena_t* arena, size_t capacity) {
    return init(arena, capacity, pages_reserve_watched);
}

arena_result_t arena_init_over(arena_t* arena, void* data, size_t capacity) {
    assert(nullptr != arena);
    *arena = EMPTY_ARENA;
    if (data == nullptr || capacity == 0) {
        return ARENA_ERROR_ARGUMENT;
    }
    *arena = {static_cast<uint8_t*>(data), capacity, 0, ARENA_BACKING_CALLER};
    return ARENA_OK;
}

void* arena_allocate(arena_t* arena, size_t size, size_t alignment) {
    assert(nullptr != arena);
    if (arena->data == nullptr || size == 0 || !is_power_of_two(alignment)) {
        return nullptr;
    }
    // Aligns the host address, not the offset: a caller's block may start at any address.
    const uintptr_t next = reinterpret_cast<uintptr_t>(arena->data) + arena->used;
    const size_t padding = static_cast<size_t>((0 - next) & (alignment - 1));
    const size_t remaining = arena_remaining(arena);
    // Subtractions, because padding + size can wrap.
    if (padding > remaining || size > remaining - padding) {
        return nullptr;
    }
    uint8_t* block = arena->data + arena->used + padding;
    arena->used += padding + size;
    return block;
}

void arena_reset(arena_t* arena) {
    assert(nullptr != arena);
    const bool dirty = arena->backing == ARENA_BACKING_PAGES && arena->used != 0;
    if (dirty && !pages_clear(arena->data, arena->capacity)) {
        // Slower, and it makes the used pages resident, but it cannot fail.
        memset(arena->data, 0, arena->used);
    }
    arena->used = 0;
}

void arena_free(arena_t* arena) {
    assert(nullptr != arena);
    if (arena->backing == ARENA_BACKING_PAGES) {
        pages_release(arena->data, arena->capacity);
    } else if (arena->backing == ARENA_BACKING_SHARED) {
        shared_object_unmap(arena->data, arena->capacity);
    }
    *arena = EMPTY_ARENA;
}

} // namespace pound::host::memory
