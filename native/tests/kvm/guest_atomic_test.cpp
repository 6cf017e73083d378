#include "kvm/guest_atomic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <thread>
#include <vector>

#include "support/atomic_accessors.h"
#include "support/guarded_ram.h"
#include "support/shadow_ram.h"

using namespace pound::host::memory;
using namespace pound::kvm::memory;
using pound::tests::atomics_of;
using pound::tests::expected_load;
using pound::tests::expected_result;
using pound::tests::expected_store;
using pound::tests::guarded_ram_t;
using pound::tests::interesting_addresses;

namespace {

constexpr uint64_t VALUE = 0x8f7e6d5c4b3a2918;
constexpr uint64_t SENTINEL = 0xa5a5a5a5a5a5a5a5;

/** Whether an operation returns OK, gives the value before, and stores `change` of that value. */
template <typename T, typename Access, typename Change>
bool behaves(guarded_ram_t& ram, uint64_t gpa, Access access, Change change) {
    const guest_mem_access_result_t wanted = expected_result<T>(ram.memory->size, gpa);
    T wanted_old = static_cast<T>(SENTINEL);
    T old = wanted_old;
    if (wanted == GUEST_MEM_ACCESS_OK) {
        wanted_old = expected_load<T>(ram.expected_at(gpa));
        expected_store(ram.expected_at(gpa), static_cast<T>(change(wanted_old)));
    }
    return access(&old) == wanted && old == wanted_old && ram.buffer == ram.expected;
}

/** Every operation once, with operands that change each byte with a probability of at least 1/2. */
template <typename T>
bool all_behave(guarded_ram_t& ram, uint64_t gpa, T val) {
    using atomics = atomics_of<T>;
    guest_memory_t* memory = ram.memory;
    const auto none = [](T old) { return old; };
    const auto set = [val](T) { return val; };
    const auto same_as_set = [val](T) { return static_cast<T>(~val); };
    return behaves<T>(
               ram, gpa, [=](T* old) { return atomics::load_(memory, gpa, old); }, none) &&
           behaves<T>(
               ram, gpa, [=](T* old) { return atomics::exchange_(memory, gpa, val, old); }, set) &&
           behaves<T>(
               ram, gpa, [=](T* old) { return atomics::add_(memory, gpa, val, old); },
               [val](T old) { return old + val; }) &&
           behaves<T>(
               ram, gpa, [=](T* old) { return atomics::xor_(memory, gpa, val, old); },
               [val](T old) { return old ^ val; }) &&
           behaves<T>(
               ram, gpa, [=](T* old) { return atomics::or_(memory, gpa, val, old); },
               [val](T old) { return old | val; }) &&
           behaves<T>(
               ram, gpa,
               [=](T* old) { return atomics::and_(memory, gpa, static_cast<T>(VALUE), old); },
               [](T old) { return old & static_cast<T>(VALUE); }) &&
           behaves<T>(
               ram, gpa, [=](T* old) { return atomics::exchange_(memory, gpa, val, old); }, set) &&
           // First the expected value is wrong, then it is right.
           behaves<T>(
               ram, gpa,
               [=](T* old) {
                   return atomics::cmpxchg_(memory, gpa, static_cast<T>(val ^ 1), val, old);
               },
               none) &&
           behaves<T>(
               ram, gpa,
               [=](T* old) {
                   return atomics::cmpxchg_(memory, gpa, val, static_cast<T>(~val), old);
               },
               same_as_set);
}

template <typename T>
bool store_behaves(guarded_ram_t& ram, uint64_t gpa, T val) {
    const guest_mem_access_result_t wanted = expected_result<T>(ram.memory->size, gpa);
    if (wanted == GUEST_MEM_ACCESS_OK) {
        expected_store(ram.expected_at(gpa), val);
    }
    return atomics_of<T>::store_(ram.memory, gpa, val) == wanted && ram.buffer == ram.expected;
}

/** Runs `work(n)` on several threads at the same time, where n is the index of the thread. */
template <typename Work>
void on_threads(unsigned count, Work work) {
    std::vector<std::thread> threads;
    for (unsigned n = 0; n < count; ++n) {
        threads.emplace_back(work, n);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

constexpr unsigned THREADS = 4;
// An emulator makes each round a hundred times slower.
constexpr unsigned ROUNDS = POUND_TESTS_EMULATED ? 2'000 : 50'000;

} // namespace

TEST_SUITE_BEGIN("kvm/guest_atomic");

TEST_CASE_TEMPLATE("RAM of every size from 0 to 24, at every address of interest", T, uint8_t,
                   uint16_t, uint32_t, uint64_t) {
    const std::vector<uint64_t> addresses = interesting_addresses();
    for (size_t size = 0; size <= 24; ++size) {
        guarded_ram_t ram(size);
        for (const uint64_t gpa : addresses) {
            CAPTURE(size);
            CAPTURE(gpa);
            REQUIRE(all_behave(ram, gpa, static_cast<T>(VALUE + gpa)));
            REQUIRE(all_behave(ram, gpa, static_cast<T>(~VALUE - gpa)));
            REQUIRE(store_behaves(ram, gpa, static_cast<T>(VALUE)));
            REQUIRE(store_behaves(ram, gpa, static_cast<T>(~VALUE)));
        }
    }
}

TEST_CASE_TEMPLATE("RAM at any host address has atomics where the host has", T, uint8_t, uint16_t,
                   uint32_t, uint64_t) {
    alignas(16) uint8_t buffer[48];
    for (size_t start = 0; start < 16; ++start) {
        guest_memory_t memory = guest_memory_over(buffer + start, 32);
        for (uint64_t gpa = 0; gpa < 40; ++gpa) {
            CAPTURE(start);
            CAPTURE(gpa);
            memset(buffer, 0x11, sizeof(buffer));
            guest_mem_access_result_t wanted = expected_result<T>(32, gpa);
            if (wanted == GUEST_MEM_ACCESS_OK && start % sizeof(T) != 0) {
                wanted = GUEST_MEM_ACCESS_ERROR_INTERNAL;
            }
            const T before = static_cast<T>(0x1111111111111111);
            T old = 0;
            CHECK(atomics_of<T>::exchange_(&memory, gpa, T{5}, &old) == wanted);
            CHECK(old == (wanted == GUEST_MEM_ACCESS_OK ? before : T{0}));
            CHECK(atomics_of<T>::store_(&memory, gpa, T{7}) == wanted);
            CHECK(atomics_of<T>::load_(&memory, gpa, &old) == wanted);
            CHECK(old == (wanted == GUEST_MEM_ACCESS_OK ? T{7} : T{0}));
            CHECK(std::count(std::begin(buffer), std::end(buffer), 0x11) ==
                  static_cast<ptrdiff_t>(sizeof(buffer) -
                                         (wanted == GUEST_MEM_ACCESS_OK ? sizeof(T) : 0)));
        }
    }
}

TEST_CASE("an addition carries from the lower address to the higher, and wraps") {
    guarded_ram_t ram(16);
    REQUIRE(guest_mem_writel(ram.memory, 4, 0x000000ff) == GUEST_MEM_ACCESS_OK);
    uint32_t old = 0;
    REQUIRE(guest_mem_atomic_addl(ram.memory, 4, 0x01, &old) == GUEST_MEM_ACCESS_OK);
    CHECK(old == 0xff);
    CHECK(ram.memory->base[4] == 0x00);
    CHECK(ram.memory->base[5] == 0x01);
    REQUIRE(guest_mem_atomic_addl(ram.memory, 4, 0xffffffff, &old) == GUEST_MEM_ACCESS_OK);
    CHECK(old == 0x100);
    CHECK(ram.memory->base[4] == 0xff);
    CHECK(ram.memory->base[5] == 0x00);
}

TEST_CASE_TEMPLATE("no addition of several threads is lost", T, uint8_t, uint16_t, uint32_t,
                   uint64_t) {
    guarded_ram_t ram(64);
    REQUIRE(atomics_of<T>::store_(ram.memory, 8, 0) == GUEST_MEM_ACCESS_OK);
    on_threads(THREADS, [&](unsigned) {
        for (unsigned i = 0; i < ROUNDS; ++i) {
            T old;
            static_cast<void>(atomics_of<T>::add_(ram.memory, 8, T{1}, &old));
        }
    });
    T total = 0;
    REQUIRE(atomics_of<T>::load_(ram.memory, 8, &total) == GUEST_MEM_ACCESS_OK);
    CHECK(total == static_cast<T>(THREADS * ROUNDS));
}

TEST_CASE_TEMPLATE("a lock made of compare-and-exchange protects plain accesses", T, uint8_t,
                   uint16_t, uint32_t, uint64_t) {
    constexpr uint64_t LOCK = 0;
    constexpr uint64_t COUNT = 32;
    guarded_ram_t ram(64);
    REQUIRE(atomics_of<T>::store_(ram.memory, LOCK, 0) == GUEST_MEM_ACCESS_OK);
    REQUIRE(guest_mem_writeq(ram.memory, COUNT, 0) == GUEST_MEM_ACCESS_OK);
    on_threads(THREADS, [&](unsigned n) {
        for (unsigned i = 0; i < ROUNDS / 10; ++i) {
            T holder = 1;
            while (holder != 0) {
                static_cast<void>(atomics_of<T>::cmpxchg_(ram.memory, LOCK, T{0},
                                                          static_cast<T>(n + 1), &holder));
                if (holder != 0) {
                    std::this_thread::yield();
                }
            }
            uint64_t count = 0;
            static_cast<void>(guest_mem_readq(ram.memory, COUNT, &count));
            static_cast<void>(guest_mem_writeq(ram.memory, COUNT, count + 1));
            static_cast<void>(atomics_of<T>::store_(ram.memory, LOCK, 0));
        }
    });
    uint64_t count = 0;
    REQUIRE(guest_mem_readq(ram.memory, COUNT, &count) == GUEST_MEM_ACCESS_OK);
    CHECK(count == THREADS * (ROUNDS / 10));
}

TEST_CASE_TEMPLATE("no bit that several threads set, flip and clear is lost", T, uint8_t, uint16_t,
                   uint32_t, uint64_t) {
    guarded_ram_t ram(64);
    REQUIRE(atomics_of<T>::store_(ram.memory, 16, 0) == GUEST_MEM_ACCESS_OK);
    on_threads(THREADS, [&](unsigned n) {
        // Each thread has two bits of the highest or the lowest byte. The first bit stays set.
        const unsigned low = n < 2 ? 4 * n : 8 * unsigned{sizeof(T) - 1} + 4 * (n % 2);
        const T kept = static_cast<T>(T{1} << low);
        const T passing = static_cast<T>(T{2} << low);
        for (unsigned i = 0; i < ROUNDS / 10; ++i) {
            T old;
            static_cast<void>(atomics_of<T>::or_(ram.memory, 16, kept, &old));
            static_cast<void>(atomics_of<T>::xor_(ram.memory, 16, passing, &old));
            static_cast<void>(atomics_of<T>::and_(ram.memory, 16, static_cast<T>(~passing), &old));
        }
    });
    T bits = 0;
    REQUIRE(atomics_of<T>::load_(ram.memory, 16, &bits) == GUEST_MEM_ACCESS_OK);
    CHECK(bits == static_cast<T>(0x11 | (T{0x11} << (8 * (sizeof(T) - 1)))));
}

TEST_CASE("two stores become visible in their order") {
    constexpr uint64_t DATA = 0;
    constexpr uint64_t FLAG = 8;
    guarded_ram_t ram(16);
    REQUIRE(guest_mem_atomic_storeq(ram.memory, FLAG, 0) == GUEST_MEM_ACCESS_OK);
    uint64_t mismatches = 0;
    on_threads(2, [&](unsigned n) {
        for (uint64_t i = 1; i <= ROUNDS / 10; ++i) {
            const uint64_t awaited = n == 0 ? 2 * i - 2 : 2 * i - 1;
            uint64_t flag = awaited + 1;
            while (flag != awaited) {
                static_cast<void>(guest_mem_atomic_loadq(ram.memory, FLAG, &flag));
                if (flag != awaited) {
                    std::this_thread::yield();
                }
            }
            uint64_t data = i;
            if (n == 0) {
                static_cast<void>(guest_mem_writeq(ram.memory, DATA, i));
            } else {
                static_cast<void>(guest_mem_readq(ram.memory, DATA, &data));
                mismatches += data == i ? 0 : 1;
            }
            static_cast<void>(guest_mem_atomic_storeq(ram.memory, FLAG, awaited + 1));
        }
    });
    CHECK(mismatches == 0);
}

TEST_SUITE_END();

TEST_CASE("the operand of an operation can be the variable of its result") {
    using Function = guest_mem_access_result_t (*)(guest_memory_t*, uint64_t, uint64_t, uint64_t*);
    const auto in_place = [](auto run, uint64_t operand, uint64_t expected) {
        uint64_t word = pound::kvm::guest_order(uint64_t{0xff});
        guest_memory_t memory = guest_memory_over(&word, sizeof(word));
        uint64_t value = operand;
        CHECK(run(&memory, 0, value, &value) == GUEST_MEM_ACCESS_OK);
        CHECK(value == 0xff);
        CHECK(pound::kvm::guest_order(word) == expected);
    };
    in_place(static_cast<Function>(guest_mem_atomic_exchangeq), 0x5a, 0x5a);
    in_place(static_cast<Function>(guest_mem_atomic_addq), 0x5a, 0xff + 0x5a);
    in_place(static_cast<Function>(guest_mem_atomic_andq), 0x15a, 0x5a);
    in_place(static_cast<Function>(guest_mem_atomic_orq), 0x15a, 0x1ff);
    in_place(static_cast<Function>(guest_mem_atomic_xorq), 0x15a, 0x1a5);
    // Again, inlined.
    const auto inlined = [](guest_memory_t* memory, uint64_t value) {
        guest_mem_atomic_andq(memory, 0, value, &value);
        return value;
    };
    uint64_t word = pound::kvm::guest_order(uint64_t{0xff});
    guest_memory_t memory = guest_memory_over(&word, sizeof(word));
    CHECK(inlined(&memory, 0x15a) == 0xff);
    CHECK(pound::kvm::guest_order(word) == 0x5a);
}
