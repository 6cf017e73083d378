#ifndef POUND_HOST_MEMORY_IMAGE_H
#define POUND_HOST_MEMORY_IMAGE_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/memory/page_file.h"

namespace pound::host::memory {

/**
 * All bytes of a block at one moment. If the system has page files, private mappings of the file
 * share its pages.
 */
class image_root_t {
public:
    /**
     * @param file  The file of the bytes, whose contents must not change any more. Not open for
     *              systems without page files.
     * @param bytes A mapping of the file, or a block of pages_reserve(), which the root takes over.
     */
    image_root_t(page_file_t file, const uint8_t* bytes, size_t size);

    ~image_root_t();

    image_root_t(const image_root_t&) = delete;
    image_root_t& operator=(const image_root_t&) = delete;

    /** The bytes. */
    [[nodiscard]] const uint8_t* bytes() const {
        return bytes_;
    }

    [[nodiscard]] size_t size() const {
        return size_;
    }

    /** The file; not open if there is none. */
    [[nodiscard]] const page_file_t& file() const {
        return file_;
    }

    /** Whether bytes of a file with a name were lost, so that all bytes are zeros now. */
    [[nodiscard]] bool has_lost() const;

private:
    page_file_t file_;
    const uint8_t* bytes_;
    size_t size_;
};

/** Pages with a copy of their bytes, in ascending order. */
class page_copies_t {
public:
    page_copies_t() = default;
    ~page_copies_t();

    page_copies_t(page_copies_t&& other) noexcept;
    page_copies_t& operator=(page_copies_t&& other) noexcept;

    /** Reserves memory for copies of so many pages. @return False if the system refuses. */
    [[nodiscard]] bool reserve(size_t count);

    /** Memory for the next copy. It counts as a copy only after add(). */
    [[nodiscard]] uint8_t* next() const {
        return bytes_ + numbers_.size() * page_size();
    }

    /** Adds the copy in next(), of a page with a higher number than all others. */
    void add(size_t number) {
        numbers_.push_back(number);
    }

    [[nodiscard]] size_t count() const {
        return numbers_.size();
    }

    /** The number of a page: its offset in the block divided by page_size(). */
    [[nodiscard]] size_t number(size_t index) const {
        return numbers_[index];
    }

    [[nodiscard]] const uint8_t* copy(size_t index) const {
        return bytes_ + index * page_size();
    }

    /** The copy of a page; null if there is none. */
    [[nodiscard]] const uint8_t* find(size_t number) const;

private:
    std::vector<size_t> numbers_;
    uint8_t* bytes_ = nullptr;
    size_t reserved_ = 0;
};

/**
 * The bytes of a block at one moment, from which any number of blocks can be made: a root, and
 * copies of the pages that differ from it. Images of one thread only share a root.
 */
class image_t {
public:
    image_t(std::shared_ptr<const image_root_t> root, page_copies_t changes)
        : root_(std::move(root)), changes_(std::move(changes)) {
    }

    [[nodiscard]] const std::shared_ptr<const image_root_t>& root() const {
        return root_;
    }

    /** The pages that differ from the root. */
    [[nodiscard]] const page_copies_t& changes() const {
        return changes_;
    }

    /** The bytes of a page. */
    [[nodiscard]] const uint8_t* page(size_t number) const {
        const uint8_t* copy = changes_.find(number);
        return copy != nullptr ? copy : root_->bytes() + number * page_size();
    }

    /**
     * An image with the same bytes from which a block is cheap to make: this one, or one without
     * changes if more pages were copied for blocks of this image than the other copies.
     */
    [[nodiscard]] static std::shared_ptr<const image_t>
    for_block(const std::shared_ptr<const image_t>& image);

private:
    std::shared_ptr<const image_root_t> root_;
    page_copies_t changes_;
    /** The pages copied for blocks so far. */
    mutable size_t copied_ = 0;
    /** From how many copied pages on for_block() makes an image without changes; 0 if not known. */
    mutable size_t flatten_at_ = 0;
    mutable std::shared_ptr<const image_t> flat_;
};

/**
 * Makes a root with a copy of a block.
 *
 * @param sparse Whether pages of the block that have no memory are zero, as those of
 *               pages_reserve(). Pages of a mapped file are not.
 * @return Null if memory is short.
 */
[[nodiscard]] std::shared_ptr<const image_root_t> image_root_copy(const uint8_t* data, size_t size,
                                                                  bool sparse);

/**
 * Makes a root of a file with a name.
 *
 * @return Null if the file is not open, or the system has no page files or refuses to map it.
 */
[[nodiscard]] std::shared_ptr<const image_root_t> image_root_of(page_file_t file, size_t size);

/**
 * Makes a block of pages_reserve() with a copy of another block.
 *
 * @param sparse As for image_root_copy().
 * @return The block; null if memory is short.
 */
[[nodiscard]] uint8_t* pages_reserve_copy(const uint8_t* data, size_t size, bool sparse);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_IMAGE_H
