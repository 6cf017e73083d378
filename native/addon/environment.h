#ifndef POUND_ADDON_ENVIRONMENT_H
#define POUND_ADDON_ENVIRONMENT_H

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace pound::addon {

class SharedMemory;

/**
 * Arguments and results of one native access, shared with TypeScript through a
 * SharedArrayBuffer.
 *
 * Passing them as N-API values costs more than the call itself, so a call
 * carries none. JavaScript runs on one thread per environment and an access
 * never calls back into it, so one block serves every memory of the
 * environment. All fields are in host byte order.
 *
 * Shared, since such a buffer can be neither detached nor moved while C++ uses
 * it. Another thread that gets hold of it can write to it at any time, so every
 * argument is read exactly once, by its accessor below.
 */
class CallBlock {
public:
    /** In: guest physical address. */
    uint64_t gpa() const {
        return (static_cast<uint64_t>(once(gpa_high_)) << 32) | once(gpa_low_);
    }

    /** In: which memory, as Environment numbers them. */
    uint32_t memory() const {
        return once(memory_);
    }

    /** In: which operation, for atomic(). */
    uint32_t operation() const {
        return once(operation_);
    }

    /** In: the value, at the width of the access. */
    template <typename T>
    T value() const {
        return first_bytes<T>(value_);
    }

    /** In: what a compare-and-exchange is to find. */
    template <typename T>
    T expected() const {
        return first_bytes<T>(expected_);
    }

    /** Out: the value. */
    template <typename T>
    void set_value(T value) {
        memcpy(&value_, &value, sizeof(T));
    }

    /** Out: a guest_mem_access_result_t. */
    void set_result(uint32_t result) {
        result_ = result;
    }

private:
    friend struct CallBlockLayout;

    template <typename T>
    static T once(const T& field) {
        return *static_cast<const volatile T*>(&field);
    }

    template <typename T>
    static T first_bytes(const uint64_t& field) {
        return *reinterpret_cast<const volatile T*>(reinterpret_cast<const uint8_t*>(&field));
    }

    /**
     * In halves, as JavaScript has it. They lie apart because two stores side by
     * side would be loaded as one, for which a processor has to wait until both
     * are in its cache.
     */
    uint32_t gpa_low_;
    uint32_t memory_;
    uint32_t gpa_high_;
    uint32_t result_;
    /** In the first bytes. */
    uint64_t value_;
    uint64_t expected_;
    uint32_t operation_;
};

/**
 * Asserts the layout that lib/native/call-block.ts declares for TypeScript. Whoever changes a field
 * changes both files.
 */
struct CallBlockLayout {
    static constexpr size_t ELEMENT32 = sizeof(uint32_t);
    static constexpr size_t ELEMENT64 = sizeof(uint64_t);

    static_assert(offsetof(CallBlock, gpa_low_) == 0 * ELEMENT32,
                  "GPA_LOW32 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, memory_) == 1 * ELEMENT32,
                  "MEMORY32 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, gpa_high_) == 2 * ELEMENT32,
                  "GPA_HIGH32 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, result_) == 3 * ELEMENT32,
                  "RESULT32 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, value_) == 2 * ELEMENT64,
                  "VALUE8, VALUE16, VALUE32 and VALUE64 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, expected_) == 3 * ELEMENT64,
                  "EXPECTED8 of lib/native/call-block.ts");
    static_assert(offsetof(CallBlock, operation_) == 8 * ELEMENT32,
                  "OPERATION32 of lib/native/call-block.ts");
    static_assert(sizeof(CallBlock) == 5 * ELEMENT64, "TypeScript views all of it as u64 elements");
};

/**
 * The live guest memories of an environment, by number, and the call block that
 * names them.
 *
 * With the memory named by number, one function per accessor serves them all.
 * V8 calls a function that is the same at every call straight, and one bound to
 * its memory through a slower, generic way as soon as there are two.
 *
 * What counts on the way of an access is how many loads wait for one another:
 *
 * - Environments live in a small table and are found by their napi_env, which an
 *   accessor is told for nothing; asking the runtime for the data of the call
 *   takes a quarter of the call. One that finds its place taken is on the heap,
 *   and its accessors do ask.
 * - The memory used last is at hand, and its number only compared: a processor
 *   goes on as if they were equal, where it would have to wait for an address.
 */
class alignas(64) Environment {
public:
    /** The number that no memory has: NO_MEMORY of lib/native/call-block.ts. */
    static constexpr uint32_t NO_MEMORY = 0;

    /** A memory that accesses may touch without asking. */
    struct Current {
        uint32_t number;
        /** Host virtual address of guest physical address 0. */
        uint8_t* base;
        /** Bytes of RAM. */
        uint64_t size;
    };

    /** The environment of `env` from here on; `block` must outlive every call. */
    static std::shared_ptr<Environment> create(napi_env env, CallBlock* block);

    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

    /** The environment of `env`, or null where it is not in the table. */
    static Environment* find(napi_env env) {
        Environment& place = place_of(env);
        return place.env_.load(std::memory_order_relaxed) == env ? &place : nullptr;
    }

    CallBlock* call_block() const {
        return block_;
    }

    /** The memory that is at hand; its number is that of none where there is none. */
    const Current& current() const {
        return current_;
    }

    void set_current(const Current& current) {
        current_ = current;
    }

    /** Has the memory of that number, if it is at hand, looked up at its next access. */
    void forget_current(uint32_t number) {
        if (current_.number == number) {
            current_ = NO_CURRENT;
        }
    }

    /** The memory of that number, or null where there is none. */
    SharedMemory* memory(uint32_t number) const {
        return number < memories_.size() ? memories_[number] : nullptr;
    }

    /** Gives a memory a number, never 0. */
    uint32_t add(SharedMemory* memory);
    void remove(uint32_t number);

    /** The runtime is done with its napi_env, whose address may be used again. */
    void leave();

private:
    static constexpr Current NO_CURRENT = {UINT32_MAX, nullptr, 0};
    static constexpr size_t PLACES = 64;
    static Environment places_[PLACES];

    static Environment& place_of(napi_env env) {
        // The low bits are those of every heap block of that size.
        return places_[(reinterpret_cast<uintptr_t>(env) >> 6) % PLACES];
    }

    Environment() = default;
    void begin(napi_env env, CallBlock* block);
    void clear();

    /**
     * Other threads look at it, to find that it is not theirs. All else belongs
     * to the thread of the environment.
     */
    std::atomic<napi_env> env_{nullptr};
    CallBlock* block_ = nullptr;
    Current current_ = NO_CURRENT;
    /** By number; the first is that of no memory. */
    std::vector<SharedMemory*> memories_;
    std::vector<uint32_t> free_numbers_;
    /** Whether a place of the table is in use, guarded by a mutex. */
    bool taken_ = false;
};

/** What the runtime keeps for the addon per environment: each worker thread has its own. */
struct InstanceData {
    InstanceData(std::shared_ptr<Environment> shared, Napi::Reference<Napi::DataView> block)
        : environment(std::move(shared)), call_block(std::move(block)) {
    }

    ~InstanceData() {
        environment->leave();
    }

    InstanceData(const InstanceData&) = delete;
    InstanceData& operator=(const InstanceData&) = delete;

    /** Shared, since handles may be finalized after the instance data is. */
    const std::shared_ptr<Environment> environment;
    /** Keeps the call block in place for as long as there are calls. */
    const Napi::Reference<Napi::DataView> call_block;
};

} // namespace pound::addon

#endif // POUND_ADDON_ENVIRONMENT_H
