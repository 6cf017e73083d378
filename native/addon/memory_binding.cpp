#include "memory_binding.h"

#include <iterator>
#include <optional>
#include <utility>

#include "access_call.h"
#include "errors.h"
#include "policy.h"

namespace pound::addon {

using kvm::memory::guest_mem_access_result_t;
using kvm::memory::guest_memory_t;

namespace {

template <typename T, guest_mem_access_result_t (*read)(guest_memory_t*, uint64_t, T*)>
napi_value read_call(napi_env env, napi_callback_info info) {
    return access(env, info, [](guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
        T value;
        const guest_mem_access_result_t result = read(memory, gpa, &value);
        if (result == kvm::memory::GUEST_MEM_ACCESS_OK) {
            block->set_value(value);
        }
        return result;
    });
}

template <typename T, guest_mem_access_result_t (*write)(guest_memory_t*, uint64_t, T)>
napi_value write_call(napi_env env, napi_callback_info info) {
    return access(env, info, [](guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
        return write(memory, gpa, block->value<T>());
    });
}

constexpr Accessor ACCESSORS[] = {
    {"readb", read_call<uint8_t, kvm::memory::guest_mem_readb>},
    {"readw", read_call<uint16_t, kvm::memory::guest_mem_readw>},
    {"readl", read_call<uint32_t, kvm::memory::guest_mem_readl>},
    {"readq", read_call<uint64_t, kvm::memory::guest_mem_readq>},
    {"writeb", write_call<uint8_t, kvm::memory::guest_mem_writeb>},
    {"writew", write_call<uint16_t, kvm::memory::guest_mem_writew>},
    {"writel", write_call<uint32_t, kvm::memory::guest_mem_writel>},
    {"writeq", write_call<uint64_t, kvm::memory::guest_mem_writeq>},
};

using Operation = guest_mem_access_result_t (*)(guest_memory_t*, uint64_t, CallBlock*);

template <typename T, typename Policy>
guest_mem_access_result_t run_read(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    T value;
    const guest_mem_access_result_t result =
        kvm::memory::guest_mem_read<T, Policy>(memory, gpa, &value);
    if (result == kvm::memory::GUEST_MEM_ACCESS_OK) {
        block->set_value(value);
    }
    return result;
}

template <typename T, typename Policy>
guest_mem_access_result_t run_write(guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
    return kvm::memory::guest_mem_write<T, Policy>(memory, gpa, block->value<T>());
}

constexpr uint32_t KINDS = 8;

/** The eight accessors under one policy, in the order of `OpKind` of lib/native/op-buffer.ts. */
struct PolicyRow {
    Operation kinds[KINDS];
};

template <typename Policy>
constexpr PolicyRow policy_row() {
    return {{run_read<uint8_t, Policy>, run_read<uint16_t, Policy>, run_read<uint32_t, Policy>,
             run_read<uint64_t, Policy>, run_write<uint8_t, Policy>, run_write<uint16_t, Policy>,
             run_write<uint32_t, Policy>, run_write<uint64_t, Policy>}};
}

/** The rows by the number of the policy. */
constexpr PolicyRow POLICY_ROWS[] = {policy_row<policy_t<0>>(), policy_row<policy_t<1>>(),
                                     policy_row<policy_t<2>>(), policy_row<policy_t<3>>()};

static_assert(std::size(POLICY_ROWS) == POLICIES, "one row per policy");

/**
 * accessUnderPolicy(): undefined
 *
 * Makes the access that CallBlock::operation names: the number of the policy times KINDS, plus the
 * kind. TypeScript calls one function for all policies, because a call takes V8 twice as long if
 * its call site has several targets.
 */
napi_value access_under_policy(napi_env env, napi_callback_info info) {
    return access(env, info, [](guest_memory_t* memory, uint64_t gpa, CallBlock* block) {
        const uint32_t operation = block->operation();
        const uint32_t policy = operation / KINDS;
        return policy < POLICIES ? POLICY_ROWS[policy].kinds[operation % KINDS](memory, gpa, block)
                                 : kvm::memory::GUEST_MEM_ACCESS_ERROR_INTERNAL;
    });
}

/** Lays RAM out in an arena. The result is empty if the descriptor does not fit. */
std::optional<guest_memory_t> lay_out(SharedArena& arena) {
    if (arena.seen_by_others()) {
        // Another thread or process could forge a descriptor in the arena before it is copied from
        // there.
        return kvm::memory::guest_memory_attach(&arena.arena());
    }
    const guest_memory_t* memory = kvm::memory::guest_memory_create(&arena.arena());
    return memory == nullptr ? std::nullopt : std::make_optional(*memory);
}

/** A handle to RAM in an arena. */
Napi::Value make_memory(Napi::Env env, std::shared_ptr<SharedArena> arena,
                        const guest_memory_t& memory) {
    return make_handle(
        env, std::make_shared<SharedMemory>(std::move(arena), memory,
                                            env.GetInstanceData<InstanceData>()->environment));
}

/** As make_memory(), for RAM that consists of bytes of the arena that the caller has checked. */
Napi::Value make_memory_over(Napi::Env env, std::shared_ptr<SharedArena> arena, double offset,
                             double size) {
    const auto memory = kvm::memory::guest_memory_over(
        arena->arena().data + static_cast<size_t>(offset), static_cast<size_t>(size));
    return make_memory(env, std::move(arena), memory);
}

/** guestMemoryCreate(arena): handle */
Napi::Value guest_memory_create(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto arena = to_usable_arena(info);
    if (arena == nullptr) {
        return Napi::Value();
    }
    const auto memory = lay_out(*arena);
    if (!memory) {
        return throw_exhausted(env, "the arena has too little left for a guest memory");
    }
    return make_memory(env, std::move(arena), *memory);
}

/**
 * guestMemoryOver(arena, offset: number, size?: number): handle
 *
 * `size` bytes of the arena from `offset` on, by default all of them, become RAM, without a
 * descriptor in the arena and without a write. The arena counts all of its bytes as used.
 */
Napi::Value guest_memory_over(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto shared = to_usable_arena(info);
    if (shared == nullptr) {
        return Napi::Value();
    }
    host::memory::arena_t& arena = shared->arena();
    if (!info[1].IsNumber()) {
        return throw_type(env, "offset must be an integer of bytes");
    }
    const double offset = info[1].As<Napi::Number>().DoubleValue();
    const double room = static_cast<double>(arena.capacity) - offset;
    const double size = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : room;
    if (!(offset >= 0 && size >= 0 && size <= room)) {
        return throw_range(env, "offset and size must name bytes of the arena");
    }
    if (arena.used != 0 || host::memory::arena_allocate(&arena, arena.capacity, 1) == nullptr) {
        return throw_exhausted(env, "bytes of the arena are allocated already");
    }
    return make_memory_over(env, std::move(shared), offset, size);
}

/**
 * guestMemoryPart(arena, offset: number, size: number): handle
 *
 * Allocated bytes of the arena become RAM, without a descriptor in the arena and without a write.
 */
Napi::Value guest_memory_part(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto shared = to_usable_arena(info);
    if (shared == nullptr) {
        return Napi::Value();
    }
    if (!info[1].IsNumber() || !info[2].IsNumber()) {
        return throw_type(env, "offset and size must be integers of bytes");
    }
    const host::memory::arena_t& arena = shared->arena();
    const double offset = info[1].As<Napi::Number>().DoubleValue();
    const double size = info[2].As<Napi::Number>().DoubleValue();
    if (!(offset >= 0 && size >= 1 && offset + size <= static_cast<double>(arena.used))) {
        return throw_range(env, "offset and size must name allocated bytes of the arena");
    }
    return make_memory_over(env, std::move(shared), offset, size);
}

/** guestMemorySize(memory): bytes of RAM */
Napi::Value guest_memory_size(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    return memory == nullptr
               ? Napi::Value()
               : Napi::Number::New(info.Env(), static_cast<double>(memory->memory()->size));
}

/** guestMemoryOffset(memory): bytes from the arena's start to gpa 0 */
Napi::Value guest_memory_offset(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    if (memory == nullptr) {
        return Napi::Value();
    }
    if (!memory->usable()) {
        return throw_destroyed(info.Env(), "the memory's arena is reset or destroyed");
    }
    const auto offset = memory->memory()->base - memory->arena().arena().data;
    return Napi::Number::New(info.Env(), static_cast<double>(offset));
}

/** guestMemoryDestroy(memory): undefined; a second call has no effect */
Napi::Value guest_memory_destroy(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    if (memory != nullptr) {
        memory->end();
    }
    return Napi::Value();
}

/** guestMemoryNumber(memory): its number in the call block, valid while the handle lives */
Napi::Value guest_memory_number(const Napi::CallbackInfo& info) {
    auto memory = to_memory(info);
    return memory == nullptr ? Napi::Value() : Napi::Number::New(info.Env(), memory->number());
}

} // namespace

std::shared_ptr<SharedMemory> to_memory(const Napi::CallbackInfo& info) {
    auto memory = open_handle<SharedMemory>(info[0]);
    if (memory == nullptr) {
        throw_handle(info.Env(), "the first argument must be a handle to a guest memory");
    }
    return memory;
}

void init_memory_binding(Napi::Env env, Napi::Object exports) {
    exports.Set("descriptorSize",
                Napi::Number::New(env, kvm::memory::GUEST_MEMORY_DESCRIPTOR_SIZE));
    exports.Set("guestMemoryCreate",
                Napi::Function::New(env, guest_memory_create, "guestMemoryCreate"));
    exports.Set("guestMemoryOver", Napi::Function::New(env, guest_memory_over, "guestMemoryOver"));
    exports.Set("guestMemoryPart", Napi::Function::New(env, guest_memory_part, "guestMemoryPart"));
    exports.Set("guestMemorySize", Napi::Function::New(env, guest_memory_size, "guestMemorySize"));
    exports.Set("guestMemoryOffset",
                Napi::Function::New(env, guest_memory_offset, "guestMemoryOffset"));
    exports.Set("guestMemoryDestroy",
                Napi::Function::New(env, guest_memory_destroy, "guestMemoryDestroy"));
    exports.Set("guestMemoryNumber",
                Napi::Function::New(env, guest_memory_number, "guestMemoryNumber"));
    for (const Accessor& accessor : ACCESSORS) {
        export_accessor(env, exports, accessor);
    }
    export_accessor(env, exports, {"accessUnderPolicy", access_under_policy});
}

} // namespace pound::addon
