#include "exposures.h"

#include <mutex>
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
    std::unordered_map<const Pages*, std::unordered_set<ExposureId>> by_pages;
    std::unordered_multimap<const uint8_t*, ExposureId> by_data;
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
        const auto same_pages = by_pages.find(exposure.pages.get());
        same_pages->second.erase(id);
        if (same_pages->second.empty()) {
            by_pages.erase(same_pages);
        }
        const auto [first, last] = by_data.equal_range(exposure.data);
        for (auto entry = first; entry != last; ++entry) {
            if (entry->second == id) {
                by_data.erase(entry);
                break;
            }
        }
        if (exposure.buffer != nullptr) {
            done[exposure.env].push_back(exposure.buffer);
        }
        return exposure.pages;
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

} // namespace

void watch_environment(napi_env env) {
    napi_add_env_cleanup_hook(
        env, [](void* data) { end_environment(static_cast<napi_env>(data)); }, env);
}

napi_value expose(napi_env env, const std::shared_ptr<Pages>& pages, uint8_t* data, size_t length) {
    delete_done_references(env);
    Registry& all = registry();
    ExposureId id = 0;
    {
        const Lock lock(all.mutex);
        id = ++all.last_id;
        all.exposures.emplace(id, Exposure{pages, data, env, nullptr, false});
        all.by_pages[pages.get()].insert(id);
        all.by_data.emplace(data, id);
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
        const auto ids = all.by_pages.find(pages);
        if (ids == all.by_pages.end()) {
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

DetachResult detach_exposed(napi_env env, napi_value buffer) {
    void* data = nullptr;
    size_t length = 0;
    napi_get_arraybuffer_info(env, buffer, &data, &length);
    bool detached = false;
    napi_is_detached_arraybuffer(env, buffer, &detached);
    if (detached) {
        return DetachResult::DETACHED;
    }
    Registry& all = registry();
    std::vector<std::pair<ExposureId, Exposure>> candidates;
    {
        const Lock lock(all.mutex);
        const auto [first, last] = all.by_data.equal_range(static_cast<uint8_t*>(data));
        for (auto entry = first; entry != last; ++entry) {
            candidates.emplace_back(entry->second, all.exposures.at(entry->second));
        }
    }
    for (const auto& [id, exposure] : candidates) {
        napi_value exposed = nullptr;
        bool same = false;
        if (exposure.env != env || exposure.buffer == nullptr ||
            napi_get_reference_value(env, exposure.buffer, &exposed) != napi_ok ||
            exposed == nullptr || napi_strict_equals(env, exposed, buffer, &same) != napi_ok ||
            !same) {
            continue;
        }
        if (napi_detach_arraybuffer(env, buffer) == napi_ok) {
            const Lock lock(all.mutex);
            const auto found = all.exposures.find(id);
            if (found != all.exposures.end()) {
                found->second.detached_by_us = true;
            }
        }
        return DetachResult::DETACHED;
    }
    return DetachResult::FOREIGN;
}

} // namespace pound::addon
