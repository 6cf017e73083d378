#ifndef POUND_KVM_GUEST_SPACE_H
#define POUND_KVM_GUEST_SPACE_H

#include <cassert>
#include <cstdint>

#include "kvm/guest.h"
#include "kvm/page_table.h"

namespace pound::kvm::memory {

/** The kind of access of an exit. */
enum guest_exit_reason_t : uint64_t {
    GUEST_EXIT_NONE = 0,
    GUEST_EXIT_READ = 1,
    GUEST_EXIT_WRITE = 2,
    /** An instruction fetch, which needs the right to execute. */
    GUEST_EXIT_FETCH = 3,
    // The accesses of kvm/guest_space_atomic.h.
    GUEST_EXIT_ATOMIC_LOAD = 4,
    GUEST_EXIT_ATOMIC_STORE = 5,
    GUEST_EXIT_ATOMIC_EXCHANGE = 6,
    GUEST_EXIT_ATOMIC_CMPXCHG = 7,
    GUEST_EXIT_ATOMIC_ADD = 8,
    GUEST_EXIT_ATOMIC_AND = 9,
    GUEST_EXIT_ATOMIC_OR = 10,
    GUEST_EXIT_ATOMIC_XOR = 11,
};

/** The state of an exit. */
enum guest_exit_state_t : uint64_t {
    /** No access is left to the owner of the address space. */
    GUEST_EXIT_IDLE = 0,
    /** The owner has to make the access. */
    GUEST_EXIT_PENDING = 1,
    /** This plus a guest_mem_access_result_t: the owner has made the access, with this result. */
    GUEST_EXIT_COMPLETED = 2,
};

/** An access that its owner has made. */
struct guest_completed_access_t {
    uint64_t gpa;
    uint64_t value;
    uint64_t width;
    uint64_t reason;
    /** A guest_mem_access_result_t. */
    uint64_t result;
};

/** The most accesses of one instruction that can exit. */
constexpr uint64_t GUEST_EXITS_PER_INSTRUCTION = 4;

/**
 * An access that a core leaves to the owner of the address space, as KVM leaves an access to a
 * device to user space: it goes to a device, a hole or a watched page, or is the first one to a
 * page. In JavaScript it is a BigUint64Array of 32 elements, which `space.complete()` serves.
 */
struct guest_exit_t {
    uint64_t gpa;
    /** The value to write, or the value that was read. For an atomic access, first one, then the
     * other. */
    uint64_t value;
    /** 1, 2, 4 or 8 bytes. */
    uint64_t width;
    /** A guest_exit_reason_t. */
    uint64_t reason;
    /** A guest_exit_state_t. */
    uint64_t state;
    /** The value that GUEST_EXIT_ATOMIC_CMPXCHG expects. */
    uint64_t expected;
    /** The completed accesses of the instruction, in their order. */
    uint64_t completed;
    /** How many of them this execution of the instruction has repeated. */
    uint64_t repeated;
    guest_completed_access_t accesses[GUEST_EXITS_PER_INSTRUCTION];
    uint64_t reserved[4];
};
static_assert(sizeof(guest_exit_t) == 32 * sizeof(uint64_t), "the length that JavaScript checks");

/** The result of an access that exits. The other results are those of guest_mem_access_result_t. */
constexpr int32_t GUEST_SPACE_EXIT = 4;

/** An address space during a run of a core. */
struct guest_space_t {
    const guest_page_table_t* table;
    /** Must not be null. A core with several CPUs has one for each. */
    guest_exit_t* exit;
};

namespace detail {

// The rare cases of an access are functions of their own, so that the rest is small enough to be
// inlined, and the compiler expects the other case.
#if defined(__GNUC__)
#define POUND_RARE __attribute__((noinline, cold))
#elif defined(_MSC_VER)
#define POUND_RARE __declspec(noinline)
#else
#define POUND_RARE
#endif

/** Whether the owner has made the access in an earlier execution of the instruction. */
POUND_RARE inline bool repeat_access(guest_exit_t* exit, uint64_t gpa, uint64_t width,
                                     guest_exit_reason_t reason, int32_t* out_result,
                                     uint64_t* out_val) {
    // JavaScript can write to all fields, so the numbers are checked before their use as indices.
    const uint64_t completed = exit->completed;
    if (exit->state >= GUEST_EXIT_COMPLETED && completed < GUEST_EXITS_PER_INSTRUCTION) {
        const uint64_t result = exit->state - GUEST_EXIT_COMPLETED;
        exit->accesses[completed] = {exit->gpa, exit->value, exit->width, exit->reason, result};
        exit->completed = completed + 1;
        exit->state = GUEST_EXIT_IDLE;
    }
    const uint64_t repeated = exit->repeated;
    if (repeated >= exit->completed || repeated >= GUEST_EXITS_PER_INSTRUCTION) {
        return false;
    }
    const guest_completed_access_t& access = exit->accesses[repeated];
    if (access.gpa != gpa || access.width != width || access.reason != reason) {
        return false;
    }
    exit->repeated = repeated + 1;
    *out_result = static_cast<int32_t>(access.result);
    *out_val = access.value;
    return true;
}

/** Starts an exit. The instruction will be executed again from its beginning. */
POUND_RARE inline int32_t leave_access(guest_exit_t* exit, uint64_t gpa, uint64_t width,
                                       guest_exit_reason_t reason, uint64_t value,
                                       uint64_t expected = 0) {
    if (exit->completed >= GUEST_EXITS_PER_INSTRUCTION) {
        return GUEST_MEM_ACCESS_ERROR_INTERNAL;
    }
    exit->gpa = gpa;
    exit->value = value;
    exit->width = width;
    exit->reason = reason;
    exit->state = GUEST_EXIT_PENDING;
    exit->expected = expected;
    exit->repeated = 0;
    return GUEST_SPACE_EXIT;
}

#undef POUND_RARE

/**
 * Makes an access: repeats it, or makes it through the page table, or starts an exit.
 *
 * @param value The value that the owner of the space writes.
 * @param expected The value that a compare-and-exchange expects.
 * @param out_val Set by the access; null for a write.
 * @param make Makes the access through the page table; returns false if it takes the slow path.
 */
template <typename T, typename Make>
inline int32_t space_access(guest_space_t* space, uint64_t gpa, guest_exit_reason_t reason, T value,
                            T expected, T* out_val, Make make) {
    guest_exit_t* exit = space->exit;
    assert(nullptr != exit);
    // This comes first: the owner may have made the page accessible meanwhile, but the access must
    // not be made twice.
    if ((exit->state | exit->completed) != 0) {
        int32_t result = GUEST_MEM_ACCESS_OK;
        uint64_t found = 0;
        if (repeat_access(exit, gpa, sizeof(T), reason, &result, &found)) {
            if (result == GUEST_MEM_ACCESS_OK && out_val != nullptr) {
                *out_val = static_cast<T>(found);
            }
            return result;
        }
    }
    return make(space->table) ? GUEST_MEM_ACCESS_OK
                              : leave_access(exit, gpa, sizeof(T), reason, value, expected);
}

template <typename Policy = default_access_policy_t, typename T>
inline int32_t space_read(guest_space_t* space, uint64_t gpa, T* out_val) {
    return space_access(space, gpa, GUEST_EXIT_READ, T{0}, T{0}, out_val,
                        [&](const guest_page_table_t* table) {
                            return guest_page_read<T, Policy>(table, gpa, out_val);
                        });
}

template <typename Policy = default_access_policy_t, typename T>
inline int32_t space_fetch(guest_space_t* space, uint64_t gpa, T* out_val) {
    return space_access(space, gpa, GUEST_EXIT_FETCH, T{0}, T{0}, out_val,
                        [&](const guest_page_table_t* table) {
                            return guest_page_fetch<T, Policy>(table, gpa, out_val);
                        });
}

template <typename Policy = default_access_policy_t, typename T>
inline int32_t space_write(guest_space_t* space, uint64_t gpa, T val) {
    return space_access<T>(space, gpa, GUEST_EXIT_WRITE, val, T{0}, nullptr,
                           [&](const guest_page_table_t* table) {
                               return guest_page_write<T, Policy>(table, gpa, val);
                           });
}

} // namespace detail

/**
 * Ends an instruction. A core calls it after each instruction that has made its accesses, faulting
 * ones too, because an equal access of the next instruction is a new access.
 */
inline void guest_space_retire(guest_space_t* space) {
    space->exit->completed = 0;
    space->exit->repeated = 0;
}

/**
 * Reads 8, 16, 32 or 64 bits, little-endian, at guest physical address `gpa`.
 *
 * If the result is GUEST_SPACE_EXIT, the core returns from its run without a change of its state.
 * After the owner has completed the exit, the core executes the same instruction again, from its
 * fetch. The accesses that have exited then have the results of the owner. After the instruction
 * the core calls guest_space_retire().
 *
 * @param out_val Written only if the result is GUEST_MEM_ACCESS_OK.
 * @return GUEST_SPACE_EXIT, or a guest_mem_access_result_t. The fifth exit of one instruction is
 * GUEST_MEM_ACCESS_ERROR_INTERNAL.
 */
inline int32_t guest_space_readb(guest_space_t* space, uint64_t gpa, uint8_t* out_val) {
    return detail::space_read(space, gpa, out_val);
}

/** 16 bits; see guest_space_readb(). */
inline int32_t guest_space_readw(guest_space_t* space, uint64_t gpa, uint16_t* out_val) {
    return detail::space_read(space, gpa, out_val);
}

/** 32 bits; see guest_space_readb(). */
inline int32_t guest_space_readl(guest_space_t* space, uint64_t gpa, uint32_t* out_val) {
    return detail::space_read(space, gpa, out_val);
}

/** 64 bits; see guest_space_readb(). */
inline int32_t guest_space_readq(guest_space_t* space, uint64_t gpa, uint64_t* out_val) {
    return detail::space_read(space, gpa, out_val);
}

/** Writes 8, 16, 32 or 64 bits, little-endian; see guest_space_readb(). */
inline int32_t guest_space_writeb(guest_space_t* space, uint64_t gpa, uint8_t val) {
    return detail::space_write(space, gpa, val);
}

/** 16 bits; see guest_space_writeb(). */
inline int32_t guest_space_writew(guest_space_t* space, uint64_t gpa, uint16_t val) {
    return detail::space_write(space, gpa, val);
}

/** 32 bits; see guest_space_writeb(). */
inline int32_t guest_space_writel(guest_space_t* space, uint64_t gpa, uint32_t val) {
    return detail::space_write(space, gpa, val);
}

/** 64 bits; see guest_space_writeb(). */
inline int32_t guest_space_writeq(guest_space_t* space, uint64_t gpa, uint64_t val) {
    return detail::space_write(space, gpa, val);
}

/**
 * Fetches 8, 16, 32 or 64 bits of an instruction: as guest_space_readb(), but the right to execute
 * is needed, without which the result is GUEST_MEM_ACCESS_FAULT_BOUNDARY.
 */
inline int32_t guest_space_fetchb(guest_space_t* space, uint64_t gpa, uint8_t* out_val) {
    return detail::space_fetch(space, gpa, out_val);
}

/** 16 bits; see guest_space_fetchb(). */
inline int32_t guest_space_fetchw(guest_space_t* space, uint64_t gpa, uint16_t* out_val) {
    return detail::space_fetch(space, gpa, out_val);
}

/** 32 bits; see guest_space_fetchb(). */
inline int32_t guest_space_fetchl(guest_space_t* space, uint64_t gpa, uint32_t* out_val) {
    return detail::space_fetch(space, gpa, out_val);
}

/** 64 bits; see guest_space_fetchb(). */
inline int32_t guest_space_fetchq(guest_space_t* space, uint64_t gpa, uint64_t* out_val) {
    return detail::space_fetch(space, gpa, out_val);
}

/**
 * Reads a T (uint8_t, uint16_t, uint32_t or uint64_t) under an access policy, as guest_mem_read()
 * does; see guest_space_readb(). The policy has to be that of the AddressSpace, which completes the
 * exits.
 */
template <typename T, typename Policy>
inline int32_t guest_space_read(guest_space_t* space, uint64_t gpa, T* out_val) {
    return detail::space_read<Policy>(space, gpa, out_val);
}

/** Writes a T under an access policy; see guest_space_read(). */
template <typename T, typename Policy>
inline int32_t guest_space_write(guest_space_t* space, uint64_t gpa, T val) {
    return detail::space_write<Policy>(space, gpa, val);
}

/** Fetches a T under an access policy; see guest_space_read() and guest_space_fetchb(). */
template <typename T, typename Policy>
inline int32_t guest_space_fetch(guest_space_t* space, uint64_t gpa, T* out_val) {
    return detail::space_fetch<Policy>(space, gpa, out_val);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_SPACE_H
