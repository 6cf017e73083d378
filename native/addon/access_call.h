#ifndef POUND_ADDON_ACCESS_CALL_H
#define POUND_ADDON_ACCESS_CALL_H

#include <napi.h>

#include "environment.h"
#include "memory_binding.h"

namespace pound::addon {

inline Environment* ask_for_environment(napi_env env, napi_callback_info info) {
    void* data = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    return static_cast<Environment*>(data);
}

/** As access(), for any memory there is or was. */
template <typename Access>
[[gnu::noinline]] napi_value access_asking(napi_env env, napi_callback_info info, Access run) {
    Environment* environment = ask_for_environment(env, info);
    CallBlock* block = environment->call_block();
    SharedMemory* shared = environment->memory(block->memory());
    if (shared == nullptr || !shared->usable()) {
        block->set_result(kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL);
        return nullptr;
    }
    kvm::memory::guest_memory_t* memory = shared->memory();
    if (shared->sure()) {
        environment->set_current({shared->number(), memory->base, memory->size});
    }
    block->set_result(run(memory, block));
    return nullptr;
}

/** Runs one access, whose memory and arguments the environment's call block names. */
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
    // Kept apart, lest what it calls makes every access save registers.
    return access_asking(env, info, run);
}

/** A function of the addon's that makes one access. */
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
