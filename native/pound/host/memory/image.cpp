#include "host/memory/image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "host/memory/bus_guard.h"
#include "host/memory/pages.h"

namespace pound::host::memory {

namespace {

/** The most bytes that are copied to a file at once, so that they stay in the processor's cache. */
constexpr size_t COPY_STEP = size_t{256} << 10;

bool is_zero(const uint8_t* data, size_t size) {
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/** Calls `copy(offset, length)` for the parts of the runs that are not zero. */
template <typename Copy>
bool for_nonzero(const uint8_t* data, size_t size, const std::vector<page_run_t>& runs, Copy copy) {
    const size_t page = page_size();
    for (const page_run_t& run : runs) {
        const size_t end = std::min(run.offset + run.length, size);
        size_t start = run.offset;
        for (size_t at = run.offset; at < end; at += page) {
            const bool zero = is_zero(data + at, std::min(page, end - at));
            if ((zero || at - start >= COPY_STEP) && at > start && !copy(start, at - start)) {
                return false;
            }
            if (zero) {
                start = at + page;
            } else if (at - start >= COPY_STEP) {
                start = at;
            }
        }
        if (end > start && !copy(start, end - start)) {
            return false;
        }
    }
    return true;
}

/** The parts of a block that may have other bytes than zeros. */
std::vector<page_run_t> parts_to_copy(const uint8_t* data, size_t size, bool sparse) {
    std::vector<page_run_t> runs;
    return sparse && pages_resident(data, size, &runs)
               ? runs
               : std::vector<page_run_t>{{0, to_pages(size)}};
}

/** A root of a complete file. @return Null if the system refuses to map it. */
std::shared_ptr<const image_root_t> root_of(page_file_t file, size_t size) {
    const uint8_t* bytes = file.map_read_only(size);
    if (bytes == nullptr) {
        return nullptr;
    }
    if (!file.has_name()) {
        file.seal();
    } else if (!bus_guard_add(const_cast<uint8_t*>(bytes), size, -1)) {
        pages_release(const_cast<uint8_t*>(bytes), size);
        return nullptr;
    }
    return std::make_shared<const image_root_t>(std::move(file), bytes, size);
}

std::shared_ptr<const image_root_t> copy_to_file(const uint8_t* data, size_t size, bool sparse) {
    page_file_t file(size);
    const auto write = [&](size_t offset, size_t length) {
        return file.write(offset, data + offset, length);
    };
    if (!file.is_open() || !for_nonzero(data, size, parts_to_copy(data, size, sparse), write)) {
        return nullptr;
    }
    return root_of(std::move(file), size);
}

/** Makes an image without changes of an image of a file. @return Null if memory is short. */
std::shared_ptr<const image_t> flatten(const image_t& image) {
    const image_root_t& root = *image.root();
    const size_t page = page_size();
    page_file_t file(root.size());
    const auto write = [&](size_t offset, size_t length) {
        return file.write(offset, root.bytes() + offset, length);
    };
    if (!file.is_open() ||
        !for_nonzero(root.bytes(), root.size(), root.file().resident(root.size()), write)) {
        return nullptr;
    }
    const page_copies_t& changes = image.changes();
    for (size_t i = 0; i < changes.count(); ++i) {
        if (!file.write(changes.number(i) * page, changes.copy(i), page)) {
            return nullptr;
        }
    }
    auto flat = root_of(std::move(file), root.size());
    return flat == nullptr ? nullptr
                           : std::make_shared<const image_t>(std::move(flat), page_copies_t());
}

} // namespace

image_root_t::image_root_t(page_file_t file, const uint8_t* bytes, size_t size)
    : file_(std::move(file)), bytes_(bytes), size_(size) {
}

image_root_t::~image_root_t() {
    pages_release(const_cast<uint8_t*>(bytes_), size_);
}

page_copies_t::~page_copies_t() {
    if (bytes_ != nullptr) {
        pages_release(bytes_, reserved_);
    }
}

page_copies_t::page_copies_t(page_copies_t&& other) noexcept
    : numbers_(std::move(other.numbers_)), bytes_(std::exchange(other.bytes_, nullptr)),
      reserved_(std::exchange(other.reserved_, 0)) {
    other.numbers_.clear();
}

page_copies_t& page_copies_t::operator=(page_copies_t&& other) noexcept {
    std::swap(numbers_, other.numbers_);
    std::swap(bytes_, other.bytes_);
    std::swap(reserved_, other.reserved_);
    return *this;
}

bool page_copies_t::reserve(size_t count) {
    if (bytes_ != nullptr) {
        pages_release(bytes_, reserved_);
        bytes_ = nullptr;
    }
    numbers_.clear();
    reserved_ = count * page_size();
    bytes_ = count == 0 ? nullptr : static_cast<uint8_t*>(pages_reserve(reserved_));
    return bytes_ != nullptr || count == 0;
}

const uint8_t* page_copies_t::find(size_t number) const {
    const auto found = std::lower_bound(numbers_.begin(), numbers_.end(), number);
    return found == numbers_.end() || *found != number
               ? nullptr
               : copy(static_cast<size_t>(found - numbers_.begin()));
}

std::shared_ptr<const image_t> image_t::for_block(const std::shared_ptr<const image_t>& image) {
    const size_t changed = image->changes_.count();
    if (changed == 0 || !image->root_->file().is_open()) {
        return image;
    }
    if (image->flatten_at_ == 0) {
        image->flatten_at_ =
            std::max(2 * changed, image->root_->file().resident_bytes() / page_size() / 4);
    }
    if (image->flat_ == nullptr && image->copied_ >= image->flatten_at_) {
        image->flat_ = flatten(*image);
    }
    image->copied_ += changed;
    return image->flat_ == nullptr ? image : image->flat_;
}

std::shared_ptr<const image_root_t> image_root_copy(const uint8_t* data, size_t size, bool sparse) {
    auto root = page_files_work() ? copy_to_file(data, size, sparse) : nullptr;
    if (root != nullptr) {
        return root;
    }
    const uint8_t* bytes = pages_reserve_copy(data, size, sparse);
    return bytes == nullptr ? nullptr
                            : std::make_shared<const image_root_t>(page_file_t(), bytes, size);
}

std::shared_ptr<const image_root_t> image_root_of(page_file_t file, size_t size) {
    return file.is_open() && page_files_work() ? root_of(std::move(file), size) : nullptr;
}

bool image_root_t::has_lost() const {
    return file_.has_name() && bus_guard_has_replaced(bytes_);
}

uint8_t* pages_reserve_copy(const uint8_t* data, size_t size, bool sparse) {
    auto* bytes = static_cast<uint8_t*>(pages_reserve(size));
    if (bytes == nullptr) {
        return nullptr;
    }
    const auto write = [&](size_t offset, size_t length) {
        memcpy(bytes + offset, data + offset, length);
        return true;
    };
    static_cast<void>(for_nonzero(data, size, parts_to_copy(data, size, sparse), write));
    return bytes;
}

} // namespace pound::host::memory
