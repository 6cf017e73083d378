#include "host/memory/write_watch.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "host/memory/page_file.h"
#include "host/memory/page_scan.h"

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#elif defined(__linux__)
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pound::host::memory {

namespace {

/** Host addresses: those of the range of a watch, or of a part of it. */
struct span_t {
    uintptr_t from;
    uintptr_t to;
};

span_t span_of(const write_watch_t* watch) {
    const auto start = reinterpret_cast<uintptr_t>(watch->data);
    return {start, start + watch->size};
}

#if defined(_WIN32) || defined(__linux__)

span_t span_of(const write_watch_t* watch, size_t offset, size_t length) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(watch->data) + offset;
    return {from, from + length};
}

/** Marks the pages of a watch that have bytes in `written`, which may exceed the range. */
void mark(const write_watch_t* watch, span_t written, uint8_t* marks) {
    const span_t all = span_of(watch);
    const uintptr_t from = std::max(written.from, all.from) - all.from;
    const uintptr_t to = std::min(written.to, all.to) - all.from;
    if (from < to) {
        const size_t first = from / WRITE_WATCH_PAGE;
        memset(marks + first, 1, (to - 1) / WRITE_WATCH_PAGE + 1 - first);
    }
}

/** The whole pages of the host that contain a span. */
span_t whole_pages(span_t span) {
    const uintptr_t mask = page_size() - 1;
    return {span.from & ~mask, ((span.to - 1) | mask) + 1};
}

#endif

#if defined(_WIN32)

/** Most pages of one query. */
constexpr size_t PAGES_PER_QUERY = 1024;

#elif defined(__linux__)

// <linux/userfaultfd.h> of the systems that build this library may be older than the kernel that
// runs it.

struct uffd_api_t {
    uint64_t api;
    uint64_t features;
    uint64_t ioctls;
};

struct uffd_range_t {
    uint64_t start;
    uint64_t length;
    uint64_t mode;
    uint64_t ioctls;
};

constexpr int UFFD_USER_MODE_ONLY = 1;
constexpr uint64_t UFFD_API_VERSION = 0xaa;
constexpr uint64_t UFFD_WP_UNPOPULATED = 1 << 13;
constexpr uint64_t UFFD_WP_ASYNC = 1 << 15;
constexpr uint64_t UFFD_MODE_WP = 2;
constexpr unsigned long IOCTL_UFFD_API = _IOWR(0xaa, 0x3f, uffd_api_t);
constexpr unsigned long IOCTL_UFFD_REGISTER = _IOWR(0xaa, 0x00, uffd_range_t);

/** Protects the reported pages again. */
constexpr uint64_t SCAN_PROTECTS = 1 << 0;
/** Fails with EPERM at memory without asynchronous write protection. */
constexpr uint64_t SCAN_CHECKS = 1 << 1;
/** Bytes between pages from which on two scans are faster than one that includes the bytes. */
constexpr uintptr_t GAP_BETWEEN_SCANS = uintptr_t{2} << 20;

/** A userfaultfd with asynchronous write protection; -1 if the system refuses it. */
int open_userfaultfd() {
#if defined(SYS_userfaultfd)
    const auto descriptor =
        static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY));
    if (descriptor < 0) {
        return -1;
    }
    uffd_api_t api = {UFFD_API_VERSION, UFFD_WP_UNPOPULATED | UFFD_WP_ASYNC, 0};
    if (ioctl(descriptor, IOCTL_UFFD_API, &api) == 0) {
        return descriptor;
    }
    close(descriptor);
#endif
    return -1;
}

bool register_pages(int descriptor, span_t pages) {
    uffd_range_t range = {pages.from, pages.to - pages.from, UFFD_MODE_WP, 0};
    return ioctl(descriptor, IOCTL_UFFD_REGISTER, &range) == 0;
}

span_t span_of(const page_region_t& region) {
    return {static_cast<uintptr_t>(region.start), static_cast<uintptr_t>(region.end)};
}

/**
 * Reports and protects the written pages of a span of whole pages.
 *
 * Pages that were never written have no entry in the page tables, or an entry of the zero page.
 * They are neither reported nor protected: a first write to them replaces the entry by one that is
 * not protected, which is reported. So reads cause no reports, and the page tables do not grow.
 *
 * @param written Called with the span of each run of written pages.
 * @return Whether the scan has succeeded.
 */
template <typename Report>
bool take(span_t pages, const Report& written) {
    page_scan_t request = {};
    request.flags = SCAN_PROTECTS | SCAN_CHECKS;
    request.category_mask = CATEGORY_WRITTEN | CATEGORY_ZERO;
    request.category_inverted = CATEGORY_ZERO;
    request.category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED;
    request.return_mask = CATEGORY_WRITTEN;
    return scan_page_map(pages.from, pages.to, request,
                         [&](const page_region_t* regions, int count) {
                             for (int i = 0; i < count; ++i) {
                                 written(span_of(regions[i]));
                             }
                         }) == pages.to;
}

/**
 * As take(), but faster where most pages are protected: a first scan looks for pages without
 * protection, written or never touched. The kernel has a loop for this request, which takes less
 * than half of the time.
 */
template <typename Report>
bool take_from_few(span_t pages, const Report& written) {
    page_scan_t request = {};
    request.flags = SCAN_CHECKS;
    request.category_mask = CATEGORY_WRITTEN;
    request.return_mask = CATEGORY_WRITTEN;
    bool taken = true;
    const uintptr_t end =
        scan_page_map(pages.from, pages.to, request, [&](const page_region_t* regions, int count) {
            for (int i = 0; i < count;) {
                span_t near = span_of(regions[i]);
                for (++i; i < count && regions[i].start - near.to < GAP_BETWEEN_SCANS; ++i) {
                    near.to = span_of(regions[i]).to;
                }
                taken = take(near, written) && taken;
            }
        });
    return taken && end == pages.to;
}

/** Protects all written pages of a span of whole pages. */
bool protect(span_t pages) {
    return take(pages, [](span_t) {});
}

/** Tries both mechanisms on a page of its own. */
bool probe() {
    const size_t size = page_size();
    void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int descriptor = page == MAP_FAILED ? -1 : open_userfaultfd();
    bool works = false;
    if (descriptor >= 0) {
        auto* byte = static_cast<volatile uint8_t*>(page);
        const auto from = reinterpret_cast<uintptr_t>(page);
        const span_t pages = {from, from + size};
        size_t reports = 0;
        const auto count = [&reports](span_t) { ++reports; };
        *byte = 1;
        works = register_pages(descriptor, pages) && protect(pages) && take(pages, count) &&
                reports == 0;
        *byte = 2;
        works = works && take(pages, count) && reports == 1;
        close(descriptor);
    }
    if (page != MAP_FAILED) {
        munmap(page, size);
    }
    return works;
}

#endif

} // namespace

bool write_watch_supported() {
#if defined(_WIN32)
    return true;
#elif defined(__linux__)
    static const bool supported = probe();
    return supported;
#else
    return false;
#endif
}

write_watch_result_t write_watch_start(write_watch_t* watch, void* data, size_t size) {
    assert(nullptr != watch);
    assert(nullptr != data);
    assert(size != 0);
    *watch = STOPPED_WRITE_WATCH;
    if (!write_watch_supported()) {
        return WRITE_WATCH_UNSUPPORTED;
    }
#if defined(_WIN32) || defined(__linux__)
    write_watch_t started = {static_cast<uint8_t*>(data), size, -1};
    const span_t pages = whole_pages(span_of(&started));
#if defined(_WIN32)
    if (ResetWriteWatch(reinterpret_cast<void*>(pages.from), pages.to - pages.from) != 0) {
        return WRITE_WATCH_REFUSED;
    }
#else
    // A descriptor for each watch: the system refuses pages that another one has registered.
    started.descriptor = open_userfaultfd();
    if (started.descriptor < 0) {
        return WRITE_WATCH_REFUSED;
    }
    if (!register_pages(started.descriptor, pages) || !protect(pages)) {
        write_watch_stop(&started);
        return WRITE_WATCH_REFUSED;
    }
#endif
    *watch = started;
#endif
    return WRITE_WATCH_OK;
}

bool write_watch_is_exact(const write_watch_t* watch) {
#if defined(_WIN32) || defined(__linux__)
    return span_of(watch).from % WRITE_WATCH_PAGE == 0 && page_size() == WRITE_WATCH_PAGE;
#else
    static_cast<void>(watch);
    return false;
#endif
}

void write_watch_collect(const write_watch_t* watch, size_t offset, size_t length, uint8_t* marks) {
    assert(nullptr != watch);
    if (watch->data == nullptr || length == 0) {
        return;
    }
    assert(offset <= watch->size && length <= watch->size - offset);
#if defined(_WIN32)
    const span_t pages = whole_pages(span_of(watch, offset, length));
    const size_t page = page_size();
    // No query can find more pages than it has room for.
    void* found[PAGES_PER_QUERY];
    for (uintptr_t from = pages.from; from < pages.to;) {
        const uintptr_t to = std::min<uintptr_t>(pages.to, from + PAGES_PER_QUERY * page);
        ULONG_PTR count = PAGES_PER_QUERY;
        DWORD granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, reinterpret_cast<void*>(from), to - from, found,
                          &count, &granularity) != 0) {
            mark(watch, {from, to}, marks);
            count = 0;
        }
        for (ULONG_PTR i = 0; i < count; ++i) {
            const auto at = reinterpret_cast<uintptr_t>(found[i]);
            mark(watch, {at, at + page}, marks);
        }
        from = to;
    }
#elif defined(__linux__)
    const span_t pages = whole_pages(span_of(watch, offset, length));
    const auto set_marks = [watch, marks](span_t written) { mark(watch, written, marks); };
    if (!take_from_few(pages, set_marks)) {
        // Somebody has mapped other pages over the range, or the system is short of memory. If it
        // still is, the next collection fails too, and marks all pages again.
        const span_t all = whole_pages(span_of(watch));
        if (register_pages(watch->descriptor, all)) {
            static_cast<void>(protect(all));
        }
        mark(watch, all, marks);
    }
#else
    static_cast<void>(marks);
#endif
}

void write_watch_stop(write_watch_t* watch) {
    assert(nullptr != watch);
#if defined(__linux__)
    if (watch->descriptor >= 0) {
        // Unregisters the pages and removes their protection.
        close(watch->descriptor);
    }
#endif
    *watch = STOPPED_WRITE_WATCH;
}

} // namespace pound::host::memory
