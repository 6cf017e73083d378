#include "arena_binding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "errors.h"
#include "host/memory/pages.h"

namespace pound::addon {

using host::memory::ARENA_BACKING_PAGES;
using host::memory::ARENA_OK;
using host::memory::arena_result_t;
using host::memory::arena_t;
using host::memory::fork_result_t;
using host::memory::forkable_t;
using host::memory::shared_object_t;

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

namespace {

/** Reserves pages for an arena. `block` receives the forkable block over them, if there is one. */
arena_result_t reserve(PagesKind kind, size_t capacity, arena_t* arena,
                       std::optional<forkable_t>* block) {
    block->reset();
    if (kind == PagesKind::FORKABLE && capacity != 0) {
        *block = forkable_t::reserve(capacity);
        if (*block) {
            *arena = {(*block)->data(), capacity, 0, ARENA_BACKING_PAGES};
            return ARENA_OK;
        }
    }
    switch (kind) {
    case PagesKind::HUGE_PAGES:
        return host::memory::arena_init_huge(arena, capacity);
    case PagesKind::WATCHED:
        return host::memory::arena_init_watched(arena, capacity);
    default:
        return host::memory::arena_init(arena, capacity);
    }
}

} // namespace

std::shared_ptr<SharedArena> SharedArena::make(napi_env env, PagesKind kind, size_t capacity,
                                               arena_result_t* result) {
    arena_t arena;
    std::optional<forkable_t> block;
    *result = reserve(kind, capacity, &arena, &block);
    return *result == ARENA_OK ? std::make_shared<SharedArena>(env, kind, arena, std::move(block))
                               : nullptr;
}

std::shared_ptr<SharedArena> SharedArena::map(napi_env env, int descriptor, uint64_t offset,
                                              size_t size) {
    auto file = host::memory::page_file_t::part_of(descriptor, offset);
    auto block = forkable_t::map(std::move(file), size);
    if (!block) {
        return nullptr;
    }
    const arena_t arena = {block->data(), size, 0, ARENA_BACKING_PAGES};
    return std::make_shared<SharedArena>(env, PagesKind::ORDINARY, arena, std::move(block));
}

SharedArena::SharedArena(napi_env env, PagesKind kind, const arena_t& arena,
                         std::optional<forkable_t> block)
    : env_(env), arena_(arena), kind_(kind), block_(std::move(block)),
      pages_(std::make_shared<Pages>(arena)) {
}

SharedArena::SharedArena(napi_env env, const arena_t& arena, shared_object_t object)
    : env_(env), arena_(arena), pages_(std::make_shared<Pages>(arena)), object_(std::move(object)) {
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
    std::optional<forkable_t> block;
    if (reserve(kind_, arena_.capacity, &fresh, &block) != ARENA_OK) {
        return false;
    }
    arena_ = fresh;
    block_ = std::move(block);
    pages_ = std::make_shared<Pages>(fresh);
    return true;
}

bool SharedArena::reset() {
    end_dependents();
    if (is_shared_object()) {
        // Buffers that were transferred and runs of other addons share the bytes as before.
        host::memory::arena_reset(&arena_);
        return true;
    }
    if (pages_ != nullptr && (pages_->in_run() || may_have_moved(env_, pages_.get()))) {
        return move_to_fresh_pages();
    }
    if (block_ && !block_->is_ordinary()) {
        // Pages of a file cannot be cleared in place.
        block_->discard();
        if (!move_to_fresh_pages()) {
            memset(arena_.data, 0, arena_.used);
            arena_.used = 0;
            block_->forget();
        }
        return true;
    }
    if (block_) {
        block_->forget();
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
    if (owns_pages() && !may_have_moved(env_, pages_.get())) {
        if (block_) {
            block_->discard();
        } else {
            host::memory::pages_discard(arena_.data, arena_.capacity);
        }
    }
    block_.reset();
    pages_.reset();
    object_ = shared_object_t();
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

forkable_t& SharedArena::block() {
    if (!block_) {
        // An ArrayBuffer of the caller may be that of another addon, over a file.
        const auto kind = owns_pages()              ? forkable_t::kind_t::PAGES
                          : seen_by_other_threads() ? forkable_t::kind_t::CALLER
                                                    : forkable_t::kind_t::MAPPED;
        block_.emplace(arena_.data, arena_.capacity, kind);
    }
    return *block_;
}

std::shared_ptr<SharedArena> SharedArena::fork(const std::shared_ptr<SharedArena>& target,
                                               fork_result_t* result) {
    std::optional<forkable_t> clone;
    *result = block().fork(&clone, target == nullptr ? nullptr : target->arena_.data);
    if (*result != host::memory::FORK_OK) {
        return nullptr;
    }
    if (target != nullptr) {
        target->arena_.used = arena_.used;
        target->block_ = std::move(clone);
        return target;
    }
    const arena_t arena = {clone->data(), arena_.capacity, arena_.used, ARENA_BACKING_PAGES};
    return std::make_shared<SharedArena>(env_, kind_, arena, std::move(clone));
}

std::optional<size_t> SharedArena::revert(size_t from, size_t to,
                                          const forkable_t::changed_t& changed) {
    return block_ ? block_->reset(from, to, changed) : std::nullopt;
}

bool SharedArena::find_changes(size_t from, size_t to, const forkable_t::changed_t& changed) {
    return block_ && block_->find_changes(from, to, changed);
}

std::vector<host::memory::page_run_t> SharedArena::resident() {
    return block().resident();
}

napi_value SharedArena::expose(size_t offset, size_t length, bool handed_out) {
    return addon::expose(env_, pages_, arena_.data + offset, length, handed_out);
}

std::shared_ptr<SharedArena> to_arena(const Napi::CallbackInfo& info) {
    auto arena = open_handle<SharedArena>(info[0]);
    if (arena == nullptr) {
        throw_handle(info.Env(), "the first argument must be a handle to an arena");
    }
    return arena;
}

std::shared_ptr<SharedArena> to_usable_arena(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    if (arena != nullptr && !arena->usable()) {
        throw_destroyed(info.Env(), "the arena is destroyed, or its buffer is detached");
        return nullptr;
    }
    return arena;
}

namespace {

/** An integer argument in [0, 2^53), or nothing and an exception pending. */
std::optional<uint64_t> to_count(const Napi::CallbackInfo& info, size_t index, const char* what) {
    if (!info[index].IsNumber()) {
        throw_type(info.Env(), what);
        return std::nullopt;
    }
    const double number = info[index].As<Napi::Number>().DoubleValue();
    const bool integral = std::trunc(number) == number;
    if (!integral || number < 0 || number > MAX_SAFE_INTEGER) {
        throw_range(info.Env(), what);
        return std::nullopt;
    }
    return static_cast<uint64_t>(number);
}

/** As to_count(), for a number that must be a size_t. */
std::optional<size_t> to_size(const Napi::CallbackInfo& info, size_t index, const char* what) {
    const auto count = to_count(info, index, what);
    if (!count) {
        return std::nullopt;
    }
    if (*count > SIZE_MAX) {
        throw_range(info.Env(), "a process of 32 bits has no sizes and offsets of 4 GiB or more");
        return std::nullopt;
    }
    return static_cast<size_t>(*count);
}

bool is_true(Napi::Value value) {
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

/** Allocated bytes of an arena. */
struct Range {
    std::shared_ptr<SharedArena> arena;
    size_t offset;
    size_t length;
};

/** The arena and the bytes in it that the arguments name, or nothing and an exception pending. */
std::optional<Range> to_allocated(const Napi::CallbackInfo& info) {
    auto shared = to_usable_arena(info);
    if (shared == nullptr) {
        return std::nullopt;
    }
    const auto offset = to_size(info, 1, "offset must be an integer of bytes");
    if (!offset) {
        return std::nullopt;
    }
    const auto length = to_size(info, 2, "length must be an integer of bytes");
    if (!length) {
        return std::nullopt;
    }
    const arena_t& arena = shared->arena();
    if (*length == 0 || *offset > arena.used || *length > arena.used - *offset) {
        throw_range(info.Env(), "offset and length must name allocated bytes of the arena");
        return std::nullopt;
    }
    return Range{std::move(shared), *offset, *length};
}

PagesKind kind_for(bool huge, bool forkable, bool watched) {
#if defined(_WIN32)
    // Windows cannot watch large pages, and only watches pages that were reserved for it. It has no
    // forkable ones.
    if (watched) {
        return PagesKind::WATCHED;
    }
#endif
    if (huge) {
        return PagesKind::HUGE_PAGES;
    }
    return forkable ? PagesKind::FORKABLE : watched ? PagesKind::WATCHED : PagesKind::ORDINARY;
}

/** arenaCreate(capacity: number, hugePages = false, forkable = false, writeWatch = false): handle
 */
Napi::Value arena_create(const Napi::CallbackInfo& info) {
    const auto capacity = to_size(info, 0, "capacity must be an integer of bytes, at least 1");
    if (!capacity) {
        return Napi::Value();
    }
    const PagesKind kind = kind_for(is_true(info[1]), is_true(info[2]), is_true(info[3]));
    arena_result_t result = ARENA_OK;
    auto arena = SharedArena::make(info.Env(), kind, *capacity, &result);
    switch (result) {
    case host::memory::ARENA_OK:
        return make_handle(info.Env(), std::move(arena));
    case host::memory::ARENA_ERROR_ARGUMENT:
        return throw_range(info.Env(), "capacity must be an integer of bytes, at least 1");
    case host::memory::ARENA_ERROR_NO_MEMORY:
        break;
    }
    return throw_no_memory(info.Env(), "the system has no room for an arena of this capacity");
}

struct file_part_t {
    int descriptor;
    size_t offset;
    size_t length;
};

/** The first three arguments, a part of a file; if they are none, throws and returns nothing. */
std::optional<file_part_t> to_file_part(const Napi::CallbackInfo& info) {
    const auto descriptor = to_size(info, 0, "descriptor must be a file descriptor");
    if (!descriptor) {
        return std::nullopt;
    }
    const auto offset = to_size(info, 1, "offset must be an integer of bytes");
    if (!offset) {
        return std::nullopt;
    }
    const auto length = to_size(info, 2, "the length must be an integer of bytes");
    if (!length) {
        return std::nullopt;
    }
    return file_part_t{static_cast<int>(*descriptor), *offset, *length};
}

/**
 * arenaMap(descriptor: number, offset: number, size: number): handle | null
 *
 * @return Null if the system cannot map the file.
 */
Napi::Value arena_map(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto part = to_file_part(info);
    if (!part) {
        return Napi::Value();
    }
    if (part->length == 0 || part->offset % host::memory::page_size() != 0) {
        return throw_range(env, "size must be at least 1, and offset a multiple of the page size");
    }
    auto arena = SharedArena::map(env, part->descriptor, part->offset, part->length);
    return arena == nullptr ? env.Null() : make_handle(env, std::move(arena));
}

/** arenaHasLost(arena): boolean; whether bytes of the file that the arena maps are gone */
Napi::Value arena_has_lost(const Napi::CallbackInfo& info) {
    auto arena = to_arena(info);
    return arena == nullptr ? Napi::Value() : Napi::Boolean::New(info.Env(), arena->has_lost());
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
    const bool detach = is_true(info[1]);
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
    const auto size = to_count(info, 1, "size must be an integer of bytes, at least 1");
    if (!size) {
        return Napi::Value();
    }
    const auto alignment = to_count(info, 2, "alignment must be a power of two");
    if (!alignment) {
        return Napi::Value();
    }
    if (*size == 0 || *alignment == 0 || (*alignment & (*alignment - 1)) != 0) {
        return throw_range(env, "size must be at least 1, and alignment a power of two");
    }
    const void* block =
        *size > SIZE_MAX || *alignment > SIZE_MAX
            ? nullptr
            : host::memory::arena_allocate(&arena->arena(), static_cast<size_t>(*size),
                                           static_cast<size_t>(*alignment));
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
    const auto range = to_allocated(info);
    if (!range) {
        return Napi::Value();
    }
    SharedArena& shared = *range->arena;
    if (shared.pages() == nullptr || range->length > MAX_EXPOSED) {
        return throw_range(env, "only pages of the arena's own can be exposed, and at most 2^32 "
                                "bytes at once");
    }
    napi_value buffer =
        shared.expose(range->offset, range->length,
                      !(info[3].IsBoolean() && !info[3].As<Napi::Boolean>().Value()));
    if (buffer == nullptr) {
        return throw_no_memory(env, "the runtime refused an external ArrayBuffer");
    }
    return Napi::Value(env, buffer);
}

/** Throws the error of a fork that failed. */
Napi::Value throw_fork(Napi::Env env, fork_result_t result) {
    return result == host::memory::FORK_ERROR_BUSY
               ? throw_busy(env, "other threads write to the memory all the time")
               : throw_no_memory(env, "the system has no memory for a fork");
}

/**
 * arenaFork(arena, target?: handle): handle
 *
 * Makes an arena with the same bytes and allocations. A target is an arena over as many bytes of
 * the runtime, for runtimes that forbid ArrayBuffers over other memory. It becomes the clone.
 */
Napi::Value arena_fork(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto arena = to_usable_arena(info);
    if (arena == nullptr) {
        return Napi::Value();
    }
    auto target = open_handle<SharedArena>(info[1]);
    if (target != nullptr && (target == arena || !target->usable() ||
                              target->arena().backing != host::memory::ARENA_BACKING_CALLER ||
                              target->arena().capacity != arena->arena().capacity)) {
        return throw_range(env, "the target must be an arena over as many bytes of the caller");
    }
    fork_result_t result = host::memory::FORK_OK;
    auto clone = arena->fork(target, &result);
    if (clone == nullptr) {
        return throw_fork(env, result);
    }
    return target != nullptr ? Napi::Value(info[1]) : make_handle(env, std::move(clone));
}

/** arenaRebase(arena): undefined; arenaRevert() restores the present bytes from now on */
Napi::Value arena_rebase(const Napi::CallbackInfo& info) {
    auto arena = to_usable_arena(info);
    if (arena != nullptr) {
        const fork_result_t result = arena->rebase();
        if (result != host::memory::FORK_OK) {
            throw_fork(info.Env(), result);
        }
    }
    return Napi::Value();
}

/** The offset of the first byte and the length of each part that changes. */
class Parts {
public:
    void add(size_t offset, size_t length) {
        numbers_.push_back(static_cast<double>(offset));
        numbers_.push_back(static_cast<double>(length));
    }

    [[nodiscard]] Napi::Value to_array(Napi::Env env) const {
        auto result = Napi::Float64Array::New(env, numbers_.size());
        std::copy(numbers_.begin(), numbers_.end(), result.Data());
        return result;
    }

private:
    std::vector<double> numbers_;
};

/**
 * arenaRevert(arena, offset: number, length: number, list = false): number | Float64Array | null
 *
 * Gives allocated bytes the values that they had at the last fork.
 *
 * @return The number of pages that had other bytes; with `list`, their parts. Null if there was no
 *         fork.
 */
Napi::Value arena_revert(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto range = to_allocated(info);
    if (!range) {
        return Napi::Value();
    }
    SharedArena& arena = *range->arena;
    const bool list = is_true(info[3]);
    Parts parts;
    forkable_t::changed_t changed;
    if (list) {
        changed = [&](size_t from, size_t bytes) { parts.add(from, bytes); };
    }
    const auto count = arena.revert(range->offset, range->offset + range->length, changed);
    if (!count) {
        return env.Null();
    }
    return list ? parts.to_array(env) : Napi::Number::New(env, static_cast<double>(*count));
}

/**
 * arenaChanges(arena, offset: number, length: number): Float64Array | null
 *
 * @return The parts that arenaRevert() would change. Null if there was no fork.
 */
Napi::Value arena_changes(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto range = to_allocated(info);
    if (!range) {
        return Napi::Value();
    }
    SharedArena& arena = *range->arena;
    Parts parts;
    const auto add = [&](size_t from, size_t bytes) { parts.add(from, bytes); };
    return arena.find_changes(range->offset, range->offset + range->length, add)
               ? parts.to_array(env)
               : env.Null();
}

/**
 * arenaResident(arena, offset: number, length: number): Float64Array
 *
 * @return The parts of allocated bytes that may not be zero.
 */
Napi::Value arena_resident(const Napi::CallbackInfo& info) {
    const auto range = to_allocated(info);
    if (!range) {
        return Napi::Value();
    }
    const size_t end = range->offset + range->length;
    Parts parts;
    for (const auto& run : range->arena->resident()) {
        const size_t from = std::max(run.offset, range->offset);
        const size_t to = std::min(run.offset + run.length, end);
        if (from < to) {
            parts.add(from, to - from);
        }
    }
    return parts.to_array(info.Env());
}

/** adviseHugePages(buffer: ArrayBuffer): number, the offset of the first huge page */
Napi::Value advise_huge_pages(const Napi::CallbackInfo& info) {
    if (!info[0].IsArrayBuffer()) {
        return throw_type(info.Env(), "the first argument must be an ArrayBuffer");
    }
    auto buffer = info[0].As<Napi::ArrayBuffer>();
    const size_t start = host::memory::pages_advise_huge(buffer.Data(), buffer.ByteLength());
    return Napi::Number::New(info.Env(), static_cast<double>(start));
}

/**
 * fileData(descriptor: number, offset: number, length: number): Float64Array
 *
 * @return The offset, from `offset` on, and the length of each part of a file that may not be zero.
 */
Napi::Value file_data(const Napi::CallbackInfo& info) {
    const auto part = to_file_part(info);
    if (!part) {
        return Napi::Value();
    }
    Parts parts;
    const auto file = host::memory::page_file_t::part_of(part->descriptor, part->offset);
    for (const auto& run : file.resident(part->length)) {
        parts.add(run.offset, run.length);
    }
    return parts.to_array(info.Env());
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
    exports.Set("arenaMap", Napi::Function::New(env, arena_map, "arenaMap"));
    exports.Set("arenaHasLost", Napi::Function::New(env, arena_has_lost, "arenaHasLost"));
    exports.Set("fileData", Napi::Function::New(env, file_data, "fileData"));
    exports.Set("arenaAllocate", Napi::Function::New(env, arena_allocate, "arenaAllocate"));
    exports.Set("arenaCapacity", Napi::Function::New(env, arena_capacity, "arenaCapacity"));
    exports.Set("arenaUsed", Napi::Function::New(env, arena_used, "arenaUsed"));
    exports.Set("arenaReset", Napi::Function::New(env, arena_reset, "arenaReset"));
    exports.Set("arenaDestroy", Napi::Function::New(env, arena_destroy, "arenaDestroy"));
    exports.Set("arenaExpose", Napi::Function::New(env, arena_expose, "arenaExpose"));
    exports.Set("forksShareMemory", Napi::Boolean::New(env, host::memory::forks_share_memory()));
    exports.Set("arenaFork", Napi::Function::New(env, arena_fork, "arenaFork"));
    exports.Set("arenaRebase", Napi::Function::New(env, arena_rebase, "arenaRebase"));
    exports.Set("arenaRevert", Napi::Function::New(env, arena_revert, "arenaRevert"));
    exports.Set("arenaChanges", Napi::Function::New(env, arena_changes, "arenaChanges"));
    exports.Set("arenaResident", Napi::Function::New(env, arena_resident, "arenaResident"));
    exports.Set("hugePageSize", Napi::Number::New(env, host::memory::HUGE_PAGE));
    exports.Set("adviseHugePages", Napi::Function::New(env, advise_huge_pages, "adviseHugePages"));
    exports.Set("handOut", Napi::Function::New(env, hand_out_buffer, "handOut"));
    exports.Set("detach", Napi::Function::New(env, detach, "detach"));
}

} // namespace pound::addon
