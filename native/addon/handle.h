#ifndef POUND_ADDON_HANDLE_H
#define POUND_ADDON_HANDLE_H

#include <napi.h>

#include <cstdint>
#include <memory>

/*
 * Handles are `External`s that carry a type tag and a shared_ptr of their own.
 * The tag tells our handles from every other External in the process, so a
 * forged one is refused and never dereferenced. It also tells this copy of the
 * addon's code from others that the process has loaded, which may be of another
 * version. The environment in it tells the instances of one copy apart.
 */
namespace pound::addon {

/** The tag of the handles to a T, before it is made this library's; specialised beside each T. */
template <typename T>
extern const napi_type_tag HANDLE_TAG;

/** An address that no other library has. */
const void* library_mark();

template <typename T>
napi_type_tag handle_tag() {
    const napi_type_tag& tag = HANDLE_TAG<T>;
    return {tag.lower, tag.upper ^ reinterpret_cast<uintptr_t>(library_mark())};
}

/** What a handle points to. */
template <typename T>
struct Owned {
    napi_env env;
    std::shared_ptr<T> object;
};

/** A new handle; or nothing, where the environment is being torn down. */
template <typename T>
Napi::Value make_handle(Napi::Env env, std::shared_ptr<T> object) {
    auto* owned = new Owned<T>{env, std::move(object)};
    napi_value external = nullptr;
    const napi_status status = napi_create_external(
        env, owned, [](napi_env, void* data, void*) { delete static_cast<Owned<T>*>(data); },
        nullptr, &external);
    if (status != napi_ok) {
        delete owned;
        return Napi::Value();
    }
    const napi_type_tag tag = handle_tag<T>();
    // Untagged, it would be refused as a foreign one, which is as well.
    napi_type_tag_object(env, external, &tag);
    return Napi::Value(env, external);
}

/** The object behind a handle, or null where `value` is not a handle to a T of its environment. */
template <typename T>
std::shared_ptr<T> open_handle(Napi::Value value) {
    // Only Externals are asked for their tag: on any other object the question
    // is answered through its properties, which a Proxy can trap.
    const napi_type_tag tag = handle_tag<T>();
    bool tagged = false;
    void* data = nullptr;
    if (!value.IsExternal() ||
        napi_check_object_type_tag(value.Env(), value, &tag, &tagged) != napi_ok || !tagged ||
        napi_get_value_external(value.Env(), value, &data) != napi_ok) {
        return nullptr;
    }
    const auto* owned = static_cast<Owned<T>*>(data);
    return owned->env == value.Env() ? owned->object : nullptr;
}

} // namespace pound::addon

#endif // POUND_ADDON_HANDLE_H
