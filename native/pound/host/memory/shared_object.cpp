#include "host/memory/shared_object.h"

#include <cstdint>
#include <string>
#include <utility>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "host/memory/bus_guard.h"
#include "host/memory/page_file.h"

namespace pound::host::memory {

shared_object_t::shared_object_t(shared_object_t&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), can_shrink_(other.can_shrink_),
      size_(std::exchange(other.size_, 0)), section_(std::exchange(other.section_, nullptr)) {
}

shared_object_t& shared_object_t::operator=(shared_object_t&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(can_shrink_, other.can_shrink_);
    std::swap(size_, other.size_);
    std::swap(section_, other.section_);
    return *this;
}

#if defined(_WIN32)

namespace {

/** The name in the session of the user. Names have ASCII characters only. */
std::string section_name(const char* name) {
    return std::string("Local\\pound-") + name;
}

/** The bytes of a section; 0 if it cannot be mapped. */
size_t size_of(HANDLE section) {
    void* view = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
    if (view == nullptr) {
        return 0;
    }
    MEMORY_BASIC_INFORMATION information = {};
    const bool known = VirtualQuery(view, &information, sizeof(information)) != 0;
    UnmapViewOfFile(view);
    return known ? information.RegionSize : 0;
}

/** The handle of a descriptor of Node's C library, which need not be that of the addon. */
HANDLE handle_of(int descriptor) {
    using get_handle_t = HANDLE (*)(int);
    const auto get_handle = reinterpret_cast<get_handle_t>(
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(nullptr), "uv_get_osfhandle")));
    return get_handle == nullptr ? INVALID_HANDLE_VALUE : get_handle(descriptor);
}

} // namespace

shared_object_t::~shared_object_t() {
    if (section_ != nullptr) {
        CloseHandle(section_);
    }
}

int shared_object_t::create(const char* name, size_t size, shared_object_t* object) {
    *object = shared_object_t();
    const uint64_t bytes = size;
    const HANDLE section = CreateFileMappingA(
        INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, static_cast<DWORD>(bytes >> 32),
        static_cast<DWORD>(bytes), section_name(name).c_str());
    const DWORD error = GetLastError();
    if (section == nullptr || error == ERROR_ALREADY_EXISTS) {
        if (section != nullptr) {
            CloseHandle(section);
        }
        return static_cast<int>(error);
    }
    object->section_ = section;
    object->size_ = size;
    return 0;
}

int shared_object_t::open(const char* name, shared_object_t* object) {
    *object = shared_object_t();
    const HANDLE section =
        OpenFileMappingA(FILE_MAP_READ | FILE_MAP_WRITE, FALSE, section_name(name).c_str());
    if (section == nullptr) {
        return static_cast<int>(GetLastError());
    }
    object->section_ = section;
    object->size_ = size_of(section);
    return object->size_ == 0 ? ERROR_NOT_ENOUGH_MEMORY : 0;
}

int shared_object_t::duplicate(int descriptor, shared_object_t* object) {
    *object = shared_object_t();
    const HANDLE file = handle_of(descriptor);
    LARGE_INTEGER size = {};
    if (file == INVALID_HANDLE_VALUE) {
        return ERROR_INVALID_HANDLE;
    }
    if (GetFileSizeEx(file, &size) == 0) {
        return static_cast<int>(GetLastError());
    }
    if (size.QuadPart == 0) {
        // Windows makes no section of an empty file.
        return 0;
    }
    // A section of a file keeps the file open, and Windows refuses to make the file shorter.
    object->section_ = CreateFileMappingW(file, nullptr, PAGE_READWRITE, 0, 0, nullptr);
    object->size_ = static_cast<size_t>(size.QuadPart);
    return object->section_ == nullptr ? static_cast<int>(GetLastError()) : 0;
}

arena_result_t shared_object_t::map(arena_t* arena, size_t size) const {
    *arena = {nullptr, 0, 0, ARENA_BACKING_NONE};
    void* data = MapViewOfFile(section_, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, size);
    if (data == nullptr) {
        return ARENA_ERROR_NO_MEMORY;
    }
    *arena = {static_cast<uint8_t*>(data), size, 0, ARENA_BACKING_SHARED};
    return ARENA_OK;
}

bool shared_object_exists(int error) {
    return error == ERROR_ALREADY_EXISTS || error == ERROR_FILE_EXISTS;
}

bool shared_object_missing(int error) {
    return error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND;
}

void shared_object_unlink(const char* /* name */) {
    // Windows removes a section with its last handle and mapping.
}

void shared_object_unmap(void* data, size_t /* size */) {
    UnmapViewOfFile(data);
}

#else

shared_object_t::~shared_object_t() {
    if (descriptor_ >= 0) {
        close(descriptor_);
    }
}

bool shared_object_exists(int error) {
    return error == EEXIST;
}

bool shared_object_missing(int error) {
    return error == ENOENT;
}

#if defined(__linux__)

namespace {

// The headers of old systems, on which the binaries are built, lack these declarations.

constexpr unsigned MEMFD_CLOEXEC = 1;
constexpr unsigned MEMFD_ALLOW_SEALING = 2;
constexpr int ADD_SEALS = 1033;
constexpr int GET_SEALS = 1034;
constexpr int SEAL_SEALS = 1;
constexpr int SEAL_SHRINK = 2;
constexpr int SEAL_GROW = 4;

} // namespace

int shared_object_t::create(const char* name, size_t size, shared_object_t* object) {
    *object = shared_object_t();
#if defined(SYS_memfd_create)
    object->descriptor_ =
        static_cast<int>(syscall(SYS_memfd_create, name, MEMFD_CLOEXEC | MEMFD_ALLOW_SEALING));
    if (object->descriptor_ < 0 || ftruncate(object->descriptor_, static_cast<off_t>(size)) != 0 ||
        fcntl(object->descriptor_, ADD_SEALS, SEAL_SHRINK | SEAL_GROW | SEAL_SEALS) != 0) {
        return errno;
    }
    return object->adopt();
#else
    static_cast<void>(name);
    static_cast<void>(size);
    return ENOSYS;
#endif
}

int shared_object_t::open(const char* /* name */, shared_object_t* object) {
    *object = shared_object_t();
    return ENOTSUP;
}

void shared_object_unlink(const char* /* name */) {
    // Linux removes a memfd with its last descriptor and mapping.
}

int shared_object_t::adopt() {
    // Fails for a file that has no seals, which may become shorter.
    static_cast<void>(fcntl(descriptor_, ADD_SEALS, SEAL_SHRINK));
    const int seals = fcntl(descriptor_, GET_SEALS);
    can_shrink_ = seals < 0 || (seals & SEAL_SHRINK) == 0;
    // After the seal, which keeps the size.
    uint64_t size = 0;
    if (!descriptor_size(descriptor_, &size)) {
        return errno;
    }
    size_ = static_cast<size_t>(size);
    return 0;
}

#else

namespace {

std::string object_name(const char* name) {
    return std::string("/") + name;
}

} // namespace

int shared_object_t::create(const char* name, size_t size, shared_object_t* object) {
    *object = shared_object_t();
    object->descriptor_ = shm_open(object_name(name).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (object->descriptor_ < 0) {
        return errno;
    }
    if (ftruncate(object->descriptor_, static_cast<off_t>(size)) != 0) {
        const int error = errno;
        shared_object_unlink(name);
        return error;
    }
    const int result = object->adopt();
    // The system rounds the size up to whole pages.
    object->size_ = size;
    return result;
}

int shared_object_t::open(const char* name, shared_object_t* object) {
    *object = shared_object_t();
    object->descriptor_ = shm_open(object_name(name).c_str(), O_RDWR, 0);
    return object->descriptor_ < 0 ? errno : object->adopt();
}

void shared_object_unlink(const char* name) {
    shm_unlink(object_name(name).c_str());
}

int shared_object_t::adopt() {
    struct stat status = {};
    if (fstat(descriptor_, &status) != 0) {
        return errno;
    }
    // macOS sets the size of a shared memory object only once.
    can_shrink_ = S_ISREG(status.st_mode);
    size_ = static_cast<size_t>(status.st_size);
    return 0;
}

#endif

int shared_object_t::duplicate(int descriptor, shared_object_t* object) {
    *object = shared_object_t();
    object->descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return object->descriptor_ < 0 ? errno : object->adopt();
}

arena_result_t shared_object_t::map(arena_t* arena, size_t size) const {
    *arena = {nullptr, 0, 0, ARENA_BACKING_NONE};
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
    if (data == MAP_FAILED) {
        return ARENA_ERROR_NO_MEMORY;
    }
    if (can_shrink_ && !bus_guard_add(data, size, descriptor_)) {
        munmap(data, size);
        return ARENA_ERROR_NO_MEMORY;
    }
    *arena = {static_cast<uint8_t*>(data), size, 0, ARENA_BACKING_SHARED};
    return ARENA_OK;
}

void shared_object_unmap(void* data, size_t size) {
    bus_guard_remove(data);
    munmap(data, size);
}

#endif

} // namespace pound::host::memory
