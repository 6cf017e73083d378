#ifndef POUND_ADDON_SHARED_ELEMENTS_H
#define POUND_ADDON_SHARED_ELEMENTS_H

#include <napi.h>

#include <cstddef>

namespace pound::addon {

/**
 * The elements of a typed array over a SharedArrayBuffer, which JavaScript cannot detach. Null for
 * any other value.
 */
inline void* shared_elements(Napi::Value value, napi_typedarray_type expected, size_t* length) {
    napi_typedarray_type type = expected;
    void* data = nullptr;
    napi_value buffer = nullptr;
    if (!value.IsTypedArray() ||
        napi_get_typedarray_info(value.Env(), value, &type, length, &data, &buffer, nullptr) !=
            napi_ok ||
        type != expected || Napi::Value(value.Env(), buffer).IsArrayBuffer()) {
        return nullptr;
    }
    return data;
}

} // namespace pound::addon

#endif // POUND_ADDON_SHARED_ELEMENTS_H
