// The native code that the benchmark compares with: the accessors looped in
// C++, calls that do nothing, and the accessors behind a C ABI.

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

/** allocate(size): makes the RAM that all functions below use. */
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
uint64_t load(guest_memory_t* memory, uint64_t gpa) {
    T value = 0;
    detail::read(memory, gpa, &value);
    return static_cast<uint32_t>(value);
}

template <typename T>
uint64_t store(guest_memory_t* memory, uint64_t gpa, uint8_t value) {
    detail::write(memory, gpa, static_cast<T>(value));
    return 0;
}

uint64_t run(guest_memory_t* memory, uint8_t kind, uint64_t gpa, uint8_t value) {
    switch (kind) {
    case 0:
        return load<uint8_t>(memory, gpa);
    case 1:
        return load<uint16_t>(memory, gpa);
    case 2:
        return load<uint32_t>(memory, gpa);
    case 3:
        return load<uint64_t>(memory, gpa);
    case 4:
        return store<uint8_t>(memory, gpa, value);
    case 5:
        return store<uint16_t>(memory, gpa, value);
    case 6:
        return store<uint32_t>(memory, gpa, value);
    default:
        return store<uint64_t>(memory, gpa, value);
    }
}

/** mixed(kinds: Uint8Array, gpas: Uint32Array): the sum of the values loaded. */
napi_value mixed(napi_env env, napi_callback_info info) {
    napi_value args[2];
    size_t count = 2;
    size_t length = 0;
    napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
    const auto* kinds = static_cast<const uint8_t*>(bytes_of(env, args[0], &length));
    const auto* gpas = static_cast<const uint32_t*>(bytes_of(env, args[1], &length));
    guest_memory_t memory = *ram;
    uint64_t sum = 0;
    for (size_t i = 0; i < length; ++i) {
        sum += run(&memory, kinds[i], gpas[i], static_cast<uint8_t>(i));
    }
    napi_value result = nullptr;
    napi_create_double(env, static_cast<double>(sum), &result);
    return result;
}

/** pairs(_, gpas: Uint32Array): loads and stores by turns; the sum of the values loaded. */
template <typename T>
napi_value pairs(napi_env env, napi_callback_info info) {
    napi_value args[2];
    size_t count = 2;
    size_t length = 0;
    napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
    // The first argument is unused, so that the call is the same as for mixed().
    const auto* gpas = static_cast<const uint32_t*>(bytes_of(env, args[1], &length));
    guest_memory_t memory = *ram;
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i += 2) {
        sum += load<T>(&memory, gpas[i]);
        store<T>(&memory, gpas[i + 1], static_cast<uint8_t>(i + 1));
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

BENCH_EXPORT int bench_readb(double gpa, uint8_t* out) {
    return guest_mem_readb(ram, static_cast<uint64_t>(gpa), out);
}

BENCH_EXPORT int bench_readw(double gpa, uint16_t* out) {
    return guest_mem_readw(ram, static_cast<uint64_t>(gpa), out);
}

BENCH_EXPORT int bench_readl(double gpa, uint32_t* out) {
    return guest_mem_readl(ram, static_cast<uint64_t>(gpa), out);
}

BENCH_EXPORT int bench_readq(double gpa, uint64_t* out) {
    return guest_mem_readq(ram, static_cast<uint64_t>(gpa), out);
}

BENCH_EXPORT int bench_writeb(double gpa, uint8_t value) {
    return guest_mem_writeb(ram, static_cast<uint64_t>(gpa), value);
}

BENCH_EXPORT int bench_writew(double gpa, uint16_t value) {
    return guest_mem_writew(ram, static_cast<uint64_t>(gpa), value);
}

BENCH_EXPORT int bench_writel(double gpa, uint32_t value) {
    return guest_mem_writel(ram, static_cast<uint64_t>(gpa), value);
}

BENCH_EXPORT int bench_writeq(double gpa, uint64_t value) {
    return guest_mem_writeq(ram, static_cast<uint64_t>(gpa), value);
}

NAPI_MODULE_INIT() {
    define(env, exports, "allocate", allocate);
    define(env, exports, "mixed", mixed);
    define(env, exports, "pairs32", pairs<uint32_t>);
    define(env, exports, "pairs64", pairs<uint64_t>);
    define(env, exports, "empty", empty);
    return exports;
}
