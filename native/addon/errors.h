#ifndef POUND_ADDON_ERRORS_H
#define POUND_ADDON_ERRORS_H

#include <napi.h>

/*
 * Throws JavaScript errors that have a stable `code`. Every function leaves an exception pending
 * and returns an empty value, so a binding can `return throw_…(…)`.
 */
namespace pound::addon {

/** TypeError ERR_INVALID_ARG_TYPE: an argument is of the wrong JavaScript type. */
Napi::Value throw_type(Napi::Env env, const char* message);

/** TypeError ERR_INVALID_HANDLE: not a handle of this addon, or a handle of another kind. */
Napi::Value throw_handle(Napi::Env env, const char* message);

/** RangeError ERR_OUT_OF_RANGE: a number outside the range of the argument. */
Napi::Value throw_range(Napi::Env env, const char* message);

/** RangeError ERR_ARENA_EXHAUSTED: the arena has too few bytes left. */
Napi::Value throw_exhausted(Napi::Env env, const char* message);

/** Error ERR_OUT_OF_MEMORY: the operating system refused memory. */
Napi::Value throw_no_memory(Napi::Env env, const char* message);

/** Error ERR_DESTROYED: the arena is destroyed, or the buffer under it is detached. */
Napi::Value throw_destroyed(Napi::Env env, const char* message);

/** Error ERR_SHARING_UNAVAILABLE: the system cannot share memory between processes in this way. */
Napi::Value throw_sharing_unavailable(Napi::Env env, const char* message);

/** An Error with the code of the system, such as ENOENT, for a name of shared memory. */
Napi::Value throw_shared_name(Napi::Env env, const char* code, const char* message);

/** Error ERR_BUSY: other threads write to the memory all the time. */
Napi::Value throw_busy(Napi::Env env, const char* message);

} // namespace pound::addon

#endif // POUND_ADDON_ERRORS_H
