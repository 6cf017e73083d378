#include "environment.h"

#include <mutex>

#include "handle.h"

namespace pound::addon {

namespace {

/** Guards Environment::taken_ of every entry of the table. */
std::mutex table_mutex;

} // namespace

const void* library_mark() {
    return &table_mutex;
}

Environment Environment::places_[PLACES];

std::shared_ptr<Environment> Environment::create(napi_env env, CallBlock* block) {
    Environment& place = place_of(env);
    const std::lock_guard<std::mutex> lock(table_mutex);
    if (place.taken_) {
        std::shared_ptr<Environment> elsewhere(new Environment());
        elsewhere->begin(env, block);
        return elsewhere;
    }
    place.taken_ = true;
    place.begin(env, block);
    return std::shared_ptr<Environment>(&place, [](Environment* left) {
        const std::lock_guard<std::mutex> relock(table_mutex);
        left->clear();
    });
}

void Environment::begin(napi_env env, CallBlock* block) {
    block_ = block;
    memories_.assign(NO_MEMORY + 1, nullptr);
    env_.store(env, std::memory_order_relaxed);
}

void Environment::clear() {
    leave();
    block_ = nullptr;
    current_ = NO_CURRENT;
    memories_.clear();
    free_numbers_.clear();
    taken_ = false;
}

void Environment::leave() {
    env_.store(nullptr, std::memory_order_relaxed);
}

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
    forget_current(number);
    memories_[number] = nullptr;
    free_numbers_.push_back(number);
}

} // namespace pound::addon
