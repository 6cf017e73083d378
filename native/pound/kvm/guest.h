#ifndef POUND_KVM_GUEST_H
#define POUND_KVM_GUEST_H

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "host/memory/arena.h"
#include "kvm/endian.h"

namespace pound::kvm::memory {

/**
 * Describes one block of guest physical RAM without owning it.
 *
 * The memory belongs to the arena it was allocated from, and the descriptor is valid until that
 * arena is reset or freed; or it belongs to the caller of guest_memory_over(). Both fields are
 * const, so nothing can move or resize the RAM of a descriptor.
 */
struct guest_memory_t {
    /** Host virtual address of guest physical address 0. */
    uint8_t* const base;
    /** Size of the RAM in bytes; may be 0. */
    const uint64_t size;
};

/**
 * Alignment of the host address of guest physical address 0, in bytes: that of memory of malloc(),
 * so that a buffer of the caller needs no padding. 16 on 64-bit hosts, 8 on 32-bit ones. It is not
 * that of std::max_align_t, which is 8 on s390x.
 */
constexpr size_t GUEST_RAM_ALIGNMENT = 2 * sizeof(void*);

/** Bytes that the descriptor takes from an arena, without padding before it. */
constexpr size_t GUEST_MEMORY_DESCRIPTOR_SIZE =
    (sizeof(guest_memory_t) + GUEST_RAM_ALIGNMENT - 1) & ~(GUEST_RAM_ALIGNMENT - 1);

/**
 * Turns an arena into guest RAM: allocates the descriptor from it, then all remaining bytes as RAM.
 *
 * @param arena Initialized, and used for this block of RAM only.
 * @return The descriptor, which lies in the arena; or null, with the arena unchanged, if the
 *         descriptor does not fit.
 */
[[nodiscard]] guest_memory_t* guest_memory_create(pound::host::memory::arena_t* arena);

/**
 * As guest_memory_create(), but does not write to the arena's memory: it allocates the bytes of the
 * descriptor, leaves them unchanged, and returns the descriptor by value.
 *
 * Use it for memory that other threads use already, each through its own arena.
 *
 * @return The descriptor of the same RAM that guest_memory_create() would make; or nothing, with
 * the arena unchanged, if the descriptor does not fit.
 */
[[nodiscard]] std::optional<guest_memory_t>
guest_memory_attach(pound::host::memory::arena_t* arena);

/**
 * Describes existing bytes of the caller as guest RAM. All `size` bytes become RAM, and none of
 * them is written. The bytes must stay mapped as long as the descriptor is in use.
 *
 * If `base` is not a multiple of 8, some atomic accesses are GUEST_MEM_ACCESS_ERROR_INTERNAL; see
 * guest_atomic.h.
 *
 * @param base First byte, of any alignment; not null.
 * @param size Bytes; may be 0.
 */
[[nodiscard]] inline guest_memory_t guest_memory_over(void* base, uint64_t size) {
    assert(nullptr != base);
    return guest_memory_t{static_cast<uint8_t*>(base), size};
}

/** The result of a guest access. */
typedef enum {
    /** The access was made. */
    GUEST_MEM_ACCESS_OK = 0,
    /** Not made: the address is not a multiple of the width. Raise an alignment fault. */
    GUEST_MEM_ACCESS_FAULT_UNALIGNED,
    /** Not made: some byte of the access lies outside RAM. Raise a data abort. */
    GUEST_MEM_ACCESS_FAULT_BOUNDARY,
    /** Not made: the host is at fault, not the guest. */
    GUEST_MEM_ACCESS_ERROR_INTERNAL,
} guest_mem_access_result_t;

/** What an access does at an address that is not a multiple of its width. */
enum class alignment_t {
    /** The result is GUEST_MEM_ACCESS_FAULT_UNALIGNED. */
    fault,
    /** The access is made. */
    allow,
};

/** The behaviour of guest_mem_read() and guest_mem_write(), fixed at compile time. */
template <alignment_t alignment_value, endian_t endian_value>
struct access_policy_t {
    static constexpr alignment_t alignment = alignment_value;
    static constexpr endian_t endian = endian_value;
};

/** The policy of the eight accessors guest_mem_readb() to guest_mem_writeq(). */
using default_access_policy_t = access_policy_t<alignment_t::fault, GUEST_ENDIAN>;

namespace detail {

/**
 * The checks of every accessor, boundary before alignment.
 *
 * The size is compared first: if RAM is smaller than the access, `size - sizeof(T)` wraps, and
 * every address would pass the second comparison.
 */
template <typename T, alignment_t alignment = alignment_t::fault>
inline guest_mem_access_result_t check(const guest_memory_t* memory, uint64_t gpa) {
    assert(nullptr != memory);
    assert(nullptr != memory->base);
    if (memory->size < sizeof(T) || gpa > memory->size - sizeof(T)) {
        return GUEST_MEM_ACCESS_FAULT_BOUNDARY;
    }
    if (alignment == alignment_t::fault && (gpa & (sizeof(T) - 1)) != 0) {
        return GUEST_MEM_ACCESS_FAULT_UNALIGNED;
    }
    return GUEST_MEM_ACCESS_OK;
}

template <typename Policy = default_access_policy_t, typename T>
inline guest_mem_access_result_t read(const guest_memory_t* memory, uint64_t gpa, T* out_val) {
    assert(nullptr != out_val);
    const guest_mem_access_result_t result = check<T, Policy::alignment>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        T raw;
        memcpy(&raw, memory->base + gpa, sizeof(T));
        *out_val = in_order<Policy::endian>(raw);
    }
    return result;
}

template <typename Policy = default_access_policy_t, typename T>
inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, T val) {
    const guest_mem_access_result_t result = check<T, Policy::alignment>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        const T raw = in_order<Policy::endian>(val);
        memcpy(memory->base + gpa, &raw, sizeof(T));
    }
    return result;
}

} // namespace detail

/**
 * Reads 8, 16, 32 or 64 bits, little-endian, at guest physical address `gpa`.
 *
 * `memory`, its base and `out_val` must not be null. `*out_val` is written only if the result is
 * GUEST_MEM_ACCESS_OK.
 *
 * @return GUEST_MEM_ACCESS_FAULT_BOUNDARY if any byte of the access lies outside RAM; otherwise
 *         GUEST_MEM_ACCESS_FAULT_UNALIGNED if `gpa` is not a multiple of the width (never for a
 *         byte); otherwise GUEST_MEM_ACCESS_OK.
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
 * Writes 8, 16, 32 or 64 bits, little-endian, at guest physical address `gpa`.
 *
 * `memory` and its base must not be null. RAM changes only if the result is GUEST_MEM_ACCESS_OK.
 * The results are those of guest_mem_readb().
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

/**
 * Reads a T (uint8_t, uint16_t, uint32_t or uint64_t) at `gpa` under an access policy:
 *
 *     guest_mem_read<uint32_t, access_policy_t<alignment_t::allow, endian_t::big>>(memory, gpa,
 * &v);
 *
 * The preconditions, the checks and the results are those of guest_mem_readb(), except that an
 * unaligned `gpa` is no fault under alignment_t::allow.
 */
template <typename T, typename Policy>
inline guest_mem_access_result_t guest_mem_read(guest_memory_t* memory, uint64_t gpa, T* out_val) {
    return detail::read<Policy>(memory, gpa, out_val);
}

/** Writes a T at `gpa` under an access policy; see guest_mem_read() and guest_mem_writeb(). */
template <typename T, typename Policy>
inline guest_mem_access_result_t guest_mem_write(guest_memory_t* memory, uint64_t gpa, T val) {
    return detail::write<Policy>(memory, gpa, val);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_H
