#include "kvm/tlb.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace pound::kvm;
using namespace pound::kvm::memory;

namespace {

constexpr uint32_t SHIFT = 12;
constexpr uint32_t PAGE = 1 << SHIFT;
constexpr uint32_t PAGES = 16;

/** A home buffer of 4 pages at guest physical pages 8 to 11, and a TLB of 16 entries. */
struct Translated {
    std::vector<uint8_t> bytes = std::vector<uint8_t>(4 * PAGE);
    std::vector<int32_t> pages = std::vector<int32_t>(PAGES);
    guest_page_table_t table{
        pages.data(), pages.data(), PAGES, SHIFT, {bytes.data(), bytes.size()}, nullptr, 0,
        pages.data()};
    std::vector<guest_tlb_entry_t> entries =
        std::vector<guest_tlb_entry_t>(16, {NAN, 0, 0, NAN, NAN});
    guest_tlb_t tlb{entries.data(), 15, SHIFT};

    Translated() {
        for (uint32_t page = 8; page < 12; page++) {
            pages[page] = static_cast<int32_t>(~(0 - 8 * PAGE));
        }
    }

    void map(uint64_t va, double target) {
        guest_tlb_entry_t& entry = entries[(va >> SHIFT) & 15];
        entry.page = static_cast<double>(static_cast<int64_t>(va));
        entry.target = target;
    }
};

} // namespace

TEST_CASE("a TLB translates addresses of 64 bits") {
    Translated guest;
    const uint64_t pages[] = {0x5000, 0x7fff'ffff'e000, 0xffff'ffff'8000'1000,
                              0xffff'8000'0000'2000};
    uint32_t place = 0;
    for (const uint64_t va : pages) {
        guest.map(va, (8 + place) * double{PAGE});
        CHECK(guest_tlb_write<uint32_t>(&guest.tlb, &guest.table, va + 8, place + 1));
        CHECK(guest.bytes[place * PAGE + 8] == place + 1);
        uint32_t found = 0;
        CHECK(guest_tlb_read<uint32_t>(&guest.tlb, &guest.table, va + 8, &found));
        CHECK(found == place + 1);
        found = 0;
        CHECK(guest_tlb_fetch<uint32_t>(&guest.tlb, &guest.table, va + 8, &found));
        CHECK(found == place + 1);
        place++;
    }
}

TEST_CASE("a TLB has no translation for other pages with the same entry") {
    Translated guest;
    guest.map(0x5000, 8 * PAGE);
    uint8_t found = 1;
    for (const uint64_t other : {uint64_t{0x1'5000}, uint64_t{0x1'0000'5000},
                                 uint64_t{0xffff'ffff'0000'5000}, uint64_t{1} << 60 | 0x5000}) {
        CHECK_FALSE(guest_tlb_read<uint8_t>(&guest.tlb, &guest.table, other, &found));
        CHECK_FALSE(guest_tlb_fetch<uint8_t>(&guest.tlb, &guest.table, other, &found));
        CHECK_FALSE(guest_tlb_write<uint8_t>(&guest.tlb, &guest.table, other, 7));
    }
    CHECK(found == 1);
    CHECK(guest.bytes == std::vector<uint8_t>(4 * PAGE));
    CHECK_FALSE(guest_tlb_read<uint8_t>(&guest.tlb, &guest.table, 0, &found));
}

TEST_CASE("an access through a TLB lies in one page, even if the next has a translation") {
    using Unaligned = access_policy_t<alignment_t::allow, endian_t::little>;
    Translated guest;
    guest.map(0x5000, 8 * PAGE);
    guest.map(0x6000, 9 * PAGE);
    uint32_t found = 1;
    for (uint64_t offset = PAGE - 5; offset < PAGE + 2; offset++) {
        const bool made = offset + 4 <= PAGE || offset >= PAGE;
        const uint64_t va = 0x5000 + offset;
        CHECK(guest_tlb_read<uint32_t, Unaligned>(&guest.tlb, &guest.table, va, &found) == made);
        CHECK(guest_tlb_write<uint32_t, Unaligned>(&guest.tlb, &guest.table, va, 0) == made);
    }
    CHECK_FALSE(guest_tlb_read<uint32_t>(&guest.tlb, &guest.table, 0x5001, &found));
}

TEST_CASE("an access takes the slow path if the space has no bytes at the translation") {
    Translated guest;
    uint8_t found = 1;
    for (const double target : {double{PAGE}, 0x1p40, 0x1p53, 0x1p70, -0x1p12, double{NAN}}) {
        guest.map(0x5000, target);
        CHECK_FALSE(guest_tlb_read<uint8_t>(&guest.tlb, &guest.table, 0x5000, &found));
        CHECK_FALSE(guest_tlb_write<uint8_t>(&guest.tlb, &guest.table, 0x5000, 1));
    }
    CHECK(found == 1);
}
