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

bool pages_clear(void* data, size_t size) {
    // Decommitting drops the contents; committing again yields zeroed pages.
    return VirtualFree(data, size, MEM_DECOMMIT) != 0 &&
           VirtualAlloc(data, size, MEM_COMMIT, PAGE_READWRITE) == data;
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

} // namespace

void* pages_reserve(size_t size) {
    void* data = map_pages(nullptr, size, 0);
    return data == MAP_FAILED ? nullptr : data;
}

bool pages_clear(void* data, size_t size) {
    // A fresh mapping over the old one zeroes it on every POSIX system, where
    // what MADV_DONTNEED does to the contents is Linux's own promise.
    return map_pages(data, size, MAP_FIXED) == data;
}

void pages_release(void* data, size_t size) {
    // Unmapping the middle of what the system keeps as one mapping makes two of
    // it, and fails where there are too many. Then the addresses stay taken, but
    // at least the memory is given back.
    if (munmap(data, size) != 0) {
        madvise(data, size, MADV_DONTNEED);
    }
}

#endif

} // namespace pound::host::memory
