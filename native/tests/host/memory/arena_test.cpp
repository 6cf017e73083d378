#include "host/memory/arena.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "support/arenas.h"
#include "support/resident_memory.h"

using namespace pound::host::memory;
using pound::tests::resident_bytes;
using pound::tests::same;
using pound::tests::scoped_arena_t;
using pound::tests::zeroed;

namespace {

constexpr size_t MAX_SIZE = std::numeric_limits<size_t>::max();
constexpr size_t MIB = size_t{1} << 20;

bool all_bytes(const uint8_t* data, size_t size, uint8_t expected) {
    return std::all_of(data, data + size, [=](uint8_t byte) { return byte == expected; });
}

/** Bytes to the next multiple of `alignment`, found by a linear search. */
size_t expected_padding(const uint8_t* next, size_t alignment) {
    size_t padding = 0;
    while ((reinterpret_cast<uintptr_t>(next) + padding) % alignment != 0) {
        ++padding;
    }
    return padding;
}

/**
 * An arena with every field set, so that a test can tell whether a failed initialization has zeroed
 * it.
 */
arena_t stale_arena() {
    static uint8_t byte;
    return {&byte, 1, 1, ARENA_BACKING_CALLER};
}

} // namespace

TEST_SUITE_BEGIN("host/memory/arena");

TEST_CASE("init reserves zeroed, writable memory of exactly the requested capacity") {
    for (const size_t capacity : {size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, MIB + 3}) {
        CAPTURE(capacity);
        scoped_arena_t arena;
        REQUIRE(arena_init(&arena, capacity) == ARENA_OK);
        CHECK(arena.data != nullptr);
        CHECK(arena.capacity == capacity);
        CHECK(arena.used == 0);
        CHECK(arena.backing == ARENA_BACKING_PAGES);
        CHECK(all_bytes(arena.data, capacity, 0));
        memset(arena.data, 0xff, capacity);
        CHECK(all_bytes(arena.data, capacity, 0xff));
    }
}

TEST_CASE("init_huge reserves zeroed, writable memory, which a reset zeroes again") {
    for (const size_t capacity : {size_t{1}, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 9 * MIB + 3}) {
        CAPTURE(capacity);
        scoped_arena_t arena;
        REQUIRE(arena_init_huge(&arena, capacity) == ARENA_OK);
        CHECK(arena.capacity == capacity);
        CHECK(arena.backing == ARENA_BACKING_PAGES);
#if defined(__linux__)
        if (capacity >= 2 * MIB) {
            CHECK(reinterpret_cast<uintptr_t>(arena.data) % (2 * MIB) == 0);
        }
#endif
        for (int round = 0; round < 2; ++round) {
            void* block = arena_allocate(&arena, capacity, 1);
            REQUIRE(block == arena.data);
            CHECK(all_bytes(arena.data, capacity, 0));
            memset(arena.data, 0xff, capacity);
            arena_reset(&arena);
        }
    }
}

TEST_CASE("init refuses a capacity of zero and zeroes the arena") {
    arena_t arena = stale_arena();
    CHECK(arena_init(&arena, 0) == ARENA_ERROR_ARGUMENT);
    CHECK(zeroed(arena));
}

TEST_CASE("init refuses more than the address space and zeroes the arena") {
    for (const size_t capacity : {MAX_SIZE, MAX_SIZE - 1, MAX_SIZE - 65535}) {
        CAPTURE(capacity);
        arena_t arena = stale_arena();
        CHECK(arena_init(&arena, capacity) == ARENA_ERROR_NO_MEMORY);
        CHECK(zeroed(arena));
        arena = stale_arena();
        CHECK(arena_init_huge(&arena, capacity) == ARENA_ERROR_NO_MEMORY);
        CHECK(zeroed(arena));
    }
}

TEST_CASE("init_over lays an arena over the caller's memory and leaves its bytes") {
    std::vector<uint8_t> memory(100, 0x5a);
    scoped_arena_t arena;
    REQUIRE(arena_init_over(&arena, memory.data(), memory.size()) == ARENA_OK);
    CHECK(same(arena, {memory.data(), memory.size(), 0, ARENA_BACKING_CALLER}));
    CHECK(all_bytes(memory.data(), memory.size(), 0x5a));
}

TEST_CASE("init_over refuses null and a capacity of zero, and zeroes the arena") {
    uint8_t byte = 0x5a;
    arena_t arena = stale_arena();
    CHECK(arena_init_over(&arena, nullptr, 1) == ARENA_ERROR_ARGUMENT);
    CHECK(zeroed(arena));
    arena = stale_arena();
    CHECK(arena_init_over(&arena, &byte, 0) == ARENA_ERROR_ARGUMENT);
    CHECK(zeroed(arena));
    CHECK(byte == 0x5a);
}

TEST_CASE("allocate returns blocks in order until the capacity is used up") {
    alignas(16) uint8_t memory[64];
    scoped_arena_t arena;
    REQUIRE(arena_init_over(&arena, memory, sizeof(memory)) == ARENA_OK);
    CHECK(arena_allocate(&arena, 3, 1) == memory);
    CHECK(arena.used == 3);
    CHECK(arena_allocate(&arena, 8, 8) == memory + 8);
    CHECK(arena.used == 16);
    CHECK(arena_allocate(&arena, 1, 16) == memory + 16);
    CHECK(arena_remaining(&arena) == 47);
    CHECK(arena_allocate(&arena, 47, 1) == memory + 17);
    CHECK(arena_remaining(&arena) == 0);
    CHECK(arena_allocate(&arena, 1, 1) == nullptr);
    CHECK(arena.used == 64);
}

TEST_CASE("a refused allocation leaves the arena unchanged") {
    alignas(16) uint8_t memory[64] = {};
    scoped_arena_t arena;
    REQUIRE(arena_init_over(&arena, memory, sizeof(memory)) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, 5, 1) == memory);
    const arena_t before = arena;

    struct request_t {
        size_t size;
        size_t alignment;
    };
    const size_t highest_bit = MAX_SIZE / 2 + 1;
    const request_t refused[] = {
        {0, 1},
        {0, 16},
        // Not powers of two.
        {1, 0},
        {1, 3},
        {1, 6},
        {1, 12},
        {1, MAX_SIZE},
        // One byte too many, without padding and with it.
        {60, 1},
        {57, 8},
        {59, 2},
        // Sums that wrap to a small number.
        {MAX_SIZE, 1},
        {MAX_SIZE, 8},
        {MAX_SIZE - 2, 8},
        {MAX_SIZE - 4, 1},
        {MAX_SIZE - 4, 16},
        {highest_bit, 1},
        // The block contains no multiple of the alignment.
        {1, highest_bit},
        {MAX_SIZE, highest_bit},
    };
    for (const request_t& request : refused) {
        CAPTURE(request.size);
        CAPTURE(request.alignment);
        CHECK(arena_allocate(&arena, request.size, request.alignment) == nullptr);
        CHECK(same(arena, before));
    }
    CHECK(arena_allocate(&arena, 59, 1) == memory + 5);
}

TEST_CASE("a zeroed arena allocates nothing") {
    arena_t arena = {};
    CHECK(arena_allocate(&arena, 1, 1) == nullptr);
    CHECK(zeroed(arena));
    CHECK(arena_remaining(&arena) == 0);
}

TEST_CASE("host addresses are aligned wherever the caller's memory starts") {
    std::vector<uint8_t> memory(512);
    for (size_t start = 0; start < 65; ++start) {
        for (size_t alignment = 1; alignment <= 128; alignment *= 2) {
            CAPTURE(start);
            CAPTURE(alignment);
            scoped_arena_t arena;
            uint8_t* data = memory.data() + start;
            REQUIRE(arena_init_over(&arena, data, memory.size() - start) == ARENA_OK);
            uint8_t* first = data + expected_padding(data, alignment);
            CHECK(arena_allocate(&arena, 3, alignment) == first);
            uint8_t* second = first + 3 + expected_padding(first + 3, alignment);
            CHECK(arena_allocate(&arena, 5, alignment) == second);
            CHECK(data + arena.used == second + 5);
        }
    }
}

TEST_CASE("every small request has the result of a linear search") {
    alignas(64) uint8_t memory[64];
    size_t wrong = 0;
    const auto try_request = [&](uint8_t* data, size_t capacity, size_t size, size_t alignment) {
        scoped_arena_t arena;
        REQUIRE(arena_init_over(&arena, data, capacity) == ARENA_OK);
        const bool valid = size != 0 && (alignment == 1 || alignment == 2 || alignment == 4 ||
                                         alignment == 8 || alignment == 16 || alignment == 32);
        const size_t padding = valid ? expected_padding(data, alignment) : 0;
        const bool granted = valid && padding + size <= capacity;
        void* block = arena_allocate(&arena, size, alignment);
        wrong += block != (granted ? data + padding : nullptr);
        wrong += arena.used != (granted ? padding + size : 0);
    };
    for (size_t start = 0; start < 16; ++start) {
        for (size_t capacity = 1; capacity <= 24; ++capacity) {
            for (size_t size = 0; size <= 26; ++size) {
                for (size_t alignment = 0; alignment <= 34; ++alignment) {
                    try_request(memory + start, capacity, size, alignment);
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("reset makes pages zero again, at the same address") {
    for (const size_t capacity : {size_t{1}, size_t{4097}, 3 * MIB + 7}) {
        CAPTURE(capacity);
        scoped_arena_t arena;
        REQUIRE(arena_init(&arena, capacity) == ARENA_OK);
        uint8_t* data = arena.data;
        for (int round = 0; round < 3; ++round) {
            REQUIRE(arena_allocate(&arena, capacity, 1) == data);
            CHECK(all_bytes(data, capacity, 0));
            memset(data, 0xff, capacity);
            arena_reset(&arena);
            CHECK(same(arena, {data, capacity, 0, ARENA_BACKING_PAGES}));
        }
        CHECK(all_bytes(data, capacity, 0));
    }
}

TEST_CASE("reset leaves the caller's bytes and allocates them again") {
    uint8_t memory[33];
    std::iota(std::begin(memory), std::end(memory), uint8_t{1});
    scoped_arena_t arena;
    REQUIRE(arena_init_over(&arena, memory, sizeof(memory)) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, sizeof(memory), 1) == memory);
    arena_reset(&arena);
    CHECK(same(arena, {memory, sizeof(memory), 0, ARENA_BACKING_CALLER}));
    CHECK(arena_allocate(&arena, 1, 1) == memory);
    for (size_t index = 0; index < sizeof(memory); ++index) {
        CHECK(memory[index] == index + 1);
    }
}

TEST_CASE("reset of an arena without memory, or without allocations, has no effect") {
    arena_t empty = {};
    arena_reset(&empty);
    CHECK(zeroed(empty));
    scoped_arena_t unused;
    REQUIRE(arena_init(&unused, 100) == ARENA_OK);
    const arena_t before = unused;
    arena_reset(&unused);
    CHECK(same(unused, before));
}

TEST_CASE("free zeroes the arena, and a second call has no effect") {
    arena_t arena;
    REQUIRE(arena_init(&arena, MIB) == ARENA_OK);
    arena_free(&arena);
    CHECK(zeroed(arena));
    arena_free(&arena);
    CHECK(zeroed(arena));
    CHECK(arena_allocate(&arena, 1, 1) == nullptr);
    arena_reset(&arena);
    REQUIRE(arena_init(&arena, 10) == ARENA_OK);
    arena_free(&arena);
}

TEST_CASE("free does not release the caller's memory") {
    std::vector<uint8_t> memory(4096, 0x5a);
    arena_t arena;
    REQUIRE(arena_init_over(&arena, memory.data(), memory.size()) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, 100, 16) != nullptr);
    arena_free(&arena);
    CHECK(zeroed(arena));
    arena_free(&arena);
    CHECK(all_bytes(memory.data(), memory.size(), 0x5a));
}

TEST_CASE("6 GiB cost under 10 ms and under 1 MiB of resident memory") {
    if constexpr (sizeof(size_t) < 8) {
        MESSAGE("SKIPPED: 6 GiB do not fit in this host's address space");
        return;
    }
    if (POUND_TESTS_EMULATED || !resident_bytes()) {
        MESSAGE("SKIPPED: time and resident memory cannot be measured on this host");
        return;
    }
    using clock = std::chrono::steady_clock;
    double best_ms = std::numeric_limits<double>::infinity();
    int64_t best_growth = std::numeric_limits<int64_t>::max();
    // The minimum of several runs: other programs and the first allocations of the runtime can
    // only increase the figure.
    for (int attempt = 0; attempt < 5; ++attempt) {
        scoped_arena_t arena;
        const int64_t resident_before = resident_bytes().value();
        const auto start = clock::now();
        REQUIRE(arena_init(&arena, static_cast<size_t>(uint64_t{6} << 30)) == ARENA_OK);
        const std::chrono::duration<double, std::milli> elapsed = clock::now() - start;
        best_ms = std::min(best_ms, elapsed.count());
        best_growth = std::min(best_growth, resident_bytes().value() - resident_before);
    }
    MESSAGE("6 GiB arena: " << best_ms << " ms, " << best_growth << " bytes resident");
    CHECK(best_ms < 10);
    CHECK(best_growth < static_cast<int64_t>(MIB));
}

TEST_CASE("reset gives resident memory back to the system") {
    if (!resident_bytes()) {
        MESSAGE("SKIPPED: resident memory cannot be measured on this host");
        return;
    }
    constexpr size_t capacity = 64 * MIB;
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, capacity) == ARENA_OK);
    void* block = arena_allocate(&arena, capacity, 1);
    REQUIRE(block != nullptr);
    memset(block, 0xff, capacity);
    const int64_t touched = resident_bytes().value();
    arena_reset(&arena);
    CHECK(touched - resident_bytes().value() > static_cast<int64_t>(capacity / 2));
}

TEST_SUITE_END();
