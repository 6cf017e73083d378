#include "host/memory/arena.h"

#include <cstring>

#include <doctest/doctest.h>

#include "host/memory/pages.h"
#include "support/arenas.h"

using namespace pound::host::memory;
using pound::tests::same;
using pound::tests::zeroed;

namespace {

struct fake_pages_t {
    bool refuse_reserve = false;
    bool refuse_clear = false;
    int reserved = 0;
    int reserved_huge = 0;
    int cleared = 0;
    int released = 0;
    void* released_data = nullptr;
    size_t released_size = 0;
};

fake_pages_t pages;
uint8_t block[64];

} // namespace

// Replaces pages.cpp, which this program does not link.
namespace pound::host::memory {

void* pages_reserve(size_t /* size */) {
    ++pages.reserved;
    return pages.refuse_reserve ? nullptr : block;
}

void* pages_reserve_watched(size_t size) {
    return pages_reserve(size);
}

void* pages_reserve_huge(size_t size) {
    ++pages.reserved_huge;
    return pages_reserve(size);
}

bool pages_clear(void* /* data */, size_t /* size */) {
    ++pages.cleared;
    return !pages.refuse_clear;
}

void pages_release(void* data, size_t size) {
    ++pages.released;
    pages.released_data = data;
    pages.released_size = size;
}

} // namespace pound::host::memory

TEST_SUITE_BEGIN("host/memory/arena over failing pages");

TEST_CASE("a refused reservation is reported, and leaves a zeroed arena") {
    pages = {};
    pages.refuse_reserve = true;
    arena_t arena = {block, 5, 3, ARENA_BACKING_CALLER};
    CHECK(arena_init(&arena, sizeof(block)) == ARENA_ERROR_NO_MEMORY);
    CHECK(zeroed(arena));
    arena_free(&arena);
    CHECK(pages.released == 0);
}

TEST_CASE("a capacity of zero makes no system call") {
    pages = {};
    arena_t arena;
    CHECK(arena_init(&arena, 0) == ARENA_ERROR_ARGUMENT);
    CHECK(pages.reserved == 0);
}

TEST_CASE("only init_huge asks for huge pages, and reports a refusal too") {
    pages = {};
    arena_t arena;
    REQUIRE(arena_init(&arena, sizeof(block)) == ARENA_OK);
    arena_free(&arena);
    CHECK(pages.reserved_huge == 0);
    REQUIRE(arena_init_huge(&arena, sizeof(block)) == ARENA_OK);
    CHECK(same(arena, {block, sizeof(block), 0, ARENA_BACKING_PAGES}));
    CHECK(pages.reserved_huge == 1);
    arena_free(&arena);
    pages.refuse_reserve = true;
    CHECK(arena_init_huge(&arena, sizeof(block)) == ARENA_ERROR_NO_MEMORY);
    CHECK(zeroed(arena));
    CHECK(arena_init_huge(&arena, 0) == ARENA_ERROR_ARGUMENT);
    CHECK(pages.released == 2);
}

TEST_CASE("a reset zeroes pages in place if the system cannot clear them") {
    pages = {};
    arena_t arena;
    REQUIRE(arena_init(&arena, sizeof(block)) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, 8, 1) != nullptr);
    memset(block, 0xff, sizeof(block));
    pages.refuse_clear = true;
    arena_reset(&arena);
    CHECK(same(arena, {block, sizeof(block), 0, ARENA_BACKING_PAGES}));
    CHECK(block[0] == 0);
    CHECK(block[7] == 0);
    // Bytes that were never allocated are zero already.
    CHECK(block[8] == 0xff);
    CHECK(pages.released == 0);
    arena_free(&arena);
    CHECK(pages.released == 1);
    CHECK(pages.released_data == block);
    CHECK(pages.released_size == sizeof(block));
}

TEST_CASE("a reset clears pages only after an allocation") {
    pages = {};
    arena_t arena;
    REQUIRE(arena_init(&arena, sizeof(block)) == ARENA_OK);
    arena_reset(&arena);
    CHECK(pages.cleared == 0);
    REQUIRE(arena_allocate(&arena, 1, 1) != nullptr);
    arena_reset(&arena);
    CHECK(pages.cleared == 1);
    arena_free(&arena);
}

TEST_CASE("freeing twice releases once") {
    pages = {};
    arena_t arena;
    REQUIRE(arena_init(&arena, sizeof(block)) == ARENA_OK);
    arena_free(&arena);
    arena_free(&arena);
    CHECK(pages.released == 1);
}

TEST_CASE("a caller's memory is never reserved, cleared or released") {
    pages = {};
    arena_t arena;
    REQUIRE(arena_init_over(&arena, block, sizeof(block)) == ARENA_OK);
    REQUIRE(arena_allocate(&arena, 8, 8) != nullptr);
    arena_reset(&arena);
    arena_free(&arena);
    arena_free(&arena);
    CHECK(pages.reserved == 0);
    CHECK(pages.cleared == 0);
    CHECK(pages.released == 0);
}

TEST_SUITE_END();
