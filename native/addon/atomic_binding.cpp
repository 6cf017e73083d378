#include "atomic_binding.h"

#include <iterator>

#include "access_call.h"
#include "kvm/guest_atomic.h"

namespace pound::addon {

using kvm::memory::guest_mem_access_result_t;
using kvm::memory::guest_memory_t;

namespace {

/** Stores the value found in RAM into the call block if the access was made. */
template <typename T>
guest_mem_access_result_t give(guest_mem_access_result_t result, const T& value, CallBlock* block) {
    if (result == kvm::memory::GUEST_MEM_ACCESS_OK) {
        block->set_value(value);
    }
    return result;
}

template <typename T, guest_mem_access_result_t (*load)(guest_memory_t*, uint64_t, T*)>
guest_mem_access_result_t run_load(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    T value{};
    return give(load(memory, gpa, &value), value, block);
}

template <typename T, guest_mem_access_result_t (*store)(guest_memory_t*, uint64_t, T)>
guest_mem_access_result_t run_store(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    return store(memory, gpa, block->value<T>());
}

template <typename T, guest_mem_access_result_t (*modify)(guest_memory_t*, uint64_t, T, T*)>
guest_mem_access_result_t run_modify(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    T old{};
    return give(modify(memory, gpa, block->value<T>(), &old), old, block);
}

template <typename T, guest_mem_access_result_t (*cmpxchg)(guest_memory_t*, uint64_t, T, T, T*)>
guest_mem_access_result_t run_cmpxchg(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    T old{};
    return give(cmpxchg(memory, gpa, block->expected<T>(), block->value<T>(), &old), old, block);
}

using Operation = guest_mem_access_result_t (*)(guest_memory_t*, uint64_t, CallBlock*);

/** CallBlock::operation of 8 bits: the numbers of lib/atomics/operations.ts. */
enum AtomicOperation : uint32_t {
    ATOMIC_LOAD = 0,
    ATOMIC_STORE = 4,
    ATOMIC_EXCHANGE = 8,
    ATOMIC_COMPARE_EXCHANGE = 12,
    ATOMIC_ADD = 16,
    ATOMIC_AND = 20,
    ATOMIC_OR = 24,
    ATOMIC_XOR = 28,
};

constexpr uint32_t WIDTHS = 4;

/** One operation at its four widths, the narrowest first. */
struct OperationRow {
    AtomicOperation number;
    Operation widths[WIDTHS];
};

constexpr OperationRow OPERATIONS[] = {
    {ATOMIC_LOAD,
     {run_load<uint8_t, kvm::memory::guest_mem_atomic_loadb>,
      run_load<uint16_t, kvm::memory::guest_mem_atomic_loadw>,
      run_load<uint32_t, kvm::memory::guest_mem_atomic_loadl>,
      run_load<uint64_t, kvm::memory::guest_mem_atomic_loadq>}},
    {ATOMIC_STORE,
     {run_store<uint8_t, kvm::memory::guest_mem_atomic_storeb>,
      run_store<uint16_t, kvm::memory::guest_mem_atomic_storew>,
      run_store<uint32_t, kvm::memory::guest_mem_atomic_storel>,
      run_store<uint64_t, kvm::memory::guest_mem_atomic_storeq>}},
    {ATOMIC_EXCHANGE,
     {run_modify<uint8_t, kvm::memory::guest_mem_atomic_exchangeb>,
      run_modify<uint16_t, kvm::memory::guest_mem_atomic_exchangew>,
      run_modify<uint32_t, kvm::memory::guest_mem_atomic_exchangel>,
      run_modify<uint64_t, kvm::memory::guest_mem_atomic_exchangeq>}},
    {ATOMIC_COMPARE_EXCHANGE,
     {run_cmpxchg<uint8_t, kvm::memory::guest_mem_atomic_cmpxchgb>,
      run_cmpxchg<uint16_t, kvm::memory::guest_mem_atomic_cmpxchgw>,
      run_cmpxchg<uint32_t, kvm::memory::guest_mem_atomic_cmpxchgl>,
      run_cmpxchg<uint64_t, kvm::memory::guest_mem_atomic_cmpxchgq>}},
    {ATOMIC_ADD,
     {run_modify<uint8_t, kvm::memory::guest_mem_atomic_addb>,
      run_modify<uint16_t, kvm::memory::guest_mem_atomic_addw>,
      run_modify<uint32_t, kvm::memory::guest_mem_atomic_addl>,
      run_modify<uint64_t, kvm::memory::guest_mem_atomic_addq>}},
    {ATOMIC_AND,
     {run_modify<uint8_t, kvm::memory::guest_mem_atomic_andb>,
      run_modify<uint16_t, kvm::memory::guest_mem_atomic_andw>,
      run_modify<uint32_t, kvm::memory::guest_mem_atomic_andl>,
      run_modify<uint64_t, kvm::memory::guest_mem_atomic_andq>}},
    {ATOMIC_OR,
     {run_modify<uint8_t, kvm::memory::guest_mem_atomic_orb>,
      run_modify<uint16_t, kvm::memory::guest_mem_atomic_orw>,
      run_modify<uint32_t, kvm::memory::guest_mem_atomic_orl>,
      run_modify<uint64_t, kvm::memory::guest_mem_atomic_orq>}},
    {ATOMIC_XOR,
     {run_modify<uint8_t, kvm::memory::guest_mem_atomic_xorb>,
      run_modify<uint16_t, kvm::memory::guest_mem_atomic_xorw>,
      run_modify<uint32_t, kvm::memory::guest_mem_atomic_xorl>,
      run_modify<uint64_t, kvm::memory::guest_mem_atomic_xorq>}},
};

constexpr bool rows_have_their_numbers() {
    for (uint32_t row = 0; row < std::size(OPERATIONS); ++row) {
        if (OPERATIONS[row].number != row * WIDTHS) {
            return false;
        }
    }
    return true;
}

static_assert(rows_have_their_numbers(),
              "ATOMIC_LOAD to ATOMIC_XOR of lib/atomics/operations.ts index this table");

/**
 * atomic(): undefined
 *
 * Runs the operation that the call block names. TypeScript calls one function for all operations,
 * because a call takes V8 twice as long if its call site has several targets.
 */
napi_value atomic(napi_env env, napi_callback_info info) {
    return access(env, info, [](guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
        const uint32_t operation = block->operation();
        const uint32_t row = operation / WIDTHS;
        return row < std::size(OPERATIONS)
                   ? OPERATIONS[row].widths[operation % WIDTHS](memory, gpa, block)
                   : kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL;
    });
}

} // namespace

void init_atomic_binding(Napi::Env env, Napi::Object exports) {
    export_accessor(env, exports, {"atomic", atomic});
}

} // namespace pound::addon
