#include "host/memory/forkable.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#if defined(__linux__)
#include <unistd.h>

#include "host/memory/pages.h"

using namespace pound::host::memory;

namespace {

/** Pages before the part, pages of the part, and pages behind it. */
constexpr size_t BEFORE = 2;
constexpr size_t PAGES = 4;
constexpr size_t ALL = BEFORE + PAGES + 1;

/** A temporary file in which each byte of a page has the number of the page, from 1 on. */
class numbered_file_t {
public:
    numbered_file_t() : file_(tmpfile()) {
        REQUIRE(file_ != nullptr);
        for (size_t page = 0; page < ALL; ++page) {
            const std::vector<uint8_t> bytes(page_size(), static_cast<uint8_t>(page + 1));
            REQUIRE(pwrite(fileno(file_), bytes.data(), bytes.size(), offset(page)) ==
                    static_cast<ssize_t>(bytes.size()));
        }
    }

    ~numbered_file_t() {
        fclose(file_);
    }

    numbered_file_t(const numbered_file_t&) = delete;
    numbered_file_t& operator=(const numbered_file_t&) = delete;

    page_file_t part() const {
        return page_file_t::part_of(fileno(file_), BEFORE * page_size());
    }

    uint8_t first_of(size_t page) const {
        uint8_t byte = 0;
        CHECK(pread(fileno(file_), &byte, 1, offset(page)) == 1);
        return byte;
    }

    void cut(size_t pages) const {
        REQUIRE(ftruncate(fileno(file_), offset(pages)) == 0);
    }

private:
    static off_t offset(size_t page) {
        return static_cast<off_t>(page * page_size());
    }

    FILE* file_;
};

/** A block, whose pages this releases. */
struct block_t {
    explicit block_t(std::optional<forkable_t> made) : block(std::move(made.value())) {
    }

    ~block_t() {
        pages_release(block.data(), block.size());
    }

    block_t(const block_t&) = delete;
    block_t& operator=(const block_t&) = delete;

    uint8_t& operator[](size_t page) const {
        return block.data()[page * page_size()];
    }

    forkable_t block;
};

std::optional<forkable_t> map(const numbered_file_t& file) {
    return forkable_t::map(file.part(), PAGES * page_size());
}

} // namespace

TEST_CASE("A mapped part of a file has its bytes, and keeps writes to itself" *
          doctest::skip(!page_files_work())) {
    const numbered_file_t file;
    block_t block(map(file));
    for (size_t page = 0; page < PAGES; ++page) {
        CHECK(block[page] == BEFORE + page + 1);
    }
    block[1] = 0x5a;
    CHECK(file.first_of(BEFORE + 1) == BEFORE + 2);
    CHECK_FALSE(block.block.has_lost());
    CHECK_FALSE(forkable_t::map(page_file_t::part_of(-1, 0), page_size()));
}

TEST_CASE("Clones of a mapped part are independent, and a reset restores the bytes of the fork" *
          doctest::skip(!page_files_work())) {
    const numbered_file_t file;
    block_t parent(map(file));
    parent[0] = 0x11;
    std::optional<forkable_t> made;
    REQUIRE(parent.block.fork(&made) == FORK_OK);
    block_t clone(std::move(made));
    CHECK(clone[0] == 0x11);
    CHECK(clone[3] == BEFORE + 4);
    clone[3] = 0x22;
    parent[2] = 0x33;
    CHECK(parent[3] == BEFORE + 4);
    CHECK(clone[2] == BEFORE + 3);
    CHECK(parent.block.reset(0, PAGES * page_size(), {}) == 1);
    CHECK(parent[2] == BEFORE + 3);
    CHECK(parent[0] == 0x11);
}

// QEMU 7.2 gives handlers on big-endian machines a wrong address of a bus error.
TEST_CASE("A mapped part and its clones end with the file, and the process lives on" *
          doctest::skip(POUND_TESTS_EMULATED || !page_files_work())) {
    const numbered_file_t file;
    block_t parent(map(file));
    std::optional<forkable_t> made;
    REQUIRE(parent.block.fork(&made) == FORK_OK);
    block_t clone(std::move(made));
    file.cut(BEFORE + 1);
    CHECK(clone[0] == BEFORE + 1);
    CHECK_FALSE(clone.block.has_lost());
    CHECK(clone[2] == 0);
    CHECK(clone.block.has_lost());
    // No byte of the block is one that the guest could take for its own.
    CHECK(clone[0] == 0);
    clone[2] = 1;
    CHECK(clone[2] == 1);
}

#endif
