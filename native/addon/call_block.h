#ifndef POUND_ADDON_CALL_BLOCK_H
#define POUND_ADDON_CALL_BLOCK_H

#include <napi.h>

#include <cstdint>

namespace pound::addon {

/**
 * Arguments and results of one native access, shared with TypeScript through
 * an ArrayBuffer.
 *
 * Passing them as N-API values costs more than the call itself (a number in, a
 * typed array in and a number out take the call from 1.5 to over 8 times an
 * empty one), so a call carries none. JavaScript runs on one thread per
 * environment and an access never calls back into it, so one block serves every
 * memory of the environment. All fields are in host byte order.
 */
struct CallBlock {
    /** In: guest physical address. */
    uint64_t gpa;
    /** In or out: the value, in the first bytes, at the width of the access. */
    uint64_t value;
    /** Out: a guest_mem_access_result_t. */
    uint32_t result;
    uint32_t padding;
};

static_assert(sizeof(CallBlock) == 24, "lib/native.ts knows this layout");

/** What the addon keeps per environment: each worker thread has its own. */
class EnvironmentData {
public:
    explicit EnvironmentData(Napi::Env env);

    CallBlock* call_block() {
        return block_;
    }

    Napi::ArrayBuffer call_block_buffer() {
        return buffer_.Value();
    }

private:
    /** Keeps the block's memory in place for as long as the environment lives. */
    Napi::Reference<Napi::ArrayBuffer> buffer_;
    CallBlock* block_;
};

} // namespace pound::addon

#endif // POUND_ADDON_CALL_BLOCK_H
