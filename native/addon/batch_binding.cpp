#include "batch_binding.h"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <iterator>

#include "errors.h"
#include "kvm/endian.h"
#include "kvm/guest.h"
#include "memory_binding.h"
#include "policy.h"

namespace pound::addon {

using kvm::memory::guest_mem_access_result_t;
using kvm::memory::guest_memory_t;

namespace {

/** One operation of a batch, little-endian, as lib/native/op-buffer.ts packs it. */
struct PackedOp {
    uint64_t gpa;
    uint64_t value;
    uint8_t kind;
    uint8_t result;
    uint8_t padding[6];
};

static_assert(offsetof(PackedOp, gpa) == 0, "the address in lib/native/op-buffer.ts");
static_assert(offsetof(PackedOp, value) == 8, "VALUE of lib/native/op-buffer.ts");
static_assert(offsetof(PackedOp, kind) == 16, "KIND of lib/native/op-buffer.ts");
static_assert(offsetof(PackedOp, result) == 17, "RESULT of lib/native/op-buffer.ts");
static_assert(sizeof(PackedOp) == 24, "OP_SIZE of lib/native/op-buffer.ts");

/** The kinds of operations: `OpKind` of lib/native/op-buffer.ts. */
enum OpKind : uint8_t {
    READB = 0,
    READW = 1,
    READL = 2,
    READQ = 3,
    WRITEB = 4,
    WRITEW = 5,
    WRITEL = 6,
    WRITEQ = 7,
};

/** Reads a u64 field of a packed operation. The operation may have any alignment. */
uint64_t load_field(const uint8_t* op, size_t offset) {
    uint64_t value;
    memcpy(&value, op + offset, sizeof(value));
    // Another thread may write to the batch. The fence keeps the compiler from a second load, which
    // could differ from the value that was checked.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return kvm::guest_order(value);
}

template <typename T, typename Policy>
guest_mem_access_result_t run_read(guest_memory_t* memory, uint8_t* op) {
    T out;
    const uint64_t gpa = load_field(op, offsetof(PackedOp, gpa));
    const guest_mem_access_result_t result =
        kvm::memory::guest_mem_read<T, Policy>(memory, gpa, &out);
    if (result == kvm::memory::GUEST_MEM_ACCESS_OK) {
        const uint64_t value = kvm::guest_order(static_cast<uint64_t>(out));
        memcpy(op + offsetof(PackedOp, value), &value, sizeof(value));
    }
    return result;
}

template <typename T, typename Policy>
guest_mem_access_result_t run_write(guest_memory_t* memory, uint8_t* op) {
    const uint64_t gpa = load_field(op, offsetof(PackedOp, gpa));
    const uint64_t value = load_field(op, offsetof(PackedOp, value));
    return kvm::memory::guest_mem_write<T, Policy>(memory, gpa, static_cast<T>(value));
}

template <typename Policy>
guest_mem_access_result_t run_op(guest_memory_t* memory, uint8_t* op) {
    switch (*static_cast<const volatile uint8_t*>(op + offsetof(PackedOp, kind))) {
    case READB:
        return run_read<uint8_t, Policy>(memory, op);
    case READW:
        return run_read<uint16_t, Policy>(memory, op);
    case READL:
        return run_read<uint32_t, Policy>(memory, op);
    case READQ:
        return run_read<uint64_t, Policy>(memory, op);
    case WRITEB:
        return run_write<uint8_t, Policy>(memory, op);
    case WRITEW:
        return run_write<uint16_t, Policy>(memory, op);
    case WRITEL:
        return run_write<uint32_t, Policy>(memory, op);
    case WRITEQ:
        return run_write<uint64_t, Policy>(memory, op);
    default:
        // Checked here because a pass over all kinds in advance would add a sixth to the run.
        return kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL;
    }
}

/**
 * Runs the operations in order. The batch may lie in the RAM that it writes to.
 *
 * @return The number of operations that faulted.
 */
template <typename Policy>
size_t run_ops(const guest_memory_t& memory, uint8_t* ops, size_t count) {
    // No pointer to this copy escapes, so the compiler keeps it in registers.
    guest_memory_t local = memory;
    size_t faults = 0;
    for (size_t i = 0; i < count; ++i) {
        uint8_t* op = ops + i * sizeof(PackedOp);
        const guest_mem_access_result_t result = run_op<Policy>(&local, op);
        op[offsetof(PackedOp, result)] = static_cast<uint8_t>(result);
        faults += result != kvm::memory::GUEST_MEM_ACCESS_OK;
    }
    return faults;
}

using RunOps = size_t (*)(const guest_memory_t& memory, uint8_t* ops, size_t count);

/** run_ops() by the number of the policy: `policyNumber` of lib/base/policy.ts. */
constexpr RunOps RUN_OPS[] = {
    run_ops<policy_t<0>>,
    run_ops<policy_t<1>>,
    run_ops<policy_t<2>>,
    run_ops<policy_t<3>>,
};

static_assert(std::size(RUN_OPS) == POLICIES, "one row per policy");

/** Sets the result of every operation to ERROR_INTERNAL. */
void refuse_ops(uint8_t* ops, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        ops[i * sizeof(PackedOp) + offsetof(PackedOp, result)] =
            kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL;
    }
}

/** guestMemoryRun(memory, ops: Uint8Array, policy): the number of operations that faulted */
Napi::Value guest_memory_run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto memory = open_handle<SharedMemory>(info[0]);
    if (memory == nullptr) {
        return throw_handle(env, "the first argument must be a handle to a guest memory");
    }
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* data = nullptr;
    if (!info[1].IsTypedArray() ||
        napi_get_typedarray_info(env, info[1], &type, &length, &data, nullptr, nullptr) !=
            napi_ok ||
        type != napi_uint8_array) {
        return throw_type(env, "ops must be a Uint8Array");
    }
    auto* ops = static_cast<uint8_t*>(data);
    const size_t count = length / sizeof(PackedOp);
    if (length % sizeof(PackedOp) != 0) {
        return throw_range(env, "ops must be whole operations");
    }
    const uint32_t policy =
        info[2].IsNumber() ? info[2].As<Napi::Number>().Uint32Value() : POLICIES;
    if (policy >= POLICIES) {
        return throw_range(env, "policy must be the number of an access policy");
    }
    if (!memory->usable()) {
        refuse_ops(ops, count);
        return Napi::Number::New(env, static_cast<double>(count));
    }
    return Napi::Number::New(env,
                             static_cast<double>(RUN_OPS[policy](*memory->memory(), ops, count)));
}

} // namespace

void init_batch_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("guestMemoryRun", Napi::Function::New(env, guest_memory_run, "guestMemoryRun"));
}

} // namespace pound::addon
