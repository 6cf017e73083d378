#ifndef POUND_KVM_GUEST_ATOMIC_H
#define POUND_KVM_GUEST_ATOMIC_H

#include <cassert>
#include <cstdint>

#include "host/atomic.h"
#include "kvm/endian.h"
#include "kvm/guest.h"

namespace pound::kvm::memory {

namespace detail {

/** The integer at an address that has passed check_atomic(). */
template <typename T>
inline T* integer_at(guest_memory_t* memory, uint64_t gpa) {
    return reinterpret_cast<T*>(memory->base + gpa);
}

/**
 * check(), and that the integer is naturally aligned on the host, as the host's atomics require.
 * RAM from an arena always is. RAM of guest_memory_over() need not be.
 */
template <typename T>
inline guest_mem_access_result_t check_atomic(const guest_memory_t* memory, uint64_t gpa) {
    const guest_mem_access_result_t result = check<T>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK &&
        (reinterpret_cast<uintptr_t>(memory->base) & (sizeof(T) - 1)) != 0) {
        return GUEST_MEM_ACCESS_ERROR_INTERNAL;
    }
    return result;
}

/** If the checks pass, sets `*out_val` to the result of `run` on the integer at `gpa`. */
template <typename T, typename Operation>
inline guest_mem_access_result_t atomically(guest_memory_t* memory, uint64_t gpa, T* out_val,
                                            Operation run) {
    assert(nullptr != out_val);
    const guest_mem_access_result_t result = check_atomic<T>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        *out_val = guest_order(run(integer_at<T>(memory, gpa)));
    }
    return result;
}

template <typename T>
inline guest_mem_access_result_t atomic_load(guest_memory_t* memory, uint64_t gpa, T* out_val) {
    return atomically(memory, gpa, out_val, [](const T* at) { return host::atomic::load(at); });
}

template <typename T>
inline guest_mem_access_result_t atomic_store(guest_memory_t* memory, uint64_t gpa, T val) {
    const guest_mem_access_result_t result = check_atomic<T>(memory, gpa);
    if (result == GUEST_MEM_ACCESS_OK) {
        host::atomic::store(integer_at<T>(memory, gpa), guest_order(val));
    }
    return result;
}

template <typename T>
inline guest_mem_access_result_t atomic_exchange(guest_memory_t* memory, uint64_t gpa, T val,
                                                 T* out_old) {
    return atomically(memory, gpa, out_old,
                      [val](T* at) { return host::atomic::exchange(at, guest_order(val)); });
}

template <typename T>
inline guest_mem_access_result_t atomic_cmpxchg(guest_memory_t* memory, uint64_t gpa, T expected,
                                                T desired, T* out_old) {
    return atomically(memory, gpa, out_old, [expected, desired](T* at) {
        return host::atomic::compare_exchange(at, guest_order(expected), guest_order(desired));
    });
}

/**
 * `*at += val` on an integer in guest order, for a host of the other order. The host's own addition
 * would propagate carries in the wrong direction.
 */
template <typename T>
inline T fetch_add_swapped(T* at, T val) {
    T found = host::atomic::load(at);
    for (;;) {
        const T sum = guest_order(static_cast<T>(guest_order(found) + val));
        const T before = host::atomic::compare_exchange(at, found, sum);
        if (before == found) {
            return before;
        }
        found = before;
    }
}

template <typename T>
inline guest_mem_access_result_t atomic_add(guest_memory_t* memory, uint64_t gpa, T val,
                                            T* out_old) {
    return atomically(memory, gpa, out_old, [val](T* at) {
#if HOST_IS_LITTLE_ENDIAN == GUEST_IS_LITTLE_ENDIAN
        return host::atomic::fetch_add(at, val);
#else
        return fetch_add_swapped(at, val);
#endif
    });
}

template <typename T>
inline guest_mem_access_result_t atomic_and(guest_memory_t* memory, uint64_t gpa, T val,
                                            T* out_old) {
    return atomically(memory, gpa, out_old,
                      [val](T* at) { return host::atomic::fetch_and(at, guest_order(val)); });
}

template <typename T>
inline guest_mem_access_result_t atomic_or(guest_memory_t* memory, uint64_t gpa, T val,
                                           T* out_old) {
    return atomically(memory, gpa, out_old,
                      [val](T* at) { return host::atomic::fetch_or(at, guest_order(val)); });
}

template <typename T>
inline guest_mem_access_result_t atomic_xor(guest_memory_t* memory, uint64_t gpa, T val,
                                            T* out_old) {
    return atomically(memory, gpa, out_old,
                      [val](T* at) { return host::atomic::fetch_xor(at, guest_order(val)); });
}

} // namespace detail

/*
 * Atomic accesses, for RAM that several threads use at the same time.
 *
 * Each is one indivisible, sequentially consistent operation on a value of 8, 16, 32 or 64 bits,
 * which is little-endian in RAM on every host. The preconditions on pointers, the checks and the
 * results are those of guest_mem_readb() and guest_mem_writeb(). In addition, the result of an
 * access that passes these checks is GUEST_MEM_ACCESS_ERROR_INTERNAL if `memory->base` is not a
 * multiple of the width, which only guest_memory_over() makes possible: the host has no atomic
 * access to such an address. If the result is not GUEST_MEM_ACCESS_OK, neither RAM nor the output
 * value has changed.
 */

/** Reads 8 bits. */
inline guest_mem_access_result_t guest_mem_atomic_loadb(guest_memory_t* memory, uint64_t gpa,
                                                        uint8_t* out_val) {
    return detail::atomic_load(memory, gpa, out_val);
}

/** 16 bits; see guest_mem_atomic_loadb(). */
inline guest_mem_access_result_t guest_mem_atomic_loadw(guest_memory_t* memory, uint64_t gpa,
                                                        uint16_t* out_val) {
    return detail::atomic_load(memory, gpa, out_val);
}

/** 32 bits; see guest_mem_atomic_loadb(). */
inline guest_mem_access_result_t guest_mem_atomic_loadl(guest_memory_t* memory, uint64_t gpa,
                                                        uint32_t* out_val) {
    return detail::atomic_load(memory, gpa, out_val);
}

/** 64 bits; see guest_mem_atomic_loadb(). */
inline guest_mem_access_result_t guest_mem_atomic_loadq(guest_memory_t* memory, uint64_t gpa,
                                                        uint64_t* out_val) {
    return detail::atomic_load(memory, gpa, out_val);
}

/** Writes 8 bits. */
inline guest_mem_access_result_t guest_mem_atomic_storeb(guest_memory_t* memory, uint64_t gpa,
                                                         uint8_t val) {
    return detail::atomic_store(memory, gpa, val);
}

/** 16 bits; see guest_mem_atomic_storeb(). */
inline guest_mem_access_result_t guest_mem_atomic_storew(guest_memory_t* memory, uint64_t gpa,
                                                         uint16_t val) {
    return detail::atomic_store(memory, gpa, val);
}

/** 32 bits; see guest_mem_atomic_storeb(). */
inline guest_mem_access_result_t guest_mem_atomic_storel(guest_memory_t* memory, uint64_t gpa,
                                                         uint32_t val) {
    return detail::atomic_store(memory, gpa, val);
}

/** 64 bits; see guest_mem_atomic_storeb(). */
inline guest_mem_access_result_t guest_mem_atomic_storeq(guest_memory_t* memory, uint64_t gpa,
                                                         uint64_t val) {
    return detail::atomic_store(memory, gpa, val);
}

/** Writes 8 bits. `*out_old` is the value before. */
inline guest_mem_access_result_t guest_mem_atomic_exchangeb(guest_memory_t* memory, uint64_t gpa,
                                                            uint8_t val, uint8_t* out_old) {
    return detail::atomic_exchange(memory, gpa, val, out_old);
}

/** 16 bits; see guest_mem_atomic_exchangeb(). */
inline guest_mem_access_result_t guest_mem_atomic_exchangew(guest_memory_t* memory, uint64_t gpa,
                                                            uint16_t val, uint16_t* out_old) {
    return detail::atomic_exchange(memory, gpa, val, out_old);
}

/** 32 bits; see guest_mem_atomic_exchangeb(). */
inline guest_mem_access_result_t guest_mem_atomic_exchangel(guest_memory_t* memory, uint64_t gpa,
                                                            uint32_t val, uint32_t* out_old) {
    return detail::atomic_exchange(memory, gpa, val, out_old);
}

/** 64 bits; see guest_mem_atomic_exchangeb(). */
inline guest_mem_access_result_t guest_mem_atomic_exchangeq(guest_memory_t* memory, uint64_t gpa,
                                                            uint64_t val, uint64_t* out_old) {
    return detail::atomic_exchange(memory, gpa, val, out_old);
}

/** Writes `desired` if RAM holds `expected`. `*out_old` is the value before in both cases. */
inline guest_mem_access_result_t guest_mem_atomic_cmpxchgb(guest_memory_t* memory, uint64_t gpa,
                                                           uint8_t expected, uint8_t desired,
                                                           uint8_t* out_old) {
    return detail::atomic_cmpxchg(memory, gpa, expected, desired, out_old);
}

/** 16 bits; see guest_mem_atomic_cmpxchgb(). */
inline guest_mem_access_result_t guest_mem_atomic_cmpxchgw(guest_memory_t* memory, uint64_t gpa,
                                                           uint16_t expected, uint16_t desired,
                                                           uint16_t* out_old) {
    return detail::atomic_cmpxchg(memory, gpa, expected, desired, out_old);
}

/** 32 bits; see guest_mem_atomic_cmpxchgb(). */
inline guest_mem_access_result_t guest_mem_atomic_cmpxchgl(guest_memory_t* memory, uint64_t gpa,
                                                           uint32_t expected, uint32_t desired,
                                                           uint32_t* out_old) {
    return detail::atomic_cmpxchg(memory, gpa, expected, desired, out_old);
}

/** 64 bits; see guest_mem_atomic_cmpxchgb(). */
inline guest_mem_access_result_t guest_mem_atomic_cmpxchgq(guest_memory_t* memory, uint64_t gpa,
                                                           uint64_t expected, uint64_t desired,
                                                           uint64_t* out_old) {
    return detail::atomic_cmpxchg(memory, gpa, expected, desired, out_old);
}

/** Adds `val`, modulo 2^8. `*out_old` is the value before. */
inline guest_mem_access_result_t guest_mem_atomic_addb(guest_memory_t* memory, uint64_t gpa,
                                                       uint8_t val, uint8_t* out_old) {
    return detail::atomic_add(memory, gpa, val, out_old);
}

/** 16 bits; see guest_mem_atomic_addb(). */
inline guest_mem_access_result_t guest_mem_atomic_addw(guest_memory_t* memory, uint64_t gpa,
                                                       uint16_t val, uint16_t* out_old) {
    return detail::atomic_add(memory, gpa, val, out_old);
}

/** 32 bits; see guest_mem_atomic_addb(). */
inline guest_mem_access_result_t guest_mem_atomic_addl(guest_memory_t* memory, uint64_t gpa,
                                                       uint32_t val, uint32_t* out_old) {
    return detail::atomic_add(memory, gpa, val, out_old);
}

/** 64 bits; see guest_mem_atomic_addb(). */
inline guest_mem_access_result_t guest_mem_atomic_addq(guest_memory_t* memory, uint64_t gpa,
                                                       uint64_t val, uint64_t* out_old) {
    return detail::atomic_add(memory, gpa, val, out_old);
}

/** ANDs with `val`. `*out_old` is the value before. */
inline guest_mem_access_result_t guest_mem_atomic_andb(guest_memory_t* memory, uint64_t gpa,
                                                       uint8_t val, uint8_t* out_old) {
    return detail::atomic_and(memory, gpa, val, out_old);
}

/** 16 bits; see guest_mem_atomic_andb(). */
inline guest_mem_access_result_t guest_mem_atomic_andw(guest_memory_t* memory, uint64_t gpa,
                                                       uint16_t val, uint16_t* out_old) {
    return detail::atomic_and(memory, gpa, val, out_old);
}

/** 32 bits; see guest_mem_atomic_andb(). */
inline guest_mem_access_result_t guest_mem_atomic_andl(guest_memory_t* memory, uint64_t gpa,
                                                       uint32_t val, uint32_t* out_old) {
    return detail::atomic_and(memory, gpa, val, out_old);
}

/** 64 bits; see guest_mem_atomic_andb(). */
inline guest_mem_access_result_t guest_mem_atomic_andq(guest_memory_t* memory, uint64_t gpa,
                                                       uint64_t val, uint64_t* out_old) {
    return detail::atomic_and(memory, gpa, val, out_old);
}

/** ORs with `val`. `*out_old` is the value before. */
inline guest_mem_access_result_t guest_mem_atomic_orb(guest_memory_t* memory, uint64_t gpa,
                                                      uint8_t val, uint8_t* out_old) {
    return detail::atomic_or(memory, gpa, val, out_old);
}

/** 16 bits; see guest_mem_atomic_orb(). */
inline guest_mem_access_result_t guest_mem_atomic_orw(guest_memory_t* memory, uint64_t gpa,
                                                      uint16_t val, uint16_t* out_old) {
    return detail::atomic_or(memory, gpa, val, out_old);
}

/** 32 bits; see guest_mem_atomic_orb(). */
inline guest_mem_access_result_t guest_mem_atomic_orl(guest_memory_t* memory, uint64_t gpa,
                                                      uint32_t val, uint32_t* out_old) {
    return detail::atomic_or(memory, gpa, val, out_old);
}

/** 64 bits; see guest_mem_atomic_orb(). */
inline guest_mem_access_result_t guest_mem_atomic_orq(guest_memory_t* memory, uint64_t gpa,
                                                      uint64_t val, uint64_t* out_old) {
    return detail::atomic_or(memory, gpa, val, out_old);
}

/** XORs with `val`. `*out_old` is the value before. */
inline guest_mem_access_result_t guest_mem_atomic_xorb(guest_memory_t* memory, uint64_t gpa,
                                                       uint8_t val, uint8_t* out_old) {
    return detail::atomic_xor(memory, gpa, val, out_old);
}

/** 16 bits; see guest_mem_atomic_xorb(). */
inline guest_mem_access_result_t guest_mem_atomic_xorw(guest_memory_t* memory, uint64_t gpa,
                                                       uint16_t val, uint16_t* out_old) {
    return detail::atomic_xor(memory, gpa, val, out_old);
}

/** 32 bits; see guest_mem_atomic_xorb(). */
inline guest_mem_access_result_t guest_mem_atomic_xorl(guest_memory_t* memory, uint64_t gpa,
                                                       uint32_t val, uint32_t* out_old) {
    return detail::atomic_xor(memory, gpa, val, out_old);
}

/** 64 bits; see guest_mem_atomic_xorb(). */
inline guest_mem_access_result_t guest_mem_atomic_xorq(guest_memory_t* memory, uint64_t gpa,
                                                       uint64_t val, uint64_t* out_old) {
    return detail::atomic_xor(memory, gpa, val, out_old);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_GUEST_ATOMIC_H
