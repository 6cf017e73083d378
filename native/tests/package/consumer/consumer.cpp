#include <cstdint>
#include <cstdio>

#include "host/memory/arena.h"
#include "kvm/guest.h"

namespace arenas = pound::host::memory;
namespace guest = pound::kvm::memory;

int main() {
    arenas::arena_t arena;
    if (arenas::arena_init(&arena, 4096) != arenas::ARENA_OK) {
        return 1;
    }
    guest::guest_memory_t* memory = guest::guest_memory_create(&arena);
    uint32_t value = 0;
    if (memory == nullptr ||
        guest::guest_mem_writel(memory, 4, 0x11223344) != guest::GUEST_MEM_ACCESS_OK ||
        guest::guest_mem_readl(memory, 4, &value) != guest::GUEST_MEM_ACCESS_OK) {
        return 1;
    }
    printf("pound consumer: 0x%x\n", static_cast<unsigned>(value));
    arenas::arena_free(&arena);
    return 0;
}
