#include "host/memory/write_watch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "support/arenas.h"
#include "support/resident_memory.h"

using namespace pound::host::memory;
using pound::tests::resident_bytes;
using pound::tests::scoped_arena_t;

namespace {

constexpr size_t PAGE = WRITE_WATCH_PAGE;

/** RAM of an arena under a write watch, with marks. */
class watched_t {
public:
    /** @param offset Bytes of the arena before the RAM. */
    explicit watched_t(size_t pages, size_t offset = 0) : marks_(pages + 1) {
        REQUIRE(arena_init_watched(&arena_, pages * PAGE + offset) == ARENA_OK);
        bytes = arena_.data + offset;
        size = pages * PAGE;
        result = write_watch_start(&watch, bytes, size);
    }

    ~watched_t() {
        write_watch_stop(&watch);
    }

    watched_t(const watched_t&) = delete;
    watched_t& operator=(const watched_t&) = delete;

    /** The pages that were written since the last call. */
    std::vector<size_t> collect() {
        return collect(0, size);
    }

    std::vector<size_t> collect(size_t offset, size_t length) {
        std::fill(marks_.begin(), marks_.end(), uint8_t{0});
        write_watch_collect(&watch, offset, length, marks_.data());
        std::vector<size_t> pages;
        for (size_t page = 0; page < size / PAGE; ++page) {
            if (marks_[page] != 0) {
                CHECK(marks_[page] == 1);
                pages.push_back(page);
            }
        }
        CHECK(marks_.back() == 0);
        return pages;
    }

    volatile uint8_t& page(size_t number) {
        return bytes[number * PAGE];
    }

    write_watch_t watch = STOPPED_WRITE_WATCH;
    write_watch_result_t result = WRITE_WATCH_UNSUPPORTED;
    uint8_t* bytes = nullptr;
    size_t size = 0;

private:
    scoped_arena_t arena_;
    std::vector<uint8_t> marks_;
};

using pages_t = std::vector<size_t>;

/** Whether this system tracks writes. Prints the reason for skipped checks. */
bool supported() {
    if (!write_watch_supported()) {
        MESSAGE("skipped: this system does not track writes");
        return false;
    }
    return true;
}

} // namespace

TEST_SUITE_BEGIN("host/memory/write_watch");

TEST_CASE("a system without tracking says so, and a stopped watch reports nothing") {
    watched_t ram(2);
    if (!write_watch_supported()) {
        CHECK(ram.result == WRITE_WATCH_UNSUPPORTED);
    } else {
        CHECK(ram.result == WRITE_WATCH_OK);
    }
    write_watch_stop(&ram.watch);
    write_watch_stop(&ram.watch);
    ram.page(0) = 1;
    CHECK(ram.collect() == pages_t{});
}

TEST_CASE("written pages are reported once, and read ones never") {
    if (!supported()) {
        return;
    }
    watched_t ram(600);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    CHECK(ram.collect() == pages_t{});
    uint8_t sum = 0;
    for (size_t page = 0; page < 600; ++page) {
        sum = static_cast<uint8_t>(sum + ram.page(page));
    }
    CHECK(sum == 0);
    CHECK(ram.collect() == pages_t{});
    for (int round = 0; round < 3; ++round) {
        for (const size_t page : {0, 1, 7, 599}) {
            ram.page(page) = static_cast<uint8_t>(round);
        }
        CHECK(ram.collect() == pages_t{0, 1, 7, 599});
        CHECK(ram.collect() == pages_t{});
    }
    // As many runs as do not fit in one answer of the system.
    watched_t many(4096);
    pages_t expected;
    for (size_t page = 0; page < 4096; page += 2) {
        many.page(page) = 1;
        expected.push_back(page);
    }
    CHECK(many.collect() == expected);
    CHECK(many.collect() == pages_t{});
}

TEST_CASE("exactly the written pages are reported, near each other and far apart") {
    if (!supported()) {
        return;
    }
    constexpr size_t PAGES = 8192;
    watched_t ram(PAGES);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    uint32_t state = 12345;
    const auto random = [&state](size_t below) {
        state = state * 1664525 + 1013904223;
        return static_cast<size_t>(state >> 8) % below;
    };
    for (int round = 0; round < 60; ++round) {
        // From no page to all of them; the rest was never touched, read, or written before.
        std::vector<bool> written(PAGES);
        for (size_t runs = random(40); runs > 0; --runs) {
            const size_t first = random(PAGES);
            const size_t end = std::min(PAGES, first + 1 + random(round % 4 == 0 ? 2000 : 3));
            std::fill(written.begin() + static_cast<ptrdiff_t>(first),
                      written.begin() + static_cast<ptrdiff_t>(end), true);
        }
        pages_t expected;
        for (size_t page = 0; page < PAGES; ++page) {
            if (written[page]) {
                ram.page(page) = static_cast<uint8_t>(round);
                expected.push_back(page);
            }
        }
        const uint8_t read = ram.page(random(PAGES));
        static_cast<void>(read);
        CHECK(ram.collect() == expected);
    }
    CHECK(ram.collect() == pages_t{});
}

TEST_CASE("what was written before the start is not reported") {
    if (!supported()) {
        return;
    }
    scoped_arena_t arena;
    REQUIRE(arena_init_watched(&arena, 4 * PAGE) == ARENA_OK);
    memset(arena.data, 1, 4 * PAGE);
    write_watch_t watch;
    REQUIRE(write_watch_start(&watch, arena.data, 4 * PAGE) == WRITE_WATCH_OK);
    uint8_t marks[4] = {};
    write_watch_collect(&watch, 0, 4 * PAGE, marks);
    CHECK(std::vector<uint8_t>(marks, marks + 4) == std::vector<uint8_t>{0, 0, 0, 0});
    arena.data[2 * PAGE] = 2;
    write_watch_collect(&watch, 0, 4 * PAGE, marks);
    CHECK(std::vector<uint8_t>(marks, marks + 4) == std::vector<uint8_t>{0, 0, 1, 0});
    write_watch_stop(&watch);
    // A new watch does not know the writes before it.
    arena.data[0] = 2;
    REQUIRE(write_watch_start(&watch, arena.data, 4 * PAGE) == WRITE_WATCH_OK);
    memset(marks, 0, sizeof(marks));
    write_watch_collect(&watch, 0, 4 * PAGE, marks);
    CHECK(std::vector<uint8_t>(marks, marks + 4) == std::vector<uint8_t>{0, 0, 0, 0});
    write_watch_stop(&watch);
}

TEST_CASE("a part is collected alone, and marks that are set stay set") {
    if (!supported()) {
        return;
    }
    watched_t ram(8);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    if (!write_watch_is_exact(&ram.watch)) {
        return;
    }
    for (const size_t page : {1, 3, 5}) {
        ram.page(page) = 1;
    }
    CHECK(ram.collect(3 * PAGE, 1) == pages_t{3});
    CHECK(ram.collect(0, 0) == pages_t{});
    CHECK(ram.collect(4 * PAGE - 1, PAGE) == pages_t{});
    uint8_t marks[8] = {1, 0, 0, 0, 0, 0, 0, 1};
    write_watch_collect(&ram.watch, 0, ram.size, marks);
    CHECK(std::vector<uint8_t>(marks, marks + 8) == std::vector<uint8_t>{1, 1, 0, 0, 0, 1, 0, 1});
}

TEST_CASE("a range that starts within a page is tracked, less exactly") {
    if (!supported()) {
        return;
    }
    watched_t ram(4, 64);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    CHECK(!write_watch_is_exact(&ram.watch));
    // The last byte of page 1 lies in the page of the host that page 2 begins in.
    ram.bytes[2 * PAGE - 1] = 1;
    const pages_t pages = ram.collect();
    CHECK(std::find(pages.begin(), pages.end(), 1) != pages.end());
    ram.bytes[4 * PAGE - 1] = 1;
    const pages_t last = ram.collect();
    CHECK(std::find(last.begin(), last.end(), 3) != last.end());
    CHECK(ram.collect() == pages_t{});
}

TEST_CASE("untouched memory takes none when it is watched, and does not slow a collection") {
    if (!supported() || sizeof(size_t) < 8) {
        return;
    }
#if !defined(_WIN32)
    const auto before = resident_bytes();
    watched_t ram(size_t{1} << 22);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    ram.page((size_t{1} << 22) - 1) = 1;
    CHECK(ram.collect() == pages_t{(size_t{1} << 22) - 1});
    const auto after = resident_bytes();
    if (before && after) {
        // The marks take 4 MiB, and more under a sanitizer.
        CHECK(*after - *before < int64_t{64} << 20);
    }
#endif
}

#if defined(__linux__)

TEST_CASE("pages of another watch are refused, until it has stopped") {
    if (!supported()) {
        return;
    }
    watched_t ram(4);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    write_watch_t other;
    CHECK(write_watch_start(&other, ram.bytes + PAGE, 1) == WRITE_WATCH_REFUSED);
    CHECK(other.data == nullptr);
    ram.page(1) = 1;
    CHECK(ram.collect() == pages_t{1});
    write_watch_stop(&ram.watch);
    REQUIRE(write_watch_start(&other, ram.bytes + PAGE, 1) == WRITE_WATCH_OK);
    write_watch_stop(&other);
}

TEST_CASE("the writes of system calls are reported") {
    if (!supported()) {
        return;
    }
    watched_t ram(8);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    memset(ram.bytes, 1, ram.size);
    ram.collect();
    const int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    REQUIRE(zeros >= 0);
    CHECK(read(zeros, ram.bytes + 5 * PAGE, 2 * PAGE) == static_cast<ssize_t>(2 * PAGE));
    close(zeros);
    CHECK(ram.collect() == pages_t{5, 6});
}

TEST_CASE("if other pages are mapped over the range, all are reported, and tracked again") {
    if (!supported()) {
        return;
    }
    watched_t ram(8);
    REQUIRE(ram.result == WRITE_WATCH_OK);
    memset(ram.bytes, 1, ram.size);
    ram.collect();
    REQUIRE(mmap(ram.bytes + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == ram.bytes + 2 * PAGE);
    ram.page(2) = 1;
    CHECK(ram.collect() == pages_t{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(ram.collect() == pages_t{});
    ram.page(3) = 1;
    ram.page(7) = 1;
    CHECK(ram.collect() == pages_t{3, 7});
}

#elif defined(_WIN32)

TEST_CASE("memory that was not reserved for it is refused") {
    scoped_arena_t arena;
    REQUIRE(arena_init(&arena, 4 * PAGE) == ARENA_OK);
    write_watch_t watch;
    CHECK(write_watch_start(&watch, arena.data, 4 * PAGE) == WRITE_WATCH_REFUSED);
    CHECK(watch.data == nullptr);
}

#endif

TEST_CASE("a copy that is updated by collections loses no write of other threads") {
    if (!supported()) {
        return;
    }
    constexpr size_t PAGES = 1024;
    constexpr size_t WRITERS = 2;
    constexpr uint32_t ROUNDS = 100;
    constexpr size_t WORDS = PAGE / sizeof(uint32_t);
    scoped_arena_t arena;
    REQUIRE(arena_init_watched(&arena, PAGES * PAGE) == ARENA_OK);
    // Each writer has a word of each page, and writes it once in each round. So the write of a page
    // that a collection loses is missing in the copy at the end of the round.
    auto* words = reinterpret_cast<std::atomic<uint32_t>*>(arena.data);
    std::atomic<uint32_t> round{0};
    std::atomic<size_t> done{0};
    std::vector<std::thread> writers;
    for (size_t writer = 0; writer < WRITERS; ++writer) {
        writers.emplace_back([&, writer] {
            for (uint32_t now = 1; now <= ROUNDS; ++now) {
                while (round.load() < now) {
                    std::this_thread::yield();
                }
                for (size_t i = 0, page = writer; i < PAGES; ++i, page = (page * 5 + 1) % PAGES) {
                    words[page * WORDS + writer].store(now, std::memory_order_relaxed);
                }
                ++done;
            }
        });
    }
    std::vector<uint32_t> copy(PAGES * WRITERS);
    std::vector<uint8_t> marks(PAGES);
    write_watch_t watch = STOPPED_WRITE_WATCH;
    const auto copy_page = [&](size_t page) {
        for (size_t writer = 0; writer < WRITERS; ++writer) {
            copy[page * WRITERS + writer] = words[page * WORDS + writer].load();
        }
    };
    const auto update = [&] {
        std::fill(marks.begin(), marks.end(), uint8_t{0});
        write_watch_collect(&watch, 0, PAGES * PAGE, marks.data());
        for (size_t page = 0; page < PAGES; ++page) {
            if (marks[page] != 0) {
                copy_page(page);
            }
        }
    };
    size_t missing = 0;
    size_t failed = 0;
    for (uint32_t now = 1; now <= ROUNDS; ++now) {
        round = now;
        if (now % 10 == 1) {
            // The watch starts while the threads write.
            write_watch_stop(&watch);
            failed += write_watch_start(&watch, arena.data, PAGES * PAGE) != WRITE_WATCH_OK;
            for (size_t page = 0; page < PAGES; ++page) {
                copy_page(page);
            }
        }
        while (done.load() < now * WRITERS) {
            update();
        }
        update();
        missing += static_cast<size_t>(
            std::count_if(copy.begin(), copy.end(), [=](uint32_t value) { return value != now; }));
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    write_watch_stop(&watch);
    CHECK(failed == 0);
    CHECK(missing == 0);
}

TEST_SUITE_END();
