#include "kvm/guest.h"

#include <new>

namespace pound::kvm::memory {

using host::memory::arena_allocate;
using host::memory::arena_remaining;
using host::memory::arena_t;

namespace {

struct layout_t {
    /** The bytes reserved for the descriptor, or null if it does not fit. */
    void* descriptor;
    uint8_t* ram;
    size_t size;
};

/** Allocates the descriptor, then the rest of the arena as RAM. */
layout_t take_all(arena_t* arena) {
    assert(nullptr != arena);
    assert(nullptr != arena->data);
    // The descriptor size is a multiple of the RAM's alignment, so no padding precedes the RAM.
    void* descriptor = arena_allocate(arena, GUEST_MEMORY_DESCRIPTOR_SIZE, GUEST_RAM_ALIGNMENT);
    if (descriptor == nullptr) {
        return {nullptr, nullptr, 0};
    }
    uint8_t* ram = arena->data + arena->used;
    const size_t size = arena_remaining(arena);
    // RAM may be empty, but an arena refuses allocations of size 0.
    if (size != 0) {
        void* block = arena_allocate(arena, size, GUEST_RAM_ALIGNMENT);
        assert(block == ram);
        static_cast<void>(block);
    }
    return {descriptor, ram, size};
}

} // namespace

guest_memory_t* guest_memory_create(arena_t* arena) {
    const layout_t layout = take_all(arena);
    return layout.descriptor == nullptr ? nullptr
                                        : new (layout.descriptor)
                                              guest_memory_t{layout.ram, layout.size};
}

std::optional<guest_memory_t> guest_memory_attach(arena_t* arena) {
    const layout_t layout = take_all(arena);
    return layout.descriptor == nullptr
               ? std::nullopt
               : std::make_optional(guest_memory_t{layout.ram, layout.size});
}

} // namespace pound::kvm::memory
