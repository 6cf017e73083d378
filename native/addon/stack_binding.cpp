#include "stack_binding.h"

#include <cstdint>

#include "access_call.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace pound::addon {

namespace {

/**
 * stackPosition(): the address of the stack frame of this call
 *
 * Not the address of a variable: AddressSanitizer may keep variables elsewhere.
 */
napi_value stack_position(napi_env env, napi_callback_info) {
#if defined(_MSC_VER) && !defined(__clang__)
    const void* frame = _AddressOfReturnAddress();
#else
    const void* frame = __builtin_frame_address(0);
#endif
    napi_value position = nullptr;
    napi_create_double(env, static_cast<double>(reinterpret_cast<uintptr_t>(frame)), &position);
    return position;
}

} // namespace

void init_stack_binding(Napi::Env env, Napi::Object exports) {
    export_accessor(env, exports, {"stackPosition", stack_position});
}

} // namespace pound::addon
