#include <napi.h>

#include "arena_binding.h"
#include "atomic_binding.h"
#include "batch_binding.h"
#include "core_binding.h"
#include "environment.h"
#include "errors.h"
#include "memory_binding.h"
#include "mmu_binding.h"
#include "sharing_binding.h"
#include "space_binding.h"
#include "stack_binding.h"
#include "watch_binding.h"

namespace pound::addon {

namespace {

/**
 * A DataView of a new SharedArrayBuffer for the call block. N-API has no function that makes a
 * SharedArrayBuffer, so this calls the constructor that the global object has.
 */
Napi::Value new_call_block(Napi::Env env) {
    const Napi::Object global = env.Global();
    const Napi::Value buffer = global.Get("SharedArrayBuffer")
                                   .As<Napi::Function>()
                                   .New({Napi::Number::New(env, sizeof(CallBlock))});
    return buffer.IsEmpty() ? buffer : global.Get("DataView").As<Napi::Function>().New({buffer});
}

/**
 * The bytes under the DataView of new_call_block(), or null if a script has replaced the global
 * constructors.
 */
CallBlock* call_block_of(Napi::Env env, Napi::Value view, Napi::Value* buffer) {
    size_t length = 0;
    void* data = nullptr;
    napi_value under = nullptr;
    if (view.IsEmpty() || !view.IsDataView() ||
        napi_get_dataview_info(env, view, &length, &data, &under, nullptr) != napi_ok ||
        length != sizeof(CallBlock)) {
        return nullptr;
    }
    *buffer = Napi::Value(env, under);
    // JavaScript could detach an ArrayBuffer, and C++ would keep a pointer to freed memory.
    return buffer->IsArrayBuffer() ? nullptr : static_cast<CallBlock*>(data);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
    const Napi::Value view = new_call_block(env);
    Napi::Value buffer;
    CallBlock* block = call_block_of(env, view, &buffer);
    if (block == nullptr) {
        throw_type(env, "SharedArrayBuffer or DataView is not the engine's");
        return exports;
    }
    auto environment = Environment::create(env, block);
    env.SetInstanceData(new InstanceData(environment, Napi::Persistent(view.As<Napi::DataView>())));
    exports.Set("callBlock", buffer);
    init_arena_binding(env, exports);
    init_memory_binding(env, exports);
    init_atomic_binding(env, exports);
    init_batch_binding(env, exports);
    init_sharing_binding(env, exports);
    init_space_binding(env, exports);
    init_mmu_binding(env, exports);
    init_stack_binding(env, exports);
    init_watch_binding(env, exports);
    init_core_binding(env, exports);
    return exports;
}

} // namespace

NODE_API_MODULE(pound_guest_memory, init)

} // namespace pound::addon
