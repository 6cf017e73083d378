#include "errors.h"

namespace pound::addon {

namespace {

template <typename E>
Napi::Value throw_with_code(Napi::Env env, const char* code, const char* message) {
    E error = E::New(env, message);
    error.Set("code", Napi::String::New(env, code));
    error.ThrowAsJavaScriptException();
    return Napi::Value();
}

} // namespace

Napi::Value throw_type(Napi::Env env, const char* message) {
    return throw_with_code<Napi::TypeError>(env, "ERR_INVALID_ARG_TYPE", message);
}

Napi::Value throw_handle(Napi::Env env, const char* message) {
    return throw_with_code<Napi::TypeError>(env, "ERR_INVALID_HANDLE", message);
}

Napi::Value throw_range(Napi::Env env, const char* message) {
    return throw_with_code<Napi::RangeError>(env, "ERR_OUT_OF_RANGE", message);
}

Napi::Value throw_exhausted(Napi::Env env, const char* message) {
    return throw_with_code<Napi::RangeError>(env, "ERR_ARENA_EXHAUSTED", message);
}

Napi::Value throw_no_memory(Napi::Env env, const char* message) {
    return throw_with_code<Napi::Error>(env, "ERR_OUT_OF_MEMORY", message);
}

Napi::Value throw_destroyed(Napi::Env env, const char* message) {
    return throw_with_code<Napi::Error>(env, "ERR_DESTROYED", message);
}

} // namespace pound::addon
