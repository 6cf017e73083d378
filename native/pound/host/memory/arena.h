#ifndef POUND_HOST_MEMORY_ARENA_H
#define POUND_HOST_MEMORY_ARENA_H

#include <cstddef>
#include <cstdint>

namespace pound::host::memory {

/**
 * Who owns the bytes an arena hands out, and so who gives them back.
 */
enum arena_backing_t : uint8_t {
    /** No memory: a zeroed, failed or freed arena. */
    ARENA_BACKING_NONE = 0,
    /** Pages reserved by arena_init() and released by arena_free(). */
    ARENA_BACKING_PAGES,
    /** Memory of the caller's, given to arena_init_over() and never freed here. */
    ARENA_BACKING_CALLER,
};

/**
 * A linear ("bump") allocator over one contiguous block of host memory.
 *
 * Invariant: `used <= capacity`, and `data` is null exactly when `backing` is
 * ARENA_BACKING_NONE.
 */
struct arena_t {
    /** Host virtual address of the first byte. */
    uint8_t* data;
    /** Size of the block in bytes. */
    size_t capacity;
    /** Bytes handed out so far, alignment padding included. */
    size_t used;
    /** Where the block came from. */
    arena_backing_t backing;
};

/** Outcome of setting an arena up. */
enum arena_result_t : uint8_t {
    ARENA_OK = 0,
    /** A null pointer, or a capacity of zero. */
    ARENA_ERROR_ARGUMENT,
    /** The operating system refused the address space. */
    ARENA_ERROR_NO_MEMORY,
};

/**
 * Reserves `capacity` bytes of zeroed memory.
 *
 * Nothing is resident until it is touched, so the cost in time and memory does
 * not depend on `capacity`. On Windows the pages also count against the
 * system's commit limit; elsewhere they are mapped without a reservation.
 *
 * @param arena    Set up on success, zeroed on failure.
 * @param capacity Bytes, at least 1. Need not be a multiple of the page size.
 */
[[nodiscard]] arena_result_t arena_init(arena_t* arena, size_t capacity);

/**
 * Lays an arena over memory that the caller owns and keeps alive. The bytes
 * are left as they are, now and by arena_reset() and arena_free().
 *
 * @param arena    Set up on success, zeroed on failure.
 * @param data     First byte, of any alignment.
 * @param capacity Bytes, at least 1.
 */
[[nodiscard]] arena_result_t arena_init_over(arena_t* arena, void* data, size_t capacity);

/**
 * Takes `size` bytes off the arena, at a host address that is a multiple of
 * `alignment`.
 *
 * @param size      Bytes, at least 1.
 * @param alignment A power of two.
 * @return The block, or null with the arena unchanged where an argument is
 *         invalid, a sum overflows, or too little is left.
 */
[[nodiscard]] void* arena_allocate(arena_t* arena, size_t size, size_t alignment);

/** Bytes not yet handed out. */
[[nodiscard]] inline size_t arena_remaining(const arena_t* arena) {
    return arena->capacity - arena->used;
}

/**
 * Forgets every allocation. Pages of arena_init() read as zero again, at the
 * same address, and go back to the operating system where it can take them
 * without a way to fail; a caller's memory keeps its bytes.
 *
 * Every pointer handed out before is invalid from here on.
 */
void arena_reset(arena_t* arena);

/**
 * Releases what arena_init() reserved and zeroes the arena. Harmless on an
 * arena that is zeroed or freed already.
 */
void arena_free(arena_t* arena);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_ARENA_H
