#include "kvm/guest_space.h"

#include <doctest/doctest.h>

#include <vector>

using namespace pound::kvm::memory;

namespace {

/** A space of one mapped page, of two pages that the table covers. */
struct Space {
    std::vector<uint8_t> bytes = std::vector<uint8_t>(4096);
    // The distance is 0 for the first page, and the second one takes the slow path.
    std::vector<int32_t> entries{~0, 0};
    guest_page_table_t table{entries.data(), entries.data(), 2, 12, {bytes.data(), bytes.size()}};
    guest_exit_t exit{};
    guest_space_t space{&table, &exit};
};

} // namespace

TEST_CASE("accesses to a page of the table do not exit") {
    Space made;
    CHECK(guest_space_writeq(&made.space, 8, 0x8877665544332211) == GUEST_MEM_ACCESS_OK);
    uint8_t byte = 0;
    uint16_t word = 0;
    uint32_t dword = 0;
    uint64_t quad = 0;
    CHECK(guest_space_readb(&made.space, 8, &byte) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_readw(&made.space, 8, &word) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_readl(&made.space, 8, &dword) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_readq(&made.space, 8, &quad) == GUEST_MEM_ACCESS_OK);
    CHECK(byte == 0x11);
    CHECK(word == 0x2211);
    CHECK(dword == 0x44332211);
    CHECK(quad == 0x8877665544332211);
    CHECK(made.bytes[8] == 0x11);
    CHECK(guest_space_writeb(&made.space, 1, 0xab) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_writew(&made.space, 2, 0xabcd) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_writel(&made.space, 4, 0x12345678) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_readq(&made.space, 0, &quad) == GUEST_MEM_ACCESS_OK);
    CHECK(quad == 0x12345678abcdab00);
    CHECK(made.exit.state == GUEST_EXIT_IDLE);
}

TEST_CASE("a read that exits has the value of the owner when it is repeated") {
    Space made;
    uint32_t value = 1;
    CHECK(guest_space_readl(&made.space, 4096, &value) == GUEST_SPACE_EXIT);
    CHECK(value == 1);
    CHECK(made.exit.gpa == 4096);
    CHECK(made.exit.width == 4);
    CHECK(made.exit.reason == GUEST_EXIT_READ);
    CHECK(made.exit.state == GUEST_EXIT_PENDING);
    made.exit.value = 0x1234;
    made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_OK;
    // Even if the owner has made the page accessible, the access is made once.
    made.entries[1] = ~(-4096);
    CHECK(guest_space_readl(&made.space, 4096, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0x1234);
    CHECK(made.exit.state == GUEST_EXIT_IDLE);
    guest_space_retire(&made.space);
    CHECK(guest_space_readl(&made.space, 4096, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0);
}

TEST_CASE("an instruction repeats its exits in order, and makes its other accesses again") {
    Space made;
    made.bytes[16] = 7;
    uint8_t code = 0;
    uint8_t in_ram = 0;
    uint32_t device = 0;
    // The code lies on a slow page too, and each execution starts with the fetch.
    const auto execute = [&] {
        int32_t result = guest_space_readb(&made.space, 8192, &code);
        if (result == GUEST_MEM_ACCESS_OK) {
            result = guest_space_readb(&made.space, 16, &in_ram);
        }
        if (result == GUEST_MEM_ACCESS_OK) {
            result = guest_space_readl(&made.space, 4096, &device);
        }
        return result == GUEST_MEM_ACCESS_OK ? guest_space_writel(&made.space, 4100, device)
                                             : result;
    };
    const uint64_t expected[] = {8192, 4096, 4100, 8192, 4096, 4100};
    uint32_t exits = 0;
    for (int instruction = 0; instruction < 2; ++instruction) {
        while (execute() == GUEST_SPACE_EXIT) {
            REQUIRE(exits < 6);
            CHECK(made.exit.gpa == expected[exits]);
            made.exit.value = made.exit.reason == GUEST_EXIT_READ ? 50 + exits : made.exit.value;
            made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_OK;
            ++exits;
        }
        CHECK(made.exit.value == device);
        guest_space_retire(&made.space);
    }
    CHECK(exits == 6);
    CHECK(code == 53);
    CHECK(device == 54);
    CHECK(in_ram == 7);
}

TEST_CASE("the fifth exit of an instruction is an internal error") {
    Space made;
    uint8_t byte = 0;
    for (uint64_t exit = 0; exit < 5; ++exit) {
        int32_t result = GUEST_MEM_ACCESS_OK;
        for (uint64_t i = 0; i <= exit && result == GUEST_MEM_ACCESS_OK; ++i) {
            result = guest_space_readb(&made.space, 4096 + i, &byte);
        }
        CHECK(result == (exit < 4 ? GUEST_SPACE_EXIT : GUEST_MEM_ACCESS_ERROR_INTERNAL));
        made.exit.state = exit < 4 ? GUEST_EXIT_COMPLETED : GUEST_EXIT_IDLE;
    }
}

TEST_CASE("an exit with damaged numbers reaches no other memory") {
    for (const uint64_t damaged : {uint64_t{4}, uint64_t{1} << 32, UINT64_MAX}) {
        for (const uint64_t state : {0, 1, 2, 9}) {
            Space made;
            uint8_t byte = 0;
            made.exit.completed = damaged;
            made.exit.repeated = damaged - 1;
            made.exit.state = state;
            const int32_t result = guest_space_readb(&made.space, 4096, &byte);
            CHECK(result == GUEST_MEM_ACCESS_ERROR_INTERNAL);
            guest_space_retire(&made.space);
            made.exit.state = GUEST_EXIT_IDLE;
            CHECK(guest_space_readb(&made.space, 4096, &byte) == GUEST_SPACE_EXIT);
        }
    }
}

TEST_CASE("a write that exits has the result of the owner when it is repeated") {
    Space made;
    CHECK(guest_space_writew(&made.space, 4098, 0xbeef) == GUEST_SPACE_EXIT);
    CHECK(made.exit.reason == GUEST_EXIT_WRITE);
    CHECK(made.exit.value == 0xbeef);
    CHECK(made.exit.width == 2);
    made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_FAULT_BOUNDARY;
    CHECK(guest_space_writew(&made.space, 4098, 0xbeef) == GUEST_MEM_ACCESS_FAULT_BOUNDARY);
    CHECK(made.exit.state == GUEST_EXIT_IDLE);
}

TEST_CASE("another access than the completed one exits anew") {
    Space made;
    uint8_t byte = 0;
    CHECK(guest_space_readb(&made.space, 4096, &byte) == GUEST_SPACE_EXIT);
    made.exit.state = GUEST_EXIT_COMPLETED;
    CHECK(guest_space_readb(&made.space, 4097, &byte) == GUEST_SPACE_EXIT);
    CHECK(made.exit.gpa == 4097);
    made.exit.state = GUEST_EXIT_COMPLETED;
    guest_space_retire(&made.space);
    CHECK(guest_space_writeb(&made.space, 4097, 5) == GUEST_SPACE_EXIT);
    CHECK(made.exit.state == GUEST_EXIT_PENDING);
}

TEST_CASE("an access that is not aligned is left to the owner") {
    Space made;
    uint32_t value = 0;
    CHECK(guest_space_readl(&made.space, 2, &value) == GUEST_SPACE_EXIT);
    made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_FAULT_UNALIGNED;
    CHECK(guest_space_readl(&made.space, 2, &value) == GUEST_MEM_ACCESS_FAULT_UNALIGNED);
}

TEST_CASE("a fetch exits with a reason of its own, and has entries of its own") {
    Space made;
    uint16_t code = 0;
    CHECK(guest_space_fetchw(&made.space, 4, &code) == GUEST_SPACE_EXIT);
    CHECK(made.exit.reason == GUEST_EXIT_FETCH);
    made.exit.value = 0x1234;
    made.exit.state = GUEST_EXIT_COMPLETED + GUEST_MEM_ACCESS_OK;
    CHECK(guest_space_fetchw(&made.space, 4, &code) == GUEST_MEM_ACCESS_OK);
    CHECK(code == 0x1234);
    guest_space_retire(&made.space);
    made.table.fetches = made.entries.data();
    made.bytes[4] = 0x78;
    uint8_t byte = 0;
    uint32_t dword = 0;
    uint64_t quad = 0;
    CHECK(guest_space_fetchb(&made.space, 4, &byte) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_fetchw(&made.space, 4, &code) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_fetchl(&made.space, 4, &dword) == GUEST_MEM_ACCESS_OK);
    CHECK(guest_space_fetchq(&made.space, 0, &quad) == GUEST_MEM_ACCESS_OK);
    CHECK(byte == 0x78);
    CHECK(code == 0x78);
    CHECK(dword == 0x78);
    CHECK(quad == 0x7800000000);
}

TEST_CASE("the accessors with an access policy have the same exits") {
    using any_big = access_policy_t<alignment_t::allow, pound::kvm::endian_t::big>;
    Space made;
    made.table.fetches = made.entries.data();
    uint32_t value = 0;
    CHECK(guest_space_write<uint32_t, any_big>(&made.space, 3, 0x11223344) == GUEST_MEM_ACCESS_OK);
    CHECK(made.bytes[3] == 0x11);
    CHECK(guest_space_read<uint32_t, any_big>(&made.space, 3, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0x11223344);
    value = 0;
    CHECK(guest_space_fetch<uint32_t, any_big>(&made.space, 3, &value) == GUEST_MEM_ACCESS_OK);
    CHECK(value == 0x11223344);
    CHECK(guest_space_read<uint32_t, any_big>(&made.space, 4094, &value) == GUEST_SPACE_EXIT);
    CHECK(made.exit.gpa == 4094);
}
