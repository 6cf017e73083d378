#ifndef POUND_HOST_MEMORY_PAGE_SCAN_H
#define POUND_HOST_MEMORY_PAGE_SCAN_H

#if defined(__linux__)

#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <sys/ioctl.h>

/*
 * PAGEMAP_SCAN of Linux 6.7 and later, which finds pages by their entries in the page tables. The
 * declarations are those of linux/fs.h, which the systems that build the binaries lack.
 */
namespace pound::host::memory {

/** struct page_region: adjacent pages with the same categories. */
struct page_region_t {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

/** struct pm_scan_arg. */
struct page_scan_t {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t regions;
    uint64_t region_count;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

// The categories of pages.
constexpr uint64_t CATEGORY_WRITTEN = 1 << 1;
constexpr uint64_t CATEGORY_FILE = 1 << 2;
constexpr uint64_t CATEGORY_PRESENT = 1 << 3;
constexpr uint64_t CATEGORY_SWAPPED = 1 << 4;
constexpr uint64_t CATEGORY_ZERO = 1 << 5;

/** /proc/self/pagemap, which stays open; -1 if there is none. */
inline int page_map() {
    static const int descriptor = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return descriptor;
}

/**
 * Scans the page table entries of whole pages, from an address on to before another one.
 *
 * @param request Which pages to find, and what to do with them.
 * @param found   Called with arrays of found regions, in ascending order, and their number.
 * @return The address up to which pages were scanned; `to` on success.
 */
template <typename Found>
uintptr_t scan_page_map(uintptr_t from, uintptr_t to, page_scan_t request, const Found& found) {
    constexpr size_t REGIONS = 512;
    constexpr unsigned long SCAN = _IOWR('f', 16, page_scan_t);
    page_region_t regions[REGIONS];
    request.size = sizeof(request);
    request.end = to;
    request.regions = reinterpret_cast<uintptr_t>(regions);
    request.region_count = REGIONS;
    for (uintptr_t at = from; at < to;) {
        request.start = at;
        request.walk_end = at;
        const int count = ioctl(page_map(), SCAN, &request);
        // A failed scan may have done its work on pages that it did not report.
        if (count < 0 || request.walk_end <= at) {
            return at;
        }
        found(regions, count);
        at = static_cast<uintptr_t>(request.walk_end);
    }
    return to;
}

} // namespace pound::host::memory

#endif

#endif // POUND_HOST_MEMORY_PAGE_SCAN_H
