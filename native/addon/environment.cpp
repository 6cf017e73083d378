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

Environment Environment::places_[1 + HASHED];

std::shared_ptr<Environment> Environment::create(napi_env env, CallBlock* block) {
    const std::lock_guard<std::mutex> lock(table_mutex);
    Environment& place = places_[0].taken_ ? place_of(env) : places_[0];
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
    static_assert(NO_MEMORY == 0, "the first number");
    add(nullptr, NO_DESCRIPTOR);
    env_.store(env, std::memory_order_relaxed);
}

void Environment::clear() {
    leave();
    block_ = nullptr;
    descriptor_data_ = nullptr;
    descriptor_count_ = 0;
    descriptors_.clear();
    memories_.clear();
    free_numbers_.clear();
    tables_.clear();
    tlbs_.clear();
    taken_ = false;
}

void Environment::leave() {
    env_.store(nullptr, std::memory_order_relaxed);
}

uint32_t Environment::add(SharedMemory* memory, const Descriptor& descriptor) {
    if (free_numbers_.empty()) {
        memories_.push_back(memory);
        descriptors_.push_back(descriptor);
        descriptor_data_ = descriptors_.data();
        descriptor_count_ = static_cast<uint32_t>(descriptors_.size());
        return descriptor_count_ - 1;
    }
    const uint32_t number = free_numbers_.back();
    free_numbers_.pop_back();
    memories_[number] = memory;
    descriptors_[number] = descriptor;
    return number;
}

void Environment::forget(uint32_t number) {
    descriptors_[number] = NO_DESCRIPTOR;
}

void Environment::remove(uint32_t number) {
    forget(number);
    memories_[number] = nullptr;
    free_numbers_.push_back(number);
}

} // namespace pound::addon
