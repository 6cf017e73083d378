#include "exposures.h"

#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace pound::addon {

namespace {

/** The finalizer's hint: an id and no address, so that a call too many finds nothing. */
using ExposureId = uintptr_t;

struct Exposure {
    std::shared_ptr<Pages> pages;
    uint8_t* data;
    /** Whose ArrayBuffer it is; only on its thread may `buffer` be used. */
    napi_env env;
    /** Weak. */
    napi_ref buffer;
    /** Whether JavaScript outside this package may have it, and so may have moved it. */
    bool handed_out;
    /** Whether the ArrayBuffer gave the bytes up at our request, and so to nobody else. */
    bool detached_by_us;
};

/**
 * An ArrayBuffer that nobody but this file knows, and so has a finalizer that runs
 * for one reason only while it is referenced: the environment is going down.
 *
 * Node then detaches every buffer over native memory that still is where it was
 * made, and finalizes all of them, those that have moved included: the newest first
 * (`CallbackInfo` of node_buffer.cc). A sentinel newer than every exposure is
 * finalized while the exposures can still be told apart.
 */
struct Sentinel {
    ExposureId id;
    napi_ref buffer;
};

/**
 * Every exposure of the process. A runtime may call a finalizer on any thread, so
 * all of it is guarded by `mutex`, under which nothing of the runtime's is called.
 */
struct Registry {
    std::mutex mutex;
    ExposureId last_id = 0;
    std::unordered_map<ExposureId, Exposure> exposures;
    /** Those that were handed out and not detached by us. */
    std::unordered_map<const Pages*, std::unordered_set<ExposureId>> movable;
    /** Those not detached by us: pages that are reset again and again have many. */
    std::set<std::pair<const uint8_t*, ExposureId>> by_data;
    /** References of exposures that have ended, for their environment's thread to delete. */
    std::unordered_map<napi_env, std::vector<napi_ref>> done;
    std::unordered_map<napi_env, Sentinel> sentinels;
    /** Pages that another thread may use after their environment has gone. */
    std::vector<std::shared_ptr<Pages>> kept;

    /** Takes an exposure out; the caller drops the pages once the mutex is free. */
    std::shared_ptr<Pages> take(std::unordered_map<ExposureId, Exposure>::iterator found) {
        const ExposureId id = found->first;
        const Exposure exposure = std::move(found->second);
        exposures.erase(found);
        forget_movable(exposure.pages.get(), id);
        by_data.erase({exposure.data, id});
        if (exposure.buffer != nullptr) {
            done[exposure.env].push_back(exposure.buffer);
        }
        return exposure.pages;
    }

    void forget_movable(const Pages* pages, ExposureId id) {
        const auto ids = movable.find(pages);
        if (ids != movable.end() && ids->second.erase(id) != 0 && ids->second.empty()) {
            movable.erase(ids);
        }
    }
};

/** Never destroyed: at the end of the process, other threads may still be at work. */
Registry& registry() {
    static auto* instance = new Registry();
    return *instance;
}

using Lock = std::lock_guard<std::mutex>;

/** What has become of the ArrayBuffer of an exposure. */
enum class BufferState { ATTACHED, DETACHED, COLLECTED };

BufferState state_of(napi_env env, napi_ref reference, const uint8_t* data) {
    napi_value buffer = nullptr;
    if (napi_get_reference_value(env, reference, &buffer) != napi_ok || buffer == nullptr) {
        return BufferState::COLLECTED;
    }
    void* now = nullptr;
    size_t length = 0;
    napi_get_arraybuffer_info(env, buffer, &now, &length);
    return now == data && length != 0 ? BufferState::ATTACHED : BufferState::DETACHED;
}

/**
 * Whether the bytes may belong to somebody else. A buffer that was collected
 * before its finalizer ran may have been moved before it was collected.
 */
bool may_have_moved(napi_env env, const Exposure& exposure) {
    return !exposure.detached_by_us &&
           (exposure.buffer == nullptr ||
            state_of(env, exposure.buffer, exposure.data) != BufferState::ATTACHED);
}

/** Copies, since to ask about a buffer can run finalizers, which change the registry. */
std::vector<std::pair<ExposureId, Exposure>> exposures_of(napi_env env) {
    Registry& all = registry();
    const Lock lock(all.mutex);
    std::vector<std::pair<ExposureId, Exposure>> found;
    for (const auto& entry : all.exposures) {
        if (entry.second.env == env) {
            found.push_back(entry);
        }
    }
    return found;
}

/**
 * The environment is going down: decides which of its exposures can end. Harmless the
 * second time.
 */
void end_environment(napi_env env) {
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    std::vector<ExposureId> moved;
    for (const auto& [id, exposure] : exposures_of(env)) {
        if (may_have_moved(env, exposure)) {
            moved.push_back(id);
        }
    }
    napi_close_handle_scope(env, scope);

    Registry& all = registry();
    const Lock lock(all.mutex);
    for (const ExposureId id : moved) {
        const auto found = all.exposures.find(id);
        if (found != all.exposures.end()) {
            all.kept.push_back(all.take(found));
        }
    }
    for (auto& entry : all.exposures) {
        if (entry.second.env == env) {
            entry.second.env = nullptr;
            entry.second.buffer = nullptr;
        }
    }
    // The runtime deletes what references are left. An address like this one can come again.
    all.done.erase(env);
    all.sentinels.erase(env);
}

/** The runtime no longer uses the bytes of an exposure, or its environment is going down. */
void finalize(napi_env /* env */, void* /* data */, void* hint) {
    Registry& all = registry();
    std::shared_ptr<Pages> dropped;
    const Lock lock(all.mutex);
    const auto found = all.exposures.find(reinterpret_cast<ExposureId>(hint));
    if (found != all.exposures.end()) {
        dropped = all.take(found);
    }
}

void finalize_sentinel(napi_env env, void* /* data */, void* hint) {
    Registry& all = registry();
    {
        const Lock lock(all.mutex);
        const auto found = all.sentinels.find(env);
        if (found == all.sentinels.end() ||
            found->second.id != reinterpret_cast<ExposureId>(hint)) {
            return;
        }
    }
    end_environment(env);
}

/** Has a sentinel that is newer than every buffer there is. */
void renew_sentinel(napi_env env) {
    static uint8_t byte;
    Registry& all = registry();
    ExposureId id = 0;
    {
        const Lock lock(all.mutex);
        id = ++all.last_id;
    }
    napi_value buffer = nullptr;
    napi_ref reference = nullptr;
    if (napi_create_external_arraybuffer(env, &byte, 1, finalize_sentinel,
                                         reinterpret_cast<void*>(id), &buffer) != napi_ok ||
        napi_create_reference(env, buffer, 1, &reference) != napi_ok) {
        return;
    }
    napi_ref former = nullptr;
    {
        const Lock lock(all.mutex);
        Sentinel& sentinel = all.sentinels[env];
        former = sentinel.buffer;
        sentinel = {id, reference};
    }
    if (former != nullptr) {
        napi_delete_reference(env, former);
    }
}

void delete_done_references(napi_env env) {
    Registry& all = registry();
    std::vector<napi_ref> references;
    {
        const Lock lock(all.mutex);
        const auto found = all.done.find(env);
        if (found == all.done.end()) {
            return;
        }
        references = std::move(found->second);
        all.done.erase(found);
    }
    for (napi_ref reference : references) {
        napi_delete_reference(env, reference);
    }
}

bool is_detached(napi_env env, napi_value buffer) {
    bool detached = false;
    napi_is_detached_arraybuffer(env, buffer, &detached);
    return detached;
}

/** The exposure whose ArrayBuffer `buffer` is, attached. */
std::optional<ExposureId> find_exposure(napi_env env, napi_value buffer) {
    void* data = nullptr;
    size_t length = 0;
    napi_get_arraybuffer_info(env, buffer, &data, &length);
    const auto* bytes = static_cast<const uint8_t*>(data);
    Registry& all = registry();
    // The newest first, which most likely is the one.
    for (ExposureId before = UINTPTR_MAX;;) {
        napi_ref reference = nullptr;
        {
            const Lock lock(all.mutex);
            auto entry = all.by_data.lower_bound({bytes, before});
            if (entry == all.by_data.begin() || (--entry)->first != bytes) {
                return std::nullopt;
            }
            before = entry->second;
            const Exposure& exposure = all.exposures.at(before);
            if (exposure.env != env || exposure.buffer == nullptr) {
                continue;
            }
            reference = exposure.buffer;
        }
        napi_value exposed = nullptr;
        bool same = false;
        if (napi_get_reference_value(env, reference, &exposed) == napi_ok && exposed != nullptr &&
            napi_strict_equals(env, exposed, buffer, &same) == napi_ok && same) {
            return before;
        }
    }
}

} // namespace

void watch_environment(napi_env env) {
    napi_add_env_cleanup_hook(
        env, [](void* data) { end_environment(static_cast<napi_env>(data)); }, env);
}

napi_value expose(napi_env env, const std::shared_ptr<Pages>& pages, uint8_t* data, size_t length,
                  bool handed_out) {
    delete_done_references(env);
    Registry& all = registry();
    ExposureId id = 0;
    {
        const Lock lock(all.mutex);
        id = ++all.last_id;
        all.exposures.emplace(id, Exposure{pages, data, env, nullptr, handed_out, false});
        all.by_data.emplace(data, id);
        if (handed_out) {
            all.movable[pages.get()].insert(id);
        }
    }
    napi_value buffer = nullptr;
    napi_ref reference = nullptr;
    const bool made =
        napi_create_external_arraybuffer(env, data, length, finalize, reinterpret_cast<void*>(id),
                                         &buffer) == napi_ok;
    if (made) {
        napi_create_reference(env, buffer, 0, &reference);
        renew_sentinel(env);
        const Lock lock(all.mutex);
        all.exposures.at(id).buffer = reference;
        return buffer;
    }
    // Some runtimes have called the finalizer by now, or will; others never do.
    finalize(env, data, reinterpret_cast<void*>(id));
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env, &exception);
    return nullptr;
}

bool may_have_moved(napi_env env, const Pages* pages) {
    Registry& all = registry();
    std::vector<Exposure> exposures;
    {
        const Lock lock(all.mutex);
        const auto ids = all.movable.find(pages);
        if (ids == all.movable.end()) {
            return false;
        }
        for (const ExposureId id : ids->second) {
            exposures.push_back(all.exposures.at(id));
        }
    }
    for (const Exposure& exposure : exposures) {
        Napi::HandleScope scope(env);
        if (may_have_moved(env, exposure)) {
            return true;
        }
    }
    return false;
}

bool hand_out(napi_env env, napi_value buffer) {
    const auto id = find_exposure(env, buffer);
    if (!id) {
        return is_detached(env, buffer);
    }
    Registry& all = registry();
    const Lock lock(all.mutex);
    Exposure& exposure = all.exposures.at(*id);
    exposure.handed_out = true;
    all.movable[exposure.pages.get()].insert(*id);
    return true;
}

bool detach_exposed(napi_env env, napi_value buffer) {
    const auto id = find_exposure(env, buffer);
    if (!id) {
        return is_detached(env, buffer);
    }
    if (napi_detach_arraybuffer(env, buffer) == napi_ok) {
        Registry& all = registry();
        const Lock lock(all.mutex);
        const auto found = all.exposures.find(*id);
        if (found != all.exposures.end()) {
            found->second.detached_by_us = true;
            all.by_data.erase({found->second.data, *id});
            all.forget_movable(found->second.pages.get(), *id);
        }
    }
    return true;
}

} // namespace pound::addon
