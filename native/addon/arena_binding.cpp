#include "arena_binding.h"

#include <cmath>
#include <optional>

#include "errors.h"
#include "host/memory/pages.h"

namespace pound::addon {

using host::memory::ARENA_BACKING_PAGES;
using host::memory::ARENA_OK;
using host::memory::arena_t;

namespace {

/** Number.MAX_SAFE_INTEGER. */
constexpr double MAX_SAFE_INTEGER = 9007199254740991.0;

#if defined(_WIN32)
/** The most bytes that reset() zeroes in place; above it, reset() moves to fresh pages. */
constexpr size_t ZEROED_IN_PLACE = size_t{64} << 20;
#endif

/** The most bytes that one ArrayBuffer can span in every supported runtime. */
constexpr uint64_t MAX_EXPOSED = uint64_t{1} << 32;

} // namespace

SharedArena::SharedArena(napi_env env, const arena_t& arena, Init init)
    : env_(env), arena_(arena), init_(init), pages_(std::make_shared<Pages>(arena)) {
}

SharedArena::SharedArena(napi_env env, const arena_t& arena, Napi::DataView view,
                         Napi::Value buffer, OwnerEnd owner_end)
    : env_(env), arena_(arena), owner_end_(owner_end), owner_view_(Napi::Persistent(view)) {
    if (buffer.IsArrayBuffer()) {
        owner_buffer_ = Napi::Persistent(buffer.As<Napi::ArrayBuffer>());
    }
}

bool SharedArena::owner_intact() const {
    // Checked at every use: JavaScript can detach the buffer at any time, or shrink a resizable
    // one. The bytes may then be unmapped or belong to another buffer.
    Napi::HandleScope scope(owner_view_.Env());
    Napi::ArrayBuffer buffer = owner_buffer_.Value();
    void* data = nullptr;
    size_t length = 0;
    napi_get_arraybuffer_info(buffer.Env(), buffer, &data, &length);
    const auto start = reinterpret_cast<uintptr_t>(data);
    const auto ours = reinterpret_cast<uintptr_t>(arena_.data);
    return data != nullptr && start <= ours && ours + arena_.capacity <= start + length;
}

void SharedArena::end_dependents() {
    for (ArenaDependent* dependent : dependents_) {
        dependent->end();
    }
    dependents_.clear();
}

bool SharedArena::move_to_fresh_pages() {
    arena_t fresh;
    if (init_(&fresh, arena_.capacity) != ARENA_OK) {
        return false;
    }
    arena_ = fresh;
    pages_ = std::make_shared<Pages>(fresh);
    return true;
}

bool SharedArena::reset() {
    end_dependents();
    if (pages_ != nullptr && (pages_->in_run() || may_have_moved(env_, pages_.get()))) {
        return move_to_fresh_pages();
    }
#if defined(_WIN32)
    // Windows has no way to clear pages in place that cannot fail. Zeroing makes all of them
    // resident, so a large arena moves to fresh pages instead. Until the buffers over the old pages
    // are collected, both count against the commit limit.
    if (pages_ != nullptr && arena_.used > ZEROED_IN_PLACE) {
        host::memory::pages_discard(arena_.data, arena_.capacity);
        if (move_to_fresh_pages()) {
            return true;
        }
    }
#endif
    host::memory::arena_reset(&arena_);
    return true;
}

void SharedArena::destroy() {
    end_dependents();
    if (pages_ != nullptr && !may_have_moved(env_, pages_.get())) {
        host::memory::pages_discard(arena_.data, arena_.capacity);
    }
    pages_.reset();
    arena_ = {};
    if (owner_end_ == OwnerEnd::DETACH && !owner_buffer_.IsEmpty()) {
        napi_detach_arraybuffer(env_, owner_buffer_.Value());
    }
    owner_view_.Reset();
    owner_buffer_.Reset();
}

Napi::Reference<Napi::DataView> SharedArena::reference_view() const {
    return owner_view_.IsEmpty() ? Napi::Reference<Napi::DataView>()
                                 : Napi::Persistent(owner_view_.Value());
}

napi_value SharedArena::expose(size_t offset, size_t length, bool handed_out) {
    return addon::expose(env_, pages_, arena_.data + offset, length, handed_out);
}

namespace {

/** An integer argument in [0, 2^53), or nothing and an exception pending. */
std::optional<size_t> to_size(const Napi::CallbackInfo& info, size_t index, const char* what) {
    if (!info[index].IsNumber()) {
        throw_type(info.Env(), what);
        return std::nullopt;
    }
    const double number = info[index].As<Napi::Number>().DoubleValue();
    const bool integral = std::trunc(number) == number;
    if (!integral || number < 0 || number > MAX_SAFE_INTEGER ||
        number > static_cast<double>(SIZE_MAX)) {
        throw_range(info.Env(), what);
        return std::nullopt;
    }
    return static_cast<size_t>(number);
}

/** The arena of the handle in the first argument, or null and an exception pending. */
std::shared_ptr<SharedArena> to_arena(const Napi::CallbackInfo& info) {
    auto arena = open_handle<SharedArena>(info[0]);
    if (arena == nullptr) {
        throw_handle(info.Env(), "the first argument must be a handle to an arena");
    }
    return arena;
}

/** As to_arena(), but throws ERR_DESTROYED if the arena has lost its memory. */
std::shared_ptr<SharedArena> to_usable_arena(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    if (arena != nullptr && !arena->usable()) {
        throw_destroyed(info.Env(), "the arena is destroyed, or its buffer is detached");
        return nullptr;
    }
    return arena;
}

/** Windows cannot watch large pages, and only watches pages that were reserved for it. */
SharedArena::Init init_for(bool huge, bool watched) {
#if defined(_WIN32)
    huge = huge && !watched;
#endif
    if (huge) {
        return host::memory::arena_init_huge;
    }
    return watched ? host::memory::arena_init_watched : host::memory::arena_init;
}

/** arenaCreate(capacity: number, hugePages = false, writeWatch = false): handle */
Napi::Value arena_create(const Napi::CallbackInfo& info) {
    const auto capacity = to_size(info, 0, "capacity must be an integer of bytes, at least 1");
    if (!capacity) {
        return Napi::Value();
    }
    const auto flag = [&info](size_t index) {
        return info[index].IsBoolean() && info[index].As<Napi::Boolean>().Value();
    };
    const auto init = init_for(flag(1), flag(2));
    arena_t arena;
    switch (init(&arena, *capacity)) {
    case host::memory::ARENA_OK:
        return make_handle(info.Env(), std::make_shared<SharedArena>(info.Env(), arena, init));
    case host::memory::ARENA_ERROR_ARGUMENT:
        return throw_range(info.Env(), "capacity must be an integer of bytes, at least 1");
    case host::memory::ARENA_ERROR_NO_MEMORY:
        break;
    }
    return throw_no_memory(info.Env(), "the system has no room for an arena of this capacity");
}

/**
 * arenaOver(view: DataView, detachInTheEnd: boolean): handle
 *
 * The view is a DataView because a Uint8Array cannot span more than 4 GiB in Node 20.
 */
Napi::Value arena_over(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    size_t length = 0;
    void* data = nullptr;
    napi_value buffer = nullptr;
    if (!info[0].IsDataView() ||
        napi_get_dataview_info(env, info[0], &length, &data, &buffer, nullptr) != napi_ok) {
        return throw_type(env, "the view must be a DataView");
    }
    arena_t arena;
    if (host::memory::arena_init_over(&arena, data, length) != ARENA_OK) {
        return throw_range(env, "the view must have at least 1 byte and must not be detached");
    }
    const bool detach = info[1].IsBoolean() && info[1].As<Napi::Boolean>().Value();
    return make_handle(env, std::make_shared<SharedArena>(
                                env, arena, info[0].As<Napi::DataView>(), Napi::Value(env, buffer),
                                detach ? OwnerEnd::DETACH : OwnerEnd::KEEP));
}

/** arenaAllocate(arena, size: number, alignment: number): offset from the arena's start */
Napi::Value arena_allocate(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto arena = to_usable_arena(info);
    if (arena == nullptr) {
        return Napi::Value();
    }
    const auto size = to_size(info, 1, "size must be an integer of bytes, at least 1");
    if (!size) {
        return Napi::Value();
    }
    const auto alignment = to_size(info, 2, "alignment must be a power of two");
    if (!alignment) {
        return Napi::Value();
    }
    if (*size == 0 || *alignment == 0 || (*alignment & (*alignment - 1)) != 0) {
        return throw_range(env, "size must be at least 1, and alignment a power of two");
    }
    const void* block = host::memory::arena_allocate(&arena->arena(), *size, *alignment);
    if (block == nullptr) {
        return throw_exhausted(env, "the arena has too little left for this block");
    }
    const auto offset = static_cast<const uint8_t*>(block) - arena->arena().data;
    return Napi::Number::New(env, static_cast<double>(offset));
}

/** arenaCapacity(arena): number, 0 once destroyed */
Napi::Value arena_capacity(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    return arena == nullptr
               ? Napi::Value()
               : Napi::Number::New(info.Env(), static_cast<double>(arena->arena().capacity));
}

/** arenaUsed(arena): number, 0 once destroyed */
Napi::Value arena_used(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    return arena == nullptr
               ? Napi::Value()
               : Napi::Number::New(info.Env(), static_cast<double>(arena->arena().used));
}

/** arenaReset(arena): undefined */
Napi::Value arena_reset(const Napi::CallbackInfo& info) {
    auto arena = to_usable_arena(info);
    if (arena != nullptr && !arena->reset()) {
        throw_no_memory(
            info.Env(),
            "the system has no fresh pages, and a buffer over these was transferred away");
    }
    return Napi::Value();
}

/** arenaDestroy(arena): undefined; harmless the second time */
Napi::Value arena_destroy(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    if (arena != nullptr) {
        arena->destroy();
    }
    return Napi::Value();
}

/**
 * arenaExpose(arena, offset: number, length: number, handedOut = true): ArrayBuffer
 *
 * Makes a zero-copy buffer over allocated pages of an arena that owns its pages. An arena over the
 * caller's memory is refused: that memory has a buffer already.
 */
Napi::Value arena_expose(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto shared = to_usable_arena(info);
    if (shared == nullptr) {
        return Napi::Value();
    }
    const auto offset = to_size(info, 1, "offset must be an integer of bytes");
    if (!offset) {
        return Napi::Value();
    }
    const auto length = to_size(info, 2, "length must be an integer of bytes");
    if (!length) {
        return Napi::Value();
    }
    const arena_t& arena = shared->arena();
    if (arena.backing != ARENA_BACKING_PAGES || *length == 0 || *length > MAX_EXPOSED ||
        *offset > arena.used || *length > arena.used - *offset) {
        return throw_range(env, "only allocated pages of the arena's own can be exposed, and at "
                                "most 2^32 bytes at once");
    }
    napi_value buffer = shared->expose(
        *offset, *length, !(info[3].IsBoolean() && !info[3].As<Napi::Boolean>().Value()));
    if (buffer == nullptr) {
        return throw_no_memory(env, "the runtime refused an external ArrayBuffer");
    }
    return Napi::Value(env, buffer);
}

/** detach(buffer: ArrayBuffer): undefined; harmless the second time */
Napi::Value detach(const Napi::CallbackInfo& info) {
    if (!info[0].IsArrayBuffer() || !detach_exposed(info.Env(), info[0])) {
        return throw_type(info.Env(), "the first argument must be an ArrayBuffer of arenaExpose()");
    }
    return Napi::Value();
}

/** handOut(buffer: ArrayBuffer): undefined; harmless the second time, and on a detached one */
Napi::Value hand_out_buffer(const Napi::CallbackInfo& info) {
    if (!info[0].IsArrayBuffer() || !addon::hand_out(info.Env(), info[0])) {
        return throw_type(info.Env(), "the first argument must be an ArrayBuffer of arenaExpose()");
    }
    return Napi::Value();
}

/** Whether the runtime allows ArrayBuffers over memory of the addon; Electron does not. */
bool external_buffers_allowed(Napi::Env env) {
    static uint8_t probe[8];
    napi_value buffer = nullptr;
    return napi_create_external_arraybuffer(
               env, probe, sizeof(probe), [](napi_env, void*, void*) {}, nullptr, &buffer) ==
           napi_ok;
}

} // namespace

void init_arena_binding(Napi::Env env, Napi::Object exports) {
    watch_environment(env);
    exports.Set("externalBuffers", Napi::Boolean::New(env, external_buffers_allowed(env)));
    exports.Set("arenaCreate", Napi::Function::New(env, arena_create, "arenaCreate"));
    exports.Set("arenaOver", Napi::Function::New(env, arena_over, "arenaOver"));
    exports.Set("arenaAllocate", Napi::Function::New(env, arena_allocate, "arenaAllocate"));
    exports.Set("arenaCapacity", Napi::Function::New(env, arena_capacity, "arenaCapacity"));
    exports.Set("arenaUsed", Napi::Function::New(env, arena_used, "arenaUsed"));
    exports.Set("arenaReset", Napi::Function::New(env, arena_reset, "arenaReset"));
    exports.Set("arenaDestroy", Napi::Function::New(env, arena_destroy, "arenaDestroy"));
    exports.Set("arenaExpose", Napi::Function::New(env, arena_expose, "arenaExpose"));
    exports.Set("handOut", Napi::Function::New(env, hand_out_buffer, "handOut"));
    exports.Set("detach", Napi::Function::New(env, detach, "detach"));
}

} // namespace pound::addon
