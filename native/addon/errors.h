#ifndef POUND_ADDON_ERRORS_H
#define POUND_ADDON_ERRORS_H

#include <napi.h>

/*
 * Errors as JavaScript sees them: each carries a stable `code`. Every function
 * leaves an exception pending and returns an empty value, so that a binding can
 * `return throw_…(…)`.
 */
namespace pound::addon {

/** TypeError ERR_INVALID_ARG_TYPE: an argument is of the wrong JavaScript type. */
Napi::Value throw_type(Napi::Env env, const char* message);

/** TypeError ERR_INVALID_HANDLE: not a handle of ours, or one of another kind. */
Napi::Value throw_handle(Napi::Env env, const char* message);

/** RangeError ERR_OUT_OF_RANGE: a number that the argument cannot take. */
Napi::Value throw_range(Napi::Env env, const char* message);

/** RangeError ERR_ARENA_EXHAUSTED: the arena has too little left. */
Napi::Value throw_exhausted(Napi::Env env, const char* message);

/** Error ERR_OUT_OF_MEMORY: the operating system refused. */
Napi::Value throw_no_memory(Napi::Env env, const char* message);

/** Error ERR_DESTROYED: the arena, or the buffer under it, is gone. */
Napi::Value throw_destroyed(Napi::Env env, const char* message);

} // namespace pound::addon

#endif // POUND_ADDON_ERRORS_H
