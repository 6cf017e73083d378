// What the benchmark measures against: the accessors looped in C++, calls that
// do nothing, and the accessors behind a C ABI.

#include <node_api.h>

#include <cstdint>

#include "kvm/guest.h"

using namespace pound::kvm::memory;

#if defined(_WIN32)
#define BENCH_EXPORT extern "C" __declspec(dllexport)
#else
#define BENCH_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

pound::host::memory::arena_t ram_arena;
guest_memory_t* ram = nullptr;

void* bytes_of(napi_env env, napi_value array, size_t* length) {
    void* data = nullptr;
    napi_get_typedarray_info(env, array, nullptr, length, &data, nullptr, nullptr);
    return data;
}

/** allocate(size): makes the RAM of everything below. */
napi_value allocate(napi_env env, napi_callback_info info) {
    napi_value arg = nullptr;
    size_t count = 1;
    double size = 0;
    napi_get_cb_info(env, info, &count, &arg, nullptr, nullptr);
    napi_get_value_double(env, arg, &size);
    pound::host::memory::arena_free(&ram_arena);
    const size_t capacity = static_cast<size_t>(size) + GUEST_MEMORY_DESCRIPTOR_SIZE;
    if (pound::host::memory::arena_init(&ram_arena, capacity) == pound::host::memory::ARENA_OK) {
        ram = guest_memory_create(&ram_arena);
    }
    return nullptr;
}

template <typename T>
uint64_t load(uint64_t gpa) {
    T value = 0;
    detail::read(ram, gpa, &value);
    return static_cast<uint32_t>(value);
}

uint64_t run(uint8_t kind, uint64_t gpa, uint32_t value) {
    switch (kind) {
    case 0:
        return load<uint8_t>(gpa);
    case 1:
        return load<uint16_t>(gpa);
    case 2:
        return load<uint32_t>(gpa);
    case 3:
        return load<uint64_t>(gpa);
    case 4:
        return guest_mem_writeb(ram, gpa, static_cast<uint8_t>(value));
    case 5:
        return guest_mem_writew(ram, gpa, static_cast<uint16_t>(value));
    case 6:
        return guest_mem_writel(ram, gpa, value);
    default:
        return guest_mem_writeq(ram, gpa, value);
    }
}

/** loop(kinds: Uint8Array, gpas: Uint32Array): the sum of what was loaded. */
napi_value loop(napi_env env, napi_callback_info info) {
    napi_value args[2];
    size_t count = 2;
    size_t length = 0;
    napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
    const auto* kinds = static_cast<const uint8_t*>(bytes_of(env, args[0], &length));
    const auto* gpas = static_cast<const uint32_t*>(bytes_of(env, args[1], &length));
    uint64_t sum = 0;
    for (size_t i = 0; i < length; ++i) {
        sum += run(kinds[i], gpas[i], static_cast<uint32_t>(i));
    }
    napi_value result = nullptr;
    napi_create_double(env, static_cast<double>(sum), &result);
    return result;
}

napi_value empty(napi_env, napi_callback_info) {
    return nullptr;
}

void define(napi_env env, napi_value exports, const char* name, napi_callback call) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
}

} // namespace

BENCH_EXPORT int bench_readl(double gpa, uint32_t* out) {
    return guest_mem_readl(ram, static_cast<uint64_t>(gpa), out);
}

BENCH_EXPORT int bench_writel(double gpa, uint32_t value) {
    return guest_mem_writel(ram, static_cast<uint64_t>(gpa), value);
}

NAPI_MODULE_INIT() {
    define(env, exports, "allocate", allocate);
    define(env, exports, "loop", loop);
    define(env, exports, "empty", empty);
    return exports;
}
