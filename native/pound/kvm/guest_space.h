#ifndef POUND_KVM_GUEST_SPACE_H
#define POUND_KVM_GUEST_SPACE_H

#include <cassert>
#include <cstdint>

#include "kvm/guest.h"
#include "kvm/page_table.h"

namespace pound::kvm::memory {

/** The direction of the access of an exit. */
enum guest_exit_reason_t : uint64_t {
    GUEST_EXIT_NONE = 0,
    GUEST_EXIT_READ = 1,
    GUEST_EXIT_WRITE = 2,
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

/**
 * An access that a core leaves to the owner of the address space, as KVM leaves an access to a
 * device to user space: it goes to a device, a hole or a watched page, or is the first one to a
 * page. In JavaScript it is a BigUint64Array of five elements, which `space.complete()` serves.
 */
struct guest_exit_t {
    uint64_t gpa;
    /** The value to write, or the value that was read. */
    uint64_t value;
    /** 1, 2, 4 or 8 bytes. */
    uint64_t width;
    /** A guest_exit_reason_t. */
    uint64_t reason;
    /** A guest_exit_state_t. */
    uint64_t state;
};

/** The result of an access that exits. The other results are those of guest_mem_access_result_t. */
constexpr int32_t GUEST_SPACE_EXIT = 4;

/** An address space during a run of a core. */
struct guest_space_t {
    const guest_page_table_t* table;
    /** Must not be null. A core with several CPUs has one for each. */
    guest_exit_t* exit;
};

namespace detail {

/** Takes the result of an exit that the owner has completed, or else starts an exit. */
inline int32_t leave_access(guest_exit_t* exit, uint64_t gpa, uint64_t width,
                            guest_exit_reason_t reason, uint64_t value) {
    assert(nullptr != exit);
    if (exit->state >= GUEST_EXIT_COMPLETED && exit->gpa == gpa && exit->width == width &&
        exit->reason == reason && (reason == GUEST_EXIT_READ || exit->value == value)) {
        const auto result = static_cast<int32_t>(exit->state - GUEST_EXIT_COMPLETED);
        exit->state = GUEST_EXIT_IDLE;
        return result;
    }
    *exit = {gpa, value, width, reason, GUEST_EXIT_PENDING};
    return GUEST_SPACE_EXIT;
}

template <typename T>
inline int32_t space_read(guest_space_t* space, uint64_t gpa, T* out_val) {
    // A completed exit comes first: the owner may have made the page accessible meanwhile, but a
    // read of a device must not be repeated.
    if (space->exit->state == GUEST_EXIT_IDLE && guest_page_read(space->table, gpa, out_val)) {
        return GUEST_MEM_ACCESS_OK;
    }
    const int32_t result = leave_access(space->exit, gpa, sizeof(T), GUEST_EXIT_READ, 0);
    if (result == GUEST_MEM_ACCESS_OK) {
        *out_val = static_cast<T>(space->exit->value);
    }
    return result;
}

template <typename T>
inline int32_t space_write(guest_space_t* space, uint64_t gpa, T val) {
    if (space->exit->state == GUEST_EXIT_IDLE && guest_page_write(space->table, gpa, val)) {
        return GUEST_MEM_ACCESS_OK;
    }
    return leave_access(space->exit, gpa, sizeof(T), GUEST_EXIT_WRITE, val);
}

} // namespace detail

/**
 * Reads 8, 16, 32 or 64 bits, little-endian, at guest physical address `gpa`.
 *
 * If the result is GUEST_SPACE_EXIT, the core returns from its run without a change of its state.
 * After the owner has completed the exit, the core executes the same instruction again, and the
 * same access then has the result of the owner. So an instruction may make at most one access that
 * exits, and must make its other accesses after that one.
 *
 * @param out_val Written only if the result is GUEST_MEM_ACCESS_OK.
 * @return GUEST_SPACE_EXIT, or a guest_mem_access_result_t.
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

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_SPACE_H
