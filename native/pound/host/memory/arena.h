#ifndef POUND_HOST_MEMORY_ARENA_H
#define POUND_HOST_MEMORY_ARENA_H

#include <cstddef>
#include <cstdint>

namespace pound::host::memory {

/**
 * Who owns the bytes of an arena, and so who releases them.
 */
enum arena_backing_t : uint8_t {
    /** No memory: a zeroed, failed or freed arena. */
    ARENA_BACKING_NONE = 0,
    /** Pages reserved by arena_init() or a variant of it, and released by arena_free(). */
    ARENA_BACKING_PAGES,
    /** Memory that the caller passed to arena_init_over(); the arena never frees it. */
    ARENA_BACKING_CALLER,
    /** Memory of a shared_object_t, which other processes may use. arena_free() unmaps it. */
    ARENA_BACKING_SHARED,
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
    /** Bytes allocated so far, including alignment padding. */
    size_t used;
    /** Where the block came from. */
    arena_backing_t backing;
};

/** Result of the initialization of an arena. */
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
 * A page becomes resident when it is first touched, so the cost in time and memory does not depend
 * on `capacity`. On Windows the pages count against the system's commit limit; elsewhere they are
 * mapped without a reservation.
 *
 * @param arena    Initialized on success, zeroed on failure.
 * @param capacity Bytes, at least 1. Need not be a multiple of the page size.
 */
[[nodiscard]] arena_result_t arena_init(arena_t* arena, size_t capacity);

/** As arena_init(), on huge pages where the system provides them; see pages_reserve_huge(). */
[[nodiscard]] arena_result_t arena_init_huge(arena_t* arena, size_t capacity);

/** As arena_init(), on pages that can have a write watch; see pages_reserve_watched(). */
[[nodiscard]] arena_result_t arena_init_watched(arena_t* arena, size_t capacity);

/**
 * Initializes an arena over memory that the caller owns and keeps alive. Neither this function nor
 * arena_reset() nor arena_free() changes the bytes.
 *
 * @param arena    Initialized on success, zeroed on failure.
 * @param data     First byte, of any alignment.
 * @param capacity Bytes, at least 1.
 */
[[nodiscard]] arena_result_t arena_init_over(arena_t* arena, void* data, size_t capacity);

/**
 * Allocates `size` bytes at a host address that is a multiple of `alignment`.
 *
 * @param size      Bytes, at least 1.
 * @param alignment A power of two.
 * @return The block; or null, with the arena unchanged, if an argument is invalid, a sum overflows
 *         or too few bytes are left.
 */
[[nodiscard]] void* arena_allocate(arena_t* arena, size_t size, size_t alignment);

/** Bytes not yet allocated. */
[[nodiscard]] inline size_t arena_remaining(const arena_t* arena) {
    return arena->capacity - arena->used;
}

/**
 * Ends every allocation. Pages of the arena keep their address and read as zero afterwards.
 * Their resident memory is returned to the operating system if the system can do that without the
 * risk of failure. The caller's memory, and memory of other processes, keeps its bytes.
 *
 * All pointers that arena_allocate() returned before become invalid.
 */
void arena_reset(arena_t* arena);

/**
 * Releases the pages of the arena and zeroes the arena. Has no effect on an arena that is zeroed
 * or freed already.
 */
void arena_free(arena_t* arena);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_ARENA_H
