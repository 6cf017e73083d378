#include "host/memory/page_file.h"

#include <utility>

#include "host/memory/page_scan.h"

#if defined(__linux__)
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#elif defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace pound::host::memory {

page_file_t::page_file_t(page_file_t&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), offset_(other.offset_),
      has_name_(other.has_name_) {
}

page_file_t& page_file_t::operator=(page_file_t&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(offset_, other.offset_);
    std::swap(has_name_, other.has_name_);
    return *this;
}

size_t page_size() {
#if defined(_WIN32)
    static const size_t size = [] {
        SYSTEM_INFO info;
        GetSystemInfo(&info);
        return static_cast<size_t>(info.dwPageSize);
    }();
#else
    static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
#endif
    return size;
}

#if defined(__linux__) && defined(SYS_memfd_create)

namespace {

// The headers of old systems, on which the binaries are built, lack the declarations below.

constexpr unsigned MEMFD_CLOEXEC = 1;
constexpr unsigned MEMFD_ALLOW_SEALING = 2;
constexpr int ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW. */
constexpr int SEAL_SIZE = 1 | 2 | 4;
/** F_SEAL_FUTURE_WRITE: unlike F_SEAL_WRITE, it need not look at each page. */
constexpr int SEAL_WRITES = 16;

/** struct statx of linux/stat.h. */
struct file_status_t {
    uint32_t before_size[10];
    uint64_t size;
    uint64_t blocks;
    uint64_t after_blocks[25];
};
static_assert(sizeof(file_status_t) == 256);
/** AT_EMPTY_PATH. */
constexpr int EMPTY_PATH = 0x1000;
/** STATX_SIZE and STATX_BLOCKS. */
constexpr unsigned WITH_SIZE = 0x200;
constexpr unsigned WITH_BLOCKS = 0x400;

/** Not fstat(), which is a symbol of glibc only since 2.33. */
bool read_status(int descriptor, unsigned fields, file_status_t* status) {
#if defined(SYS_statx)
    return syscall(SYS_statx, descriptor, "", EMPTY_PATH, fields, status) == 0;
#else
    static_cast<void>(descriptor);
    static_cast<void>(fields);
    static_cast<void>(status);
    errno = ENOSYS;
    return false;
#endif
}

/** Bits of an entry of /proc/self/pagemap. */
constexpr uint64_t ENTRY_IS_FILE = uint64_t{1} << 61;
constexpr uint64_t ENTRY_IS_SWAPPED = uint64_t{1} << 62;
constexpr uint64_t ENTRY_IS_PRESENT = uint64_t{1} << 63;

/** MREMAP_DONTUNMAP, for shared mappings since Linux 5.13. */
constexpr int KEEP_OLD_MAPPING = 4;

/** Bytes that one page of the lowest level of page tables maps. */
constexpr size_t TABLE_SPAN = size_t{2} << 20;

/** The entries of one read. */
constexpr size_t BATCH = 512;

/** IOV_MAX of Linux. */
constexpr size_t MAX_VECTORS = 1024;

/** PIDFD_SELF: names the calling process, since Linux 6.14. */
constexpr int THIS_PROCESS = -10000;

#if defined(SYS_process_madvise)
constexpr long PROCESS_MADVISE = SYS_process_madvise;
#else
constexpr long PROCESS_MADVISE = 440;
#endif

void* map(void* where, size_t size, int protection, int flags, int descriptor,
          uint64_t offset = 0) {
    void* data = mmap(where, size, protection, flags | MAP_NORESERVE, descriptor,
                      static_cast<off_t>(offset));
    return data == MAP_FAILED ? nullptr : data;
}

/** Which pages with memory a search finds. */
enum class which_t {
    /** All of them. */
    RESIDENT,
    /** Those that are not pages of the file of a private mapping, but copies that writes made. */
    WRITTEN,
};

/** Finds pages with PAGEMAP_SCAN, of Linux 6.7 and later. */
bool scan_pages(which_t which, uintptr_t start, size_t size, std::vector<page_run_t>* runs) {
    page_scan_t scan = {};
    if (which == which_t::WRITTEN) {
        scan.category_inverted = CATEGORY_FILE;
        scan.category_mask = CATEGORY_FILE;
    }
    scan.category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED;
    scan.return_mask = CATEGORY_FILE;
    const auto add = [&](const page_region_t* regions, int count) {
        for (int i = 0; i < count; ++i) {
            add_run(runs, static_cast<size_t>(regions[i].start - start),
                    static_cast<size_t>(regions[i].end - regions[i].start));
        }
    };
    return scan_page_map(start, start + size, scan, add) == start + size;
}

/** Finds pages by the entry of each page of the block. */
bool read_pages(which_t which, uintptr_t start, size_t size, std::vector<page_run_t>* runs) {
    uint64_t entries[BATCH];
    const size_t page = page_size();
    const size_t count = size / page;
    for (size_t first = 0; first < count; first += BATCH) {
        const size_t bytes = std::min(BATCH, count - first) * sizeof(uint64_t);
        const auto at = static_cast<off_t>((start / page + first) * sizeof(uint64_t));
        if (pread(page_map(), entries, bytes, at) != static_cast<ssize_t>(bytes)) {
            return false;
        }
        for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) {
            const bool exists = (entries[i] & (ENTRY_IS_PRESENT | ENTRY_IS_SWAPPED)) != 0;
            if (exists && (which == which_t::RESIDENT || (entries[i] & ENTRY_IS_FILE) == 0)) {
                add_run(runs, (first + i) * page, page);
            }
        }
    }
    return true;
}

using find_t = bool (*)(which_t which, uintptr_t start, size_t size, std::vector<page_run_t>* runs);

/**
 * Pages of the trial. An emulator of another byte order passes on the entries of its host, whose
 * bits are those of page numbers there. With few pages, they could be right by chance.
 */
constexpr size_t TRIAL_PAGES = 128;

/** Whether `find` finds the written pages of a private mapping: every second one. */
bool finds(find_t find, const void* data) {
    std::vector<page_run_t> runs;
    const size_t page = page_size();
    if (page_map() < 0 ||
        !find(which_t::WRITTEN, reinterpret_cast<uintptr_t>(data), TRIAL_PAGES * page, &runs) ||
        runs.size() != TRIAL_PAGES / 2) {
        return false;
    }
    size_t expected = page;
    return std::all_of(runs.begin(), runs.end(), [&](const page_run_t& run) {
        const bool right = run.offset == expected && run.length == page;
        expected += 2 * page;
        return right;
    });
}

/**
 * Moves the page table entries of a shared mapping to another mapping of the same file.
 *
 * @return The other mapping; null if the system refuses.
 */
uint8_t* move_entries(void* data, size_t size) {
    // Linux moves whole pages of the page tables if both addresses have the same offset in them.
    const size_t length = to_pages(size);
    const size_t reserved = length + TABLE_SPAN;
    auto* space =
        static_cast<uint8_t*>(map(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
    if (space == nullptr) {
        return nullptr;
    }
    const size_t skip =
        (reinterpret_cast<uintptr_t>(data) - reinterpret_cast<uintptr_t>(space)) % TABLE_SPAN;
    uint8_t* target = space + skip;
    const void* moved =
        mremap(data, length, length, MREMAP_MAYMOVE | MREMAP_FIXED | KEEP_OLD_MAPPING, target);
    if (moved != target) {
        munmap(space, reserved);
        return nullptr;
    }
    if (skip > 0) {
        munmap(space, skip);
    }
    munmap(target + length, TABLE_SPAN - skip);
    return target;
}

/** Whether move_entries() leaves two mappings of the first two pages of a file. */
bool moves_entries(const page_file_t& file) {
    const size_t page = page_size();
    auto* data = static_cast<uint8_t*>(file.map_shared(2 * page));
    if (data == nullptr) {
        return false;
    }
    volatile uint8_t* bytes = data;
    const uint8_t value = bytes[page];
    bytes[0] = 5;
    uint8_t* moved = move_entries(data, 2 * page);
    bool works = false;
    // QEMU unmaps the old mapping on machines of 32 bits. A system call that reads from it fails
    // then, where an access would end the process.
    if (moved != nullptr && file.write(0, data, 1)) {
        const volatile uint8_t* others = moved;
        works = others[0] == 5 && bytes[0] == 5 && others[page] == value && bytes[page] == value;
        bytes[0] = 6;
        works = works && others[0] == 6;
    }
    if (moved != nullptr) {
        munmap(moved, 2 * page);
    }
    munmap(data, 2 * page);
    return works;
}

/**
 * What the system does, by a trial. Emulators of Linux succeed in calls that they do not implement.
 */
struct abilities_t {
    bool files = false;
    find_t find = nullptr;
    bool unwrite = false;
    bool unwrite_many = false;
    bool move_entries = false;
};

bool unwrite_many(uint8_t* data, const std::vector<page_run_t>& runs) {
    iovec vectors[MAX_VECTORS];
    for (size_t first = 0; first < runs.size(); first += MAX_VECTORS) {
        const size_t count = std::min(MAX_VECTORS, runs.size() - first);
        size_t bytes = 0;
        for (size_t i = 0; i < count; ++i) {
            const page_run_t& run = runs[first + i];
            vectors[i] = {data + run.offset, run.length};
            bytes += run.length;
        }
        const long done = syscall(PROCESS_MADVISE, THIS_PROCESS, vectors, count, MADV_DONTNEED, 0);
        if (done < 0 || static_cast<size_t>(done) != bytes) {
            return false;
        }
    }
    return true;
}

bool unwrite_each(uint8_t* data, const std::vector<page_run_t>& runs) {
    return std::all_of(runs.begin(), runs.end(), [data](const page_run_t& run) {
        return madvise(data + run.offset, run.length, MADV_DONTNEED) == 0;
    });
}

/** Whether `unwrite` brings the byte of the file back to the second page of a mapping. */
bool unwrites(bool (*unwrite)(uint8_t*, const std::vector<page_run_t>&), uint8_t* data) {
    const size_t page = page_size();
    volatile uint8_t* byte = data + page;
    *byte = 2;
    return unwrite(data, {{page, page}}) && *byte == 1;
}

abilities_t try_abilities() {
    abilities_t can;
    const size_t page = page_size();
    const size_t size = TRIAL_PAGES * page;
    const page_file_t file(size);
    const uint8_t one = 1;
    auto* data = static_cast<uint8_t*>(file.is_open() ? file.map_private(size) : nullptr);
    if (data == nullptr || !file.write(page, &one, 1)) {
        return can;
    }
    volatile uint8_t* bytes = data;
    can.files = bytes[0] == 0 && bytes[page] == 1;
    for (size_t at = 0; at < size; at += 2 * page) {
        // The first page of each two is read only.
        static_cast<void>(bytes[at]);
        bytes[at + page] = 2;
    }
    can.find = finds(scan_pages, data)   ? scan_pages
               : finds(read_pages, data) ? read_pages
                                         : nullptr;
    can.unwrite = unwrites(unwrite_each, data);
    can.unwrite_many = unwrites(unwrite_many, data);
    munmap(data, size);
    can.move_entries = moves_entries(file);
    return can;
}

const abilities_t& abilities() {
    static const abilities_t can = try_abilities();
    return can;
}

bool find_pages(which_t which, const void* data, size_t size, std::vector<page_run_t>* runs) {
    runs->clear();
    const find_t find = abilities().find;
    return find != nullptr && find(which, reinterpret_cast<uintptr_t>(data), to_pages(size), runs);
}

} // namespace

page_file_t::page_file_t(size_t size) {
    descriptor_ = static_cast<int>(
        syscall(SYS_memfd_create, "pound-guest-memory", MEMFD_CLOEXEC | MEMFD_ALLOW_SEALING));
    if (descriptor_ >= 0 && ftruncate(descriptor_, static_cast<off_t>(to_pages(size))) != 0) {
        close(descriptor_);
        descriptor_ = -1;
    }
}

page_file_t page_file_t::part_of(int descriptor, uint64_t offset) {
    page_file_t file;
    file.descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    file.offset_ = offset;
    file.has_name_ = true;
    return file;
}

page_file_t::~page_file_t() {
    if (descriptor_ >= 0) {
        close(descriptor_);
    }
}

bool page_file_t::write(size_t offset, const uint8_t* data, size_t length) const {
    while (length > 0) {
        const ssize_t done = pwrite(descriptor_, data, length, static_cast<off_t>(offset));
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        offset += static_cast<size_t>(done);
        data += done;
        length -= static_cast<size_t>(done);
    }
    return true;
}

std::vector<page_run_t> page_file_t::resident(size_t size) const {
    std::vector<page_run_t> runs;
    const auto start = static_cast<off_t>(offset_);
    const off_t end = start + static_cast<off_t>(to_pages(size));
    for (off_t at = start; at < end;) {
        const off_t data = lseek(descriptor_, at, SEEK_DATA);
        if (data < 0) {
            if (errno != ENXIO) {
                return {{0, to_pages(size)}};
            }
            break;
        }
        if (data >= end) {
            break;
        }
        const off_t hole = std::min(lseek(descriptor_, data, SEEK_HOLE), end);
        if (hole <= data) {
            return {{0, to_pages(size)}};
        }
        runs.push_back({static_cast<size_t>(data - start), static_cast<size_t>(hole - data)});
        at = hole;
    }
    return runs;
}

size_t page_file_t::resident_bytes() const {
    constexpr size_t BLOCK = 512;
    file_status_t status = {};
    return read_status(descriptor_, WITH_BLOCKS, &status)
               ? static_cast<size_t>(status.blocks) * BLOCK
               : 0;
}

bool descriptor_size(int descriptor, uint64_t* size) {
    file_status_t status = {};
    const bool known = read_status(descriptor, WITH_SIZE, &status);
    *size = status.size;
    return known;
}

void* page_file_t::map_shared(size_t size) const {
    return map(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, offset_);
}

void* page_file_t::map_private(size_t size) const {
    return map(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor_, offset_);
}

const uint8_t* page_file_t::map_read_only(size_t size) const {
    return static_cast<const uint8_t*>(
        map(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, offset_));
}

const uint8_t* page_file_t::map_with_entries_of(void* data, size_t size) const {
    return abilities().move_entries ? move_entries(data, size) : nullptr;
}

bool page_file_t::replace(void* data, size_t size) const {
    // Not mmap() over the old block: Linux can refuse that after it has removed the old block. The
    // move checks the limits first. Linux holds the lock of the address space while it moves, so
    // that accesses of other threads wait.
    void* moved = map_private(size);
    if (moved == nullptr) {
        return false;
    }
    const size_t length = to_pages(size);
    if (mremap(moved, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, data) != data) {
        munmap(moved, length);
        return false;
    }
    return true;
}

void page_file_t::seal() const {
    // Not fcntl(), which is a symbol of glibc 2.28 with 64-bit offsets. Linux before 5.1 does not
    // know the second seal. The file has no name and no other user, so the seals only protect from
    // mistakes.
    if (syscall(SYS_fcntl, descriptor_, ADD_SEALS, SEAL_SIZE | SEAL_WRITES) != 0) {
        syscall(SYS_fcntl, descriptor_, ADD_SEALS, SEAL_SIZE);
    }
}

bool page_files_work() {
    return abilities().files;
}

bool pages_written(const void* data, size_t size, std::vector<page_run_t>* runs) {
    return find_pages(which_t::WRITTEN, data, size, runs);
}

bool pages_resident(const void* data, size_t size, std::vector<page_run_t>* runs) {
    return find_pages(which_t::RESIDENT, data, size, runs);
}

void pages_drop(void* data, size_t size) {
    // Only a shared mapping allows the removal of pages from the file.
    if (madvise(data, size, MADV_REMOVE) != 0) {
        madvise(data, size, MADV_DONTNEED);
    }
}

bool pages_unwrite(void* data, const std::vector<page_run_t>& runs) {
    auto* bytes = static_cast<uint8_t*>(data);
    if (runs.size() > 1 && abilities().unwrite_many) {
        return unwrite_many(bytes, runs);
    }
    return abilities().unwrite && unwrite_each(bytes, runs);
}

#else

bool descriptor_size(int descriptor, uint64_t* size) {
#if defined(_WIN32)
    static_cast<void>(descriptor);
    *size = 0;
    return false;
#else
    struct stat status = {};
    const bool known = fstat(descriptor, &status) == 0;
    *size = static_cast<uint64_t>(status.st_size);
    return known;
#endif
}

page_file_t::page_file_t(size_t /* size */) {
}

page_file_t page_file_t::part_of(int /* descriptor */, uint64_t /* offset */) {
    return {};
}

page_file_t::~page_file_t() = default;

bool page_file_t::write(size_t /* offset */, const uint8_t* /* data */, size_t /* length */) const {
    return false;
}

std::vector<page_run_t> page_file_t::resident(size_t size) const {
    return {{0, to_pages(size)}};
}

size_t page_file_t::resident_bytes() const {
    return 0;
}

void* page_file_t::map_shared(size_t /* size */) const {
    return nullptr;
}

void* page_file_t::map_private(size_t /* size */) const {
    return nullptr;
}

const uint8_t* page_file_t::map_read_only(size_t /* size */) const {
    return nullptr;
}

const uint8_t* page_file_t::map_with_entries_of(void* /* data */, size_t /* size */) const {
    return nullptr;
}

bool page_file_t::replace(void* /* data */, size_t /* size */) const {
    return false;
}

void page_file_t::seal() const {
}

bool page_files_work() {
    return false;
}

bool pages_written(const void* /* data */, size_t /* size */, std::vector<page_run_t>* /* runs */) {
    return false;
}

bool pages_resident(const void* /* data */, size_t /* size */,
                    std::vector<page_run_t>* /* runs */) {
    return false;
}

void pages_drop(void* /* data */, size_t /* size */) {
}

bool pages_unwrite(void* /* data */, const std::vector<page_run_t>& /* runs */) {
    return false;
}

#endif

} // namespace pound::host::memory
