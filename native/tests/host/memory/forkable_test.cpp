#include "host/memory/forkable.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "host/memory/pages.h"

using namespace pound::host::memory;

namespace {

/** Pages of a block; the last of them is not whole. */
constexpr size_t PAGES = 9;

size_t block_size() {
    return PAGES * page_size() - 100;
}

/** A block of each kind, which this releases. */
class blocks_t {
public:
    ~blocks_t() {
        for (const auto& [data, size] : pages_) {
            pages_release(data, size);
        }
    }

    forkable_t ordinary() {
        return forkable_t(keep(static_cast<uint8_t*>(pages_reserve(block_size()))), block_size(),
                          forkable_t::kind_t::PAGES);
    }

    /** Nothing where the system has no page files. */
    std::optional<forkable_t> reserved() {
        auto block = forkable_t::reserve(block_size());
        if (block) {
            keep(block->data());
        }
        return block;
    }

    forkable_t callers() {
        bytes_.emplace_back(block_size());
        return forkable_t(bytes_.back().data(), block_size(), forkable_t::kind_t::CALLER);
    }

    forkable_t fork(forkable_t& parent) {
        std::optional<forkable_t> clone;
        REQUIRE(parent.fork(&clone) == FORK_OK);
        keep(clone->data());
        return std::move(*clone);
    }

private:
    uint8_t* keep(uint8_t* data) {
        REQUIRE(data != nullptr);
        pages_.emplace_back(data, block_size());
        return data;
    }

    std::vector<std::pair<uint8_t*, size_t>> pages_;
    std::vector<std::vector<uint8_t>> bytes_;
};

size_t reset(forkable_t& block) {
    const auto count = block.reset(0, block.size(), {});
    REQUIRE(count);
    return *count;
}

void check_forks(blocks_t& blocks, forkable_t parent) {
    uint8_t* bytes = parent.data();
    CHECK_FALSE(parent.reset(0, parent.size(), {}));
    bytes[0] = 1;
    bytes[block_size() - 1] = 2;
    forkable_t clone = blocks.fork(parent);
    CHECK(parent.data() == bytes);
    CHECK(memcmp(bytes, clone.data(), block_size()) == 0);

    clone.data()[0] = 3;
    bytes[3 * page_size()] = 4;
    CHECK(bytes[0] == 1);
    CHECK(clone.data()[3 * page_size()] == 0);
    forkable_t grandchild = blocks.fork(clone);
    CHECK(grandchild.data()[0] == 3);
    CHECK(grandchild.data()[block_size() - 1] == 2);

    std::vector<size_t> changed;
    const auto note = [&](size_t offset, size_t length) {
        changed.push_back(offset);
        changed.push_back(length);
    };
    grandchild.data()[5 * page_size() + 7] = 9;
    grandchild.data()[5 * page_size() + 9] = 9;
    CHECK(grandchild.find_changes(0, block_size(), note));
    CHECK(changed == std::vector<size_t>{5 * page_size() + 7, 3});
    CHECK(grandchild.reset(0, 5 * page_size() + 8, {}) == 1);
    CHECK(grandchild.data()[5 * page_size() + 7] == 0);
    CHECK(grandchild.data()[5 * page_size() + 9] == 9);
    CHECK(reset(grandchild) == 1);
    CHECK(reset(grandchild) == 0);
    CHECK(grandchild.data()[0] == 3);
    CHECK(reset(parent) == 1);
    CHECK(bytes[3 * page_size()] == 0);

    bytes[0] = 5;
    CHECK(parent.rebase() == FORK_OK);
    bytes[0] = 6;
    CHECK(reset(parent) == 1);
    CHECK(bytes[0] == 5);
}

} // namespace

TEST_CASE("a block and its clones share no writes, and are reset to their last fork") {
    blocks_t blocks;
    check_forks(blocks, blocks.ordinary());
    check_forks(blocks, blocks.callers());
    if (auto block = blocks.reserved()) {
        check_forks(blocks, std::move(*block));
    }
}

TEST_CASE("a clone of a written block stays cheap, whatever number is made") {
    blocks_t blocks;
    forkable_t first = blocks.ordinary();
    memset(first.data(), 1, block_size());
    forkable_t parent = blocks.fork(first);
    parent.data()[0] = 2;
    for (int i = 0; i < 100; ++i) {
        forkable_t clone = blocks.fork(parent);
        REQUIRE(clone.data()[0] == 2);
        REQUIRE(clone.data()[page_size()] == 1);
        clone.data()[page_size()] = 3;
        REQUIRE(reset(clone) == 1);
    }
    CHECK(parent.data()[page_size()] == 1);
}

namespace {

bool has_page(const std::vector<page_run_t>& runs, size_t number) {
    const size_t at = number * page_size();
    return std::any_of(runs.begin(), runs.end(), [at](const page_run_t& run) {
        return run.offset <= at && at < run.offset + run.length;
    });
}

/** Checks that the runs have these pages. */
void check_resident(const forkable_t& block, const std::vector<size_t>& numbers) {
    const std::vector<page_run_t> runs = block.resident();
    for (const size_t number : numbers) {
        CHECK(has_page(runs, number));
    }
    for (size_t i = 1; i < runs.size(); ++i) {
        CHECK(runs[i - 1].offset + runs[i - 1].length <= runs[i].offset);
    }
}

void check_residents(blocks_t& blocks, forkable_t block) {
    block.data()[3 * page_size()] = 1;
    block.data()[block_size() - 1] = 1;
    check_resident(block, {3, PAGES - 1});
    // The others have no memory before the first fork, which the system may be unable to tell.
    std::vector<page_run_t> found;
    if (page_files_work() && pages_resident(block.data(), block_size(), &found)) {
        CHECK_FALSE(has_page(block.resident(), 5));
    }
    forkable_t clone = blocks.fork(block);
    check_resident(clone, {3, PAGES - 1});
    clone.data()[0] = 1;
    clone.data()[4 * page_size()] = 1;
    check_resident(clone, {0, 3, 4, PAGES - 1});
    check_resident(block, {3, PAGES - 1});
    block.data()[7 * page_size()] = 1;
    check_resident(block, {3, 7, PAGES - 1});
}

} // namespace

TEST_CASE("the resident pages of a block include those written, here or in its base") {
    blocks_t blocks;
    check_residents(blocks, blocks.ordinary());
    if (auto block = blocks.reserved()) {
        check_residents(blocks, std::move(*block));
    }
    CHECK(blocks.callers().resident() == std::vector<page_run_t>{{0, to_pages(block_size())}});
}

TEST_CASE("the first fork of a reserved block loses no write of another thread") {
    blocks_t blocks;
    for (int round = 0; round < 200; ++round) {
        auto block = blocks.reserved();
        if (!block) {
            return;
        }
        auto* cells = reinterpret_cast<std::atomic<uint32_t>*>(block->data());
        auto& last = *reinterpret_cast<std::atomic<uint32_t>*>(block->data() + 4 * page_size());
        std::atomic<bool> stop{false};
        uint32_t written = 0;
        std::thread writer([&] {
            while (!stop) {
                ++written;
                cells[0] = written;
                last = written;
            }
        });
        while (last == 0) {
        }
        forkable_t clone = blocks.fork(*block);
        stop = true;
        writer.join();
        CHECK(cells[0] == written);
        CHECK(last == written);
        const auto read = [&](size_t offset) {
            uint32_t value = 0;
            memcpy(&value, clone.data() + offset, sizeof(value));
            return value;
        };
        CHECK(read(0) - read(4 * page_size()) <= 1);
    }
}
