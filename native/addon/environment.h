#ifndef POUND_ADDON_ENVIRONMENT_H
#define POUND_ADDON_ENVIRONMENT_H

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kvm/tlb.h"

namespace pound::addon {

class SharedMemory;

/** `condition`, which the compiler assumes to be true in most cases. */
inline bool likely(bool condition) {
#if defined(__GNUC__)
    return __builtin_expect(condition, true);
#else
    return condition;
#endif
}

/**
 * The arguments and the result of one native access. It lies in a SharedArrayBuffer, which
 * TypeScript accesses through typed arrays. All fields are in host byte order.
 *
 * Conversion of N-API values would cost more than the call itself, so the accessors have no
 * parameters. One block serves all memories of an environment, because an environment has one
 * JavaScript thread and an access never calls JavaScript.
 *
 * JavaScript can neither detach nor move a SharedArrayBuffer, so the pointer to the block stays
 * valid. Another thread that obtains the buffer can write to it at any time. Therefore C++ reads
 * each argument exactly once per access, through the getters below.
 */
class CallBlock {
public:
    /** Set in memory() if the address is gpa_high() and gpa_low(), and not gpa_low() alone. */
    static constexpr uint32_t WIDE_ADDRESS = uint32_t{1} << 31;

    /** In: bits 0 to 31 of the guest physical address. */
    uint32_t gpa_low() const {
        return once(gpa_low_);
    }

    /** In: bits 32 to 63 of the guest physical address, if WIDE_ADDRESS is set. */
    uint32_t gpa_high() const {
        return once(gpa_high_);
    }

    /** In: the number of the memory, from Environment::add(), and WIDE_ADDRESS. */
    uint32_t memory() const {
        return once(memory_);
    }

    /**
     * In: the operation that atomic() or access_under_policy() runs; the number of the TLB of a
     * translated access.
     */
    uint32_t operation() const {
        return once(operation_);
    }

    /** In: the value, at the width of the access. */
    template <typename T>
    T value() const {
        return first_bytes<T>(value_);
    }

    /** In: the expected value of a compare-and-exchange. */
    template <typename T>
    T expected() const {
        return first_bytes<T>(expected_);
    }

    /** Out: the value read, or the value before an atomic operation. */
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
     * The halves of an address are not adjacent: the compiler would read adjacent halves with one
     * 64-bit load, and a processor cannot forward two pending stores to one load, so that load
     * would stall.
     */
    uint32_t gpa_low_;
    uint32_t memory_;
    uint32_t gpa_high_;
    uint32_t result_;
    /** A value narrower than 64 bits occupies the first bytes. */
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
 * Values that the call block names by number. A number without a value has zeros, which accesses
 * refuse.
 */
template <typename T>
class Numbered {
public:
    static constexpr T NONE{};

    const T& at(uint32_t number) const {
        return number < count_ ? data_[number] : NONE;
    }

    /** @return The number of a new value, which is NONE. */
    uint32_t add() {
        if (free_.empty()) {
            values_.push_back(NONE);
            data_ = values_.data();
            count_ = static_cast<uint32_t>(values_.size());
            return count_ - 1;
        }
        const uint32_t number = free_.back();
        free_.pop_back();
        return number;
    }

    void set(uint32_t number, const T& value) {
        values_[number] = value;
    }

    void remove(uint32_t number) {
        values_[number] = NONE;
        free_.push_back(number);
    }

    void clear() {
        data_ = nullptr;
        count_ = 0;
        values_.clear();
        free_.clear();
    }

private:
    /** The elements of `values_`, which accesses read without the vector's indirections. */
    const T* data_ = nullptr;
    uint32_t count_ = 0;
    std::vector<T> values_;
    std::vector<uint32_t> free_;
};

/** The kinds of access that have tables of their own in a TLB. */
enum tlb_kind_t : uint32_t { TLB_READ, TLB_WRITE, TLB_FETCH, TLB_KINDS };

/**
 * The call block of a napi_env, and the live guest memories that the block can name by number.
 *
 * Because the block names the memory, one function per accessor serves all memories. V8 calls a
 * function directly while its call site has only one target. A function bound to each memory would
 * give the call site several targets, and V8 would call those through a slower, generic path.
 *
 * An access takes about 30 instructions, and an empty call of the runtime about 130. Two measures
 * keep the number low:
 *
 * - The first environment has a fixed address. The environments of worker threads are entries of a
 *   small static table, indexed by a hash of the napi_env. An accessor receives the napi_env as an
 *   argument and compares it; to query the runtime for the callback's data would take a quarter of
 *   the call. If the entry is taken, the environment is allocated on the heap, and its accessors
 *   query the runtime.
 * - The number of a memory is the index of its descriptor. Accesses to several memories by turns
 *   are therefore as fast as accesses to one.
 */
class [[gnu::visibility("hidden")]] alignas(64) Environment {
public:
    /** The number that no memory has: NO_MEMORY of lib/native/call-block.ts. */
    static constexpr uint32_t NO_MEMORY = 0;

    /** A copy of a memory's descriptor, for accesses that need not check that it is usable. */
    struct Descriptor {
        /** Host virtual address of guest physical address 0. */
        uint8_t* base;
        /** Bytes of RAM. 0 if each access must check the memory. */
        uint64_t size;
    };

    static constexpr Descriptor NO_DESCRIPTOR = {nullptr, 0};

    /** The page table of an address space: guest_page_table_t with fields that can change. */
    struct Table {
        const int32_t* reads;
        const int32_t* writes;
        /** Entries for instruction fetches; null until there are some. */
        const int32_t* fetches;
        Descriptor home;
        /** Null if writes set no mark. */
        std::atomic<uint8_t>* marks;
        uint32_t marked_pages;
        /** 0 if every access takes the slow path, or if the policy is not the default one. */
        uint32_t entries;
        /** The number of entries under another policy than the default one. */
        uint32_t policy_entries;
        uint16_t shift;
        /** The number of the access policy; see policy.h. */
        uint16_t policy;
    };

    static_assert(sizeof(Table) == 64 || sizeof(void*) < 8, "an index becomes a shift");

    /** The tables of a software TLB: guest_tlb_t for each kind of access. */
    struct Tlb {
        const kvm::memory::guest_tlb_entry_t* entries[TLB_KINDS];
        /** The number of entries of each table minus 1. */
        uint32_t mask;
        uint32_t page_bits;
    };

    /** Makes the environment of `env`. `block` must outlive every access. */
    static std::shared_ptr<Environment> create(napi_env env, CallBlock* block);

    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

    /** The place of the first environment. */
    static Environment& first() {
        return places_[0];
    }

    /** The environment of `env`, or null if it is the first one or on the heap. */
    static Environment* find(napi_env env) {
        Environment& place = place_of(env);
        return place.belongs_to(env) ? &place : nullptr;
    }

    bool belongs_to(napi_env env) const {
        return env_.load(std::memory_order_relaxed) == env;
    }

    CallBlock* call_block() const {
        return block_;
    }

    /** The descriptor of the memory with this number, or NO_DESCRIPTOR. */
    Descriptor descriptor(uint32_t number) const {
        return number < descriptor_count_ ? descriptor_data_[number] : NO_DESCRIPTOR;
    }

    /** The memory with this number, or null if there is none. */
    SharedMemory* memory(uint32_t number) const {
        return number < memories_.size() ? memories_[number] : nullptr;
    }

    /**
     * Registers a memory.
     *
     * @param descriptor The descriptor that accesses use until forget(), or NO_DESCRIPTOR.
     * @return Its number: not NO_MEMORY, and below CallBlock::WIDE_ADDRESS.
     */
    uint32_t add(SharedMemory* memory, const Descriptor& descriptor);
    void remove(uint32_t number);

    /** Makes each further access check whether the memory is usable. */
    void forget(uint32_t number);

    /** The page tables of address spaces, without a home at first. */
    Numbered<Table>& tables() {
        return tables_;
    }

    /** The TLBs of MMUs. */
    Numbered<Tlb>& tlbs() {
        return tlbs_;
    }

    /** Ends the use of the napi_env. The runtime may reuse its address afterwards. */
    void leave();

private:
    /** The places that a hash selects, after the place of the first environment. */
    static constexpr size_t HASHED = 64;
    static Environment places_[1 + HASHED];

    static Environment& place_of(napi_env env) {
        // Heap blocks of this size are aligned, so the low bits of their addresses are equal.
        return places_[1 + (reinterpret_cast<uintptr_t>(env) >> 6) % HASHED];
    }

    Environment() = default;
    void begin(napi_env env, CallBlock* block);
    void clear();

    /**
     * Atomic because other threads compare it with their own napi_env in find(). Only the thread of
     * the environment uses the other fields, except `taken_`.
     */
    std::atomic<napi_env> env_{nullptr};
    CallBlock* block_ = nullptr;
    /** The elements of `descriptors_`, which accesses read without the vector's indirections. */
    const Descriptor* descriptor_data_ = nullptr;
    uint32_t descriptor_count_ = 0;
    /** The descriptors, indexed by number. */
    std::vector<Descriptor> descriptors_;
    /** The memories, indexed by number. The entry NO_MEMORY is always null. */
    std::vector<SharedMemory*> memories_;
    std::vector<uint32_t> free_numbers_;
    Numbered<Table> tables_;
    Numbered<Tlb> tlbs_;
    /** Whether this entry of the table is in use; guarded by a mutex in environment.cpp. */
    bool taken_ = false;
};

/** The addon's instance data. Each worker thread has an environment, and so instance data. */
struct InstanceData {
    InstanceData(std::shared_ptr<Environment> shared, Napi::Reference<Napi::DataView> block)
        : environment(std::move(shared)), call_block(std::move(block)) {
    }

    ~InstanceData() {
        environment->leave();
    }

    InstanceData(const InstanceData&) = delete;
    InstanceData& operator=(const InstanceData&) = delete;

    /** Shared because the runtime may finalize handles after the instance data. */
    const std::shared_ptr<Environment> environment;
    /** Keeps the call block alive while JavaScript can call the accessors. */
    const Napi::Reference<Napi::DataView> call_block;
};

} // namespace pound::addon

#endif // POUND_ADDON_ENVIRONMENT_H
