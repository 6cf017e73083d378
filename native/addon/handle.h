#ifndef POUND_ADDON_HANDLE_H
#define POUND_ADDON_HANDLE_H

#include <napi.h>

#include <cstdint>
#include <memory>

/*
 * A handle is an `External` with a type tag and a shared_ptr to its object. The tag distinguishes
 * handles of this addon from every other External in the process, so a forged handle is refused and
 * never dereferenced. The tag also distinguishes this copy of the addon from other copies in the
 * process, which may have another version. The environment distinguishes the instances of one copy.
 */
namespace pound::addon {

/** The tag of handles to a T, not yet specific to this library. Specialised beside each T. */
template <typename T>
extern const napi_type_tag HANDLE_TAG;

/** An address that is unique to this copy of the library. */
const void* library_mark();

/** The tag of handles to a T in this copy of the library. */
template <typename T>
napi_type_tag handle_tag() {
    const napi_type_tag& tag = HANDLE_TAG<T>;
    return {tag.lower, tag.upper ^ reinterpret_cast<uintptr_t>(library_mark())};
}

/** The data of a handle. */
template <typename T>
struct Owned {
    napi_env env;
    std::shared_ptr<T> object;
};

/** Makes a handle. The result is empty if the environment is being torn down. */
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
    // If this fails, the handle has no tag and is refused as a foreign one, which is harmless.
    napi_type_tag_object(env, external, &tag);
    return Napi::Value(env, external);
}

/** The object of a handle, or null if `value` is not a handle to a T of this environment. */
template <typename T>
std::shared_ptr<T> open_handle(Napi::Value value) {
    // The type check comes first: N-API stores the tag of any other object as a property, and a
    // Proxy can trap the access to it.
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
