#ifndef POUND_KVM_GUEST_SPACE_ATOMIC_H
#define POUND_KVM_GUEST_SPACE_ATOMIC_H

#include <cstdint>

#include "kvm/guest_atomic.h"
#include "kvm/guest_space.h"

namespace pound::kvm::memory {

namespace detail {

/** The accesses of an atomic operation. */
enum class atomic_access_t { load, store, modify };

/**
 * Makes an atomic access to a space.
 *
 * @param run The operation on a memory at an address in it: returns its result code. It stores the
 * value before the operation in a variable of the caller.
 */
template <atomic_access_t access, typename T, typename Run>
inline int32_t space_atomic(guest_space_t* space, uint64_t gpa, guest_exit_reason_t reason, T value,
                            T expected, T* out_val, Run run) {
    return space_access(
        space, gpa, reason, value, expected, out_val, [&](const guest_page_table_t* table) {
            uint32_t place = 0;
            if (access != atomic_access_t::store &&
                !find_in_home(table, table->reads, gpa, sizeof(T), &place)) {
                return false;
            }
            if (access != atomic_access_t::load && !find_for_write(table, gpa, sizeof(T), &place)) {
                return false;
            }
            guest_memory_t home = table->home;
            // Memory at an unaligned address of the host is left to the owner too.
            if (run(&home, place) != GUEST_MEM_ACCESS_OK) {
                return false;
            }
            if (access != atomic_access_t::load &&
                (reason != GUEST_EXIT_ATOMIC_CMPXCHG || *out_val == expected)) {
                mark_place(table, place, sizeof(T));
            }
            return true;
        });
}

template <typename T>
inline int32_t space_atomic_load(guest_space_t* space, uint64_t gpa, T* out_val) {
    return space_atomic<atomic_access_t::load>(
        space, gpa, GUEST_EXIT_ATOMIC_LOAD, T{0}, T{0}, out_val,
        [&](guest_memory_t* home, uint64_t at) { return atomic_load(home, at, out_val); });
}

template <typename T>
inline int32_t space_atomic_store(guest_space_t* space, uint64_t gpa, T val) {
    return space_atomic<atomic_access_t::store, T>(
        space, gpa, GUEST_EXIT_ATOMIC_STORE, val, T{0}, nullptr,
        [&](guest_memory_t* home, uint64_t at) { return atomic_store(home, at, val); });
}

template <typename T>
inline int32_t space_atomic_exchange(guest_space_t* space, uint64_t gpa, T val, T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_EXCHANGE, val, T{0}, out_old,
        [&](guest_memory_t* home, uint64_t at) { return atomic_exchange(home, at, val, out_old); });
}

template <typename T>
inline int32_t space_atomic_add(guest_space_t* space, uint64_t gpa, T val, T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_ADD, val, T{0}, out_old,
        [&](guest_memory_t* home, uint64_t at) { return atomic_add(home, at, val, out_old); });
}

template <typename T>
inline int32_t space_atomic_and(guest_space_t* space, uint64_t gpa, T val, T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_AND, val, T{0}, out_old,
        [&](guest_memory_t* home, uint64_t at) { return atomic_and(home, at, val, out_old); });
}

template <typename T>
inline int32_t space_atomic_or(guest_space_t* space, uint64_t gpa, T val, T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_OR, val, T{0}, out_old,
        [&](guest_memory_t* home, uint64_t at) { return atomic_or(home, at, val, out_old); });
}

template <typename T>
inline int32_t space_atomic_xor(guest_space_t* space, uint64_t gpa, T val, T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_XOR, val, T{0}, out_old,
        [&](guest_memory_t* home, uint64_t at) { return atomic_xor(home, at, val, out_old); });
}

template <typename T>
inline int32_t space_atomic_cmpxchg(guest_space_t* space, uint64_t gpa, T expected, T desired,
                                    T* out_old) {
    return space_atomic<atomic_access_t::modify>(
        space, gpa, GUEST_EXIT_ATOMIC_CMPXCHG, desired, expected, out_old,
        [&](guest_memory_t* home, uint64_t at) {
            return atomic_cmpxchg(home, at, expected, desired, out_old);
        });
}

} // namespace detail

/*
 * Atomic accesses to an address space: those of guest_atomic.h, with the exits of guest_space.h.
 * The result is GUEST_SPACE_EXIT or a guest_mem_access_result_t. If it is not
 * GUEST_MEM_ACCESS_OK, neither memory nor the output value has changed.
 */

/**
 * Reads 8 bits; see guest_space_readb(). The atomic accesses are little-endian, so that a core must
 * not use them on an AddressSpace whose access policy is big-endian.
 */
inline int32_t guest_space_atomic_loadb(guest_space_t* space, uint64_t gpa, uint8_t* out_val) {
    return detail::space_atomic_load(space, gpa, out_val);
}

/** 16 bits; see guest_space_atomic_loadb(). */
inline int32_t guest_space_atomic_loadw(guest_space_t* space, uint64_t gpa, uint16_t* out_val) {
    return detail::space_atomic_load(space, gpa, out_val);
}

/** 32 bits; see guest_space_atomic_loadb(). */
inline int32_t guest_space_atomic_loadl(guest_space_t* space, uint64_t gpa, uint32_t* out_val) {
    return detail::space_atomic_load(space, gpa, out_val);
}

/** 64 bits; see guest_space_atomic_loadb(). */
inline int32_t guest_space_atomic_loadq(guest_space_t* space, uint64_t gpa, uint64_t* out_val) {
    return detail::space_atomic_load(space, gpa, out_val);
}

/** Writes 8 bits. */
inline int32_t guest_space_atomic_storeb(guest_space_t* space, uint64_t gpa, uint8_t val) {
    return detail::space_atomic_store(space, gpa, val);
}

/** 16 bits; see guest_space_atomic_storeb(). */
inline int32_t guest_space_atomic_storew(guest_space_t* space, uint64_t gpa, uint16_t val) {
    return detail::space_atomic_store(space, gpa, val);
}

/** 32 bits; see guest_space_atomic_storeb(). */
inline int32_t guest_space_atomic_storel(guest_space_t* space, uint64_t gpa, uint32_t val) {
    return detail::space_atomic_store(space, gpa, val);
}

/** 64 bits; see guest_space_atomic_storeb(). */
inline int32_t guest_space_atomic_storeq(guest_space_t* space, uint64_t gpa, uint64_t val) {
    return detail::space_atomic_store(space, gpa, val);
}

/** Writes 8 bits. `*out_old` is the value before. */
inline int32_t guest_space_atomic_exchangeb(guest_space_t* space, uint64_t gpa, uint8_t val,
                                            uint8_t* out_old) {
    return detail::space_atomic_exchange(space, gpa, val, out_old);
}

/** 16 bits; see guest_space_atomic_exchangeb(). */
inline int32_t guest_space_atomic_exchangew(guest_space_t* space, uint64_t gpa, uint16_t val,
                                            uint16_t* out_old) {
    return detail::space_atomic_exchange(space, gpa, val, out_old);
}

/** 32 bits; see guest_space_atomic_exchangeb(). */
inline int32_t guest_space_atomic_exchangel(guest_space_t* space, uint64_t gpa, uint32_t val,
                                            uint32_t* out_old) {
    return detail::space_atomic_exchange(space, gpa, val, out_old);
}

/** 64 bits; see guest_space_atomic_exchangeb(). */
inline int32_t guest_space_atomic_exchangeq(guest_space_t* space, uint64_t gpa, uint64_t val,
                                            uint64_t* out_old) {
    return detail::space_atomic_exchange(space, gpa, val, out_old);
}

/** Writes `desired` if memory holds `expected`. `*out_old` is the value before in both cases. */
inline int32_t guest_space_atomic_cmpxchgb(guest_space_t* space, uint64_t gpa, uint8_t expected,
                                           uint8_t desired, uint8_t* out_old) {
    return detail::space_atomic_cmpxchg(space, gpa, expected, desired, out_old);
}

/** 16 bits; see guest_space_atomic_cmpxchgb(). */
inline int32_t guest_space_atomic_cmpxchgw(guest_space_t* space, uint64_t gpa, uint16_t expected,
                                           uint16_t desired, uint16_t* out_old) {
    return detail::space_atomic_cmpxchg(space, gpa, expected, desired, out_old);
}

/** 32 bits; see guest_space_atomic_cmpxchgb(). */
inline int32_t guest_space_atomic_cmpxchgl(guest_space_t* space, uint64_t gpa, uint32_t expected,
                                           uint32_t desired, uint32_t* out_old) {
    return detail::space_atomic_cmpxchg(space, gpa, expected, desired, out_old);
}

/** 64 bits; see guest_space_atomic_cmpxchgb(). */
inline int32_t guest_space_atomic_cmpxchgq(guest_space_t* space, uint64_t gpa, uint64_t expected,
                                           uint64_t desired, uint64_t* out_old) {
    return detail::space_atomic_cmpxchg(space, gpa, expected, desired, out_old);
}

/** Adds `val`, modulo 2^8. `*out_old` is the value before. */
inline int32_t guest_space_atomic_addb(guest_space_t* space, uint64_t gpa, uint8_t val,
                                       uint8_t* out_old) {
    return detail::space_atomic_add(space, gpa, val, out_old);
}

/** 16 bits; see guest_space_atomic_addb(). */
inline int32_t guest_space_atomic_addw(guest_space_t* space, uint64_t gpa, uint16_t val,
                                       uint16_t* out_old) {
    return detail::space_atomic_add(space, gpa, val, out_old);
}

/** 32 bits; see guest_space_atomic_addb(). */
inline int32_t guest_space_atomic_addl(guest_space_t* space, uint64_t gpa, uint32_t val,
                                       uint32_t* out_old) {
    return detail::space_atomic_add(space, gpa, val, out_old);
}

/** 64 bits; see guest_space_atomic_addb(). */
inline int32_t guest_space_atomic_addq(guest_space_t* space, uint64_t gpa, uint64_t val,
                                       uint64_t* out_old) {
    return detail::space_atomic_add(space, gpa, val, out_old);
}

/** ANDs with `val`. `*out_old` is the value before. */
inline int32_t guest_space_atomic_andb(guest_space_t* space, uint64_t gpa, uint8_t val,
                                       uint8_t* out_old) {
    return detail::space_atomic_and(space, gpa, val, out_old);
}

/** 16 bits; see guest_space_atomic_andb(). */
inline int32_t guest_space_atomic_andw(guest_space_t* space, uint64_t gpa, uint16_t val,
                                       uint16_t* out_old) {
    return detail::space_atomic_and(space, gpa, val, out_old);
}

/** 32 bits; see guest_space_atomic_andb(). */
inline int32_t guest_space_atomic_andl(guest_space_t* space, uint64_t gpa, uint32_t val,
                                       uint32_t* out_old) {
    return detail::space_atomic_and(space, gpa, val, out_old);
}

/** 64 bits; see guest_space_atomic_andb(). */
inline int32_t guest_space_atomic_andq(guest_space_t* space, uint64_t gpa, uint64_t val,
                                       uint64_t* out_old) {
    return detail::space_atomic_and(space, gpa, val, out_old);
}

/** ORs with `val`. `*out_old` is the value before. */
inline int32_t guest_space_atomic_orb(guest_space_t* space, uint64_t gpa, uint8_t val,
                                      uint8_t* out_old) {
    return detail::space_atomic_or(space, gpa, val, out_old);
}

/** 16 bits; see guest_space_atomic_orb(). */
inline int32_t guest_space_atomic_orw(guest_space_t* space, uint64_t gpa, uint16_t val,
                                      uint16_t* out_old) {
    return detail::space_atomic_or(space, gpa, val, out_old);
}

/** 32 bits; see guest_space_atomic_orb(). */
inline int32_t guest_space_atomic_orl(guest_space_t* space, uint64_t gpa, uint32_t val,
                                      uint32_t* out_old) {
    return detail::space_atomic_or(space, gpa, val, out_old);
}

/** 64 bits; see guest_space_atomic_orb(). */
inline int32_t guest_space_atomic_orq(guest_space_t* space, uint64_t gpa, uint64_t val,
                                      uint64_t* out_old) {
    return detail::space_atomic_or(space, gpa, val, out_old);
}

/** XORs with `val`. `*out_old` is the value before. */
inline int32_t guest_space_atomic_xorb(guest_space_t* space, uint64_t gpa, uint8_t val,
                                       uint8_t* out_old) {
    return detail::space_atomic_xor(space, gpa, val, out_old);
}

/** 16 bits; see guest_space_atomic_xorb(). */
inline int32_t guest_space_atomic_xorw(guest_space_t* space, uint64_t gpa, uint16_t val,
                                       uint16_t* out_old) {
    return detail::space_atomic_xor(space, gpa, val, out_old);
}

/** 32 bits; see guest_space_atomic_xorb(). */
inline int32_t guest_space_atomic_xorl(guest_space_t* space, uint64_t gpa, uint32_t val,
                                       uint32_t* out_old) {
    return detail::space_atomic_xor(space, gpa, val, out_old);
}

/** 64 bits; see guest_space_atomic_xorb(). */
inline int32_t guest_space_atomic_xorq(guest_space_t* space, uint64_t gpa, uint64_t val,
                                       uint64_t* out_old) {
    return detail::space_atomic_xor(space, gpa, val, out_old);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_SPACE_ATOMIC_H
