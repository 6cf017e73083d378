#include "host/memory/pages.h"

#include <cassert>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace pound::host::memory {

#if defined(_WIN32)

void* pages_reserve(size_t size) {
    return VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
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

#endif

} // namespace

void* pages_reserve(size_t size) {
    void* data = map_pages(nullptr, size, 0);
    return data == MAP_FAILED ? nullptr : data;
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
    // The system may have merged adjacent mappings. munmap() of the middle splits such a mapping,
    // and fails if the process has too many mappings. The addresses stay reserved then, but
    // madvise() returns the memory.
    if (munmap(data, size) != 0) {
        madvise(data, size, MADV_DONTNEED);
    }
}

#endif

} // namespace pound::host::memory
