#ifndef POUND_HOST_MEMORY_SHARED_OBJECT_H
#define POUND_HOST_MEMORY_SHARED_OBJECT_H

#include <cstddef>

#include "host/memory/arena.h"

/*
 * Memory that several processes map. The only code that depends on how the operating system shares
 * memory with another process.
 */
namespace pound::host::memory {

/**
 * An open memfd (Linux), shared memory object (macOS), section (Windows) or file. Movable only.
 *
 * The functions that open one return 0, or the error of the system: `errno`, or GetLastError() on
 * Windows.
 */
class shared_object_t {
public:
    shared_object_t() = default;
    ~shared_object_t();
    shared_object_t(shared_object_t&& other) noexcept;
    shared_object_t& operator=(shared_object_t&& other) noexcept;

    /**
     * Makes an object of `size` bytes, all zero, which no process can make shorter or longer.
     *
     * @param name Up to 30 letters, digits, dots, hyphens or underscores. On Linux, the system only
     *             displays it. Elsewhere, processes of the same user open the object by it, so an
     *             object that exists is an error.
     */
    [[nodiscard]] static int create(const char* name, size_t size, shared_object_t* object);

    /** Opens the object of that name. Linux has no such names (ENOTSUP). */
    [[nodiscard]] static int open(const char* name, shared_object_t* object);

    /** Uses a duplicate of a descriptor of the process, open for reads and writes. */
    [[nodiscard]] static int duplicate(int descriptor, shared_object_t* object);

    /** Bytes. A section without a file has whole pages. */
    [[nodiscard]] size_t size() const {
        return size_;
    }

    /** A descriptor that another process can inherit; -1 on Windows. */
    [[nodiscard]] int descriptor() const {
        return descriptor_;
    }

    /**
     * Initializes an arena over the first `size` bytes. It has the backing ARENA_BACKING_SHARED.
     * A file that another process could make shorter has a guard (bus_guard.h).
     *
     * @param size From 1 to size().
     */
    [[nodiscard]] arena_result_t map(arena_t* arena, size_t size) const;

private:
    /** Takes over the file of `descriptor_`. */
    int adopt();

    int descriptor_ = -1;
    /** Whether another process can make the object shorter. */
    bool can_shrink_ = false;
    size_t size_ = 0;
    /** Windows: the section. */
    void* section_ = nullptr;
};

/** Whether the error of create() means that an object of that name exists. */
bool shared_object_exists(int error);

/** Whether the error of open() means that no object has that name. */
bool shared_object_missing(int error);

/** Removes the name of an object from the system. Without effect where the system does so. */
void shared_object_unlink(const char* name);

/** Unmaps the bytes of an arena of shared_object_t::map(). */
void shared_object_unmap(void* data, size_t size);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_SHARED_OBJECT_H
