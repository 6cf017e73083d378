#include "core_binding.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "errors.h"
#include "handle.h"
#include "host/rundown.h"
#include "memory_binding.h"
#include "node/guest_handle.h"
#include "space_binding.h"

/*
 * The handles that other addons open with node/guest_handle.h. Any thread may retain and release
 * them and begin runs. The objects of this addon that they refer to belong to the thread of one
 * environment, so the last release on another thread sends the handle to that thread.
 */
namespace pound::addon {

namespace {

class Core;

/** The live handles of an environment. */
class CoreEnvironment {
public:
    explicit CoreEnvironment(napi_env env) : env_(env), thread_(std::this_thread::get_id()) {
        napi_get_uv_event_loop(env, &loop_);
    }

    uv_loop_s* loop() const {
        return loop_;
    }

    /** Whether this is the thread of the environment, and the environment has not ended. */
    bool on_thread() const {
        // The system may give the id of a thread that has ended to another one.
        return std::this_thread::get_id() == thread_ && !ended_;
    }

    /** Creates the function that wakes the thread. @return False if the runtime refuses it. */
    bool start() {
        napi_value name = nullptr;
        if (napi_create_string_utf8(env_, "pound-guest-memory", NAPI_AUTO_LENGTH, &name) !=
                napi_ok ||
            napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                            nullptr, drain, &wake_) != napi_ok) {
            return false;
        }
        // The handles do not keep the process running.
        napi_unref_threadsafe_function(env_, wake_);
        return true;
    }

    void add(Core* core) {
        live_.insert(core);
    }

    /** Deletes a handle on the thread of the environment, at once or later. */
    void drop(Core* core);

    void delete_dropped();

    /** Called on its thread when the environment is torn down. */
    void end();

private:
    static void drain(napi_env env, napi_value callback, void* context, void* data);

    const napi_env env_;
    const std::thread::id thread_;
    uv_loop_s* loop_ = nullptr;
    napi_threadsafe_function wake_ = nullptr;
    /** Used on the thread of the environment only. */
    std::unordered_set<Core*> live_;
    /** Guards `dropped_`, and the calls of `wake_`, none of which may come after `ended_` is set.
     */
    std::mutex mutex_;
    std::vector<Core*> dropped_;
    std::atomic<bool> ended_{false};
};

/** The part that handles to memories and to address spaces share. */
class Core {
public:
    explicit Core(std::shared_ptr<CoreEnvironment> environment)
        : environment_(std::move(environment)) {
        environment_->add(this);
    }

    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;
    virtual ~Core() = default;

    virtual pound_handle_t* handle() = 0;
    virtual bool begin() = 0;
    virtual void end() = 0;
    virtual bool ended() const = 0;

    /** Drops what belongs to the environment. Called on its thread, once. */
    virtual void leave_environment() = 0;

    void retain() {
        references_.fetch_add(1, std::memory_order_relaxed);
    }

    void release() {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            // A copy: the environment may be deleted with this object.
            const auto environment = environment_;
            environment->drop(this);
        }
    }

protected:
    CoreEnvironment& environment() const {
        return *environment_;
    }

private:
    const std::shared_ptr<CoreEnvironment> environment_;
    /** One reference is that of the External. */
    std::atomic<uint32_t> references_{1};
};

void CoreEnvironment::drop(Core* core) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!ended_ && std::this_thread::get_id() != thread_) {
            dropped_.push_back(core);
            napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
            return;
        }
    }
    if (on_thread()) {
        live_.erase(core);
        core->leave_environment();
    }
    delete core;
}

void CoreEnvironment::delete_dropped() {
    std::vector<Core*> dropped;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        dropped.swap(dropped_);
    }
    for (Core* core : dropped) {
        live_.erase(core);
        core->leave_environment();
        delete core;
    }
}

void CoreEnvironment::end() {
    // Other threads may release handles until `ended_` is set, so each of these stays alive.
    for (Core* core : live_) {
        core->leave_environment();
    }
    live_.clear();
    std::vector<Core*> dropped;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        ended_ = true;
        dropped.swap(dropped_);
    }
    for (Core* core : dropped) {
        delete core;
    }
}

/** The environments that have handles. */
struct CoreEnvironments {
    std::mutex mutex;
    std::unordered_map<napi_env, std::shared_ptr<CoreEnvironment>> all;
};

/** Never destroyed, because other threads may still use it while the process exits. */
CoreEnvironments& environments() {
    static auto* instance = new CoreEnvironments();
    return *instance;
}

void CoreEnvironment::drain(napi_env env, napi_value, void*, void*) {
    std::shared_ptr<CoreEnvironment> found;
    {
        const std::lock_guard<std::mutex> lock(environments().mutex);
        const auto entry = environments().all.find(env);
        if (entry == environments().all.end()) {
            return;
        }
        found = entry->second;
    }
    found->delete_dropped();
}

void end_core_environment(void* data) {
    std::shared_ptr<CoreEnvironment> ending;
    {
        const std::lock_guard<std::mutex> lock(environments().mutex);
        const auto found = environments().all.find(static_cast<napi_env>(data));
        ending = std::move(found->second);
        environments().all.erase(found);
    }
    ending->end();
}

/** The environment of the calling thread; null if the runtime refuses a resource. */
std::shared_ptr<CoreEnvironment> core_environment(napi_env env) {
    const std::lock_guard<std::mutex> lock(environments().mutex);
    auto& entry = environments().all[env];
    if (entry == nullptr) {
        auto made = std::make_shared<CoreEnvironment>(env);
        // The runtime calls the hooks in reverse order, so that the environment ends before the
        // function that wakes its thread does.
        if (!made->start() ||
            napi_add_env_cleanup_hook(env, end_core_environment, env) != napi_ok) {
            environments().all.erase(env);
            return nullptr;
        }
        entry = std::move(made);
    }
    return entry;
}

Core* core_of(const pound_handle_t* handle) {
    return static_cast<Core*>(handle->owner);
}

pound_handle_t new_handle(Core* core, const CoreEnvironment& environment) {
    return {POUND_ABI_MAJOR,
            POUND_ABI_MINOR,
            environment.loop(),
            [](pound_handle_t* handle) { core_of(handle)->retain(); },
            [](pound_handle_t* handle) { core_of(handle)->release(); },
            [](pound_handle_t* handle) -> int32_t {
                return core_of(handle)->begin() ? kvm::memory::GUEST_MEM_ACCESS_OK
                                                : kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL;
            },
            [](pound_handle_t* handle) { core_of(handle)->end(); },
            [](const pound_handle_t* handle) -> int32_t { return core_of(handle)->ended(); },
            core};
}

/** The handle of a guest memory. */
class CoreMemory final : public Core, public MemoryUser {
public:
    CoreMemory(std::shared_ptr<CoreEnvironment> environment, std::shared_ptr<SharedMemory> memory)
        : Core(std::move(environment)), memory_(std::move(memory)),
          pages_(memory_->arena().pages()), detachable_(memory_->arena().can_lose_memory()),
          view_(memory_->arena().reference_view()),
          abi_{new_handle(this, this->environment()),
               {memory_->memory()->base, memory_->memory()->size}} {
        memory_->add_user(this);
        if (!memory_->usable()) {
            rundown_.close();
        }
    }

    pound_handle_t* handle() override {
        return &abi_.handle;
    }

    void memory_ended() override {
        rundown_.close();
    }

    bool begin() override {
        if (pages_ == nullptr && environment().on_thread()) {
            // Such a run is not counted: leave_environment() on this thread cannot wait for it.
            return !rundown_.closed() && memory_->usable();
        }
        if (pages_ == nullptr) {
            // JavaScript can detach an ArrayBuffer at any time while its thread is elsewhere.
            return !detachable_ && rundown_.begin();
        }
        // Counted first, so that a reset, which closes and then looks at the count, sees the run.
        pages_->begin_run();
        if (!rundown_.begin()) {
            pages_->end_run();
            return false;
        }
        return true;
    }

    void end() override {
        if (pages_ == nullptr && environment().on_thread()) {
            return;
        }
        if (pages_ != nullptr) {
            pages_->end_run();
        }
        rundown_.end();
    }

    bool ended() const override {
        return rundown_.closed();
    }

    void leave_environment() override {
        rundown_.close();
        if (pages_ == nullptr) {
            // Nothing but a reference of this environment may keep a SharedArrayBuffer alive.
            rundown_.wait();
        }
        view_.Reset();
        memory_->remove_user(this);
        memory_.reset();
    }

private:
    host::Rundown rundown_;
    /** Null after the environment has ended. Used on its thread only. */
    std::shared_ptr<SharedMemory> memory_;
    /** Null for a memory over a buffer. */
    const std::shared_ptr<Pages> pages_;
    /** Whether the memory is over an ArrayBuffer. */
    const bool detachable_;
    /** Keeps a buffer alive after the end of the memory, for runs that have not ended. */
    Napi::Reference<Napi::DataView> view_;
    pound_memory_t abi_;
};

/** The handle of an address space. */
class CoreSpace final : public Core {
public:
    explicit CoreSpace(std::shared_ptr<CoreEnvironment> environment)
        : Core(std::move(environment)), abi_{new_handle(this, this->environment()), nullptr} {
    }

    pound_handle_t* handle() override {
        return &abi_.handle;
    }

    void set_table(std::shared_ptr<SharedTable> table) {
        table_ = std::move(table);
    }

    bool begin() override {
        if (!environment().on_thread() || ended_) {
            return false;
        }
        used_ = table_;
        current_.emplace(table_ == nullptr ? NO_TABLE : entries_of(*table_));
        abi_.table = &*current_;
        return true;
    }

    void end() override {
    }

    bool ended() const override {
        return ended_;
    }

    void leave_environment() override {
        ended_ = true;
        table_.reset();
        used_.reset();
    }

private:
    /** The page table of a space without accesses: every access is left to JavaScript. */
    static constexpr kvm::memory::guest_page_table_t NO_TABLE{nullptr,      nullptr, 0, 12,
                                                              {nullptr, 0}, nullptr, 0};

    /** Null before the first access of the space. */
    std::shared_ptr<SharedTable> table_;
    /** Keeps the entries of `current_` alive. */
    std::shared_ptr<SharedTable> used_;
    std::optional<kvm::memory::guest_page_table_t> current_;
    std::atomic<bool> ended_{false};
    pound_space_t abi_;
};

/** Makes the External of a handle, and tags it. */
Napi::Value publish(Napi::Env env, Core* core, const napi_type_tag& tag) {
    napi_value external = nullptr;
    // The finalizer gets the handle and not the Core, to which it may have another address.
    const napi_status status = napi_create_external(
        env, core->handle(),
        [](napi_env, void* data, void*) { core_of(static_cast<pound_handle_t*>(data))->release(); },
        nullptr, &external);
    if (status != napi_ok) {
        core->release();
        return Napi::Value();
    }
    // If this fails, the handle has no tag and is refused as a foreign one, which is harmless.
    napi_type_tag_object(env, external, &tag);
    return Napi::Value(env, external);
}

std::shared_ptr<CoreEnvironment> environment_for(Napi::Env env) {
    auto environment = core_environment(env);
    if (environment == nullptr) {
        throw_no_memory(env, "the runtime refused a thread-safe function");
    }
    return environment;
}

/** coreMemoryCreate(memory): External with pound_memory_tag() */
Napi::Value core_memory_create(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto memory = open_handle<SharedMemory>(info[0]);
    if (memory == nullptr) {
        return throw_handle(env, "the first argument must be a handle to a guest memory");
    }
    auto environment = environment_for(env);
    return environment == nullptr
               ? Napi::Value()
               : publish(env, new CoreMemory(environment, std::move(memory)), pound_memory_tag());
}

/** coreSpaceCreate(): External with pound_space_tag() */
Napi::Value core_space_create(const Napi::CallbackInfo& info) {
    auto environment = environment_for(info.Env());
    return environment == nullptr
               ? Napi::Value()
               : publish(info.Env(), new CoreSpace(environment), pound_space_tag());
}

/** coreSpaceSetTable(space, table): undefined */
Napi::Value core_space_set_table(const Napi::CallbackInfo& info) {
    pound_space_t* space = nullptr;
    auto table = open_table(info[1]);
    if (pound_space_get(info.Env(), info[0], &space) != POUND_OK || table == nullptr) {
        return throw_handle(info.Env(), "the arguments must be handles to a space and a table");
    }
    static_cast<CoreSpace*>(core_of(&space->handle))->set_table(std::move(table));
    return Napi::Value();
}

} // namespace

void init_core_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("coreMemoryCreate",
                Napi::Function::New(env, core_memory_create, "coreMemoryCreate"));
    exports.Set("coreSpaceCreate", Napi::Function::New(env, core_space_create, "coreSpaceCreate"));
    exports.Set("coreSpaceSetTable",
                Napi::Function::New(env, core_space_set_table, "coreSpaceSetTable"));
}

} // namespace pound::addon
