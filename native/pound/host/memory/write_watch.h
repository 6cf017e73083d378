#ifndef POUND_HOST_MEMORY_WRITE_WATCH_H
#define POUND_HOST_MEMORY_WRITE_WATCH_H

#include <cstddef>
#include <cstdint>

/*
 * Dirty tracking by the operating system: which pages were written, by whichever code of the
 * process or of the kernel.
 *
 * - Linux 6.7 and later: asynchronous write protection of a userfaultfd, and the ioctl
 *   PAGEMAP_SCAN. No privilege is needed. The first write to a page after a collection faults once
 *   inside the kernel; later writes run at full speed. No signal is involved.
 * - Windows: memory of pages_reserve_watched(), and GetWriteWatch.
 * - Elsewhere, and where a sandbox refuses the system calls: WRITE_WATCH_UNSUPPORTED.
 *
 * No write is lost. A page is reported and protected again in one step, before
 * write_watch_collect() returns; a write after that step is reported by the next collection.
 * Therefore a caller that reads a page after the collection which reported it, and again after each
 * later one that does, ends with the bytes of the page.
 *
 * Two changes of memory are not writes to the system: bytes that a device or the kernel stores
 * through pages which were pinned before (O_DIRECT, registered buffers of io_uring), and
 * pages that are discarded (MADV_DONTNEED). Whoever makes such a change has to mark the pages.
 */
namespace pound::host::memory {

/** Bytes of memory for each byte of marks. */
constexpr size_t WRITE_WATCH_PAGE = 4096;

/** Result of write_watch_start(). */
enum write_watch_result_t : uint8_t {
    WRITE_WATCH_OK = 0,
    /** The system has no such tracking, or refuses it to this process. */
    WRITE_WATCH_UNSUPPORTED,
    /**
     * The system refuses it for this memory: another watch includes some of its pages, or, on
     * Windows, the memory was not reserved with MEM_WRITE_WATCH.
     */
    WRITE_WATCH_REFUSED,
};

/** A range of memory whose writes the system tracks. */
struct write_watch_t {
    /** The first byte. Null if the watch is stopped. */
    uint8_t* data;
    /** Bytes. */
    size_t size;
    /** Linux: the userfaultfd. -1 elsewhere. */
    int descriptor;
};

/** A watch that is stopped. */
constexpr write_watch_t STOPPED_WRITE_WATCH = {nullptr, 0, -1};

/**
 * Whether the system can track writes. The first call asks it; the answer stays the same for the
 * life of the process.
 */
[[nodiscard]] bool write_watch_supported();

/**
 * Starts to track the writes to a range. Writes from now on are reported, by writers on other
 * threads too. The time grows with the resident memory of the range.
 *
 * The range is extended to whole pages of the host. It must be mapped until write_watch_stop().
 *
 * @param watch Initialized on success, stopped on failure.
 * @param data  The first byte, of any alignment.
 * @param size  Bytes, at least 1.
 */
[[nodiscard]] write_watch_result_t write_watch_start(write_watch_t* watch, void* data, size_t size);

/**
 * Whether marks are exact: the range starts at a multiple of WRITE_WATCH_PAGE, and the pages of the
 * host have this size. Otherwise pages beside a written one are marked too.
 */
[[nodiscard]] bool write_watch_is_exact(const write_watch_t* watch);

/**
 * Sets the marks of the pages that were written since the last collection.
 *
 * If the system fails, for instance because other pages were mapped over the range, all pages of
 * the range are marked, so that no write is lost. Pages that were mapped over it are tracked from
 * then on.
 *
 * @param offset First byte to look at, from the start of the range.
 * @param length Bytes to look at; `offset + length` is at most the size of the range.
 * @param marks  A byte for each WRITE_WATCH_PAGE bytes of the whole range, set to 1 for pages that
 *               were written and otherwise left alone. Pages beside those looked at may be marked,
 *               if they share a page of the host with them.
 */
void write_watch_collect(const write_watch_t* watch, size_t offset, size_t length, uint8_t* marks);

/** Ends the tracking. Writes that were not collected are forgotten. A second call has no effect. */
void write_watch_stop(write_watch_t* watch);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_WRITE_WATCH_H
