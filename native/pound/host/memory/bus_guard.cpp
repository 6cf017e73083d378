#include "host/memory/bus_guard.h"

#if !defined(_WIN32)
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include "host/memory/page_file.h"
#endif

namespace pound::host::memory {

#if defined(_WIN32)

bool bus_guard_add(void* /* data */, size_t /* size */, int /* descriptor */) {
    return true;
}

void bus_guard_remove(const void* /* data */) {
}

bool bus_guard_has_replaced(const void* /* data */) {
    return false;
}

#else

namespace {

/** A guarded mapping. Never freed, because the handler may look at it at any time. */
struct guard_t {
    /** The first byte; 0 if the object is unused. */
    std::atomic<uintptr_t> start{0};
    /** Bytes, in whole pages. */
    std::atomic<size_t> size{0};
    std::atomic<int> descriptor{-1};
    std::atomic<bool> has_replaced{false};
    guard_t* next = nullptr;
};

// The handler runs between any two instructions, so it may only use atomics without a lock.
static_assert(std::atomic<uintptr_t>::is_always_lock_free);
static_assert(std::atomic<int>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free);

std::atomic<guard_t*> guards{nullptr};
struct sigaction previous = {};

/** Serializes all functions but the handler. Never destroyed: see `registry()` of the addon. */
std::mutex& guard_mutex() {
    static auto* mutex = new std::mutex();
    return *mutex;
}

guard_t* guard_of(uintptr_t address) {
    for (guard_t* guard = guards.load(); guard != nullptr; guard = guard->next) {
        const uintptr_t start = guard->start.load();
        if (start != 0 && address - start < guard->size.load()) {
            return guard;
        }
    }
    return nullptr;
}

bool map_zeros(uintptr_t start, size_t size) {
    void* where = reinterpret_cast<void*>(start);
    return mmap(where, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == where;
}

/** Replaces the page of an address, and all pages after the end of the file. */
bool replace_lost(guard_t& guard, uintptr_t address, size_t page) {
    const uintptr_t start = guard.start.load();
    const size_t size = guard.size.load();
    const size_t offset = (address - start) / page * page;
    guard.has_replaced.store(true);
    if (guard.descriptor.load() < 0) {
        return map_zeros(start, size);
    }
    uint64_t length = 0;
    if (descriptor_size(guard.descriptor.load(), &length)) {
        const size_t end = (static_cast<size_t>(length) + page - 1) / page * page;
        if (offset >= end) {
            // In one call: a process may have only so many mappings.
            return map_zeros(start + end, size - end);
        }
    }
    // The disk has no room for the page, or cannot read it.
    return map_zeros(start + offset, page);
}

/** Does what the process would do without this handler. */
void call_previous(int signal, siginfo_t* info, void* context) {
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler == SIG_DFL) {
        // The access, or the signal that a process has sent, repeats and ends the process.
        ::signal(signal, SIG_DFL);
        if (info->si_code <= 0) {
            raise(signal);
        }
    } else if (previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    }
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    // A code of 0 or less: a process has sent the signal, and there is no address.
    guard_t* guard = info->si_code > 0 ? guard_of(address) : nullptr;
    if (guard == nullptr || !replace_lost(*guard, address, page_size())) {
        call_previous(signal, info, context);
    }
    errno = error;
}

bool install() {
    static const bool installed = [] {
        // The handler calls it, and its first call is not safe there.
        static_cast<void>(page_size());
        struct sigaction action = {};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
        sigemptyset(&action.sa_mask);
        return sigaction(SIGBUS, nullptr, &previous) == 0 &&
               sigaction(SIGBUS, &action, nullptr) == 0;
    }();
    return installed;
}

/** An unused guard. @return Null if there is no memory. Call it with the mutex only. */
guard_t* unused_guard() {
    for (guard_t* guard = guards.load(); guard != nullptr; guard = guard->next) {
        if (guard->start.load() == 0) {
            return guard;
        }
    }
    auto* guard = new (std::nothrow) guard_t();
    if (guard != nullptr) {
        guard->next = guards.load();
        guards.store(guard);
    }
    return guard;
}

/** The guard of the mapping at `data`, or null. Call it with the mutex only. */
guard_t* find(const void* data) {
    guard_t* guard = guard_of(reinterpret_cast<uintptr_t>(data));
    return guard != nullptr && guard->start.load() == reinterpret_cast<uintptr_t>(data) ? guard
                                                                                        : nullptr;
}

} // namespace

bool bus_guard_add(void* data, size_t size, int descriptor) {
    const std::lock_guard<std::mutex> lock(guard_mutex());
    guard_t* guard = install() ? unused_guard() : nullptr;
    if (guard == nullptr) {
        return false;
    }
    const int duplicate = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor >= 0 && duplicate < 0) {
        return false;
    }
    guard->descriptor.store(duplicate);
    guard->has_replaced.store(false);
    guard->size.store(to_pages(size));
    guard->start.store(reinterpret_cast<uintptr_t>(data));
    return true;
}

void bus_guard_remove(const void* data) {
    const std::lock_guard<std::mutex> lock(guard_mutex());
    guard_t* guard = find(data);
    if (guard != nullptr) {
        guard->start.store(0);
        guard->size.store(0);
        const int descriptor = guard->descriptor.exchange(-1);
        if (descriptor >= 0) {
            close(descriptor);
        }
    }
}

bool bus_guard_has_replaced(const void* data) {
    const std::lock_guard<std::mutex> lock(guard_mutex());
    const guard_t* guard = find(data);
    return guard != nullptr && guard->has_replaced.load();
}

#endif

} // namespace pound::host::memory
