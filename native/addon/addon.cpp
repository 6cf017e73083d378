#include <napi.h>

#include "arena_binding.h"
#include "atomic_binding.h"
#include "batch_binding.h"
#include "environment.h"
#include "memory_binding.h"

namespace pound::addon {

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
    auto call_block = Napi::ArrayBuffer::New(env, sizeof(CallBlock));
    auto environment = Environment::create(env, static_cast<CallBlock*>(call_block.Data()));
    env.SetInstanceData(new InstanceData(environment, Napi::Persistent(call_block)));
    exports.Set("callBlock", call_block);
    init_arena_binding(env, exports);
    init_memory_binding(env, exports);
    init_atomic_binding(env, exports);
    init_batch_binding(env, exports);
    return exports;
}

} // namespace

NODE_API_MODULE(pound_guest_memory, init)

} // namespace pound::addon
