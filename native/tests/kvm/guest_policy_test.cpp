#include "kvm/guest.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "support/arenas.h"
#include "support/guarded_ram.h"
#include "support/shadow_ram.h"

using namespace pound::host::memory;
using namespace pound::kvm;
using namespace pound::kvm::memory;
using pound::tests::expected_load;
using pound::tests::expected_result;
using pound::tests::expected_store;
using pound::tests::guarded_ram_t;
using pound::tests::interesting_addresses;
using pound::tests::scoped_arena_t;

namespace {

constexpr uint64_t VALUE = 0x8f7e6d5c4b3a2918;
constexpr uint64_t SENTINEL = 0xa5a5a5a5a5a5a5a5;

using fault_little = access_policy_t<alignment_t::fault, endian_t::little>;
using fault_big = access_policy_t<alignment_t::fault, endian_t::big>;
using allow_little = access_policy_t<alignment_t::allow, endian_t::little>;
using allow_big = access_policy_t<alignment_t::allow, endian_t::big>;

template <typename T, typename Policy>
bool read_behaves(guarded_ram_t& ram, uint64_t gpa) {
    const auto wanted = expected_result<T>(ram.memory->size, gpa, Policy::alignment);
    const T untouched = static_cast<T>(SENTINEL);
    T value = untouched;
    const auto result = guest_mem_read<T, Policy>(ram.memory, gpa, &value);
    const T wanted_value = wanted == GUEST_MEM_ACCESS_OK
                               ? expected_load<T>(ram.expected_at(gpa), Policy::endian)
                               : untouched;
    return result == wanted && value == wanted_value && ram.buffer == ram.expected;
}

template <typename T, typename Policy>
bool write_behaves(guarded_ram_t& ram, uint64_t gpa, T value) {
    const auto wanted = expected_result<T>(ram.memory->size, gpa, Policy::alignment);
    if (wanted == GUEST_MEM_ACCESS_OK) {
        expected_store(ram.expected_at(gpa), value, Policy::endian);
    }
    return guest_mem_write<T, Policy>(ram.memory, gpa, value) == wanted &&
           ram.buffer == ram.expected;
}

template <typename T, typename Policy>
bool behaves(guarded_ram_t& ram, uint64_t gpa) {
    // The two values differ in every bit, so at least one write changes each byte.
    return read_behaves<T, Policy>(ram, gpa) &&
           write_behaves<T, Policy>(ram, gpa, static_cast<T>(VALUE)) &&
           read_behaves<T, Policy>(ram, gpa) &&
           write_behaves<T, Policy>(ram, gpa, static_cast<T>(~VALUE)) &&
           read_behaves<T, Policy>(ram, gpa);
}

} // namespace

TEST_SUITE_BEGIN("kvm/guest_policy");

TEST_CASE_TEMPLATE("RAM of every size from 0 to 64, at every address of interest", Policy,
                   fault_little, fault_big, allow_little, allow_big) {
    const std::vector<uint64_t> addresses = interesting_addresses();
    for (size_t size = 0; size <= 64; ++size) {
        guarded_ram_t ram(size);
        for (const uint64_t gpa : addresses) {
            CAPTURE(size);
            CAPTURE(gpa);
            REQUIRE(behaves<uint8_t, Policy>(ram, gpa));
            REQUIRE(behaves<uint16_t, Policy>(ram, gpa));
            REQUIRE(behaves<uint32_t, Policy>(ram, gpa));
            REQUIRE(behaves<uint64_t, Policy>(ram, gpa));
        }
    }
}

TEST_CASE("the bytes of an unaligned big-endian value") {
    guarded_ram_t ram(16);
    REQUIRE(guest_mem_write<uint64_t, allow_big>(ram.memory, 1, 0x1122334455667788) ==
            GUEST_MEM_ACCESS_OK);
    const uint8_t wanted[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    CHECK(std::equal(std::begin(wanted), std::end(wanted), ram.memory->base + 1));
    uint32_t value = 0;
    REQUIRE(guest_mem_read<uint32_t, allow_big>(ram.memory, 3, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0x33445566);
    REQUIRE(guest_mem_read<uint32_t, allow_little>(ram.memory, 3, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0x66554433);
}

TEST_CASE("a write that does not fit writes none of its bytes") {
    guarded_ram_t ram(16);
    CHECK(guest_mem_write<uint64_t, allow_little>(ram.memory, 9, VALUE) ==
          GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    CHECK(guest_mem_write<uint32_t, allow_big>(ram.memory, 13, 1) ==
          GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    CHECK(ram.buffer == ram.expected);
}

TEST_CASE("an unaligned access across 4 GiB") {
    if constexpr (sizeof(size_t) < 8) {
        MESSAGE("SKIPPED: 6 GiB do not fit in this host's address space");
        return;
    }
    const uint64_t four_gib = uint64_t{4} << 30;
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, static_cast<size_t>(uint64_t{6} << 30)) == ARENA_OK);
    guest_memory_t* memory = guest_memory_create(&arena);
    REQUIRE(memory != nullptr);
    REQUIRE(guest_mem_write<uint64_t, allow_big>(memory, four_gib - 3, VALUE) ==
            GUEST_MEM_ACCESS_OK);
    CHECK(expected_load<uint64_t>(memory->base + four_gib - 3, endian_t::big) == VALUE);
    uint64_t value = 0;
    REQUIRE(guest_mem_read<uint64_t, allow_big>(memory, four_gib - 3, &value) ==
            GUEST_MEM_ACCESS_OK);
    CHECK(value == VALUE);
}

TEST_SUITE_END();
