#include "watch_binding.h"

#include "errors.h"
#include "host/memory/write_watch.h"
#include "memory_binding.h"

namespace pound::addon {

using host::memory::WRITE_WATCH_PAGE;
using host::memory::write_watch_t;

namespace {

/** The results of watchStart(): `WatchResult` of lib/native/addon.ts. */
enum watch_result_t : uint32_t {
    /** Marks are exact, and the memory is as fast as before. */
    WATCH_EXACT = 0,
    /** Pages beside written ones are marked too, or writes split huge pages. */
    WATCH_COARSE = 1,
    /** The system has no such tracking, or refuses it to the process. */
    WATCH_UNSUPPORTED = 2,
    /** The RAM lies in memory that can be unmapped while it is watched. */
    WATCH_BORROWED = 3,
    /** The system refuses it for these pages. */
    WATCH_REFUSED = 4,
    /** The memory has ended. */
    WATCH_ENDED = 5,
    /** Other processes may write to the memory, which the system would not report. */
    WATCH_SHARED = 6,
};

watch_result_t start(SharedMemory& memory) {
    const auto& ram = *memory.memory();
    write_watch_t& watch = memory.watch();
    if (!memory.usable()) {
        return WATCH_ENDED;
    }
    if (memory.arena().is_shared_object()) {
        return WATCH_SHARED;
    }
    if (!host::memory::write_watch_supported()) {
        return WATCH_UNSUPPORTED;
    }
    // An ArrayBuffer of the runtime can be detached, and its pages unmapped. A SharedArrayBuffer
    // cannot, and the arena holds a reference to it. A range without bytes has no pages at all.
    const bool stays = memory.arena().owns_pages() || memory.arena().seen_by_other_threads();
    if (!stays || ram.size == 0) {
        return WATCH_BORROWED;
    }
    if (watch.data == nullptr && host::memory::write_watch_start(&watch, ram.base, ram.size) !=
                                     host::memory::WRITE_WATCH_OK) {
        return WATCH_REFUSED;
    }
    // Pages of a file that are read for the first time are reported too.
    const bool exact = host::memory::write_watch_is_exact(&watch) && !memory.arena().maps_file();
    return exact && !memory.arena().asks_for_huge_pages() ? WATCH_EXACT : WATCH_COARSE;
}

/** watchStart(memory): a watch_result_t. Has no effect if the memory is watched already. */
Napi::Value watch_start(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    return memory == nullptr ? Napi::Value() : Napi::Number::New(info.Env(), start(*memory));
}

/** watchStop(memory): undefined; a second call has no effect */
Napi::Value watch_stop(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    if (memory != nullptr) {
        host::memory::write_watch_stop(&memory->watch());
    }
    return Napi::Value();
}

/** A page number of a memory, from 0 to `pages`, or nothing and an exception pending. */
bool to_page(const Napi::CallbackInfo& info, size_t index, size_t pages, size_t* page) {
    const double number =
        info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= static_cast<double>(pages))) {
        throw_range(info.Env(), "first and end must be numbers of pages of the memory");
        return false;
    }
    *page = static_cast<size_t>(number);
    return true;
}

/**
 * watchCollect(memory, marks: Uint8Array, first: number, end: number): undefined
 *
 * Stores 1 in the marks of pages of 4096 bytes, among those from `first` to before `end`, that were
 * written since the last call. Has no effect if the memory is not watched.
 */
Napi::Value watch_collect(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto memory = to_memory(info);
    if (memory == nullptr) {
        return Napi::Value();
    }
    const write_watch_t& watch = memory->watch();
    const size_t pages = (watch.size + WRITE_WATCH_PAGE - 1) / WRITE_WATCH_PAGE;
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* marks = nullptr;
    if (!info[1].IsTypedArray() ||
        napi_get_typedarray_info(env, info[1], &type, &length, &marks, nullptr, nullptr) !=
            napi_ok ||
        type != napi_uint8_array || length < pages) {
        return throw_type(env, "marks must be a Uint8Array with an element for each page");
    }
    size_t first = 0;
    size_t end = 0;
    if (watch.data == nullptr || !to_page(info, 2, pages, &first) ||
        !to_page(info, 3, pages, &end) || first >= end) {
        return Napi::Value();
    }
    const size_t from = first * WRITE_WATCH_PAGE;
    const size_t to = end == pages ? watch.size : end * WRITE_WATCH_PAGE;
    host::memory::write_watch_collect(&watch, from, to - from, static_cast<uint8_t*>(marks));
    return Napi::Value();
}

} // namespace

void init_watch_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("watchStart", Napi::Function::New(env, watch_start, "watchStart"));
    exports.Set("watchStop", Napi::Function::New(env, watch_stop, "watchStop"));
    exports.Set("watchCollect", Napi::Function::New(env, watch_collect, "watchCollect"));
}

} // namespace pound::addon
