#ifndef POUND_HOST_MEMORY_FORKABLE_H
#define POUND_HOST_MEMORY_FORKABLE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "host/memory/image.h"
#include "host/memory/page_file.h"

namespace pound::host::memory {

/** Result of a fork. */
enum fork_result_t : uint8_t {
    FORK_OK = 0,
    /** The operating system refused memory. */
    FORK_ERROR_NO_MEMORY,
    /** Other threads wrote to the block all the time. */
    FORK_ERROR_BUSY,
};

/** Whether fork() of blocks shares memory on this system. If not, it copies. */
[[nodiscard]] inline bool forks_share_memory() {
    return page_files_work();
}

/**
 * A block of pages that can be forked, and reset to the state of its last fork. It does not own the
 * block: pages_release() releases it, whatever is mapped there.
 *
 * A block that was forked, or that was made by a fork, has a base: an image with the bytes that it
 * had then. It is a private mapping of the base's root if the system has page files. Thus the base
 * and all blocks made of it share the pages that none of them has written.
 *
 * Objects that share a base belong to one thread. Other threads may write to the block.
 */
class forkable_t {
public:
    /** What a block consists of. */
    enum class kind_t {
        /** Pages of pages_reserve(). The first fork() copies those that have memory. */
        PAGES,
        /** Memory of the caller, which is never mapped anew. fork() copies it. */
        CALLER,
        /** As CALLER, but it may map a file, whose pages have bytes before the first access. */
        MAPPED,
    };

    /** A block that was not forked yet. */
    forkable_t(uint8_t* data, size_t size, kind_t kind) : data_(data), size_(size), kind_(kind) {
    }

    /**
     * Reserves a block whose first fork() copies nothing.
     *
     * @return The block; or nothing if the system has no page files, or refuses one.
     */
    [[nodiscard]] static std::optional<forkable_t> reserve(size_t size);

    /**
     * Makes a block of the bytes of a file, which it and its clones share until they write. It is
     * as if it was made by a fork() of a block with these bytes.
     *
     * When an access finds that a page of the file is gone, all bytes of that block are zeros:
     * has_lost().
     *
     * @return Nothing if the system cannot do that.
     */
    [[nodiscard]] static std::optional<forkable_t> map(page_file_t file, size_t size);

    /** Whether bytes of the file of map() were lost. */
    [[nodiscard]] bool has_lost() const;

    forkable_t(forkable_t&&) noexcept = default;
    forkable_t& operator=(forkable_t&&) noexcept = default;

    [[nodiscard]] uint8_t* data() const {
        return data_;
    }

    [[nodiscard]] size_t size() const {
        return size_;
    }

    /**
     * Makes a block with the bytes of this one. The two share memory if the system can do that.
     * The address of this block and its bytes do not change.
     *
     * Other threads may write to the block meanwhile, except for the first fork() of pages of
     * pages_reserve(). The clone then has the bytes that the block had at one moment. The first
     * fork() of a block of reserve() is one step for them. All others look at the pages that may
     * have changed until they find the same bytes twice, and fail with FORK_ERROR_BUSY if that does
     * not happen.
     *
     * @param clone Receives the new block; nothing if the result is not FORK_OK.
     * @param into  Memory of the caller for the new block, as large as this block; null for pages
     *              that pages_release() releases.
     */
    [[nodiscard]] fork_result_t fork(std::optional<forkable_t>* clone, uint8_t* into = nullptr);

    /** As fork(), without a clone: reset() restores the present bytes from now on. */
    [[nodiscard]] fork_result_t rebase();

    /**
     * Called for each page that differs from the base, before a reset writes it: with the offset
     * and the length of the bytes from the first to the last one that differs.
     */
    using changed_t = std::function<void(size_t offset, size_t length)>;

    /**
     * Gives bytes of the block the values that they had at the last fork() or rebase(), or in the
     * block that it was made of. Takes time in proportion to the pages that were written since
     * then.
     *
     * @param from    Offset in bytes of the first byte.
     * @param to      Offset in bytes after the last one.
     * @param changed May be empty, which saves time.
     * @return The number of pages that had other bytes; or nothing if there was no fork.
     */
    std::optional<size_t> reset(size_t from, size_t to, const changed_t& changed);

    /**
     * Finds the bytes that reset() would change.
     *
     * @return False if there was no fork.
     */
    [[nodiscard]] bool find_changes(size_t from, size_t to, const changed_t& changed) const;

    /** Makes the block one that was not forked yet. Its pages without memory must be zero. */
    void forget() {
        base_ = nullptr;
    }

    /**
     * The pages that may not be zero, in ascending order: those that were written, and some that
     * were only read. Looks at no bytes. All pages if the system cannot tell, and of the caller's
     * memory.
     */
    [[nodiscard]] std::vector<page_run_t> resident() const;

    /** Returns memory that no other block uses to the system. The bytes have undefined values. */
    void discard();

    /** Whether the block has pages of pages_reserve() still, which pages_clear() can clear. */
    [[nodiscard]] bool is_ordinary() const {
        return mapped_ == nullptr && !file_.is_open();
    }

private:
    forkable_t(uint8_t* data, size_t size, page_file_t file)
        : data_(data), size_(size), kind_(kind_t::PAGES), file_(std::move(file)) {
    }

    /** Makes the first base. @return False if memory is short. */
    [[nodiscard]] bool make_base();
    /** Makes a base with the present bytes, unless the base has them. */
    [[nodiscard]] fork_result_t renew_base();
    /** The pages that may differ from the base. */
    [[nodiscard]] std::vector<page_run_t> candidates() const;
    /** Bytes of a page that lie in the block. */
    [[nodiscard]] size_t length_of(size_t number) const;
    [[nodiscard]] bool equals(size_t number, const uint8_t* bytes) const;
    /** Whether all pages of the runs have the bytes of the image. */
    [[nodiscard]] bool holds(const image_t& image, const std::vector<page_run_t>& runs) const;
    /** Copies the pages of the runs that differ from the root of the base. */
    [[nodiscard]] std::optional<page_copies_t>
    copy_changes(const std::vector<page_run_t>& runs) const;
    /**
     * Calls `visit(number, start, length, bytes, differs)` for each page that may differ from the
     * base, or its part in the range: the number of the page, the offset and the length of the
     * part, its bytes in the base, and whether those in the block differ.
     */
    template <typename Visit>
    void for_parts(size_t from, size_t to, Visit visit) const;
    [[nodiscard]] static std::optional<forkable_t> make(std::shared_ptr<const image_t> image,
                                                        uint8_t* into);

    uint8_t* data_;
    size_t size_;
    kind_t kind_;
    /** The file that the block is a shared mapping of; not open if it is none. */
    page_file_t file_;
    /** The root that the block is a private mapping of; null if it is none. */
    std::shared_ptr<const image_root_t> mapped_;
    std::shared_ptr<const image_t> base_;
};

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_FORKABLE_H
