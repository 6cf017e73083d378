#ifndef POUND_KVM_PAGE_TABLE_H
#define POUND_KVM_PAGE_TABLE_H

#include <atomic>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "kvm/endian.h"
#include "kvm/guest.h"

namespace pound::kvm::memory {

/**
 * The page table of an address space, for guest physical addresses below 4 GiB.
 *
 * An entry is 0 if accesses to the page take the slow path: a hole, a device, a watched page, other
 * memory than `home`, or a page without the right for the access. Any other entry is the distance
 * in bytes from a guest physical address of the page to its place in `home`, modulo 2^32, with all
 * bits inverted. A distance is a multiple of 8, so that the lowest three bits of an inverted entry
 * are 0, or 1 for the slow path.
 *
 * The owner of the table may change entries at any time, on the thread that makes the accesses.
 */
struct guest_page_table_t {
    /** One entry for each page. */
    const int32_t* reads;
    const int32_t* writes;
    /** The number of entries. */
    uint32_t entries;
    /** log2 of the bytes of a page. */
    uint32_t shift;
    /** The memory that the entries lead to; at most 4 GiB of it. */
    guest_memory_t home;
    /**
     * Dirty marks: a byte for each 4096 bytes of `home`, which a write sets to 1 after it has
     * written the bytes. Null if writes set no mark. Other threads may clear marks.
     */
    std::atomic<uint8_t>* marks = nullptr;
    /** The number of marks. A write to a page without one takes the slow path. */
    uint32_t marked_pages = 0;
    /** Entries for instruction fetches; null if all of them take the slow path. */
    const int32_t* fetches = nullptr;
};

namespace detail {

/** The bytes of `home` that share a mark. */
constexpr uint32_t MARKED_BYTES = 4096;

/**
 * Finds the place in `home` of an access of `bytes` bytes.
 *
 * Under alignment_t::allow, an access may touch two pages if they have the same entry, so that
 * their bytes are adjacent in `home`.
 *
 * @param entries One of the arrays of the table; not null.
 * @return False if the access takes the slow path, or if its alignment is a fault.
 */
template <alignment_t alignment = alignment_t::fault>
inline bool find_in_home(const guest_page_table_t* table, const int32_t* entries, uint64_t gpa,
                         uint32_t bytes, uint32_t* out_place) {
    const uint64_t page = gpa >> table->shift;
    if (page >= table->entries) {
        return false;
    }
    const auto address = static_cast<uint32_t>(gpa);
    const uint32_t distance = ~static_cast<uint32_t>(entries[page]);
    const uint32_t place = address + distance;
    *out_place = place;
    uint32_t low_bits = distance & 1;
    if (bytes > 1 && alignment == alignment_t::fault) {
        low_bits = (address | distance) & (bytes - 1);
    } else if (bytes > 1) {
        const uint64_t last_page = (gpa + bytes - 1) >> table->shift;
        if (last_page >= table->entries || entries[last_page] != entries[page]) {
            return false;
        }
    }
    // The bound holds for every entry that the owner made. The check keeps a damaged table from
    // giving access to other memory of the process.
    const bool in_home = table->home.size >= bytes && place <= table->home.size - bytes;
    return low_bits == 0 && in_home;
}

/** Finds the place of a write, whose pages have marks if writes set marks. */
template <alignment_t alignment = alignment_t::fault>
inline bool find_for_write(const guest_page_table_t* table, uint64_t gpa, uint32_t bytes,
                           uint32_t* out_place) {
    return find_in_home<alignment>(table, table->writes, gpa, bytes, out_place) &&
           (table->marks == nullptr ||
            (*out_place + bytes - 1) / MARKED_BYTES < table->marked_pages);
}

/** Marks the pages of a write that has been made at a place of find_for_write(). */
template <alignment_t alignment = alignment_t::fault>
inline void mark_place(const guest_page_table_t* table, uint32_t place, uint32_t bytes) {
    if (table->marks != nullptr) {
        // A thread that clears a mark and then reads the page must find the bytes.
        table->marks[place / MARKED_BYTES].store(1, std::memory_order_release);
        if (alignment == alignment_t::allow) {
            const uint32_t last = (place + bytes - 1) / MARKED_BYTES;
            table->marks[last].store(1, std::memory_order_release);
        }
    }
}

template <typename Policy, typename T>
inline bool read_page(const guest_page_table_t* table, const int32_t* entries, uint64_t gpa,
                      T* out_val) {
    assert(nullptr != out_val);
    uint32_t place = 0;
    if (!find_in_home<Policy::alignment>(table, entries, gpa, sizeof(T), &place)) {
        return false;
    }
    T raw;
    memcpy(&raw, table->home.base + place, sizeof(T));
    *out_val = in_order<Policy::endian>(raw);
    return true;
}

} // namespace detail

/**
 * Reads 8, 16, 32 or 64 bits at guest physical address `gpa`, little-endian and aligned unless the
 * access policy says otherwise.
 *
 * @return False, with `*out_val` unchanged, if the access takes the slow path.
 */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_page_read(const guest_page_table_t* table, uint64_t gpa, T* out_val) {
    assert(nullptr != table);
    return detail::read_page<Policy>(table, table->reads, gpa, out_val);
}

/** As guest_page_read(), for an instruction fetch, which needs another right. */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_page_fetch(const guest_page_table_t* table, uint64_t gpa, T* out_val) {
    assert(nullptr != table);
    return table->fetches != nullptr &&
           detail::read_page<Policy>(table, table->fetches, gpa, out_val);
}

/**
 * Writes 8, 16, 32 or 64 bits at guest physical address `gpa`, little-endian and aligned unless the
 * access policy says otherwise, and marks the pages that it touches.
 *
 * @return False, with memory unchanged, if the access takes the slow path.
 */
template <typename T, typename Policy = default_access_policy_t>
inline bool guest_page_write(const guest_page_table_t* table, uint64_t gpa, T val) {
    assert(nullptr != table);
    uint32_t place = 0;
    if (!detail::find_for_write<Policy::alignment>(table, gpa, sizeof(T), &place)) {
        return false;
    }
    const T raw = in_order<Policy::endian>(val);
    memcpy(table->home.base + place, &raw, sizeof(T));
    detail::mark_place<Policy::alignment>(table, place, sizeof(T));
    return true;
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_PAGE_TABLE_H
