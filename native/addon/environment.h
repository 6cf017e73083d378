#ifndef POUND_ADDON_ENVIRONMENT_H
#define POUND_ADDON_ENVIRONMENT_H

#include <napi.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace pound::addon {

class SharedMemory;

/**
 * Arguments and results of one native access, shared with TypeScript through
 * an ArrayBuffer.
 *
 * Passing them as N-API values costs more than the call itself, so a call
 * carries none. JavaScript runs on one thread per environment and an access
 * never calls back into it, so one block serves every memory of the
 * environment. All fields are in host byte order.
 */
struct CallBlock {
    /**
     * In: guest physical address, in halves as JavaScript has them. They lie
     * apart because two stores side by side would be loaded as one, for which
     * a processor has to wait until both are in its cache.
     */
    uint32_t gpa_low;
    /** In: which memory, as Environment numbers them. */
    uint32_t memory;
    uint32_t gpa_high;
    /** Out: a guest_mem_access_result_t. */
    uint32_t result;
    /** In or out: the value, in the first bytes, at the width of the access. */
    uint64_t value;

    uint64_t gpa() const {
        return (static_cast<uint64_t>(gpa_high) << 32) | gpa_low;
    }
};

static_assert(sizeof(CallBlock) == 24, "lib/native-access.ts knows this layout");

/**
 * The live guest memories of an environment, by number, and the call block that
 * names them.
 *
 * With the memory named by number, one function per accessor serves them all.
 * V8 calls a function that is the same at every call straight, and one bound to
 * its memory through a slower, generic way as soon as there are two.
 */
class Environment {
public:
    explicit Environment(CallBlock* block) : block_(block) {
    }

    CallBlock* call_block() const {
        return block_;
    }

    /** The memory of that number, or null where there is none. */
    SharedMemory* find(uint32_t number) const {
        return number < memories_.size() ? memories_[number] : nullptr;
    }

    uint32_t add(SharedMemory* memory);
    void remove(uint32_t number);

private:
    CallBlock* block_;
    std::vector<SharedMemory*> memories_;
    std::vector<uint32_t> free_numbers_;
};

/** What the runtime keeps for the addon per environment: each worker thread has its own. */
struct InstanceData {
    /** Shared, since handles may be finalized after the instance data is. */
    std::shared_ptr<Environment> environment;
    /** Keeps the call block in place for as long as there are calls. */
    Napi::Reference<Napi::ArrayBuffer> call_block;
};

} // namespace pound::addon

#endif // POUND_ADDON_ENVIRONMENT_H
