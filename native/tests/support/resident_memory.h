#ifndef POUND_TESTS_SUPPORT_RESIDENT_MEMORY_H
#define POUND_TESTS_SUPPORT_RESIDENT_MEMORY_H

#include <cstdint>
#include <cstdio>
#include <optional>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace pound::tests {

/** Bytes of this process in physical memory, or nothing if they cannot be measured. */
inline std::optional<int64_t> resident_bytes() {
#if defined(__linux__)
    // Under an emulator, the figure includes the memory of the emulator.
    FILE* statm = POUND_TESTS_EMULATED ? nullptr : fopen("/proc/self/statm", "r");
    if (statm == nullptr) {
        return std::nullopt;
    }
    long long total = 0;
    long long resident = 0;
    const int fields = fscanf(statm, "%lld %lld", &total, &resident);
    fclose(statm);
    if (fields == 2) {
        return static_cast<int64_t>(resident) * sysconf(_SC_PAGESIZE);
    }
#endif
    return std::nullopt;
}

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_RESIDENT_MEMORY_H
