#ifndef POUND_ADDON_ACCESS_CALL_H
#define POUND_ADDON_ACCESS_CALL_H

#include <napi.h>

#include "environment.h"
#include "memory_binding.h"

namespace pound::addon {

/** The environment from the callback's data. Slower than Environment::find(). */
inline Environment* environment_of_call(napi_env env, napi_callback_info info) {
    void* data = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    return static_cast<Environment*>(data);
}

/**
 * The slow path of access(): looks the memory up and makes every check. The result is
 * ERROR_INTERNAL if the memory has ended or never existed.
 */
template <typename Access>
[[gnu::noinline]] napi_value access_slowly(Environment* environment, Access run) {
    CallBlock* block = environment->call_block();
    const uint32_t word = block->memory();
    const uint32_t number = word & ~CallBlock::WIDE_ADDRESS;
    Environment::Descriptor descriptor = environment->descriptor(number);
    if (descriptor.size == 0) {
        SharedMemory* shared = environment->memory(number);
        if (shared == nullptr || !shared->usable()) {
            block->set_result(kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL);
            return nullptr;
        }
        descriptor = {shared->memory()->base, shared->memory()->size};
    }
    uint64_t gpa = block->gpa_low();
    if (word != number) {
        gpa |= static_cast<uint64_t>(block->gpa_high()) << 32;
    }
    kvm::memory::guest_memory_t memory{descriptor.base, descriptor.size};
    block->set_result(run(&memory, gpa, block));
    return nullptr;
}

template <typename Access>
napi_value access_in(Environment* environment, Access run) {
    CallBlock* block = environment->call_block();
    // No number has WIDE_ADDRESS set, so a wide address takes the slow path.
    const Environment::Descriptor descriptor = environment->descriptor(block->memory());
    // The compiler then omits the accessor's own check that RAM is not smaller than the access.
    if (likely(descriptor.size >= sizeof(uint64_t))) {
        kvm::memory::guest_memory_t memory{descriptor.base, descriptor.size};
        block->set_result(run(&memory, block->gpa_low(), block));
        return nullptr;
    }
    // Not inlined: its calls would make the fast path save registers too.
    return access_slowly(environment, run);
}

template <typename Access>
[[gnu::noinline]] napi_value access_elsewhere(napi_env env, napi_callback_info info, Access run) {
    Environment* environment = Environment::find(env);
    return access_in(environment == nullptr ? environment_of_call(env, info) : environment, run);
}

/**
 * Runs one access. The call block of the environment names the memory, has the arguments and
 * receives the result.
 *
 * @param run Makes the checks and the access:
 * guest_mem_access_result_t (guest_memory_t*, uint64_t gpa, CallBlock*).
 */
template <typename Access>
napi_value access(napi_env env, napi_callback_info info, Access run) {
    Environment& first = Environment::first();
    return likely(first.belongs_to(env)) ? access_in(&first, run)
                                         : access_elsewhere(env, info, run);
}

/** An exported function of the addon that makes one access. */
struct Accessor {
    const char* name;
    napi_callback call;
};

/** Adds an accessor to the module's exports. */
inline void export_accessor(Napi::Env env, Napi::Object exports, const Accessor& accessor) {
    Environment* environment = env.GetInstanceData<InstanceData>()->environment.get();
    napi_value function = nullptr;
    napi_create_function(env, accessor.name, NAPI_AUTO_LENGTH, accessor.call, environment,
                         &function);
    exports.Set(accessor.name, Napi::Value(env, function));
}

} // namespace pound::addon

#endif // POUND_ADDON_ACCESS_CALL_H
