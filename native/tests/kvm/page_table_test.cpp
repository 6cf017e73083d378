#include "kvm/page_table.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <vector>

#include "support/shadow_ram.h"

using namespace pound::kvm;
using namespace pound::kvm::memory;
using pound::tests::expected_load;

namespace {

constexpr uint32_t SHIFT = 12;
constexpr uint32_t PAGE = 1 << SHIFT;
constexpr uint32_t PAGES = 16;

/** A home buffer of 4 pages, and a table of 16 pages without entries. */
struct Paged {
    std::vector<uint8_t> bytes = std::vector<uint8_t>(4 * PAGE);
    std::vector<int32_t> reads = std::vector<int32_t>(PAGES);
    std::vector<int32_t> writes = std::vector<int32_t>(PAGES);
    std::vector<int32_t> fetches = std::vector<int32_t>(PAGES);
    guest_page_table_t table{
        reads.data(),  writes.data(), PAGES, SHIFT, {bytes.data(), bytes.size()}, nullptr, 0,
        fetches.data()};

    /** Maps guest page `page` to page `place` of the home buffer. */
    static void map(std::vector<int32_t>& entries, uint32_t page, uint32_t place) {
        entries[page] = static_cast<int32_t>(~(place * PAGE - page * PAGE));
    }
};

template <typename T, typename Policy>
void check_width() {
    Paged paged;
    // Pages 5 and 6 are adjacent in the home buffer; 6 and 7 are not.
    for (auto* entries : {&paged.reads, &paged.writes}) {
        Paged::map(*entries, 5, 1);
        Paged::map(*entries, 6, 2);
        Paged::map(*entries, 7, 0);
    }
    const T value = static_cast<T>(0x8877665544332211);
    for (uint64_t offset = 0; offset < 2 * PAGE; offset++) {
        const uint64_t gpa = 5 * PAGE + offset;
        const bool made = Policy::alignment == alignment_t::fault ? offset % sizeof(T) == 0
                                                                  : offset + sizeof(T) <= 2 * PAGE;
        T found = 1;
        CHECK(guest_page_write<T, Policy>(&paged.table, gpa, value) == made);
        CHECK(guest_page_read<T, Policy>(&paged.table, gpa, &found) == made);
        CHECK(found == (made ? value : T{1}));
        if (made) {
            const uint8_t* bytes = paged.bytes.data() + PAGE + offset;
            CHECK(expected_load<T>(bytes, Policy::endian) == value);
        }
    }
    CHECK(paged.bytes[0] == 0);
    CHECK(paged.bytes[3 * PAGE] == 0);
}

template <typename Policy>
void check_policy() {
    check_width<uint8_t, Policy>();
    check_width<uint16_t, Policy>();
    check_width<uint32_t, Policy>();
    check_width<uint64_t, Policy>();
}

} // namespace

TEST_CASE("a page table leads accesses of every width to the home buffer, under every policy") {
    check_policy<default_access_policy_t>();
    check_policy<access_policy_t<alignment_t::fault, endian_t::big>>();
    check_policy<access_policy_t<alignment_t::allow, endian_t::little>>();
    check_policy<access_policy_t<alignment_t::allow, endian_t::big>>();
}

TEST_CASE("an unaligned access to a page whose next one has no entry takes the slow path") {
    using Policy = access_policy_t<alignment_t::allow, endian_t::little>;
    Paged paged;
    Paged::map(paged.reads, 5, 1);
    Paged::map(paged.writes, 5, 1);
    Paged::map(paged.reads, PAGES - 1, 3);
    uint32_t value = 7;
    for (const uint64_t gpa : {uint64_t{6 * PAGE - 3}, uint64_t{PAGES * PAGE - 1}}) {
        CHECK_FALSE(guest_page_read<uint32_t, Policy>(&paged.table, gpa, &value));
        CHECK_FALSE(guest_page_write<uint32_t, Policy>(&paged.table, gpa, 1));
    }
    CHECK(guest_page_read<uint32_t, Policy>(&paged.table, 6 * PAGE - 4, &value));
    CHECK(value == 0);
}

TEST_CASE("a page table maps a page below and above its place, and mirrors it") {
    Paged paged;
    for (const uint32_t page : {0u, 3u, 15u}) {
        Paged::map(paged.reads, page, 3);
    }
    paged.bytes[3 * PAGE + 7] = 42;
    for (const uint64_t page : {0, 3, 15}) {
        uint8_t value = 0;
        CHECK(guest_page_read(&paged.table, page * PAGE + 7, &value));
        CHECK(value == 42);
    }
}

TEST_CASE("accesses to pages without an entry, or past the table, take the slow path") {
    Paged paged;
    Paged::map(paged.reads, 1, 0);
    uint32_t value = 7;
    for (const uint64_t gpa : {uint64_t{0}, uint64_t{2 * PAGE}, uint64_t{PAGES * PAGE},
                               (uint64_t{1} << 32) + PAGE, UINT64_MAX - 3}) {
        CHECK_FALSE(guest_page_read(&paged.table, gpa, &value));
    }
    CHECK(value == 7);
    CHECK_FALSE(guest_page_write(&paged.table, uint64_t{PAGE}, uint32_t{1}));
    CHECK(paged.bytes == std::vector<uint8_t>(4 * PAGE));
}

TEST_CASE("a write marks the page of the home buffer") {
    Paged paged;
    std::array<std::atomic<uint8_t>, 3> marks{};
    paged.table.marks = marks.data();
    paged.table.marked_pages = 3;
    Paged::map(paged.writes, 5, 2);
    Paged::map(paged.writes, 6, 3);
    Paged::map(paged.reads, 7, 0);
    uint8_t value = 1;
    CHECK(guest_page_read(&paged.table, 7 * PAGE, &value));
    CHECK_FALSE(guest_page_write(&paged.table, 5 * PAGE + 2, uint32_t{1}));
    CHECK(marks[2] == 0);
    CHECK(guest_page_write(&paged.table, 5 * PAGE + 4, uint32_t{1}));
    CHECK(marks[0] == 0);
    CHECK(marks[1] == 0);
    CHECK(marks[2] == 1);
    // A page without a mark takes the slow path, which marks it elsewhere.
    CHECK_FALSE(guest_page_write(&paged.table, 6 * PAGE, uint8_t{1}));
    CHECK(paged.bytes[3 * PAGE] == 0);
}

TEST_CASE("an unaligned write marks both pages that it touches") {
    using Policy = access_policy_t<alignment_t::allow, endian_t::big>;
    Paged paged;
    std::array<std::atomic<uint8_t>, 3> marks{};
    paged.table.marks = marks.data();
    paged.table.marked_pages = 3;
    for (uint32_t page = 5; page < 8; page++) {
        Paged::map(paged.writes, page, page - 4);
    }
    CHECK(guest_page_write<uint32_t, Policy>(&paged.table, 6 * PAGE - 3, 0x01020304));
    CHECK(marks[0] == 0);
    CHECK(marks[1] == 1);
    CHECK(marks[2] == 1);
    CHECK(paged.bytes[2 * PAGE - 3] == 1);
    CHECK(paged.bytes[2 * PAGE] == 4);
    CHECK_FALSE(guest_page_write<uint32_t, Policy>(&paged.table, 7 * PAGE - 3, 0x01020304));
    CHECK(paged.bytes[3 * PAGE - 3] == 0);
}

TEST_CASE("an entry that leads out of the home buffer gives no access") {
    Paged paged;
    Paged::map(paged.writes, 1, 4);
    Paged::map(paged.reads, 1, 0xfffff);
    uint64_t value = 7;
    CHECK_FALSE(guest_page_read(&paged.table, uint64_t{PAGE}, &value));
    CHECK_FALSE(guest_page_write(&paged.table, uint64_t{PAGE}, uint8_t{1}));
    CHECK(value == 7);
}

TEST_CASE("an access policy decides about unaligned accesses and the order of bytes") {
    using any_big = access_policy_t<alignment_t::allow, pound::kvm::endian_t::big>;
    Paged paged;
    Paged::map(paged.reads, 5, 2);
    Paged::map(paged.writes, 5, 2);
    Paged::map(paged.fetches, 5, 2);
    for (uint64_t offset = 0; offset < PAGE; offset++) {
        const uint64_t gpa = 5 * PAGE + offset;
        const bool within = offset + 4 <= PAGE;
        uint32_t found = 1;
        CHECK(guest_page_write<uint32_t, any_big>(&paged.table, gpa, uint32_t{0x11223344}) ==
              within);
        CHECK(guest_page_read<uint32_t, any_big>(&paged.table, gpa, &found) == within);
        CHECK(found == (within ? 0x11223344 : 1));
        CHECK(guest_page_fetch<uint32_t, any_big>(&paged.table, gpa, &found) == within);
        if (within) {
            CHECK(paged.bytes[2 * PAGE + offset] == 0x11);
            CHECK(paged.bytes[2 * PAGE + offset + 3] == 0x44);
        }
    }
}

TEST_CASE("fetches have entries of their own") {
    Paged paged;
    Paged::map(paged.fetches, 5, 2);
    Paged::map(paged.reads, 6, 2);
    paged.bytes[2 * PAGE] = 7;
    uint8_t found = 0;
    CHECK(guest_page_fetch(&paged.table, 5 * PAGE, &found));
    CHECK(found == 7);
    CHECK(!guest_page_read(&paged.table, 5 * PAGE, &found));
    CHECK(!guest_page_fetch(&paged.table, 6 * PAGE, &found));
    paged.table.fetches = nullptr;
    CHECK(!guest_page_fetch(&paged.table, 5 * PAGE, &found));
}
