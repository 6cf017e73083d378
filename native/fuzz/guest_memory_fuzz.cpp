#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "host/memory/arena.h"
#include "kvm/guest.h"
#include "support/accessors.h"
#include "support/shadow_ram.h"

/*
 * Interprets its input as a sequence of operations on an arena and on the guest RAM made from it,
 * and compares each result and every byte with a model.
 *
 * It reads inputs byte by byte and assembles values with shifts, so that a corpus has the same
 * meaning on every host.
 */
namespace {

using namespace pound::host::memory;
using namespace pound::kvm;
using namespace pound::kvm::memory;
using pound::tests::expected_load;
using pound::tests::expected_result;
using pound::tests::expected_store;

void require(bool holds, const char* what) {
    if (!holds) {
        fprintf(stderr, "the library and the model disagree: %s\n", what);
        abort();
    }
}

class input_t {
public:
    input_t(const uint8_t* data, size_t size) : next_(data), left_(size) {
    }

    bool empty() const {
        return left_ == 0;
    }

    /** The next byte, or 0 past the end. */
    uint8_t byte() {
        if (empty()) {
            return 0;
        }
        --left_;
        return *next_++;
    }

    uint64_t quad_word() {
        uint64_t value = 0;
        for (unsigned index = 0; index < 8; ++index) {
            value |= static_cast<uint64_t>(byte()) << (8 * index);
        }
        return value;
    }

    /** A number that is probably near 0, near `limit` or near 2^64. */
    uint64_t number(uint64_t limit) {
        switch (byte() % 4) {
        case 0:
            return byte();
        case 1:
            return limit + 16 - byte() % 32;
        case 2:
            return uint64_t{0} - byte();
        default:
            return quad_word();
        }
    }

private:
    const uint8_t* next_;
    size_t left_;
};

class machine_t {
public:
    explicit machine_t(input_t input) : input_(input) {
    }

    machine_t(const machine_t&) = delete;
    machine_t& operator=(const machine_t&) = delete;

    ~machine_t() {
        free();
    }

    void run() {
        init();
        while (!input_.empty()) {
            step(input_.byte());
            check_state();
        }
    }

private:
    void step(uint8_t operation) {
        switch (operation % 16) {
        case 0:
            return init();
        case 1:
            return reset();
        case 2:
            return free();
        case 3:
        case 4:
            return allocate();
        case 5:
        case 6:
        case 7:
            return create();
        default:
            return access(operation);
        }
    }

    void init() {
        free();
        const uint8_t kind = input_.byte();
        const size_t capacity = input_.byte();
        const bool over_pages = kind % 4 == 0;
        const arena_result_t result =
            over_pages ? arena_init(&arena_, capacity) : init_over(kind / 4 % 16, capacity);
        require(result == (capacity == 0 ? ARENA_ERROR_ARGUMENT : ARENA_OK), "result of init");
        require((arena_.data == nullptr) == (capacity == 0), "data of init");
        bytes_.assign(capacity, 0);
        if (!over_pages) {
            std::copy_n(caller_bytes_, capacity, bytes_.begin());
        }
    }

    /** Memory of any alignment whose end is adjacent to the sanitizer's guard. */
    arena_result_t init_over(size_t offset, size_t capacity) {
        caller_memory_ = std::make_unique<uint8_t[]>(offset + capacity);
        for (size_t index = 0; index < offset + capacity; ++index) {
            caller_memory_[index] = static_cast<uint8_t>(index * 7 + 1);
        }
        caller_bytes_ = caller_memory_.get() + offset;
        return arena_init_over(&arena_, caller_bytes_, capacity);
    }

    void reset() {
        arena_reset(&arena_);
        if (caller_memory_ == nullptr) {
            std::fill(bytes_.begin(), bytes_.end(), uint8_t{0});
        }
        used_ = 0;
        memory_ = nullptr;
    }

    void free() {
        arena_free(&arena_);
        require(arena_.data == nullptr && arena_.backing == ARENA_BACKING_NONE, "a freed arena");
        if (caller_memory_ != nullptr) {
            require(std::equal(bytes_.begin(), bytes_.end(), caller_bytes_),
                    "the caller's bytes after free");
        }
        caller_memory_.reset();
        caller_bytes_ = nullptr;
        bytes_.clear();
        used_ = 0;
        memory_ = nullptr;
    }

    /** The expected position of an allocation, found by a linear search. */
    std::optional<size_t> expected_offset(uint64_t size, uint64_t alignment) const {
        unsigned alignment_bits = 0;
        for (unsigned bit = 0; bit < 64; ++bit) {
            alignment_bits += alignment >> bit & 1;
        }
        if (size == 0 || alignment_bits != 1) {
            return std::nullopt;
        }
        size_t offset = used_;
        while (offset < bytes_.size() &&
               reinterpret_cast<uintptr_t>(arena_.data + offset) % alignment != 0) {
            ++offset;
        }
        return size <= bytes_.size() - offset ? std::optional(offset) : std::nullopt;
    }

    void allocate() {
        const auto size = static_cast<size_t>(input_.number(arena_remaining(&arena_)));
        const uint8_t shift = input_.byte();
        const auto alignment =
            static_cast<size_t>(shift < 128 ? uint64_t{1} << shift % 64 : input_.number(16));
        const auto offset = expected_offset(size, alignment);
        void* block = arena_allocate(&arena_, size, alignment);
        require(block == (offset ? arena_.data + *offset : nullptr), "an allocation");
        if (offset) {
            memset(block, 0x5a, size);
            std::fill_n(bytes_.data() + *offset, size, uint8_t{0x5a});
            used_ = *offset + size;
        }
    }

    void create() {
        // The only precondition of guest_memory_create().
        if (arena_.data == nullptr) {
            return;
        }
        const auto offset = expected_offset(GUEST_MEMORY_DESCRIPTOR_SIZE, GUEST_RAM_ALIGNMENT);
        guest_memory_t* created = guest_memory_create(&arena_);
        require((created != nullptr) == offset.has_value(), "whether RAM fits");
        if (created == nullptr) {
            return;
        }
        memory_ = created;
        ram_offset_ = *offset + GUEST_MEMORY_DESCRIPTOR_SIZE;
        require(reinterpret_cast<uint8_t*>(created) == arena_.data + *offset, "the descriptor");
        require(created->base == arena_.data + ram_offset_, "the RAM's place");
        require(created->size == bytes_.size() - ram_offset_, "the RAM's size");
        // The representation of a descriptor in memory depends on the compiler.
        memcpy(bytes_.data() + *offset, created, sizeof(guest_memory_t));
        used_ = bytes_.size();
    }

    void access(uint8_t operation) {
        if (memory_ == nullptr) {
            return;
        }
        switch (operation / 32) {
        case 1:
            return access_under<access_policy_t<alignment_t::fault, endian_t::big>>(operation);
        case 2:
            return access_under<access_policy_t<alignment_t::allow, endian_t::little>>(operation);
        case 3:
            return access_under<access_policy_t<alignment_t::allow, endian_t::big>>(operation);
        default:
            return access_under<default_access_policy_t>(operation);
        }
    }

    template <typename Policy>
    void access_under(uint8_t operation) {
        const bool writes = (operation / 16) % 2 != 0;
        switch (operation % 4) {
        case 0:
            return writes ? write<uint8_t, Policy>() : read<uint8_t, Policy>();
        case 1:
            return writes ? write<uint16_t, Policy>() : read<uint16_t, Policy>();
        case 2:
            return writes ? write<uint32_t, Policy>() : read<uint32_t, Policy>();
        default:
            return writes ? write<uint64_t, Policy>() : read<uint64_t, Policy>();
        }
    }

    uint8_t* expected_at(uint64_t gpa) {
        return bytes_.data() + ram_offset_ + static_cast<size_t>(gpa);
    }

    template <typename T, typename Policy>
    void read() {
        const uint64_t gpa = input_.number(memory_->size);
        const auto result = expected_result<T>(memory_->size, gpa, Policy::alignment);
        const T untouched = static_cast<T>(0xa5a5a5a5a5a5a5a5);
        const T expected = result == GUEST_MEM_ACCESS_OK
                               ? expected_load<T>(expected_at(gpa), Policy::endian)
                               : untouched;
        T value = untouched;
        require(read_under<Policy>(gpa, &value) == result, "result of a read");
        require(value == expected, "value of a read");
    }

    template <typename T, typename Policy>
    void write() {
        const uint64_t gpa = input_.number(memory_->size);
        const T value = static_cast<T>(input_.quad_word());
        const auto result = expected_result<T>(memory_->size, gpa, Policy::alignment);
        require(write_under<Policy>(gpa, value) == result, "result of a write");
        if (result == GUEST_MEM_ACCESS_OK) {
            expected_store(expected_at(gpa), value, Policy::endian);
        }
    }

    /** Calls the named accessors under their policy, so that the fuzzer covers them too. */
    template <typename Policy, typename T>
    guest_mem_access_result_t read_under(uint64_t gpa, T* value) {
        if constexpr (std::is_same_v<Policy, default_access_policy_t>) {
            return pound::tests::read(memory_, gpa, value);
        } else {
            return guest_mem_read<T, Policy>(memory_, gpa, value);
        }
    }

    template <typename Policy, typename T>
    guest_mem_access_result_t write_under(uint64_t gpa, T value) {
        if constexpr (std::is_same_v<Policy, default_access_policy_t>) {
            return pound::tests::write(memory_, gpa, value);
        } else {
            return guest_mem_write<T, Policy>(memory_, gpa, value);
        }
    }

    void check_state() const {
        require(arena_.capacity == bytes_.size(), "the capacity");
        require(arena_.used == used_, "the bytes used");
        require(std::equal(bytes_.begin(), bytes_.end(), arena_.data), "the arena's bytes");
    }

    input_t input_;
    arena_t arena_ = {};
    guest_memory_t* memory_ = nullptr;

    // The model: every byte of the arena, the number of used bytes, and the start of RAM.
    std::vector<uint8_t> bytes_;
    size_t used_ = 0;
    size_t ram_offset_ = 0;

    std::unique_ptr<uint8_t[]> caller_memory_;
    uint8_t* caller_bytes_ = nullptr;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    machine_t(input_t(data, size)).run();
    return 0;
}
