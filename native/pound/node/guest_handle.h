#ifndef POUND_NODE_GUEST_HANDLE_H
#define POUND_NODE_GUEST_HANDLE_H

/*
 * Access to a GuestMemory or an AddressSpace from another Node addon, in C or C++.
 *
 * `memory.handle` and `space.handle` are Externals. The functions of this header turn them into
 * pointers. The header needs no library at link time: an External leads to a structure with
 * function pointers into the addon of pound-guest-memory.
 *
 * docs/native-cores.md has the rules for lifetimes and threads, and an example.
 */

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#include <utility>

#include "kvm/guest.h"
#include "kvm/page_table.h"
#define POUND_TYPE(name) pound::kvm::memory::name
#else
#define POUND_TYPE(name) name

/* The types of kvm/guest.h and kvm/page_table.h, which are C++. */

typedef struct {
    uint8_t* base;
    uint64_t size;
} guest_memory_t;

typedef enum {
    GUEST_MEM_ACCESS_OK = 0,
    GUEST_MEM_ACCESS_FAULT_UNALIGNED,
    GUEST_MEM_ACCESS_FAULT_BOUNDARY,
    GUEST_MEM_ACCESS_ERROR_INTERNAL,
} guest_mem_access_result_t;

typedef struct {
    const int32_t* reads;
    const int32_t* writes;
    uint32_t entries;
    uint32_t shift;
    guest_memory_t home;
    uint8_t* marks;
    uint32_t marked_pages;
    const int32_t* fetches;
} guest_page_table_t;
#endif

/** The version of the binary interface. Another major version is incompatible. */
#define POUND_ABI_MAJOR 1

/**
 * The minor version that the including code needs. A newer minor version only appends fields and
 * functions, so the code also works with every newer installed package of the same major version.
 * Define it before the inclusion to work with older ones: 0 has memories, 1 has address spaces.
 */
#ifndef POUND_ABI_MINOR
#define POUND_ABI_MINOR 1
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** The result of pound_memory_get() and pound_space_get(). */
typedef enum {
    POUND_OK = 0,
    /** The value is not a handle of this kind. */
    POUND_ERROR_HANDLE,
    /** The handle belongs to another environment, which is another thread of Node. */
    POUND_ERROR_ENVIRONMENT,
    /** The installed package has another major version of the interface, or an older minor one. */
    POUND_ERROR_ABI,
    /** The memory is destroyed, or its arena is reset or destroyed. */
    POUND_ERROR_DESTROYED,
} pound_status_t;

typedef struct pound_handle pound_handle_t;

/** The first fields of every handle. Code outside this header uses the functions below instead. */
struct pound_handle {
    uint32_t abi_major;
    uint32_t abi_minor;
    /** The event loop of the environment. An addon has its own napi_env, but the same loop. */
    struct uv_loop_s* loop;
    void (*retain)(pound_handle_t*);
    void (*release)(pound_handle_t*);
    /** A guest_mem_access_result_t: OK, or ERROR_INTERNAL if no use has begun. */
    int32_t (*begin)(pound_handle_t*);
    void (*end)(pound_handle_t*);
    int32_t (*ended)(const pound_handle_t*);
    /** For the functions above. */
    void* owner;
};

/** A guest memory. */
typedef struct {
    pound_handle_t handle;
    POUND_TYPE(guest_memory_t) ram;
} pound_memory_t;

#if POUND_ABI_MINOR >= 1
/** An address space. */
typedef struct {
    pound_handle_t handle;
    /** Valid between pound_space_begin() and pound_space_end(). */
    const POUND_TYPE(guest_page_table_t) * table;
} pound_space_t;
#endif

/** Implementation of the functions below: the pointer in an External with the tag. */
static inline pound_status_t pound_handle_get(napi_env env, napi_value value,
                                              const napi_type_tag* tag, pound_handle_t** out) {
    napi_valuetype type = napi_undefined;
    bool tagged = false;
    void* data = NULL;
    struct uv_loop_s* loop = NULL;
    *out = NULL;
    /* The type first: a Proxy could trap the check of the tag of another object. */
    if (napi_typeof(env, value, &type) != napi_ok || type != napi_external ||
        napi_check_object_type_tag(env, value, tag, &tagged) != napi_ok || !tagged ||
        napi_get_value_external(env, value, &data) != napi_ok || data == NULL) {
        return POUND_ERROR_HANDLE;
    }
    pound_handle_t* handle = (pound_handle_t*)data;
    /* The sums avoid a warning about a comparison of an unsigned number with 0. */
    if (handle->abi_major != POUND_ABI_MAJOR || handle->abi_minor + 1 < POUND_ABI_MINOR + 1) {
        return POUND_ERROR_ABI;
    }
    if (napi_get_uv_event_loop(env, &loop) != napi_ok || loop != handle->loop) {
        return POUND_ERROR_ENVIRONMENT;
    }
    if (handle->ended(handle) != 0) {
        return POUND_ERROR_DESTROYED;
    }
    *out = handle;
    return POUND_OK;
}

/** The type tag of `memory.handle`. It is the same in every version. */
static inline napi_type_tag pound_memory_tag(void) {
    napi_type_tag tag = {0x1d0f4a6bc27e4c83u, 0xa95e3b70d8164f2cu};
    return tag;
}

/**
 * Gets the memory of a `memory.handle`. Call it on the thread of `env`.
 *
 * The pointer is valid while the value is reachable for JavaScript, such as during the callback
 * that received it. To keep it longer, call pound_memory_retain().
 *
 * @param out Null unless the result is POUND_OK.
 */
static inline pound_status_t pound_memory_get(napi_env env, napi_value value,
                                              pound_memory_t** out) {
    const napi_type_tag tag = pound_memory_tag();
    pound_handle_t* handle = NULL;
    const pound_status_t status = pound_handle_get(env, value, &tag, &handle);
    *out = (pound_memory_t*)handle;
    return status;
}

/** Keeps the memory and its pages until pound_memory_release(). Any thread may call it. */
static inline void pound_memory_retain(pound_memory_t* memory) {
    memory->handle.retain(&memory->handle);
}

/** Takes back one pound_memory_retain(). Any thread may call it, also after the environment. */
static inline void pound_memory_release(pound_memory_t* memory) {
    memory->handle.release(&memory->handle);
}

/**
 * Begins a run: until pound_memory_end(), all bytes of the RAM stay mapped and belong to this
 * memory. Any thread may call it, and several runs may overlap.
 *
 * @param out_ram The RAM, valid until pound_memory_end(); null unless the result is OK.
 * @return GUEST_MEM_ACCESS_ERROR_INTERNAL if the memory has ended, or if it is over an ArrayBuffer
 * and this is not the thread of its environment; pound_memory_end() must not be called then.
 */
static inline POUND_TYPE(guest_mem_access_result_t)
    pound_memory_begin(pound_memory_t* memory, POUND_TYPE(guest_memory_t) * *out_ram) {
    const int32_t result = memory->handle.begin(&memory->handle);
    *out_ram = result == 0 ? &memory->ram : NULL;
    return (POUND_TYPE(guest_mem_access_result_t))result;
}

/** Ends a run. Call it on the thread that began the run. */
static inline void pound_memory_end(pound_memory_t* memory) {
    memory->handle.end(&memory->handle);
}

/** Whether the memory has ended. It takes no lock, so a long run can poll it and return early. */
static inline bool pound_memory_ended(const pound_memory_t* memory) {
    return memory->handle.ended(&memory->handle) != 0;
}

#if POUND_ABI_MINOR >= 1
/** The type tag of `space.handle`. It is the same in every version. */
static inline napi_type_tag pound_space_tag(void) {
    napi_type_tag tag = {0x84c1e95f237a4d06u, 0xb2706d1f5ca843e9u};
    return tag;
}

/** As pound_memory_get(), for a `space.handle`. */
static inline pound_status_t pound_space_get(napi_env env, napi_value value, pound_space_t** out) {
    const napi_type_tag tag = pound_space_tag();
    pound_handle_t* handle = NULL;
    const pound_status_t status = pound_handle_get(env, value, &tag, &handle);
    *out = (pound_space_t*)handle;
    return status;
}

/** As pound_memory_retain(). */
static inline void pound_space_retain(pound_space_t* space) {
    space->handle.retain(&space->handle);
}

/** As pound_memory_release(). */
static inline void pound_space_release(pound_space_t* space) {
    space->handle.release(&space->handle);
}

/**
 * Begins a run on the thread of the environment. JavaScript must not run before pound_space_end(),
 * because it changes the table.
 *
 * @param out_table The page table, valid until pound_space_end(); null unless the result is OK. An
 * access that the table does not make is left to JavaScript, which calls the accessors of the
 * AddressSpace: guest_page_read() and guest_page_write() return false for it.
 * @return GUEST_MEM_ACCESS_ERROR_INTERNAL if this is not the thread of the environment;
 * pound_space_end() must not be called then.
 */
static inline POUND_TYPE(guest_mem_access_result_t)
    pound_space_begin(pound_space_t* space, const POUND_TYPE(guest_page_table_t) * *out_table) {
    const int32_t result = space->handle.begin(&space->handle);
    *out_table = result == 0 ? space->table : NULL;
    return (POUND_TYPE(guest_mem_access_result_t))result;
}

/** Ends a run. */
static inline void pound_space_end(pound_space_t* space) {
    space->handle.end(&space->handle);
}
#endif

/** A description of a status, in English. */
static inline const char* pound_status_message(pound_status_t status) {
    switch (status) {
    case POUND_OK:
        return "no error";
    case POUND_ERROR_HANDLE:
        return "the value is not a handle of pound-guest-memory, or is of another kind";
    case POUND_ERROR_ENVIRONMENT:
        return "the handle belongs to another thread of Node";
    case POUND_ERROR_ABI:
        return "the installed pound-guest-memory has another version of the native interface";
    case POUND_ERROR_DESTROYED:
        return "the guest memory is destroyed, or its arena is reset or destroyed";
    }
    return "unknown status";
}

/**
 * Throws a JavaScript error for a status: TypeError `ERR_INVALID_HANDLE` for POUND_ERROR_HANDLE and
 * POUND_ERROR_ENVIRONMENT, Error `ERR_ABI_VERSION`, Error `ERR_DESTROYED`. It does nothing for
 * POUND_OK.
 */
static inline void pound_throw(napi_env env, pound_status_t status) {
    switch (status) {
    case POUND_OK:
        break;
    case POUND_ERROR_HANDLE:
    case POUND_ERROR_ENVIRONMENT:
        napi_throw_type_error(env, "ERR_INVALID_HANDLE", pound_status_message(status));
        break;
    case POUND_ERROR_ABI:
        napi_throw_error(env, "ERR_ABI_VERSION", pound_status_message(status));
        break;
    case POUND_ERROR_DESTROYED:
        napi_throw_error(env, "ERR_DESTROYED", pound_status_message(status));
        break;
    }
}

#ifdef __cplusplus
} // extern "C"

namespace pound::node {

/** Owns one pound_memory_retain(). */
class MemoryRef {
public:
    MemoryRef() = default;

    /** Retains `memory`, which may be null. */
    explicit MemoryRef(pound_memory_t* memory) : memory_(memory) {
        if (memory_ != nullptr) {
            pound_memory_retain(memory_);
        }
    }

    MemoryRef(MemoryRef&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {
    }

    MemoryRef& operator=(MemoryRef&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }

    MemoryRef(const MemoryRef& other) : MemoryRef(other.memory_) {
    }

    MemoryRef& operator=(const MemoryRef& other) {
        MemoryRef copy(other);
        std::swap(memory_, copy.memory_);
        return *this;
    }

    ~MemoryRef() {
        if (memory_ != nullptr) {
            pound_memory_release(memory_);
        }
    }

    pound_memory_t* get() const {
        return memory_;
    }

private:
    pound_memory_t* memory_ = nullptr;
};

/** A run, from pound_memory_begin() in the constructor to pound_memory_end() in the destructor. */
class MemoryRun {
public:
    explicit MemoryRun(pound_memory_t* memory) : memory_(memory) {
        result_ = pound_memory_begin(memory, &ram_);
    }

    ~MemoryRun() {
        if (ram_ != nullptr) {
            pound_memory_end(memory_);
        }
    }

    MemoryRun(const MemoryRun&) = delete;
    MemoryRun& operator=(const MemoryRun&) = delete;

    /** The RAM; null if the run has not begun. */
    kvm::memory::guest_memory_t* ram() const {
        return ram_;
    }

    kvm::memory::guest_mem_access_result_t result() const {
        return result_;
    }

private:
    pound_memory_t* memory_;
    kvm::memory::guest_memory_t* ram_ = nullptr;
    kvm::memory::guest_mem_access_result_t result_;
};

} // namespace pound::node
#endif

#undef POUND_TYPE

#endif // POUND_NODE_GUEST_HANDLE_H
