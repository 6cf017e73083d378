#ifndef POUND_HOST_MEMORY_PAGES_H
#define POUND_HOST_MEMORY_PAGES_H

#include <cstddef>

/*
 * The one place that knows the operating system's way to reserve memory.
 */
namespace pound::host::memory {

/**
 * Reserves `size` bytes of zeroed, readable and writable memory that become
 * resident only when touched.
 *
 * @return A page-aligned block, or null where the system refuses it.
 */
[[nodiscard]] void* pages_reserve(size_t size);

/**
 * Gives the block's resident memory back and makes its bytes zero. The
 * addresses stay reserved, readable and writable throughout.
 *
 * @return Whether that worked. If not, the block is as it was: whoever can
 *         still reach it finds no hole in it.
 */
[[nodiscard]] bool pages_clear(void* data, size_t size);

/**
 * Gives the block's resident memory back, as far as the system does that
 * without a way to fail. The addresses stay reserved, readable and writable;
 * what the bytes are from here on is undefined.
 */
void pages_discard(void* data, size_t size);

/** Gives the addresses back; `size` is that of pages_reserve(). */
void pages_release(void* data, size_t size);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_PAGES_H
