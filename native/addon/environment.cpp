#include "environment.h"

namespace pound::addon {

uint32_t Environment::add(SharedMemory* memory) {
    if (free_numbers_.empty()) {
        memories_.push_back(memory);
        return static_cast<uint32_t>(memories_.size() - 1);
    }
    const uint32_t number = free_numbers_.back();
    free_numbers_.pop_back();
    memories_[number] = memory;
    return number;
}

void Environment::remove(uint32_t number) {
    memories_[number] = nullptr;
    free_numbers_.push_back(number);
}

} // namespace pound::addon
