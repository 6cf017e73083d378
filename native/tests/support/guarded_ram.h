#ifndef POUND_TESTS_SUPPORT_GUARDED_RAM_H
#define POUND_TESTS_SUPPORT_GUARDED_RAM_H

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "kvm/guest.h"
#include "support/arenas.h"

namespace pound::tests {

constexpr size_t GUARD_SIZE = 64;

/**
 * RAM of `size` bytes in the middle of a larger buffer. Adjacent bytes of the buffer differ, so
 * that a test detects every change to the RAM, the descriptor and the bytes around them.
 */
struct guarded_ram_t {
    explicit guarded_ram_t(size_t size)
        : buffer(GUARD_SIZE + kvm::memory::GUEST_MEMORY_DESCRIPTOR_SIZE +
                 kvm::memory::GUEST_RAM_ALIGNMENT + size + GUARD_SIZE) {
        std::iota(buffer.begin(), buffer.end(), uint8_t{0x80});
        uint8_t* start = buffer.data() + GUARD_SIZE;
        while (reinterpret_cast<uintptr_t>(start) % kvm::memory::GUEST_RAM_ALIGNMENT != 0) {
            ++start;
        }
        REQUIRE(host::memory::arena_init_over(&arena, start,
                                              kvm::memory::GUEST_MEMORY_DESCRIPTOR_SIZE + size) ==
                host::memory::ARENA_OK);
        memory = kvm::memory::guest_memory_create(&arena);
        REQUIRE(memory != nullptr);
        REQUIRE(memory->size == size);
        REQUIRE(host::memory::arena_remaining(&arena) == 0);
        expected = buffer;
    }

    /** The byte of the model at guest physical address `gpa`. */
    uint8_t* expected_at(uint64_t gpa) {
        const auto offset = static_cast<size_t>(memory->base - buffer.data());
        return expected.data() + offset + static_cast<size_t>(gpa);
    }

    std::vector<uint8_t> buffer;
    std::vector<uint8_t> expected;
    scoped_arena_t arena;
    kvm::memory::guest_memory_t* memory = nullptr;
};

/** All addresses near RAM, and addresses near 2^31, 2^32, 2^53, 2^63 and 2^64. */
inline std::vector<uint64_t> interesting_addresses() {
    std::vector<uint64_t> addresses(81);
    std::iota(addresses.begin(), addresses.end(), uint64_t{0});
    for (const unsigned bit : {31u, 32u, 53u, 63u}) {
        for (uint64_t distance = 0; distance <= 16; ++distance) {
            addresses.push_back((uint64_t{1} << bit) - distance);
            addresses.push_back((uint64_t{1} << bit) + distance);
        }
    }
    for (uint64_t distance = 1; distance <= 80; ++distance) {
        addresses.push_back(0 - distance);
    }
    return addresses;
}

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_GUARDED_RAM_H
