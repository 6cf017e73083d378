#ifndef POUND_KVM_GUEST_H
#define POUND_KVM_GUEST_H

#include <cassert>
#include <cstdint>
#include <cstring>
#include <optional>

#include "host/memory/arena.h"
#include "kvm/endian.h"

namespace pound::kvm::memory {

/**
 * Describes one block of guest physical RAM without owning it.
 *
 * The memory belongs to the arena it was allocated from and the descriptor is
 * valid for as long as that arena is neither reset nor freed. Both fields are
 * const, so a descriptor can be neither moved nor resized once created.
 */
struct guest_memory_t {
    /** Host virtual address of guest physical address 0. */
    uint8_t* const base;
    /** Size of the RAM in bytes; may be 0. */
    const uint64_t size;
};

/** Every block of guest RAM starts at a host address that is a multiple of this. */
constexpr size_t GUEST_RAM_ALIGNMENT = 16;

/** What the descriptor takes off an arena, in bytes, where no padding precedes it. */
constexpr size_t GUEST_MEMORY_DESCRIPTOR_SIZE =
    (sizeof(guest_memory_t) + GUEST_RAM_ALIGNMENT - 1) & ~(GUEST_RAM_ALIGNMENT - 1);

/**
 * Turns an arena into guest RAM: allocates the descriptor from it, then gives
 * the RAM all that remains. Padding between the two, if any, is part of neither.
 *
 * @param arena Initialised, and meant for this one block of RAM.
 * @return The descriptor, which lives in the arena; or null, with the arena
 *         unchanged, where the descriptor does not fit.
 */
[[nodiscard]] guest_memory_t* guest_memory_create(pound::host::memory::arena_t* arena);

/**
 * As guest_memory_create(), but writes nothing to the arena: the descriptor's
 * room is taken and left as it is, and the descriptor is given by value.
 *
 * For memory that other threads use already, each through an arena of its own.
 *
 * @return The descriptor of the same RAM that guest_memory_create() would make;
 *         or nothing, with the arena unchanged, where the descriptor does not fit.
 */
[[nodiscard]] std::optional<guest_memory_t>
guest_memory_attach(pound::host::memory::arena_t* arena);

/** What became of a guest access. */
typedef enum {
    /** Done. */
    GUEST_MEM_ACCESS_OK = 0,
    /** Not done: the address is not a multiple of the width; raise an alignment fault. */
    GUEST_MEM_ACCESS_FAULT_UNALIGNED,
    /** Not done: the access does not lie within RAM; raise a data abort. */
    GUEST_MEM_ACCESS_FAULT_BOUNDARY,
    /** Not done: the host is at fault, not the guest. */
    GUEST_MEM_ACCESS_ERROR_INTERNAL,
} guest_mem_access_result_t;

namespace detail {

/**
 * The checks of every accessor, boundary before alignment.
 *
 * RAM smaller than the access is tested on its own: in `gpa > size - sizeof(T)`
 * the subtraction wraps for it, and every address would pass.
 */
template <typename T>
inline guest_mem_access_result_t check(const guest_memory_t* memory, uint64_t gpa) {
    assert(nullptr != memory);
    assert(nullptr != memory->base);
    if (memory->size < sizeof(T) || gpa > memory->size - sizeof(T)) {
        return GUEST_MEM_ACCESS_FAULT_BOUNDARY;
    }
    if ((gpa & (sizeof(T) - 1)) != 0) {
        return GUEST_MEM_ACCESS_FAULT_UNALIGNED;
    }
    return GUEST_MEM_ACCESS_OK;
}

template <typename T>
inline guest_mem_access_result_t read(const guest_memory_t* memory, uint64_t gpa, T* out_val) {
    assert(nullptr != out_val);
    const guest_mem_access_result_t result = check<T>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        T raw;
        memcpy(&raw, memory->base + gpa, sizeof(T));
        *out_val = guest_order(raw);
    }
    return result;
}

template <typename T>
inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, T val) {
    const guest_mem_access_result_t result = check<T>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        const T raw = guest_order(val);
        memcpy(memory->base + gpa, &raw, sizeof(T));
    }
    return result;
}

} // namespace detail

/**
 * Reads of 8, 16, 32 and 64 bits at guest physical address `gpa`, little-endian.
 *
 * `memory`, its base and `out_val` must not be null. `*out_val` is written only
 * on GUEST_MEM_ACCESS_OK.
 *
 * @return GUEST_MEM_ACCESS_OK; GUEST_MEM_ACCESS_FAULT_BOUNDARY where any byte of
 *         the access is outside RAM; else GUEST_MEM_ACCESS_FAULT_UNALIGNED where
 *         `gpa` is not a multiple of the width (never for a byte).
 */
inline guest_mem_access_result_t guest_mem_readb(guest_memory_t* memory, uint64_t gpa,
                                                 uint8_t* out_val) {
    return detail::read(memory, gpa, out_val);
}

/** 16 bits; see guest_mem_readb(). */
inline guest_mem_access_result_t guest_mem_readw(guest_memory_t* memory, uint64_t gpa,
                                                 uint16_t* out_val) {
    return detail::read(memory, gpa, out_val);
}

/** 32 bits; see guest_mem_readb(). */
inline guest_mem_access_result_t guest_mem_readl(guest_memory_t* memory, uint64_t gpa,
                                                 uint32_t* out_val) {
    return detail::read(memory, gpa, out_val);
}

/** 64 bits; see guest_mem_readb(). */
inline guest_mem_access_result_t guest_mem_readq(guest_memory_t* memory, uint64_t gpa,
                                                 uint64_t* out_val) {
    return detail::read(memory, gpa, out_val);
}

/**
 * Writes of 8, 16, 32 and 64 bits at guest physical address `gpa`, little-endian.
 *
 * `memory` and its base must not be null. RAM changes only on
 * GUEST_MEM_ACCESS_OK; the results are those of the reads.
 */
inline guest_mem_access_result_t guest_mem_writeb(guest_memory_t* memory, uint64_t gpa,
                                                  uint8_t val) {
    return detail::write(memory, gpa, val);
}

/** 16 bits; see guest_mem_writeb(). */
inline guest_mem_access_result_t guest_mem_writew(guest_memory_t* memory, uint64_t gpa,
                                                  uint16_t val) {
    return detail::write(memory, gpa, val);
}

/** 32 bits; see guest_mem_writeb(). */
inline guest_mem_access_result_t guest_mem_writel(guest_memory_t* memory, uint64_t gpa,
                                                  uint32_t val) {
    return detail::write(memory, gpa, val);
}

/** 64 bits; see guest_mem_writeb(). */
inline guest_mem_access_result_t guest_mem_writeq(guest_memory_t* memory, uint64_t gpa,
                                                  uint64_t val) {
    return detail::write(memory, gpa, val);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_H
