#include "kvm/guest_space_atomic.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <vector>

using namespace pound::kvm::memory;

namespace {

/** Three pages: two pages of RAM, and a page that takes the slow path. */
struct Space {
    // The vector's memory is aligned for every width.
    std::vector<uint64_t> words = std::vector<uint64_t>(1024);
    uint8_t* bytes = reinterpret_cast<uint8_t*>(words.data());
    std::vector<int32_t> reads{~0, ~0, 0};
    std::vector<int32_t> writes{~0, ~0, 0};
    std::array<std::atomic<uint8_t>, 2> dirty{};
    guest_page_table_t table{reads.data(), writes.data(), 3, 12, {bytes, 8192}, dirty.data(), 2};
    guest_exit_t exit{};
    guest_space_t space{&table, &exit};
};

/** The calls for one width. */
template <typename T>
struct Calls {
    int32_t (*load)(guest_space_t*, uint64_t, T*);
    int32_t (*store)(guest_space_t*, uint64_t, T);
    int32_t (*modify[5])(guest_space_t*, uint64_t, T, T*);
    int32_t (*cmpxchg)(guest_space_t*, uint64_t, T, T, T*);
};

template <typename T>
void check_width(const Calls<T>& calls) {
    const T a = static_cast<T>(0xf1e2d3c4b5a69788);
    const T b = static_cast<T>(0x0123456789abcdef);
    const T expected[] = {b, static_cast<T>(a + b), static_cast<T>(a & b), static_cast<T>(a | b),
                          static_cast<T>(a ^ b)};
    for (const uint64_t gpa : {uint64_t{8}, uint64_t{4096 + 8}}) {
        const uint64_t page = gpa >> 12;
        for (int i = 0; i < 5; ++i) {
            Space made;
            T found = 0;
            CHECK(calls.store(&made.space, gpa, a) == GUEST_MEM_ACCESS_OK);
            CHECK(made.bytes[gpa] == 0x88);
            CHECK(made.dirty[page] == 1);
            CHECK(made.dirty[1 - page] == 0);
            made.dirty[page] = 0;
            CHECK(calls.modify[i](&made.space, gpa, b, &found) == GUEST_MEM_ACCESS_OK);
            CHECK(found == a);
            CHECK(made.dirty[page] == 1);
            CHECK(made.dirty[1 - page] == 0);
            made.dirty[page] = 0;
            CHECK(calls.load(&made.space, gpa, &found) == GUEST_MEM_ACCESS_OK);
            CHECK(found == expected[i]);
            CHECK(made.dirty[1] == 0);
            CHECK(made.dirty[0] == 0);
        }
        Space made;
        T found = 1;
        CHECK(calls.cmpxchg(&made.space, gpa, 0, a, &found) == GUEST_MEM_ACCESS_OK);
        CHECK(found == 0);
        CHECK(made.dirty[page] == 1);
        CHECK(made.dirty[1 - page] == 0);
        made.dirty[page] = 0;
        CHECK(calls.cmpxchg(&made.space, gpa, 0, b, &found) == GUEST_MEM_ACCESS_OK);
        CHECK(found == a);
        CHECK(made.dirty[page] == 0);
    }
    for (uint64_t i = 0; i < 8; ++i) {
        Space made;
        T found = 5;
        const uint64_t gpa = 8192 + 8;
        const int32_t result = i == 0   ? calls.load(&made.space, gpa, &found)
                               : i == 1 ? calls.store(&made.space, gpa, a)
                               : i == 3
                                   ? calls.cmpxchg(&made.space, gpa, b, a, &found)
                                   : calls.modify[i == 2 ? 0 : i - 3](&made.space, gpa, a, &found);
        CHECK(result == GUEST_SPACE_EXIT);
        CHECK(found == 5);
        CHECK(made.exit.reason == GUEST_EXIT_ATOMIC_LOAD + i);
        CHECK(made.exit.width == sizeof(T));
        CHECK(made.exit.value == (i == 0 ? T{0} : a));
        CHECK(made.exit.expected == (i == 3 ? b : T{0}));
    }
}

} // namespace

TEST_CASE("atomic accesses of every width reach a space, set marks and exit") {
    check_width<uint8_t>(
        {guest_space_atomic_loadb,
         guest_space_atomic_storeb,
         {guest_space_atomic_exchangeb, guest_space_atomic_addb, guest_space_atomic_andb,
          guest_space_atomic_orb, guest_space_atomic_xorb},
         guest_space_atomic_cmpxchgb});
    check_width<uint16_t>(
        {guest_space_atomic_loadw,
         guest_space_atomic_storew,
         {guest_space_atomic_exchangew, guest_space_atomic_addw, guest_space_atomic_andw,
          guest_space_atomic_orw, guest_space_atomic_xorw},
         guest_space_atomic_cmpxchgw});
    check_width<uint32_t>(
        {guest_space_atomic_loadl,
         guest_space_atomic_storel,
         {guest_space_atomic_exchangel, guest_space_atomic_addl, guest_space_atomic_andl,
          guest_space_atomic_orl, guest_space_atomic_xorl},
         guest_space_atomic_cmpxchgl});
    check_width<uint64_t>(
        {guest_space_atomic_loadq,
         guest_space_atomic_storeq,
         {guest_space_atomic_exchangeq, guest_space_atomic_addq, guest_space_atomic_andq,
          guest_space_atomic_orq, guest_space_atomic_xorq},
         guest_space_atomic_cmpxchgq});
}

TEST_CASE("an atomic access that exits has the old value of the owner when it is repeated") {
    Space made;
    uint32_t found = 0;
    CHECK(guest_space_atomic_addl(&made.space, 8192, 3, &found) == GUEST_SPACE_EXIT);
    made.exit.value = 40;
    made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_OK;
    CHECK(guest_space_atomic_addl(&made.space, 8192, 3, &found) == GUEST_MEM_ACCESS_OK);
    CHECK(found == 40);
}

TEST_CASE("a read-modify-write needs both rights to make no exit") {
    Space made;
    uint32_t found = 0;
    made.reads[0] = 0;
    CHECK(guest_space_atomic_addl(&made.space, 0, 3, &found) == GUEST_SPACE_EXIT);
    made.reads[0] = ~0;
    made.writes[0] = 0;
    CHECK(guest_space_atomic_addl(&made.space, 0, 3, &found) == GUEST_SPACE_EXIT);
    CHECK(guest_space_atomic_loadl(&made.space, 0, &found) == GUEST_MEM_ACCESS_OK);
}
