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

/**
 * Identifies an exposure in the hint of its finalizer. It is not a pointer, so that a finalizer
 * which the runtime calls twice finds no exposure the second time.
 */
using ExposureId = uintptr_t;

struct Exposure {
    std::shared_ptr<Pages> pages;
    uint8_t* data;
    /** The environment of the ArrayBuffer. `buffer` may be used on its thread only. */
    napi_env env;
    /** A weak reference to the ArrayBuffer. */
    napi_ref buffer;
    /** Whether code outside this package has received the buffer, and may have transferred it. */
    bool handed_out;
    /** Whether the addon detached the buffer, so that no transfer can have happened. */
    bool detached_by_us;
};

/**
 * An ArrayBuffer that never leaves this file. While it is referenced, its finalizer runs only when
 * the environment is torn down.
 *
 * During the teardown, Node detaches every buffer over native memory that was not transferred, and
 * finalizes all such buffers, transferred ones included, in the order from newest to oldest
 * (`CallbackInfo` in node_buffer.cc). A sentinel that is newer than every exposure is finalized
 * first. Node has detached no exposure by then, so a detached one must have been transferred.
 */
struct Sentinel {
    ExposureId id;
    napi_ref buffer;
};

/**
 * All exposures of the process. A runtime may call finalizers on any thread, so `mutex` guards
 * every field. Code that holds the mutex calls no function of the runtime.
 */
struct Registry {
    std::mutex mutex;
    ExposureId last_id = 0;
    std::unordered_map<ExposureId, Exposure> exposures;
    /** Exposures that were handed out and that the addon has not detached. */
    std::unordered_map<const Pages*, std::unordered_set<ExposureId>> movable;
    /** Exposures that the addon has not detached. Pages that are reset often have many. */
    std::set<std::pair<const uint8_t*, ExposureId>> by_data;
    /** References of ended exposures, which the thread of their environment must delete. */
    std::unordered_map<napi_env, std::vector<napi_ref>> done;
    std::unordered_map<napi_env, Sentinel> sentinels;
    /** Pages that another thread may use after the end of their environment. */
    std::vector<std::shared_ptr<Pages>> kept;

    /** Removes an exposure. The caller releases the returned pages after it unlocks the mutex. */
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

/** Never destroyed, because other threads may still use it while the process exits. */
Registry& registry() {
    static auto* instance = new Registry();
    return *instance;
}

using Lock = std::lock_guard<std::mutex>;

/** The state of the ArrayBuffer of an exposure. */
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
 * Whether the buffer may have been transferred, so that another owner has its bytes. A buffer that
 * was collected may have been transferred before.
 */
bool may_have_moved(napi_env env, const Exposure& exposure) {
    return !exposure.detached_by_us &&
           (exposure.buffer == nullptr ||
            state_of(env, exposure.buffer, exposure.data) != BufferState::ATTACHED);
}

/**
 * Copies of the exposures of an environment. Copies, because a query about a buffer can run
 * finalizers, which change the registry.
 */
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
 * Keeps the pages of exposures that may have been transferred, and forgets the environment, which
 * is being torn down. A second call has no effect.
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
    // The runtime deletes the remaining references, and may reuse the address of the environment.
    all.done.erase(env);
    all.sentinels.erase(env);
}

/** Finalizer: the runtime has released the bytes of an exposure, or tears its environment down. */
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

/** Replaces the sentinel by one that is newer than every buffer of the environment. */
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

/** The exposure of an ArrayBuffer, or nothing if it has none or is detached. */
std::optional<ExposureId> find_exposure(napi_env env, napi_value buffer) {
    void* data = nullptr;
    size_t length = 0;
    napi_get_arraybuffer_info(env, buffer, &data, &length);
    const auto* bytes = static_cast<const uint8_t*>(data);
    Registry& all = registry();
    // From newest to oldest, because the newest is the most likely match.
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
    // After a refusal, some runtimes call the finalizer and others do not.
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
