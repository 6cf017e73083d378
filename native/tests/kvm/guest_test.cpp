#include "kvm/guest.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "support/accessors.h"
#include "support/arenas.h"
#include "support/guarded_ram.h"
#include "support/shadow_ram.h"

using namespace pound::host::memory;
using namespace pound::kvm::memory;
using pound::tests::expected_load;
using pound::tests::expected_result;
using pound::tests::expected_store;
using pound::tests::guarded_ram_t;
using pound::tests::interesting_addresses;
using pound::tests::read;
using pound::tests::same;
using pound::tests::scoped_arena_t;
using pound::tests::write;

namespace {

constexpr uint64_t VALUE = 0x8f7e6d5c4b3a2918;
constexpr uint64_t SENTINEL = 0xa5a5a5a5a5a5a5a5;

template <typename T>
bool read_behaves(guarded_ram_t& ram, uint64_t gpa) {
    const guest_mem_access_result_t wanted = expected_result<T>(ram.memory->size, gpa);
    const T untouched = static_cast<T>(SENTINEL);
    T value = untouched;
    const guest_mem_access_result_t result = read(ram.memory, gpa, &value);
    const T wanted_value =
        wanted == GUEST_MEM_ACCESS_OK ? expected_load<T>(ram.expected_at(gpa)) : untouched;
    return result == wanted && value == wanted_value && ram.buffer == ram.expected;
}

template <typename T>
bool write_behaves(guarded_ram_t& ram, uint64_t gpa, T value) {
    const guest_mem_access_result_t wanted = expected_result<T>(ram.memory->size, gpa);
    if (wanted == GUEST_MEM_ACCESS_OK) {
        expected_store(ram.expected_at(gpa), value);
    }
    return write(ram.memory, gpa, value) == wanted && ram.buffer == ram.expected;
}

} // namespace

TEST_SUITE_BEGIN("kvm/guest");

TEST_CASE("the result codes have the values that TypeScript relies on") {
    CHECK(GUEST_MEM_ACCESS_OK == 0);
    CHECK(GUEST_MEM_ACCESS_FAULT_UNALIGNED == 1);
    CHECK(GUEST_MEM_ACCESS_FAULT_BOUNDARY == 2);
    CHECK(GUEST_MEM_ACCESS_ERROR_INTERNAL == 3);
}

TEST_CASE("create allocates the descriptor, then all remaining bytes") {
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, 4096) == ARENA_OK);
    const guest_memory_t* memory = guest_memory_create(&arena);
    REQUIRE(memory != nullptr);
    CHECK(reinterpret_cast<const uint8_t*>(memory) == arena.data);
    CHECK(memory->base == arena.data + GUEST_MEMORY_DESCRIPTOR_SIZE);
    CHECK(memory->size == 4096 - GUEST_MEMORY_DESCRIPTOR_SIZE);
    CHECK(arena_remaining(&arena) == 0);
    CHECK(std::all_of(memory->base, memory->base + memory->size,
                      [](uint8_t byte) { return byte == 0; }));
}

TEST_CASE("create uses only the bytes that earlier allocations left") {
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, 4096) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, 100, 1) != nullptr);
    const guest_memory_t* memory = guest_memory_create(&arena);
    REQUIRE(memory != nullptr);
    CHECK(reinterpret_cast<const uint8_t*>(memory) == arena.data + 112);
    CHECK(memory->base == arena.data + 112 + GUEST_MEMORY_DESCRIPTOR_SIZE);
    CHECK(memory->base + memory->size == arena.data + 4096);
}

TEST_CASE("RAM is aligned and ends with the arena, for every start of the caller's memory") {
    std::vector<uint8_t> buffer(256);
    for (size_t start = 0; start < 32; ++start) {
        CAPTURE(start);
        std::fill(buffer.begin(), buffer.end(), uint8_t{0x5a});
        scoped_arena_t arena;
        REQUIRE(arena_init_over(&arena, buffer.data() + start, 150) == ARENA_OK);
        const guest_memory_t* memory = guest_memory_create(&arena);
        REQUIRE(memory != nullptr);
        CHECK(reinterpret_cast<uintptr_t>(memory) % alignof(guest_memory_t) == 0);
        CHECK(reinterpret_cast<uintptr_t>(memory->base) % GUEST_RAM_ALIGNMENT == 0);
        CHECK(memory->base + memory->size == arena.data + 150);
        CHECK(memory->size + GUEST_MEMORY_DESCRIPTOR_SIZE + GUEST_RAM_ALIGNMENT > 150);
        CHECK(std::all_of(memory->base, memory->base + memory->size,
                          [](uint8_t byte) { return byte == 0x5a; }));
    }
}

TEST_CASE("a second create returns null and changes neither the arena nor the first RAM") {
    guarded_ram_t ram(48);
    const arena_t before = ram.arena;
    CHECK(guest_memory_create(&ram.arena) == nullptr);
    CHECK(same(ram.arena, before));
    CHECK(ram.buffer == ram.expected);
    CHECK(ram.memory->size == 48);
}

TEST_CASE("an arena too small for the descriptor yields null and is unchanged") {
    alignas(16) uint8_t buffer[GUEST_MEMORY_DESCRIPTOR_SIZE];
    for (size_t capacity = 1; capacity < GUEST_MEMORY_DESCRIPTOR_SIZE; ++capacity) {
        CAPTURE(capacity);
        std::fill(std::begin(buffer), std::end(buffer), uint8_t{0x5a});
        scoped_arena_t arena;
        REQUIRE(arena_init_over(&arena, buffer, capacity) == ARENA_OK);
        const arena_t before = arena;
        CHECK(guest_memory_create(&arena) == nullptr);
        CHECK(same(arena, before));
        CHECK(std::all_of(std::begin(buffer), std::end(buffer),
                          [](uint8_t byte) { return byte == 0x5a; }));
    }
}

TEST_CASE("padding alone can make an arena too small") {
    alignas(16) uint8_t buffer[GUEST_MEMORY_DESCRIPTOR_SIZE + 16];
    scoped_arena_t arena;
    REQUIRE(arena_init_over(&arena, buffer + 1, GUEST_MEMORY_DESCRIPTOR_SIZE + 14) == ARENA_OK);
    const arena_t before = arena;
    CHECK(guest_memory_create(&arena) == nullptr);
    CHECK(same(arena, before));
}

TEST_CASE("attach finds the RAM that create made, and writes nothing") {
    std::vector<uint8_t> buffer(256, uint8_t{0x5a});
    for (size_t start = 0; start < 32; ++start) {
        for (const size_t capacity : {16u, 31u, 32u, 100u}) {
            CAPTURE(start);
            CAPTURE(capacity);
            const std::vector<uint8_t> before = buffer;
            scoped_arena_t second;
            REQUIRE(arena_init_over(&second, buffer.data() + start, capacity) == ARENA_OK);
            const std::optional<guest_memory_t> attached = guest_memory_attach(&second);
            CHECK(buffer == before);
            scoped_arena_t first;
            REQUIRE(arena_init_over(&first, buffer.data() + start, capacity) == ARENA_OK);
            const guest_memory_t* created = guest_memory_create(&first);
            REQUIRE(attached.has_value() == (created != nullptr));
            CHECK(same(first, second));
            if (created != nullptr) {
                CHECK(attached->base == created->base);
                CHECK(attached->size == created->size);
            }
        }
    }
}

TEST_CASE_TEMPLATE("RAM over existing bytes is all of them, at every alignment, unchanged", T,
                   uint8_t, uint16_t, uint32_t, uint64_t) {
    const std::vector<uint64_t> addresses = interesting_addresses();
    for (size_t start = 0; start < 16; ++start) {
        for (const size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{33}}) {
            CAPTURE(start);
            CAPTURE(size);
            std::vector<uint8_t> buffer(64, uint8_t{0x5a});
            guest_memory_t memory = guest_memory_over(buffer.data() + start, size);
            CHECK(memory.base == buffer.data() + start);
            CHECK(memory.size == size);
            CHECK(buffer == std::vector<uint8_t>(64, uint8_t{0x5a}));
            for (const uint64_t gpa : addresses) {
                CAPTURE(gpa);
                const guest_mem_access_result_t wanted = expected_result<T>(size, gpa);
                const auto stored = static_cast<T>(0x8f7e6d5c4b3a2918 + gpa);
                T value = 0;
                CHECK(write(&memory, gpa, stored) == wanted);
                CHECK(read(&memory, gpa, &value) == wanted);
                CHECK(value == (wanted == GUEST_MEM_ACCESS_OK ? stored : T{0}));
            }
            CHECK(std::count(buffer.begin(), buffer.begin() + start, 0x5a) ==
                  static_cast<ptrdiff_t>(start));
            CHECK(std::count(buffer.begin() + start + size, buffer.end(), 0x5a) ==
                  static_cast<ptrdiff_t>(64 - start - size));
        }
    }
}

TEST_CASE_TEMPLATE("RAM may be empty, and then every access is out of bounds", T, uint8_t, uint16_t,
                   uint32_t, uint64_t) {
    guarded_ram_t ram(0);
    for (const uint64_t gpa : interesting_addresses()) {
        CAPTURE(gpa);
        T value = 0x5a;
        CHECK(read(ram.memory, gpa, &value) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
        CHECK(value == 0x5a);
        CHECK(write(ram.memory, gpa, value) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    }
    CHECK(ram.buffer == ram.expected);
}

TEST_CASE("values are little-endian on every host") {
    guarded_ram_t ram(16);
    const uint8_t bytes[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    std::copy(std::begin(bytes), std::end(bytes), ram.memory->base + 8);

    uint8_t byte = 0;
    uint16_t word = 0;
    uint32_t long_word = 0;
    uint64_t quad_word = 0;
    REQUIRE(guest_mem_readb(ram.memory, 15, &byte) == GUEST_MEM_ACCESS_OK);
    CHECK(byte == 0x88);
    REQUIRE(guest_mem_readw(ram.memory, 14, &word) == GUEST_MEM_ACCESS_OK);
    CHECK(word == 0x8877);
    REQUIRE(guest_mem_readl(ram.memory, 12, &long_word) == GUEST_MEM_ACCESS_OK);
    CHECK(long_word == 0x88776655);
    REQUIRE(guest_mem_readq(ram.memory, 8, &quad_word) == GUEST_MEM_ACCESS_OK);
    CHECK(quad_word == 0x8877665544332211);

    REQUIRE(guest_mem_writeq(ram.memory, 0, 0xf1e2d3c4b5a69788) == GUEST_MEM_ACCESS_OK);
    const uint8_t after_quad_word[8] = {0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1};
    CHECK(std::equal(std::begin(after_quad_word), std::end(after_quad_word), ram.memory->base));
    REQUIRE(guest_mem_writel(ram.memory, 4, 0x0a0b0c0d) == GUEST_MEM_ACCESS_OK);
    REQUIRE(guest_mem_writew(ram.memory, 2, 0x8001) == GUEST_MEM_ACCESS_OK);
    REQUIRE(guest_mem_writeb(ram.memory, 1, 0xfe) == GUEST_MEM_ACCESS_OK);
    const uint8_t after_all[8] = {0x88, 0xfe, 0x01, 0x80, 0x0d, 0x0c, 0x0b, 0x0a};
    CHECK(std::equal(std::begin(after_all), std::end(after_all), ram.memory->base));
}

TEST_CASE("an access both out of bounds and unaligned is a boundary fault") {
    guarded_ram_t ram(8);
    uint32_t value = 0;
    CHECK(guest_mem_readl(ram.memory, 1, &value) == GUEST_MEM_ACCESS_FAULT_UNALIGNED);
    CHECK(guest_mem_readl(ram.memory, 5, &value) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    CHECK(guest_mem_writel(ram.memory, 1, 1) == GUEST_MEM_ACCESS_FAULT_UNALIGNED);
    CHECK(guest_mem_writel(ram.memory, 5, 1) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    CHECK(ram.buffer == ram.expected);
}

TEST_CASE_TEMPLATE("RAM of every size from 0 to 64, at every address of interest", T, uint8_t,
                   uint16_t, uint32_t, uint64_t) {
    const std::vector<uint64_t> addresses = interesting_addresses();
    for (size_t size = 0; size <= 64; ++size) {
        guarded_ram_t ram(size);
        for (const uint64_t gpa : addresses) {
            CAPTURE(size);
            CAPTURE(gpa);
            REQUIRE(read_behaves<T>(ram, gpa));
            // The two values differ in every bit, so at least one write changes each byte.
            REQUIRE(write_behaves(ram, gpa, static_cast<T>(VALUE)));
            REQUIRE(read_behaves<T>(ram, gpa));
            REQUIRE(write_behaves(ram, gpa, static_cast<T>(~VALUE)));
            REQUIRE(read_behaves<T>(ram, gpa));
        }
    }
}

TEST_CASE_TEMPLATE("RAM above 4 GiB", T, uint8_t, uint16_t, uint32_t, uint64_t) {
    if constexpr (sizeof(size_t) < 8) {
        MESSAGE("SKIPPED: 6 GiB do not fit in this host's address space");
        return;
    }
    const uint64_t four_gib = uint64_t{4} << 30;
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, static_cast<size_t>(uint64_t{6} << 30)) == ARENA_OK);
    guest_memory_t* memory = guest_memory_create(&arena);
    REQUIRE(memory != nullptr);
    const uint64_t last = memory->size - sizeof(T);

    for (const uint64_t gpa : {four_gib - 8, four_gib, four_gib + 8, last}) {
        CAPTURE(gpa);
        const T written = static_cast<T>(VALUE + gpa / 8);
        REQUIRE(write(memory, gpa, written) == GUEST_MEM_ACCESS_OK);
        T value = 0;
        CHECK(read(memory, gpa, &value) == GUEST_MEM_ACCESS_OK);
        CHECK(value == written);
        CHECK(expected_load<T>(memory->base + gpa) == written);
    }
    // An address truncated to 32 bits would have changed this byte.
    for (const uint64_t alias : {uint64_t{0}, uint64_t{8}, last - four_gib}) {
        T value = 1;
        CHECK(read(memory, alias, &value) == GUEST_MEM_ACCESS_OK);
        CHECK(value == 0);
    }
    T value = 0x5a;
    for (uint64_t beyond = 1; beyond <= 16; ++beyond) {
        CHECK(read(memory, last + beyond, &value) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    }
    CHECK(value == 0x5a);
    CHECK(read(memory, last + four_gib, &value) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
}

TEST_SUITE_END();
