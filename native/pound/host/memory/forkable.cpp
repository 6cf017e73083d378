#include "host/memory/forkable.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "host/memory/bus_guard.h"
#include "host/memory/pages.h"

namespace pound::host::memory {

namespace {

/**
 * The most written pages that reset() keeps. Kept pages have their old bytes copied back, which is
 * faster than giving the page to the system and getting another at the next write.
 */
constexpr size_t MAX_KEPT = 16384;

/** How often fork() looks again at pages that other threads write. */
constexpr int ATTEMPTS = 100;

/** Calls `use(number)` for each page of the runs, until it returns false. */
template <typename Use>
bool for_pages(const std::vector<page_run_t>& runs, Use use) {
    const size_t page = page_size();
    for (const page_run_t& run : runs) {
        for (size_t at = run.offset; at < run.offset + run.length; at += page) {
            if (!use(at / page)) {
                return false;
            }
        }
    }
    return true;
}

/** The pages that are in either list. */
std::vector<page_run_t> united(std::vector<page_run_t> left, const std::vector<page_run_t>& right) {
    left.insert(left.end(), right.begin(), right.end());
    std::sort(left.begin(), left.end(),
              [](const page_run_t& a, const page_run_t& b) { return a.offset < b.offset; });
    std::vector<page_run_t> runs;
    for (const page_run_t& run : left) {
        if (!runs.empty() && run.offset <= runs.back().offset + runs.back().length) {
            page_run_t& last = runs.back();
            last.length = std::max(last.length, run.offset + run.length - last.offset);
        } else {
            runs.push_back(run);
        }
    }
    return runs;
}

/** Calls `changed` for the bytes of a part from the first to the last one that differs. */
void call_with_changes(const uint8_t* data, size_t start, size_t length, const uint8_t* bytes,
                       const forkable_t::changed_t& changed) {
    const uint8_t* part = data + start;
    size_t first = 0;
    size_t last = length;
    while (first < last && part[first] == bytes[first]) {
        ++first;
    }
    while (last > first && part[last - 1] == bytes[last - 1]) {
        --last;
    }
    // Another thread may have written the right bytes since the comparison.
    if (first < last) {
        changed(start + first, last - first);
    }
}

} // namespace

std::optional<forkable_t> forkable_t::reserve(size_t size) {
    if (!page_files_work()) {
        return std::nullopt;
    }
    page_file_t file(size);
    void* data = file.is_open() ? file.map_shared(size) : nullptr;
    if (data == nullptr) {
        return std::nullopt;
    }
    return forkable_t(static_cast<uint8_t*>(data), size, std::move(file));
}

std::optional<forkable_t> forkable_t::map(page_file_t file, size_t size) {
    auto root = image_root_of(std::move(file), size);
    return root == nullptr
               ? std::nullopt
               : make(std::make_shared<const image_t>(std::move(root), page_copies_t()), nullptr);
}

bool forkable_t::has_lost() const {
    return (mapped_ != nullptr && mapped_->file().has_name() && bus_guard_has_replaced(data_)) ||
           (mapped_ != nullptr && mapped_->has_lost()) ||
           (base_ != nullptr && base_->root()->has_lost());
}

std::vector<page_run_t> forkable_t::candidates() const {
    std::vector<page_run_t> runs;
    if (mapped_ == nullptr || !pages_written(data_, size_, &runs)) {
        runs.assign(1, {0, to_pages(size_)});
    }
    return runs;
}

std::vector<page_run_t> forkable_t::resident() const {
    if (file_.is_open()) {
        return file_.resident(size_);
    }
    std::vector<page_run_t> runs;
    const bool found =
        kind_ == kind_t::PAGES && (mapped_ == nullptr ? pages_resident(data_, size_, &runs)
                                                      : pages_written(data_, size_, &runs));
    if (!found) {
        return {{0, to_pages(size_)}};
    }
    return mapped_ == nullptr ? runs : united(std::move(runs), mapped_->file().resident(size_));
}

bool forkable_t::make_base() {
    std::shared_ptr<const image_root_t> root;
    if (file_.is_open()) {
        const uint8_t* bytes = file_.map_with_entries_of(data_, size_);
        if (bytes == nullptr) {
            bytes = file_.map_read_only(size_);
        }
        if (bytes == nullptr) {
            return false;
        }
        if (!file_.replace(data_, size_)) {
            pages_release(const_cast<uint8_t*>(bytes), size_);
            return false;
        }
        file_.seal();
        root =
            std::make_shared<const image_root_t>(std::exchange(file_, page_file_t()), bytes, size_);
        mapped_ = root;
    } else {
        root = image_root_copy(data_, size_, kind_ != kind_t::MAPPED);
        if (root == nullptr) {
            return false;
        }
        // If the system refuses, the block keeps pages of its own.
        if (kind_ == kind_t::PAGES && root->file().is_open() &&
            root->file().replace(data_, size_)) {
            mapped_ = root;
        }
    }
    base_ = std::make_shared<const image_t>(std::move(root), page_copies_t());
    return true;
}

size_t forkable_t::length_of(size_t number) const {
    return std::min(page_size(), size_ - number * page_size());
}

bool forkable_t::equals(size_t number, const uint8_t* bytes) const {
    return memcmp(data_ + number * page_size(), bytes, length_of(number)) == 0;
}

bool forkable_t::holds(const image_t& image, const std::vector<page_run_t>& runs) const {
    return for_pages(runs, [&](size_t number) { return equals(number, image.page(number)); });
}

std::optional<page_copies_t> forkable_t::copy_changes(const std::vector<page_run_t>& runs) const {
    const image_root_t& root = *base_->root();
    const auto root_page = [&](size_t number) { return root.bytes() + number * page_size(); };
    size_t count = 0;
    for_pages(runs, [&](size_t number) {
        count += equals(number, root_page(number)) ? 0 : 1;
        return true;
    });
    page_copies_t copies;
    if (!copies.reserve(count)) {
        return std::nullopt;
    }
    for_pages(runs, [&](size_t number) {
        if (!equals(number, root_page(number)) && copies.count() < count) {
            memcpy(copies.next(), data_ + number * page_size(), length_of(number));
            copies.add(number);
        }
        return true;
    });
    return copies;
}

fork_result_t forkable_t::renew_base() {
    // Two looks with the same result: the block had these bytes in the time between.
    for (int attempt = 0; attempt < ATTEMPTS; ++attempt) {
        const std::vector<page_run_t> runs = candidates();
        if (attempt == 0 && holds(*base_, runs)) {
            return FORK_OK;
        }
        auto copies = copy_changes(runs);
        if (!copies) {
            return FORK_ERROR_NO_MEMORY;
        }
        auto image = std::make_shared<const image_t>(base_->root(), std::move(*copies));
        if (candidates() == runs && holds(*image, runs)) {
            base_ = std::move(image);
            return FORK_OK;
        }
    }
    return FORK_ERROR_BUSY;
}

fork_result_t forkable_t::rebase() {
    const bool is_first = base_ == nullptr;
    if (is_first && !make_base()) {
        return FORK_ERROR_NO_MEMORY;
    }
    // The copy of memory that other threads may write was one look at it.
    return is_first && kind_ == kind_t::PAGES ? FORK_OK : renew_base();
}

fork_result_t forkable_t::fork(std::optional<forkable_t>* clone, uint8_t* into) {
    clone->reset();
    const fork_result_t result = rebase();
    if (result != FORK_OK) {
        return result;
    }
    base_ = image_t::for_block(base_);
    *clone = make(base_, into);
    return *clone ? FORK_OK : FORK_ERROR_NO_MEMORY;
}

std::optional<forkable_t> forkable_t::make(std::shared_ptr<const image_t> image, uint8_t* into) {
    const std::shared_ptr<const image_root_t>& root = image->root();
    const size_t size = root->size();
    const bool shares = root->file().is_open() && into == nullptr;
    uint8_t* data = into;
    if (into != nullptr) {
        memcpy(into, root->bytes(), size);
    } else if (shares) {
        data = static_cast<uint8_t*>(root->file().map_private(size));
    } else {
        data = pages_reserve_copy(root->bytes(), size, true);
    }
    if (shares && data != nullptr && root->file().has_name() && !bus_guard_add(data, size, -1)) {
        pages_release(data, size);
        data = nullptr;
    }
    if (data == nullptr) {
        return std::nullopt;
    }
    forkable_t made(data, size, into == nullptr ? kind_t::PAGES : kind_t::CALLER);
    if (shares) {
        made.mapped_ = root;
    }
    const page_copies_t& changes = image->changes();
    for (size_t i = 0; i < changes.count(); ++i) {
        const size_t number = changes.number(i);
        memcpy(data + number * page_size(), changes.copy(i), made.length_of(number));
    }
    made.base_ = std::move(image);
    return made;
}

template <typename Visit>
void forkable_t::for_parts(size_t from, size_t to, Visit visit) const {
    for_pages(candidates(), [&](size_t number) {
        const size_t page_start = number * page_size();
        const size_t start = std::max(page_start, from);
        const size_t end = std::min(page_start + length_of(number), to);
        if (start < end) {
            const uint8_t* bytes = base_->page(number) + (start - page_start);
            visit(number, start, end - start, bytes,
                  memcmp(data_ + start, bytes, end - start) != 0);
        }
        return page_start < to;
    });
}

bool forkable_t::find_changes(size_t from, size_t to, const changed_t& changed) const {
    if (base_ == nullptr) {
        return false;
    }
    for_parts(from, to,
              [&](size_t, size_t start, size_t length, const uint8_t* bytes, bool differs) {
                  if (differs) {
                      call_with_changes(data_, start, length, bytes, changed);
                  }
              });
    return true;
}

std::optional<size_t> forkable_t::reset(size_t from, size_t to, const changed_t& changed) {
    if (base_ == nullptr) {
        return std::nullopt;
    }
    const size_t page = page_size();
    const bool droppable = base_->root() == mapped_;
    std::vector<page_run_t> dropped;
    size_t count = 0;
    size_t kept = 0;
    const auto revert = [&](size_t number, size_t start, size_t length, const uint8_t* bytes,
                            bool differs) {
        if (differs) {
            ++count;
            if (changed) {
                call_with_changes(data_, start, length, bytes, changed);
            }
        }
        // Pages that were not written since the last reset need not be kept, so that the next one
        // need not compare them.
        const bool drop = (!differs || kept >= MAX_KEPT) && droppable && length == page &&
                          base_->changes().find(number) == nullptr;
        if (drop) {
            add_run(&dropped, number * page, page);
        } else if (differs) {
            memcpy(data_ + start, bytes, length);
            ++kept;
        }
    };
    for_parts(from, to, revert);
    if (!dropped.empty() && !pages_unwrite(data_, dropped)) {
        for_pages(dropped, [&](size_t number) {
            memcpy(data_ + number * page, base_->page(number), length_of(number));
            return true;
        });
    }
    return count;
}

void forkable_t::discard() {
    if (is_ordinary()) {
        pages_discard(data_, size_);
    } else {
        pages_drop(data_, size_);
    }
}

} // namespace pound::host::memory
