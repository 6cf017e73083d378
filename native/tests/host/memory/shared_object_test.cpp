#include "host/memory/shared_object.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#if !defined(_WIN32)
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "host/memory/bus_guard.h"

using namespace pound::host::memory;

namespace {

constexpr size_t SIZE = 100'001;

/** An arena over an object, freed in the end. */
struct mapped_t {
    explicit mapped_t(const shared_object_t& object, size_t size = SIZE) {
        CHECK(object.map(&arena, size) == ARENA_OK);
    }

    ~mapped_t() {
        arena_free(&arena);
    }

    mapped_t(const mapped_t&) = delete;
    mapped_t& operator=(const mapped_t&) = delete;

    uint8_t& operator[](size_t index) const {
        return arena.data[index];
    }

    arena_t arena;
};

std::string new_name() {
    static int count = 0;
#if defined(_WIN32)
    return "doctest-" + std::to_string(count++);
#else
    return "doctest-" + std::to_string(getpid()) + "-" + std::to_string(count++);
#endif
}

} // namespace

TEST_CASE("A shared object is zeroed, and all its mappings have the same bytes") {
    const std::string name = new_name();
    shared_object_t object;
    REQUIRE(shared_object_t::create(name.c_str(), SIZE, &object) == 0);
    CHECK(object.size() == SIZE);
    {
        const mapped_t first(object);
        const mapped_t second(object);
        CHECK(first.arena.backing == ARENA_BACKING_SHARED);
        CHECK(first.arena.capacity == SIZE);
        CHECK(first[SIZE - 1] == 0);
        first[SIZE - 1] = 0x5a;
        CHECK(second[SIZE - 1] == 0x5a);
        arena_t arena = second.arena;
        arena_reset(&arena);
        CHECK(first[SIZE - 1] == 0x5a);
    }
    const shared_object_t moved = std::move(object);
    const mapped_t third(moved, 1);
    CHECK(third.arena.capacity == 1);
    shared_object_unlink(name.c_str());
}

#if !defined(_WIN32)

TEST_CASE("A process that is killed leaves the bytes of a shared object to the others") {
    const std::string name = new_name();
    shared_object_t object;
    REQUIRE(shared_object_t::create(name.c_str(), SIZE, &object) == 0);
    const mapped_t bytes(object);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bytes[0] = 1;
        bytes[SIZE - 1] = 2;
        raise(SIGKILL);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(bytes[0] == 1);
    CHECK(bytes[SIZE - 1] == 2);
    shared_object_unlink(name.c_str());
}

TEST_CASE("Duplicates of a closed descriptor, and of one for reads only, are refused") {
    shared_object_t object;
    CHECK(shared_object_t::duplicate(-1, &object) == EBADF);
    FILE* file = tmpfile();
    REQUIRE(file != nullptr);
    CHECK(ftruncate(fileno(file), SIZE) == 0);
    const int read_only =
        open(("/dev/fd/" + std::to_string(fileno(file))).c_str(), O_RDONLY | O_CLOEXEC);
    if (read_only >= 0) {
        CHECK(shared_object_t::duplicate(read_only, &object) == 0);
        arena_t arena;
        CHECK(object.map(&arena, SIZE) == ARENA_ERROR_NO_MEMORY);
        CHECK(arena.data == nullptr);
        close(read_only);
    }
    fclose(file);
}

// QEMU 7.2 gives handlers on big-endian machines a wrong address of a bus error: the halves of the
// address change places.
TEST_CASE("Bytes that a file loses are zeros, and the others stay those of the file" *
          doctest::skip(POUND_TESTS_EMULATED)) {
    FILE* file = tmpfile();
    REQUIRE(file != nullptr);
    const int descriptor = fileno(file);
    REQUIRE(ftruncate(descriptor, SIZE) == 0);
    shared_object_t object;
    REQUIRE(shared_object_t::duplicate(descriptor, &object) == 0);
    CHECK(object.size() == SIZE);
    const mapped_t bytes(object);
    memset(bytes.arena.data, 0x5a, SIZE);
    REQUIRE(ftruncate(descriptor, 1) == 0);
    CHECK(!bus_guard_has_replaced(bytes.arena.data));
    CHECK(bytes[0] == 0x5a);
    CHECK(!bus_guard_has_replaced(bytes.arena.data));
    CHECK(bytes[SIZE - 1] == 0);
    CHECK(bus_guard_has_replaced(bytes.arena.data));
    bytes[SIZE - 1] = 1;
    bytes[0] = 2;
    CHECK(bytes[SIZE - 1] == 1);
    uint8_t first = 0;
    CHECK(pread(descriptor, &first, 1, 0) == 1);
    CHECK(first == 2);
    fclose(file);
}

TEST_CASE("A guard that ends is used again for the next mapping, which has lost nothing" *
          doctest::skip(POUND_TESTS_EMULATED)) {
    for (int round = 0; round < 3; ++round) {
        FILE* file = tmpfile();
        REQUIRE(file != nullptr);
        REQUIRE(ftruncate(fileno(file), SIZE) == 0);
        shared_object_t object;
        REQUIRE(shared_object_t::duplicate(fileno(file), &object) == 0);
        const mapped_t bytes(object);
        CHECK(!bus_guard_has_replaced(bytes.arena.data));
        REQUIRE(ftruncate(fileno(file), 0) == 0);
        CHECK(bytes[0] == 0);
        CHECK(bus_guard_has_replaced(bytes.arena.data));
        CHECK(!bus_guard_has_replaced(bytes.arena.data + 1));
        fclose(file);
    }
}

#if defined(__linux__) && defined(SYS_memfd_create)

TEST_CASE("A memfd of others is sealed, so that nobody can make it shorter") {
    // 2: MFD_ALLOW_SEALING.
    const auto memfd = static_cast<int>(syscall(SYS_memfd_create, "doctest", 2U));
    REQUIRE(memfd >= 0);
    REQUIRE(ftruncate(memfd, SIZE) == 0);
    shared_object_t object;
    REQUIRE(shared_object_t::duplicate(memfd, &object) == 0);
    CHECK(ftruncate(memfd, SIZE - 1) == -1);
    CHECK(errno == EPERM);
    CHECK(ftruncate(memfd, SIZE + 1) == 0);
    CHECK(object.size() == SIZE);
    close(memfd);
}

TEST_CASE("A new object has one size for good") {
    shared_object_t object;
    REQUIRE(shared_object_t::create("doctest", SIZE, &object) == 0);
    CHECK(ftruncate(object.descriptor(), SIZE - 1) == -1);
    CHECK(ftruncate(object.descriptor(), SIZE + 1) == -1);
    CHECK(shared_object_t::open("doctest", &object) == ENOTSUP);
}

#endif
#endif
