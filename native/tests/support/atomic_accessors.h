#ifndef POUND_TESTS_SUPPORT_ATOMIC_ACCESSORS_H
#define POUND_TESTS_SUPPORT_ATOMIC_ACCESSORS_H

#include <cstdint>

#include "kvm/guest_atomic.h"

/*
 * The named atomic accessors, selected by the type of the value. The names end with an underscore
 * because `and`, `or` and `xor` are operators of C++.
 */
namespace pound::tests {

template <typename T>
struct atomics_of;

template <>
struct atomics_of<uint8_t> {
    static constexpr auto load_ = kvm::memory::guest_mem_atomic_loadb;
    static constexpr auto store_ = kvm::memory::guest_mem_atomic_storeb;
    static constexpr auto exchange_ = kvm::memory::guest_mem_atomic_exchangeb;
    static constexpr auto cmpxchg_ = kvm::memory::guest_mem_atomic_cmpxchgb;
    static constexpr auto add_ = kvm::memory::guest_mem_atomic_addb;
    static constexpr auto and_ = kvm::memory::guest_mem_atomic_andb;
    static constexpr auto or_ = kvm::memory::guest_mem_atomic_orb;
    static constexpr auto xor_ = kvm::memory::guest_mem_atomic_xorb;
};

template <>
struct atomics_of<uint16_t> {
    static constexpr auto load_ = kvm::memory::guest_mem_atomic_loadw;
    static constexpr auto store_ = kvm::memory::guest_mem_atomic_storew;
    static constexpr auto exchange_ = kvm::memory::guest_mem_atomic_exchangew;
    static constexpr auto cmpxchg_ = kvm::memory::guest_mem_atomic_cmpxchgw;
    static constexpr auto add_ = kvm::memory::guest_mem_atomic_addw;
    static constexpr auto and_ = kvm::memory::guest_mem_atomic_andw;
    static constexpr auto or_ = kvm::memory::guest_mem_atomic_orw;
    static constexpr auto xor_ = kvm::memory::guest_mem_atomic_xorw;
};

template <>
struct atomics_of<uint32_t> {
    static constexpr auto load_ = kvm::memory::guest_mem_atomic_loadl;
    static constexpr auto store_ = kvm::memory::guest_mem_atomic_storel;
    static constexpr auto exchange_ = kvm::memory::guest_mem_atomic_exchangel;
    static constexpr auto cmpxchg_ = kvm::memory::guest_mem_atomic_cmpxchgl;
    static constexpr auto add_ = kvm::memory::guest_mem_atomic_addl;
    static constexpr auto and_ = kvm::memory::guest_mem_atomic_andl;
    static constexpr auto or_ = kvm::memory::guest_mem_atomic_orl;
    static constexpr auto xor_ = kvm::memory::guest_mem_atomic_xorl;
};

template <>
struct atomics_of<uint64_t> {
    static constexpr auto load_ = kvm::memory::guest_mem_atomic_loadq;
    static constexpr auto store_ = kvm::memory::guest_mem_atomic_storeq;
    static constexpr auto exchange_ = kvm::memory::guest_mem_atomic_exchangeq;
    static constexpr auto cmpxchg_ = kvm::memory::guest_mem_atomic_cmpxchgq;
    static constexpr auto add_ = kvm::memory::guest_mem_atomic_addq;
    static constexpr auto and_ = kvm::memory::guest_mem_atomic_andq;
    static constexpr auto or_ = kvm::memory::guest_mem_atomic_orq;
    static constexpr auto xor_ = kvm::memory::guest_mem_atomic_xorq;
};

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_ATOMIC_ACCESSORS_H
