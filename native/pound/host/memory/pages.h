#ifndef POUND_HOST_MEMORY_PAGES_H
#define POUND_HOST_MEMORY_PAGES_H

#include <cstddef>

/*
 * The only code that depends on how the operating system reserves memory.
 */
namespace pound::host::memory {

/**
 * Reserves `size` bytes of zeroed, readable and writable memory that become
 * resident only when touched.
 *
 * @return A page-aligned block, or null if the system refuses it.
 */
[[nodiscard]] void* pages_reserve(size_t size);

/**
 * As pages_reserve(), but asks the system for huge pages, which make random access faster and take
 * memory in larger steps. A system without them, or that refuses them, provides ordinary pages.
 *
 * - Linux: the block is aligned to 2 MiB and advised (MADV_HUGEPAGE), unless
 *   `/sys/kernel/mm/transparent_hugepage/enabled` is `never`.
 * - Windows: large pages, if the user has the right "Lock pages in memory". They are resident at
 *   once, and stay so.
 */
[[nodiscard]] void* pages_reserve_huge(size_t size);

/** Bytes of a huge page of x86-64, and of arm64 with pages of 4 KiB; 0 on other systems. */
#if defined(__linux__)
constexpr size_t HUGE_PAGE = size_t{2} << 20;
#else
constexpr size_t HUGE_PAGE = 0;
#endif

/**
 * Asks the system for huge pages in memory of any allocator, whose first touch then takes a
 * fraction of the time. Call it before the memory is touched. No effect where the system refuses,
 * and on systems other than Linux.
 *
 * @return The offset of the first byte on a huge page; 0 if no huge page lies in the memory.
 */
size_t pages_advise_huge(void* data, size_t size);

/**
 * As pages_reserve(), but the system can track the writes to the block (write_watch.h).
 *
 * - Windows: MEM_WRITE_WATCH, which makes the first write to a page slower. If the system refuses
 *   it, the pages are ordinary ones.
 * - Elsewhere: no difference.
 */
[[nodiscard]] void* pages_reserve_watched(size_t size);

/**
 * Returns the block's resident memory to the system and zeroes its bytes. The addresses stay
 * reserved, readable and writable throughout.
 *
 * @return True on success. On failure, the block is unchanged and has no hole.
 */
[[nodiscard]] bool pages_clear(void* data, size_t size);

/**
 * Returns the block's resident memory to the system if it can do that without the risk of failure.
 * The addresses stay reserved, readable and writable. The bytes have undefined values afterwards.
 */
void pages_discard(void* data, size_t size);

/** Releases the block. `size` must be the size passed when it was reserved. */
void pages_release(void* data, size_t size);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_PAGES_H
