#include "mmu_binding.h"

#include <memory>
#include <utility>

#include "errors.h"
#include "handle.h"
#include "kvm/tlb.h"
#include "shared_elements.h"
#include "table_call.h"

namespace pound::addon {

using kvm::memory::guest_page_table_t;
using kvm::memory::guest_tlb_entry_t;
using kvm::memory::guest_tlb_t;

namespace {

/** The tables of a TLB. TypeScript fills the entries. */
class SharedTlb final {
public:
    SharedTlb(const Environment::Tlb& tlb, const Napi::CallbackInfo& info,
              std::shared_ptr<Environment> environment)
        : environment_(std::move(environment)), number_(environment_->tlbs().add()) {
        for (uint32_t kind = 0; kind < TLB_KINDS; kind++) {
            arrays_[kind] = Napi::Persistent(info[kind].As<Napi::Float64Array>());
        }
        environment_->tlbs().set(number_, tlb);
    }

    ~SharedTlb() {
        environment_->tlbs().remove(number_);
    }

    SharedTlb(const SharedTlb&) = delete;
    SharedTlb& operator=(const SharedTlb&) = delete;

    uint32_t number() const {
        return number_;
    }

private:
    // These keep the entries alive. They lie in SharedArrayBuffers, which JavaScript cannot detach.
    Napi::Reference<Napi::Float64Array> arrays_[TLB_KINDS];
    std::shared_ptr<Environment> environment_;
    uint32_t number_;
};

/**
 * Translates the address in the call block by the TLB that it names, and makes an access there.
 *
 * @param run bool (access policy, const guest_page_table_t*, uint64_t gpa, CallBlock*).
 */
template <typename T, typename Access>
napi_value access_translated(napi_env env, napi_callback_info info, tlb_kind_t kind, Access run) {
    return in_environment(env, info, [kind, run](Environment* environment) -> napi_value {
        CallBlock* block = environment->call_block();
        const Environment::Tlb& entry = environment->tlbs().at(block->operation());
        const guest_tlb_t tlb = {entry.entries[kind], entry.mask, entry.page_bits};
        const uint64_t va = static_cast<uint64_t>(block->gpa_high()) << 32 | block->gpa_low();
        uint64_t gpa = 0;
        if (tlb.entries == nullptr ||
            !kvm::memory::guest_tlb_translate(&tlb, va, sizeof(T), &gpa)) {
            block->set_result(NOT_MADE);
            return nullptr;
        }
        return access_table(environment,
                            [run, gpa](auto policy, const guest_page_table_t* table,
                                       CallBlock* call) { return run(policy, table, gpa, call); });
    });
}

template <typename T>
napi_value read_call(napi_env env, napi_callback_info info) {
    return access_translated<T>(
        env, info, TLB_READ,
        [](auto policy, const guest_page_table_t* table, uint64_t gpa, CallBlock* block) {
            return read_to<T>(block, [&](T* value) {
                return kvm::memory::guest_page_read<T, decltype(policy)>(table, gpa, value);
            });
        });
}

template <typename T>
napi_value fetch_call(napi_env env, napi_callback_info info) {
    return access_translated<T>(
        env, info, TLB_FETCH,
        [](auto policy, const guest_page_table_t* table, uint64_t gpa, CallBlock* block) {
            return read_to<T>(block, [&](T* value) {
                return kvm::memory::guest_page_fetch<T, decltype(policy)>(table, gpa, value);
            });
        });
}

template <typename T>
napi_value write_call(napi_env env, napi_callback_info info) {
    return access_translated<T>(
        env, info, TLB_WRITE,
        [](auto policy, const guest_page_table_t* table, uint64_t gpa, CallBlock* block) {
            return kvm::memory::guest_page_write<T, decltype(policy)>(table, gpa,
                                                                      block->value<T>());
        });
}

constexpr Accessor ACCESSORS[] = {
    {"mmuReadb", read_call<uint8_t>},    {"mmuReadw", read_call<uint16_t>},
    {"mmuReadl", read_call<uint32_t>},   {"mmuReadq", read_call<uint64_t>},
    {"mmuWriteb", write_call<uint8_t>},  {"mmuWritew", write_call<uint16_t>},
    {"mmuWritel", write_call<uint32_t>}, {"mmuWriteq", write_call<uint64_t>},
    {"mmuFetchb", fetch_call<uint8_t>},  {"mmuFetchw", fetch_call<uint16_t>},
    {"mmuFetchl", fetch_call<uint32_t>},
};

} // namespace

template <>
inline constexpr napi_type_tag HANDLE_TAG<SharedTlb> = {0x8f2c61d07be94a35, 0xb60e93f5274dc18a};

namespace {

/** tlbCreate(reads, writes, fetches: Float64Array, pageBits: number): handle */
Napi::Value tlb_create(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Environment::Tlb tlb{};
    size_t length = 0;
    for (uint32_t kind = 0; kind < TLB_KINDS; kind++) {
        size_t doubles = 0;
        tlb.entries[kind] = static_cast<const guest_tlb_entry_t*>(
            shared_elements(info[kind], napi_float64_array, &doubles));
        if (tlb.entries[kind] == nullptr || (kind > 0 && doubles != length)) {
            return throw_type(env, "the tables must be Float64Arrays of SharedArrayBuffers, of "
                                   "one length");
        }
        length = doubles;
    }
    if (!info[TLB_KINDS].IsNumber()) {
        return throw_type(env, "pageBits must be a number");
    }
    const size_t entries = length * sizeof(double) / sizeof(guest_tlb_entry_t);
    tlb.page_bits = info[TLB_KINDS].As<Napi::Number>().Uint32Value();
    if (entries == 0 || (entries & (entries - 1)) != 0 || entries > UINT32_MAX ||
        length * sizeof(double) != entries * sizeof(guest_tlb_entry_t) || tlb.page_bits < 8 ||
        tlb.page_bits > 16) {
        return throw_range(env, "a table must have a power of two of entries, and pageBits must "
                                "be from 8 to 16");
    }
    tlb.mask = static_cast<uint32_t>(entries - 1);
    return make_handle(env, std::make_shared<SharedTlb>(
                                tlb, info, env.GetInstanceData<InstanceData>()->environment));
}

/** tlbNumber(tlb): its number in the call block, valid while the handle lives */
Napi::Value tlb_number(const Napi::CallbackInfo& info) {
    auto tlb = open_handle<SharedTlb>(info[0]);
    if (tlb == nullptr) {
        throw_handle(info.Env(), "the first argument must be a handle to a TLB");
        return Napi::Value();
    }
    return Napi::Number::New(info.Env(), tlb->number());
}

} // namespace

void init_mmu_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("tlbCreate", Napi::Function::New(env, tlb_create, "tlbCreate"));
    exports.Set("tlbNumber", Napi::Function::New(env, tlb_number, "tlbNumber"));
    for (const Accessor& accessor : ACCESSORS) {
        export_accessor(env, exports, accessor);
    }
}

} // namespace pound::addon
