#include "host/memory/pages.h"

#include "host/memory/bus_guard.h"

#include <cassert>
#include <cstdint>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace pound::host::memory {

#if defined(_WIN32)

namespace {

/** Enables the right that large pages need. Without effect if the user does not have it. */
void enable_large_pages() {
    HANDLE token = nullptr;
    if (OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token) == 0) {
        return;
    }
    TOKEN_PRIVILEGES privileges = {};
    privileges.PrivilegeCount = 1;
    privileges.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    if (LookupPrivilegeValueW(nullptr, L"SeLockMemoryPrivilege", &privileges.Privileges[0].Luid) !=
        0) {
        AdjustTokenPrivileges(token, FALSE, &privileges, 0, nullptr, nullptr);
    }
    CloseHandle(token);
}

} // namespace

void* pages_reserve(size_t size) {
    return VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void* pages_reserve_watched(size_t size) {
    void* data =
        VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    return data != nullptr ? data : pages_reserve(size);
}

void* pages_reserve_huge(size_t size) {
    const size_t unit = GetLargePageMinimum();
    if (unit != 0 && size <= SIZE_MAX - unit) {
        enable_large_pages();
        const size_t rounded = (size + unit - 1) / unit * unit;
        void* data = VirtualAlloc(nullptr, rounded, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES,
                                  PAGE_READWRITE);
        if (data != nullptr) {
            return data;
        }
    }
    return pages_reserve(size);
}

size_t pages_advise_huge(void* /* data */, size_t /* size */) {
    return 0;
}

bool pages_clear(void* /* data */, size_t /* size */) {
    // Decommit and commit would clear the pages. But the commit limit can refuse the second step,
    // and the block would then have a hole.
    return false;
}

void pages_discard(void* data, size_t size) {
    VirtualAlloc(data, size, MEM_RESET, PAGE_READWRITE);
}

void pages_release(void* data, size_t /* size */) {
    const BOOL released = VirtualFree(data, 0, MEM_RELEASE);
    assert(released != 0);
    static_cast<void>(released);
}

#else

namespace {

void* map_pages(void* where, size_t size, int extra_flags) {
#if defined(MAP_NORESERVE)
    extra_flags |= MAP_NORESERVE;
#endif
    return mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1,
                0);
}

#if defined(__linux__)

/**
 * Whether MADV_DONTNEED zeroes private pages. Linux guarantees it, but some emulators of Linux,
 * such as old versions of QEMU, report success and do nothing.
 */
bool dontneed_zeroes() {
    static const bool zeroes = [] {
        auto* probe = static_cast<unsigned char*>(map_pages(nullptr, 1, 0));
        if (probe == MAP_FAILED) {
            return false;
        }
        *probe = 1;
        const bool zeroed = madvise(probe, 1, MADV_DONTNEED) == 0 &&
                            *static_cast<volatile unsigned char*>(probe) == 0;
        munmap(probe, 1);
        return zeroed;
    }();
    return zeroes;
}

/** As pages_reserve(), aligned to HUGE_PAGE. Newer versions of Linux align large mappings anyway.
 */
void* reserve_aligned(size_t size) {
    if (size < HUGE_PAGE || size > SIZE_MAX - 2 * HUGE_PAGE) {
        return nullptr;
    }
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t length = (size + page - 1) / page * page;
    auto* data = static_cast<unsigned char*>(map_pages(nullptr, length + HUGE_PAGE, 0));
    if (data == MAP_FAILED) {
        return nullptr;
    }
    const size_t before = (0 - reinterpret_cast<uintptr_t>(data)) & (HUGE_PAGE - 1);
    // If the process has too many mappings for a split, the rest stays reserved.
    if (before != 0) {
        munmap(data, before);
    }
    munmap(data + before + length, HUGE_PAGE - before);
    return data + before;
}

#endif

} // namespace

void* pages_reserve(size_t size) {
    void* data = map_pages(nullptr, size, 0);
    return data == MAP_FAILED ? nullptr : data;
}

void* pages_reserve_watched(size_t size) {
    return pages_reserve(size);
}

void* pages_reserve_huge(size_t size) {
#if defined(__linux__)
    void* data = reserve_aligned(size);
    if (data == nullptr) {
        data = pages_reserve(size);
    }
    if (data != nullptr) {
        madvise(data, size, MADV_HUGEPAGE);
    }
    return data;
#else
    return pages_reserve(size);
#endif
}

size_t pages_advise_huge(void* data, size_t size) {
#if defined(__linux__)
    // Only whole huge pages, so that no other object's memory is advised.
    auto* bytes = static_cast<unsigned char*>(data);
    const size_t before = (0 - reinterpret_cast<uintptr_t>(data)) & (HUGE_PAGE - 1);
    if (size < before + HUGE_PAGE) {
        return 0;
    }
    madvise(bytes + before, (size - before) & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
    return before;
#else
    static_cast<void>(data);
    static_cast<void>(size);
    return 0;
#endif
}

bool pages_clear(void* data, size_t size) {
#if defined(__linux__)
    // Not mmap() over the old mapping: an address space limit can refuse that after Linux has
    // removed the old mapping.
    return dontneed_zeroes() && madvise(data, size, MADV_DONTNEED) == 0;
#else
    // Darwin and the BSDs check the limits, or put the old mapping back, before they fail.
    return map_pages(data, size, MAP_FIXED) == data;
#endif
}

void pages_discard(void* data, size_t size) {
    if (!pages_clear(data, size)) {
        madvise(data, size, MADV_DONTNEED);
    }
}

void pages_release(void* data, size_t size) {
    bus_guard_remove(data);
    // The system may have merged adjacent mappings. munmap() of the middle splits such a mapping,
    // and fails if the process has too many mappings. The addresses stay reserved then, but
    // madvise() returns the memory.
    if (munmap(data, size) != 0) {
        madvise(data, size, MADV_DONTNEED);
    }
}

#endif

} // namespace pound::host::memory
