#include "kvm/endian.h"

#include <doctest/doctest.h>

#include <cstring>

using pound::kvm::bswap;
using pound::kvm::guest_order;

TEST_SUITE_BEGIN("kvm/endian");

static_assert(bswap(uint8_t{0x12}) == 0x12);
static_assert(bswap(uint16_t{0x1234}) == 0x3412);
static_assert(bswap(uint32_t{0x12345678}) == 0x78563412);
static_assert(bswap(uint64_t{0x123456789abcdef0}) == 0xf0debc9a78563412);
static_assert(guest_order(guest_order(uint64_t{0x123456789abcdef0})) == 0x123456789abcdef0);

TEST_CASE("the guest is little-endian") {
    CHECK(GUEST_IS_LITTLE_ENDIAN == 1);
}

TEST_CASE("the host's order matches its memory and the build's expectation") {
    const uint16_t value = 0x0102;
    uint8_t first;
    memcpy(&first, &value, 1);
    CHECK(HOST_IS_LITTLE_ENDIAN == (first == 0x02 ? 1 : 0));
    CHECK(HOST_IS_LITTLE_ENDIAN == (POUND_TESTS_BIG_ENDIAN ? 0 : 1));
}

TEST_CASE("bswap moves every single bit to the mirrored byte") {
    for (unsigned bit = 0; bit < 64; ++bit) {
        CAPTURE(bit);
        const unsigned mirrored = (7 - bit / 8) * 8 + bit % 8;
        CHECK(bswap(uint64_t{1} << bit) == uint64_t{1} << mirrored);
    }
    for (unsigned bit = 0; bit < 32; ++bit) {
        CAPTURE(bit);
        const unsigned mirrored = (3 - bit / 8) * 8 + bit % 8;
        CHECK(bswap(uint32_t{1} << bit) == uint32_t{1} << mirrored);
    }
}

TEST_CASE("bswap of 8 and 16 bits, exhaustively") {
    unsigned wrong = 0;
    for (unsigned value = 0; value <= 0xffff; ++value) {
        const unsigned expected = value / 256 + value % 256 * 256;
        wrong += bswap(static_cast<uint16_t>(value)) != expected;
        wrong += bswap(static_cast<uint8_t>(value)) != value % 256;
    }
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("bswap keeps the sign bit's byte unsigned", T, uint8_t, uint16_t, uint32_t,
                   uint64_t) {
    const T all_ones = static_cast<T>(~T{0});
    CHECK(bswap(all_ones) == all_ones);
    const T lowest_byte = 0xff;
    CHECK(bswap(bswap(lowest_byte)) == lowest_byte);
    const T highest_byte = static_cast<T>(uint64_t{0xff} << (8 * (sizeof(T) - 1)));
    CHECK(bswap(lowest_byte) == highest_byte);
}

TEST_CASE_TEMPLATE("guest_order stores the lowest byte first", T, uint8_t, uint16_t, uint32_t,
                   uint64_t) {
    const T raw = guest_order(static_cast<T>(0x8877665544332211));
    uint8_t bytes[sizeof(T)];
    memcpy(bytes, &raw, sizeof(T));
    for (size_t index = 0; index < sizeof(T); ++index) {
        CHECK(bytes[index] == 0x11 * (index + 1));
    }
}

TEST_SUITE_END();
