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
template <typename T> extern const napi_type_tag HANDLE_TAG;

template <typename T> Napi::Value make_handle(Napi::Env env, std::shared_ptr<T> object) {
    auto external = Napi::External<std::shared_ptr<T>>::New(
        env, new std::shared_ptr<T>(std::move(object)),
        [](Napi::Env, std::shared_ptr<T>* owned) { delete owned; });
    external.TypeTag(&HANDLE_TAG<T>);
    return external;
}

/** The object behind a handle, or null where `value` is not a handle to a T. */
template <typename T> std::shared_ptr<T> open_handle(Napi::Value value) {
    // Only Externals are asked for their tag: on any other object the question
    // is answered through its properties, which a Proxy can trap.
    if (!value.IsExternal()) {
        return nullptr;
    }
    auto external = value.As<Napi::External<std::shared_ptr<T>>>();
    return external.CheckTypeTag(&HANDLE_TAG<T>) ? *external.Data() : nullptr;
}

} // namespace pound::addon

#endif // POUND_ADDON_HANDLE_H
