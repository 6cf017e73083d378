#ifndef POUND_KVM_PAGE_TABLE_H
#define POUND_KVM_PAGE_TABLE_H

#include <cassert>
#include <cstdint>
#include <cstring>

#include "host/atomic.h"
#include "kvm/endian.h"
#include "kvm/guest.h"

namespace pound::kvm::memory {

/** The dirty marks of one memory whose pages a page table leads to. */
struct guest_page_marks_t {
    /** A byte for each page of 4096 bytes of the memory; 1 is a mark. */
    uint8_t* bytes;
    uint32_t pages;
    /** The place of the first byte of the memory in `home`, modulo 2^32: a multiple of 8. */
    uint32_t first;
};

/** The number of elements of guest_page_table_t::marks. */
constexpr uint32_t GUEST_PAGE_MARKS = 256;

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
    /** One entry for each page, for reads and for writes that need no dirty mark. */
    const int32_t* reads;
    const int32_t* writes;
    /** The number of entries. */
    uint32_t entries;
    /** log2 of the bytes of a page. */
    uint32_t shift;
    /** The memory that the entries lead to; at most 4 GiB of it. */
    guest_memory_t home;
    /** Entries for instruction fetches; null if all of them take the slow path. */
    const int32_t* fetches = nullptr;
    /** Entries for writes that set a dirty mark; null if all of them take the slow path. */
    const int32_t* tracked = nullptr;
    /** For each page with an entry in `tracked`, the index of its memory in `marks`. */
    const uint8_t* owners = nullptr;
    /** GUEST_PAGE_MARKS elements. */
    const guest_page_marks_t* marks = nullptr;
};

namespace detail {

/**
 * Finds the place in `home` of an access of `bytes` bytes.
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
    // The bound holds for every entry that the owner made. The check keeps a damaged table from
    // giving access to other memory of the process.
    const bool in_home = table->home.size >= bytes && place <= table->home.size - bytes;
    if (alignment == alignment_t::allow) {
        const uint32_t in_page = address & ((uint32_t{1} << table->shift) - 1);
        return (distance & 1) == 0 && (uint32_t{1} << table->shift) - in_page >= bytes && in_home;
    }
    const uint32_t low_bits = bytes == 1 ? distance & 1 : (address | distance) & (bytes - 1);
    return low_bits == 0 && in_home;
}

/** Marks the pages of the memory at a place that find_in_home() found in `tracked`. */
inline void mark_place(const guest_page_table_t* table, uint64_t gpa, uint32_t place,
                       uint32_t bytes) {
    constexpr uint32_t MARK_SHIFT = 12;
    const guest_page_marks_t& marks = table->marks[table->owners[gpa >> table->shift]];
    const uint32_t offset = place - marks.first;
    const uint32_t last = (offset + bytes - 1) >> MARK_SHIFT;
    for (uint32_t page = offset >> MARK_SHIFT; page <= last; ++page) {
        if (page < marks.pages) {
            // Other threads that find the mark must find the written bytes too.
            host::atomic::store_release(marks.bytes + page, uint8_t{1});
        }
    }
}

/**
 * Finds the place of a write.
 *
 * @param out_tracked Whether mark_place() must follow the write.
 */
template <alignment_t alignment = alignment_t::fault>
inline bool find_for_write(const guest_page_table_t* table, uint64_t gpa, uint32_t bytes,
                           uint32_t* out_place, bool* out_tracked) {
    if (find_in_home<alignment>(table, table->writes, gpa, bytes, out_place)) {
        *out_tracked = false;
        return true;
    }
    *out_tracked = true;
    return table->tracked != nullptr &&
           find_in_home<alignment>(table, table->tracked, gpa, bytes, out_place);
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
template <typename Policy = default_access_policy_t, typename T>
inline bool guest_page_read(const guest_page_table_t* table, uint64_t gpa, T* out_val) {
    assert(nullptr != table);
    return detail::read_page<Policy>(table, table->reads, gpa, out_val);
}

/** As guest_page_read(), for an instruction fetch, which needs another right. */
template <typename Policy = default_access_policy_t, typename T>
inline bool guest_page_fetch(const guest_page_table_t* table, uint64_t gpa, T* out_val) {
    assert(nullptr != table);
    return table->fetches != nullptr &&
           detail::read_page<Policy>(table, table->fetches, gpa, out_val);
}

/**
 * Writes 8, 16, 32 or 64 bits at guest physical address `gpa`, little-endian and aligned unless the
 * access policy says otherwise, and marks tracked pages.
 *
 * @return False, with memory unchanged, if the access takes the slow path.
 */
template <typename Policy = default_access_policy_t, typename T>
inline bool guest_page_write(const guest_page_table_t* table, uint64_t gpa, T val) {
    assert(nullptr != table);
    uint32_t place = 0;
    bool tracked = false;
    if (!detail::find_for_write<Policy::alignment>(table, gpa, sizeof(T), &place, &tracked)) {
        return false;
    }
    const T raw = in_order<Policy::endian>(val);
    memcpy(table->home.base + place, &raw, sizeof(T));
    if (tracked) {
        detail::mark_place(table, gpa, place, sizeof(T));
    }
    return true;
}

} // namespace pound::kvm::memory

#endif // POUND_KVM_PAGE_TABLE_H
