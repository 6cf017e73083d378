#include "space_binding.h"

#include <atomic>
#include <memory>
#include <utility>

#include "errors.h"
#include "handle.h"
#include "kvm/page_table.h"
#include "memory_binding.h"
#include "policy.h"
#include "shared_elements.h"
#include "table_call.h"

namespace pound::addon {

using kvm::memory::guest_page_table_t;

/** TypeScript fills the entries. */
class SharedTable final : public MemoryUser {
public:
    SharedTable(const Environment::Table& table, Napi::Int32Array reads, Napi::Int32Array writes,
                std::shared_ptr<Environment> environment)
        : table_(table), reads_(Napi::Persistent(reads)), writes_(Napi::Persistent(writes)),
          environment_(std::move(environment)), number_(environment_->tables().add()) {
    }

    ~SharedTable() {
        leave_home();
        environment_->tables().remove(number_);
    }

    SharedTable(const SharedTable&) = delete;
    SharedTable& operator=(const SharedTable&) = delete;

    /** Sets the memory that the entries lead to. Null: every access takes the slow path. */
    void set_home(std::shared_ptr<SharedMemory> home) {
        leave_home();
        home_ = std::move(home);
        if (home_ == nullptr) {
            return;
        }
        home_->add_user(this);
        const Environment::Descriptor descriptor = home_->descriptor();
        if (descriptor.size > 0) {
            table_.home = descriptor;
            environment_->tables().set(number_, table_);
        }
    }

    /** Sets the marks of the pages of that memory. */
    void set_marks(Napi::Uint8Array marks, std::atomic<uint8_t>* data, uint32_t pages) {
        marks_ = Napi::Persistent(marks);
        table_.marks = data;
        table_.marked_pages = pages;
        refresh();
    }

    void memory_ended() override {
        environment_->tables().set(number_, Environment::Table{});
    }

    uint32_t number() const {
        return number_;
    }

    /** Sets the entries for instruction fetches, as many as the table has. */
    void set_fetches(Napi::Int32Array fetches, const int32_t* entries) {
        fetches_ = Napi::Persistent(fetches);
        table_.fetches = entries;
        refresh();
    }

    guest_page_table_t for_core() const {
        const Environment::Table& current = environment_->tables().at(number_);
        return as_page_table(current, entries_in(current));
    }

    uint32_t entries() const {
        return entries_in(table_);
    }

private:
    static uint32_t entries_in(const Environment::Table& table) {
        return table.policy == 0 ? table.entries : table.policy_entries;
    }

    /** Makes accesses use `table_`, unless there is no memory that its entries lead to. */
    void refresh() {
        if (environment_->tables().at(number_).reads != nullptr) {
            environment_->tables().set(number_, table_);
        }
    }

    void leave_home() {
        environment_->tables().set(number_, Environment::Table{});
        if (home_ != nullptr) {
            home_->remove_user(this);
        }
    }

    Environment::Table table_;
    // These keep the entries and the marks alive. They lie in SharedArrayBuffers, which JavaScript
    // cannot detach.
    Napi::Reference<Napi::Int32Array> reads_;
    Napi::Reference<Napi::Int32Array> writes_;
    Napi::Reference<Napi::Int32Array> fetches_;
    Napi::Reference<Napi::Uint8Array> marks_;
    std::shared_ptr<SharedMemory> home_;
    std::shared_ptr<Environment> environment_;
    uint32_t number_;
};

namespace {

template <typename T>
napi_value read_call(napi_env env, napi_callback_info info) {
    return in_environment(env, info, [](Environment* environment) {
        return access_table(environment,
                            [](auto policy, const guest_page_table_t* table, CallBlock* block) {
                                return read_to<T>(block, [&](T* value) {
                                    return kvm::memory::guest_page_read<T, decltype(policy)>(
                                        table, block->gpa_low(), value);
                                });
                            });
    });
}

template <typename T>
napi_value write_call(napi_env env, napi_callback_info info) {
    return in_environment(env, info, [](Environment* environment) {
        return access_table(environment,
                            [](auto policy, const guest_page_table_t* table, CallBlock* block) {
                                return kvm::memory::guest_page_write<T, decltype(policy)>(
                                    table, block->gpa_low(), block->value<T>());
                            });
    });
}

constexpr Accessor ACCESSORS[] = {
    {"spaceReadb", read_call<uint8_t>},    {"spaceReadw", read_call<uint16_t>},
    {"spaceReadl", read_call<uint32_t>},   {"spaceReadq", read_call<uint64_t>},
    {"spaceWriteb", write_call<uint8_t>},  {"spaceWritew", write_call<uint16_t>},
    {"spaceWritel", write_call<uint32_t>}, {"spaceWriteq", write_call<uint64_t>},
};

} // namespace

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedTable> = {0x5d1f7a9c3b60e248, 0x94c2e80b17fd6a35};

std::shared_ptr<SharedTable> open_table(Napi::Value value) {
    return open_handle<SharedTable>(value);
}

guest_page_table_t entries_of(const SharedTable& table) {
    return table.for_core();
}

namespace {

/** The entries of a table. Null for any other value. */
const int32_t* entries_of(Napi::Value value, size_t* length) {
    return static_cast<const int32_t*>(shared_elements(value, napi_int32_array, length));
}

std::shared_ptr<SharedTable> to_table(const Napi::CallbackInfo& info) {
    auto table = open_handle<SharedTable>(info[0]);
    if (table == nullptr) {
        throw_handle(info.Env(), "the first argument must be a handle to a page table");
    }
    return table;
}

/** pageTableCreate(reads, writes: Int32Array, shift: number, policy: number): handle */
Napi::Value page_table_create(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    size_t reads = 0;
    size_t writes = 0;
    Environment::Table table{};
    table.reads = entries_of(info[0], &reads);
    table.writes = entries_of(info[1], &writes);
    if (table.reads == nullptr || table.writes == nullptr || !info[2].IsNumber() ||
        !info[3].IsNumber()) {
        return throw_type(env, "reads and writes must be Int32Arrays of SharedArrayBuffers");
    }
    const uint32_t shift = info[2].As<Napi::Number>().Uint32Value();
    const uint32_t policy = info[3].As<Napi::Number>().Uint32Value();
    if (reads != writes || reads > UINT32_MAX || shift < 8 || shift > 16 || policy >= POLICIES) {
        return throw_range(env, "the tables must have one length, and shift must be from 8 to 16");
    }
    table.shift = static_cast<uint16_t>(shift);
    table.policy = static_cast<uint16_t>(policy);
    (table.policy == 0 ? table.entries : table.policy_entries) = static_cast<uint32_t>(reads);
    return make_handle(
        env, std::make_shared<SharedTable>(table, info[0].As<Napi::Int32Array>(),
                                           info[1].As<Napi::Int32Array>(),
                                           env.GetInstanceData<InstanceData>()->environment));
}

/** pageTableSetHome(table, memory): undefined */
Napi::Value page_table_set_home(const Napi::CallbackInfo& info) {
    auto table = to_table(info);
    auto memory = open_handle<SharedMemory>(info[1]);
    if (memory == nullptr) {
        return throw_handle(info.Env(), "the second argument must be a handle to a guest memory");
    }
    if (table != nullptr) {
        table->set_home(memory);
    }
    return Napi::Value();
}

/** pageTableSetFetches(table, fetches: Int32Array): undefined */
Napi::Value page_table_set_fetches(const Napi::CallbackInfo& info) {
    auto table = to_table(info);
    size_t length = 0;
    const int32_t* fetches = entries_of(info[1], &length);
    if (table != nullptr && (fetches == nullptr || length != table->entries())) {
        return throw_type(info.Env(), "fetches must be shared and as long as the table");
    }
    if (table != nullptr) {
        table->set_fetches(info[1].As<Napi::Int32Array>(), fetches);
    }
    return Napi::Value();
}

/** pageTableSetMarks(table, marks: Uint8Array): undefined */
Napi::Value page_table_set_marks(const Napi::CallbackInfo& info) {
    static_assert(sizeof(std::atomic<uint8_t>) == 1 && std::atomic<uint8_t>::is_always_lock_free,
                  "the marks of JavaScript are atomic bytes");
    auto table = to_table(info);
    size_t pages = 0;
    void* marks = shared_elements(info[1], napi_uint8_array, &pages);
    if (marks == nullptr || pages > UINT32_MAX) {
        return throw_type(info.Env(), "marks must be a Uint8Array of a SharedArrayBuffer");
    }
    if (table != nullptr) {
        table->set_marks(info[1].As<Napi::Uint8Array>(), static_cast<std::atomic<uint8_t>*>(marks),
                         static_cast<uint32_t>(pages));
    }
    return Napi::Value();
}

/** pageTableNumber(table): its number in the call block, valid while the handle lives */
Napi::Value page_table_number(const Napi::CallbackInfo& info) {
    auto table = to_table(info);
    return table == nullptr ? Napi::Value() : Napi::Number::New(info.Env(), table->number());
}

} // namespace

void init_space_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("pageTableCreate", Napi::Function::New(env, page_table_create, "pageTableCreate"));
    exports.Set("pageTableSetHome",
                Napi::Function::New(env, page_table_set_home, "pageTableSetHome"));
    exports.Set("pageTableSetFetches",
                Napi::Function::New(env, page_table_set_fetches, "pageTableSetFetches"));
    exports.Set("pageTableSetMarks",
                Napi::Function::New(env, page_table_set_marks, "pageTableSetMarks"));
    exports.Set("pageTableNumber", Napi::Function::New(env, page_table_number, "pageTableNumber"));
    for (const Accessor& accessor : ACCESSORS) {
        export_accessor(env, exports, accessor);
    }
}

} // namespace pound::addon
