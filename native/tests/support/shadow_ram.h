#ifndef POUND_TESTS_SUPPORT_SHADOW_RAM_H
#define POUND_TESTS_SUPPORT_SHADOW_RAM_H

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kvm/guest.h"

/*
 * A model of guest RAM that works byte by byte. It shares no arithmetic with the accessors: no
 * subtraction from the size, no mask, no byte swap.
 */
namespace pound::tests {

inline bool byte_in_ram(uint64_t size, uint64_t gpa, uint64_t index) {
    const bool wraps = gpa > std::numeric_limits<uint64_t>::max() - index;
    return !wraps && gpa + index < size;
}

template <typename T>
kvm::memory::guest_mem_access_result_t
expected_result(uint64_t size, uint64_t gpa,
                kvm::memory::alignment_t alignment = kvm::memory::alignment_t::fault) {
    for (uint64_t index = 0; index < sizeof(T); ++index) {
        if (!byte_in_ram(size, gpa, index)) {
            return kvm::memory::GUEST_MEM_ACCESS_FAULT_BOUNDARY;
        }
    }
    return gpa % sizeof(T) == 0 || alignment == kvm::memory::alignment_t::allow
               ? kvm::memory::GUEST_MEM_ACCESS_OK
               : kvm::memory::GUEST_MEM_ACCESS_FAULT_UNALIGNED;
}

/** The place of byte `index`, counted from the least significant one, in a value of `size` bytes.
 */
inline size_t place_of(size_t index, size_t size, kvm::endian_t endian) {
    return endian == kvm::endian_t::little ? index : size - 1 - index;
}

/** The value at `bytes`. */
template <typename T>
T expected_load(const uint8_t* bytes, kvm::endian_t endian = kvm::endian_t::little) {
    uint64_t value = 0;
    for (size_t index = 0; index < sizeof(T); ++index) {
        value += static_cast<uint64_t>(bytes[place_of(index, sizeof(T), endian)]) << (8 * index);
    }
    return static_cast<T>(value);
}

/** Stores `value` at `bytes`. */
template <typename T>
void expected_store(uint8_t* bytes, T value, kvm::endian_t endian = kvm::endian_t::little) {
    for (size_t index = 0; index < sizeof(T); ++index) {
        bytes[place_of(index, sizeof(T), endian)] =
            static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * index));
    }
}

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_SHADOW_RAM_H
