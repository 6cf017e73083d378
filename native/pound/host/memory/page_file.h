#ifndef POUND_HOST_MEMORY_PAGE_FILE_H
#define POUND_HOST_MEMORY_PAGE_FILE_H

#include <cstddef>
#include <cstdint>
#include <vector>

/*
 * Files without a name, whose pages several blocks of memory map. The only code that depends on how
 * the operating system shares pages until they are written (copy on write).
 *
 * Linux has them as memfd. On other systems, and where the system refuses, no file can be made, and
 * every function fails.
 */
namespace pound::host::memory {

/** Consecutive pages of a block: offsets in bytes from its start, multiples of page_size(). */
struct page_run_t {
    size_t offset;
    size_t length;

    friend bool operator==(const page_run_t& left, const page_run_t& right) {
        return left.offset == right.offset && left.length == right.length;
    }
};

/** Adds a run after those of a list, and joins it with the last one if they are adjacent. */
inline void add_run(std::vector<page_run_t>* runs, size_t offset, size_t length) {
    if (!runs->empty() && runs->back().offset + runs->back().length == offset) {
        runs->back().length += length;
    } else {
        runs->push_back({offset, length});
    }
}

/** Bytes of a page of the system. */
[[nodiscard]] size_t page_size();

/** `size` rounded up to a multiple of page_size(). */
[[nodiscard]] inline size_t to_pages(size_t size) {
    const size_t mask = page_size() - 1;
    return (size + mask) & ~mask;
}

/**
 * A file of zeros, which has memory for the pages that were written, or read through a mapping. Or
 * a part of a file that has a name, which is only read. Movable only.
 */
class page_file_t {
public:
    page_file_t() = default;

    /** Makes a file of `size` bytes. It is not open if the system refuses. */
    explicit page_file_t(size_t size);

    /**
     * Opens a part of a file. It must not change as long as it is mapped.
     *
     * @param descriptor Open for reading. The object keeps a duplicate.
     * @param offset     Bytes, a multiple of page_size().
     * @return A file that is not open if the system refuses.
     */
    [[nodiscard]] static page_file_t part_of(int descriptor, uint64_t offset);

    /** Closes the file. Mappings keep its pages. */
    ~page_file_t();

    page_file_t(page_file_t&& other) noexcept;
    page_file_t& operator=(page_file_t&& other) noexcept;

    [[nodiscard]] bool is_open() const {
        return descriptor_ >= 0;
    }

    /** Whether the file has a name, so that it may lose pages that are mapped (bus_guard.h). */
    [[nodiscard]] bool has_name() const {
        return has_name_;
    }

    /** Writes bytes to the file. @return False if the system refuses, for lack of memory. */
    [[nodiscard]] bool write(size_t offset, const uint8_t* data, size_t length) const;

    /** The parts of the first `size` bytes that have memory. All of it if the system cannot tell.
     */
    [[nodiscard]] std::vector<page_run_t> resident(size_t size) const;

    /** Bytes of the parts that have memory; 0 if the system cannot tell. Looks at none of them. */
    [[nodiscard]] size_t resident_bytes() const;

    /** Maps the file so that writes change it. @return Null if the system refuses. */
    [[nodiscard]] void* map_shared(size_t size) const;

    /** Maps the file so that writes stay in the mapping. @return Null if the system refuses. */
    [[nodiscard]] void* map_private(size_t size) const;

    /** Maps the file for reads only. @return Null if the system refuses. */
    [[nodiscard]] const uint8_t* map_read_only(size_t size) const;

    /**
     * Maps the file for reads only, as map_read_only(), and moves the page table entries of the
     * shared mapping at `data` there. That mapping finds its pages in the file again. Without
     * entries, replace() of it takes no time in proportion to them.
     *
     * @return Null if the system refuses. The shared mapping is unchanged then.
     */
    [[nodiscard]] const uint8_t* map_with_entries_of(void* data, size_t size) const;

    /**
     * Replaces the block at `data` by a private mapping of the file, at the same address.
     *
     * The replacement is one step for other threads: the accesses that a thread makes before it go
     * to the old block, and those after it to the new mapping. If a thread makes several, in this
     * order.
     *
     * @return False if the system refuses. The block is unchanged then.
     */
    [[nodiscard]] bool replace(void* data, size_t size) const;

    /** Forbids all further changes of the file, by any means. */
    void seal() const;

private:
    int descriptor_ = -1;
    /** The offset of the part. */
    uint64_t offset_ = 0;
    bool has_name_ = false;
};

/**
 * The bytes of any open file. Signal handlers may call it. Not on Windows.
 *
 * @return False if the system refuses; `errno` says why.
 */
[[nodiscard]] bool descriptor_size(int descriptor, uint64_t* size);

/** Whether the system shares pages of a page_file_t until they are written. */
[[nodiscard]] bool page_files_work();

/**
 * The pages of a private mapping of a page_file_t that were written since it was made, or since
 * pages_unwrite() of them, in ascending order. A page that was written with the same bytes counts.
 *
 * @return False if the system cannot tell. Any page may have been written then.
 */
[[nodiscard]] bool pages_written(const void* data, size_t size, std::vector<page_run_t>* runs);

/**
 * The pages of a block of pages_reserve() that have memory, in ascending order. The others are
 * zero.
 *
 * @return False if the system cannot tell.
 */
[[nodiscard]] bool pages_resident(const void* data, size_t size, std::vector<page_run_t>* runs);

/**
 * Returns memory of a mapping of a page_file_t to the system: that of the written pages, and for a
 * shared mapping that of the file. The bytes have undefined values afterwards.
 */
void pages_drop(void* data, size_t size);

/**
 * Gives written pages of a private mapping of a page_file_t back to the system: they have the bytes
 * of the file again.
 *
 * @return False if the system cannot do that. The pages have their bytes or those of the file.
 */
[[nodiscard]] bool pages_unwrite(void* data, const std::vector<page_run_t>& runs);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_PAGE_FILE_H
