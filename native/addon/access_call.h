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
 * The slow path of access(): looks the memory up by its number, and caches it if only end() can
 * make it unusable. The result is ERROR_INTERNAL if the memory has ended or never existed.
 */
template <typename Access>
[[gnu::noinline]] napi_value access_uncached(napi_env env, napi_callback_info info, Access run) {
    Environment* environment = environment_of_call(env, info);
    CallBlock* block = environment->call_block();
    SharedMemory* shared = environment->memory(block->memory());
    if (shared == nullptr || !shared->usable()) {
        block->set_result(kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL);
        return nullptr;
    }
    kvm::memory::guest_memory_t* memory = shared->memory();
    if (shared->cacheable()) {
        environment->set_current({shared->number(), memory->base, memory->size});
    }
    block->set_result(run(memory, block));
    return nullptr;
}

/**
 * Runs one access. The call block of the environment names the memory, has the arguments and
 * receives the result.
 *
 * @param run Makes the checks and the access: guest_mem_access_result_t (guest_memory_t*,
 * CallBlock*).
 */
template <typename Access>
napi_value access(napi_env env, napi_callback_info info, Access run) {
    if (const Environment* environment = Environment::find(env)) {
        CallBlock* block = environment->call_block();
        const Environment::Current& current = environment->current();
        if (block->memory() == current.number) {
            kvm::memory::guest_memory_t memory{current.base, current.size};
            block->set_result(run(&memory, block));
            return nullptr;
        }
    }
    // Not inlined: its calls would make the fast path save registers too.
    return access_uncached(env, info, run);
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
