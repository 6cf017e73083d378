#include "errors.h"

namespace pound::addon {

namespace {

using ErrorMaker = napi_status (*)(napi_env, napi_value, napi_value, napi_value*);

/**
 * Throws an error with a `code`. Ignores the status of each call: these calls fail only while the
 * environment is torn down, for instance when a worker is terminated during a call, and no
 * JavaScript can catch the error then. Napi::Error would abort the process.
 */
Napi::Value throw_with_code(Napi::Env env, ErrorMaker make, const char* code, const char* message) {
    napi_value code_value = nullptr;
    napi_value message_value = nullptr;
    napi_value error = nullptr;
    napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value);
    napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &message_value);
    if (make(env, code_value, message_value, &error) == napi_ok) {
        napi_throw(env, error);
    }
    return Napi::Value();
}

} // namespace

Napi::Value throw_type(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_type_error, "ERR_INVALID_ARG_TYPE", message);
}

Napi::Value throw_handle(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_type_error, "ERR_INVALID_HANDLE", message);
}

Napi::Value throw_range(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_range_error, "ERR_OUT_OF_RANGE", message);
}

Napi::Value throw_exhausted(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_range_error, "ERR_ARENA_EXHAUSTED", message);
}

Napi::Value throw_no_memory(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_error, "ERR_OUT_OF_MEMORY", message);
}

Napi::Value throw_destroyed(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_error, "ERR_DESTROYED", message);
}

Napi::Value throw_sharing_unavailable(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_error, "ERR_SHARING_UNAVAILABLE", message);
}

Napi::Value throw_shared_name(Napi::Env env, const char* code, const char* message) {
    return throw_with_code(env, napi_create_error, code, message);
}

Napi::Value throw_busy(Napi::Env env, const char* message) {
    return throw_with_code(env, napi_create_error, "ERR_BUSY", message);
}

} // namespace pound::addon
