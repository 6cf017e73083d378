#include "sharing_binding.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "arena_binding.h"
#include "errors.h"
#include "host/memory/bus_guard.h"
#include "host/memory/shared_object.h"

namespace pound::addon {

using host::memory::arena_t;
using host::memory::shared_object_t;

namespace {

/** Throws an Error `code` that says what the system answered. */
Napi::Value throw_sharing(Napi::Env env, int error) {
    if (host::memory::shared_object_exists(error)) {
        return throw_shared_name(env, "EEXIST", "shared memory of this name exists already");
    }
    if (host::memory::shared_object_missing(error)) {
        return throw_shared_name(env, "ENOENT", "no shared memory has this name");
    }
    // The number alone: std::error_code would add a quarter to the binary of Windows.
    const std::string message =
        "the system cannot share this memory: its error " + std::to_string(error);
    return throw_sharing_unavailable(env, message.c_str());
}

/** The size in an argument, in bytes; 0 if there is none. */
size_t size_in(Napi::Value value) {
    const double size = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
    return size >= 1 && size <= 9007199254740991.0 && size <= static_cast<double>(SIZE_MAX)
               ? static_cast<size_t>(size)
               : 0;
}

/**
 * Makes a handle to an arena over the first bytes of an object.
 *
 * @param size Bytes; 0 for all.
 */
Napi::Value share(Napi::Env env, int error, shared_object_t object, size_t size) {
    if (error != 0) {
        return throw_sharing(env, error);
    }
    if (object.size() == 0 || size > object.size()) {
        return throw_range(env, "the shared memory has fewer bytes");
    }
    arena_t arena;
    if (object.map(&arena, size == 0 ? object.size() : size) != host::memory::ARENA_OK) {
        return throw_no_memory(env, "the system refuses to map the shared memory");
    }
    return make_handle(env, std::make_shared<SharedArena>(env, arena, std::move(object)));
}

/** The name in the first argument, or nothing and an exception pending. */
std::optional<std::string> to_name(const Napi::CallbackInfo& info) {
    if (!info[0].IsString()) {
        throw_type(info.Env(), "name must be a string");
        return std::nullopt;
    }
    return info[0].As<Napi::String>().Utf8Value();
}

/** sharedCreate(name: string, size: number): handle to an arena */
Napi::Value shared_create(const Napi::CallbackInfo& info) {
    const auto name = to_name(info);
    const size_t size = size_in(info[1]);
    if (!name) {
        return Napi::Value();
    }
    if (size == 0) {
        return throw_range(info.Env(), "size must be an integer of bytes, at least 1");
    }
    shared_object_t object;
    const int error = shared_object_t::create(name->c_str(), size, &object);
    return share(info.Env(), error, std::move(object), size);
}

/** sharedOpen(name: string, size = 0): handle to an arena over the first bytes, or over all */
Napi::Value shared_open(const Napi::CallbackInfo& info) {
    const auto name = to_name(info);
    if (!name) {
        return Napi::Value();
    }
    shared_object_t object;
    const int error = shared_object_t::open(name->c_str(), &object);
    return share(info.Env(), error, std::move(object), size_in(info[1]));
}

/** sharedDescriptor(descriptor: number, size = 0): handle to an arena, as sharedOpen() */
Napi::Value shared_descriptor(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const double number = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= INT32_MAX && std::trunc(number) == number)) {
        return throw_range(env, "descriptor must be an integer from 0 to 2^31 - 1");
    }
    shared_object_t object;
    const int error = shared_object_t::duplicate(static_cast<int>(number), &object);
    return share(env, error, std::move(object), size_in(info[1]));
}

/** sharedUnlink(name: string): undefined; harmless if there is no such name */
Napi::Value shared_unlink(const Napi::CallbackInfo& info) {
    const auto name = to_name(info);
    if (name) {
        host::memory::shared_object_unlink(name->c_str());
    }
    return Napi::Value();
}

/** arenaDescriptor(arena): number; -1 if the arena has none */
Napi::Value arena_descriptor(const Napi::CallbackInfo& info) {
    const auto arena = open_handle<SharedArena>(info[0]);
    return Napi::Number::New(info.Env(), arena == nullptr ? -1 : arena->descriptor());
}

/** arenaLostSharing(arena): whether pages were replaced because their file no longer has them */
Napi::Value arena_lost_sharing(const Napi::CallbackInfo& info) {
    const auto arena = open_handle<SharedArena>(info[0]);
    return Napi::Boolean::New(info.Env(),
                              arena != nullptr && arena->is_shared_object() &&
                                  host::memory::bus_guard_has_replaced(arena->arena().data));
}

} // namespace

void init_sharing_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("sharedCreate", Napi::Function::New(env, shared_create, "sharedCreate"));
    exports.Set("sharedOpen", Napi::Function::New(env, shared_open, "sharedOpen"));
    exports.Set("sharedDescriptor",
                Napi::Function::New(env, shared_descriptor, "sharedDescriptor"));
    exports.Set("sharedUnlink", Napi::Function::New(env, shared_unlink, "sharedUnlink"));
    exports.Set("arenaDescriptor", Napi::Function::New(env, arena_descriptor, "arenaDescriptor"));
    exports.Set("arenaLostSharing",
                Napi::Function::New(env, arena_lost_sharing, "arenaLostSharing"));
}

} // namespace pound::addon
