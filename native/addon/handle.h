#ifndef POUND_ADDON_HANDLE_H
#define POUND_ADDON_HANDLE_H

#include <napi.h>

#include <memory>

/*
 * Handles are `External`s that carry a type tag and a shared_ptr of their own.
 * The tag tells our handles from every other External in the process, so a
 * forged one is refused and never dereferenced.
 */
namespace pound::addon {

/** The tag of the handles to a T; specialised beside each T. */
template <typename T>
extern const napi_type_tag HANDLE_TAG;

/** A new handle; or nothing, where the environment is being torn down. */
template <typename T>
Napi::Value make_handle(Napi::Env env, std::shared_ptr<T> object) {
    auto* owned = new std::shared_ptr<T>(std::move(object));
    napi_value external = nullptr;
    const napi_status status = napi_create_external(
        env, owned,
        [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<T>*>(data); }, nullptr,
        &external);
    if (status != napi_ok) {
        delete owned;
        return Napi::Value();
    }
    // Untagged, it would be refused as a foreign one, which is as well.
    napi_type_tag_object(env, external, &HANDLE_TAG<T>);
    return Napi::Value(env, external);
}

/** The object behind a handle, or null where `value` is not a handle to a T. */
template <typename T>
std::shared_ptr<T> open_handle(Napi::Value value) {
    // Only Externals are asked for their tag: on any other object the question
    // is answered through its properties, which a Proxy can trap.
    bool tagged = false;
    void* data = nullptr;
    if (!value.IsExternal() ||
        napi_check_object_type_tag(value.Env(), value, &HANDLE_TAG<T>, &tagged) != napi_ok ||
        !tagged || napi_get_value_external(value.Env(), value, &data) != napi_ok) {
        return nullptr;
    }
    return *static_cast<std::shared_ptr<T>*>(data);
}

} // namespace pound::addon

#endif // POUND_ADDON_HANDLE_H
