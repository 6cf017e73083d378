#include <napi.h>

#include "arena_binding.h"
#include "call_block.h"
#include "memory_binding.h"

namespace pound::addon {

EnvironmentData::EnvironmentData(Napi::Env env) {
    auto buffer = Napi::ArrayBuffer::New(env, sizeof(CallBlock));
    block_ = static_cast<CallBlock*>(buffer.Data());
    buffer_ = Napi::Persistent(buffer);
}

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
    auto* data = new EnvironmentData(env);
    env.SetInstanceData(data);
    init_arena_binding(env, exports);
    init_memory_binding(env, exports, *data);
    return exports;
}

} // namespace

NODE_API_MODULE(pound_guest_memory, init)

} // namespace pound::addon
