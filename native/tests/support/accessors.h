#ifndef POUND_TESTS_SUPPORT_ACCESSORS_H
#define POUND_TESTS_SUPPORT_ACCESSORS_H

#include <cstdint>

#include "kvm/guest.h"

/*
 * Overloads of the eight named accessors, so that a template can select one by the type of the
 * value.
 */
namespace pound::tests {

using kvm::memory::guest_mem_access_result_t;
using kvm::memory::guest_memory_t;

inline guest_mem_access_result_t read(guest_memory_t* memory, uint64_t gpa, uint8_t* out_val) {
    return kvm::memory::guest_mem_readb(memory, gpa, out_val);
}

inline guest_mem_access_result_t read(guest_memory_t* memory, uint64_t gpa, uint16_t* out_val) {
    return kvm::memory::guest_mem_readw(memory, gpa, out_val);
}

inline guest_mem_access_result_t read(guest_memory_t* memory, uint64_t gpa, uint32_t* out_val) {
    return kvm::memory::guest_mem_readl(memory, gpa, out_val);
}

inline guest_mem_access_result_t read(guest_memory_t* memory, uint64_t gpa, uint64_t* out_val) {
    return kvm::memory::guest_mem_readq(memory, gpa, out_val);
}

inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, uint8_t val) {
    return kvm::memory::guest_mem_writeb(memory, gpa, val);
}

inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, uint16_t val) {
    return kvm::memory::guest_mem_writew(memory, gpa, val);
}

inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, uint32_t val) {
    return kvm::memory::guest_mem_writel(memory, gpa, val);
}

inline guest_mem_access_result_t write(guest_memory_t* memory, uint64_t gpa, uint64_t val) {
    return kvm::memory::guest_mem_writeq(memory, gpa, val);
}

} // namespace pound::tests

#endif // POUND_TESTS_SUPPORT_ACCESSORS_H
