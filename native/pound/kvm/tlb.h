#ifndef POUND_KVM_TLB_H
#define POUND_KVM_TLB_H

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "kvm/guest.h"
#include "kvm/page_table.h"

namespace pound::kvm::memory {

/**
 * The translation of a virtual page for one kind of access.
 *
 * A page is the address of its first byte as a signed number. NaN, which equals no page, means
 * none. The layout is that of `Tlb` in lib/mmu/tlb.ts.
 */
struct guest_tlb_entry_t {
    /** The page, if JavaScript may access its bytes at `distance`. C++ does not use it. */
    double direct;
    int32_t distance;
    int32_t reserved;
    /** The page that the entry translates. */
    double page;
    /** Guest physical address of the first byte of the page: below 2^53. */
    double target;
};

static_assert(sizeof(guest_tlb_entry_t) == 32 && offsetof(guest_tlb_entry_t, page) == 16,
              "TypeScript has the same layout");

/**
 * A direct-mapped software TLB for one kind of access. The owner may change entries at any time, on
 * the thread that makes the accesses.
 */
struct guest_tlb_t {
    /** One entry for each value of the lowest bits of a page number. */
    const guest_tlb_entry_t* entries;
    /** The number of entries minus 1; the number is a power of two. */
    uint32_t mask;
    /** log2 of the bytes of a page, from 8 to 16. */
    uint32_t page_bits;
};

/**
 * Translates the address of an access of `bytes` bytes, which has to lie in one page.
 *
 * @return False, with `*out_gpa` unchanged, if there is no entry or if the access touches two
 * pages.
 */
inline bool guest_tlb_translate(const guest_tlb_t* tlb, uint64_t va, uint32_t bytes,
                                uint64_t* out_gpa) {
    assert(nullptr != tlb);
    assert(nullptr != out_gpa);
    const uint64_t page_size = uint64_t{1} << tlb->page_bits;
    const uint64_t offset = va & (page_size - 1);
    // A page whose address is not exact as a double is 2^53 or more away from 0. No entry has one.
    const auto page = static_cast<double>(static_cast<int64_t>(va - offset));
    const auto number = static_cast<uint32_t>(va) >> tlb->page_bits;
    const guest_tlb_entry_t& entry = tlb->entries[number & tlb->mask];
    // The bounds keep a damaged entry from making an address that no integer represents.
    if (entry.page != page || offset + bytes > page_size || !(entry.target >= 0) ||
        !(entry.target < 0x1p53)) {
        return false;
    }
    *out_gpa = static_cast<uint64_t>(entry.target) + offset;
    return true;
}

/**
 * As guest_page_read(), at a virtual address.
 *
 * @param tlb The translations for reads.
 * @return False, with `*out_val` unchanged, if the access takes the slow path.
 */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_tlb_read(const guest_tlb_t* tlb, const guest_page_table_t* table, uint64_t va,
                           T* out_val) {
    uint64_t gpa = 0;
    return guest_tlb_translate(tlb, va, sizeof(T), &gpa) &&
           guest_page_read<T, Policy>(table, gpa, out_val);
}

/** As guest_tlb_read(), for an instruction fetch. @param tlb The translations for fetches. */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_tlb_fetch(const guest_tlb_t* tlb, const guest_page_table_t* table, uint64_t va,
                            T* out_val) {
    uint64_t gpa = 0;
    return guest_tlb_translate(tlb, va, sizeof(T), &gpa) &&
           guest_page_fetch<T, Policy>(table, gpa, out_val);
}

/**
 * As guest_page_write(), at a virtual address.
 *
 * @param tlb The translations for writes.
 * @return False, with memory unchanged, if the access takes the slow path.
 */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_tlb_write(const guest_tlb_t* tlb, const guest_page_table_t* table, uint64_t va,
                            T val) {
    uint64_t gpa = 0;
    return guest_tlb_translate(tlb, va, sizeof(T), &gpa) &&
           guest_page_write<T, Policy>(table, gpa, val);
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_TLB_H
