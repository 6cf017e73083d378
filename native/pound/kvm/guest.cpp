#include "kvm/guest.h"

#include <new>

namespace pound::kvm::memory {

using host::memory::arena_allocate;
using host::memory::arena_remaining;
using host::memory::arena_t;

guest_memory_t* guest_memory_create(arena_t* arena) {
    assert(nullptr != arena);
    assert(nullptr != arena->data);
    // The size is a multiple of the RAM's alignment, so the RAM follows without a gap.
    void* descriptor = arena_allocate(arena, GUEST_MEMORY_DESCRIPTOR_SIZE, GUEST_RAM_ALIGNMENT);
    if (descriptor == nullptr) {
        return nullptr;
    }
    uint8_t* ram = arena->data + arena->used;
    const size_t size = arena_remaining(arena);
    // An arena allocates nothing of size 0, but RAM may be empty.
    if (size != 0) {
        void* block = arena_allocate(arena, size, GUEST_RAM_ALIGNMENT);
        assert(block == ram);
        static_cast<void>(block);
    }
    return new (descriptor) guest_memory_t{ram, size};
}

} // namespace pound::kvm::memory
