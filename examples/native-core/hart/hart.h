#ifndef HART_HART_H
#define HART_HART_H

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "csr.h"
#include "decode.h"
#include "kvm/guest_space.h"
#include "state.h"

/**
 * A RISC-V hart: RV64IM with Zicsr and Zifencei in machine mode.
 *
 * Instructions in the code range are decoded once. In RISC-V, code that the guest writes takes
 * effect at the next `fence.i`, so stores need not check for code.
 */
class Hart {
public:
    /** A range of addresses, multiples of 4096, whose instructions are kept decoded. */
    Hart(uint64_t base, uint64_t size);

    /** Whether there was enough memory for the instructions. */
    bool usable() const {
        return code_ != nullptr;
    }

    /**
     * Executes instructions until a time, or until the machine is switched off.
     *
     * @return GUEST_SPACE_EXIT for an access that is left to JavaScript, after which the hart
     * continues with run(); GUEST_MEM_ACCESS_ERROR_INTERNAL for a failure of the host.
     */
    int32_t run(State* state, pound::kvm::memory::guest_space_t* space, uint64_t end);

private:
    struct Free {
        void operator()(Instruction* code) const {
            std::free(code);
        }
    };

    int32_t execute(State* state, pound::kvm::memory::guest_space_t* space, uint64_t count,
                    bool repeats);

    /** The instruction at an address, which is Op::UNKNOWN if fetch() has to find it. */
    const Instruction* place(uint64_t pc) const {
        return &code_[std::min(pc - base_, size_) >> 2];
    }

    const Instruction* fetch(pound::kvm::memory::guest_space_t* space, uint64_t pc,
                             int32_t* out_result);
    void forget_code();

    const uint64_t base_;
    const uint64_t size_;
    /** The instructions in the range, and Op::UNKNOWN after the last one. */
    std::unique_ptr<Instruction[], Free> code_;
    /** The pages of the range that hold decoded instructions. */
    std::vector<uint64_t> decoded_pages_;
    /** An instruction outside the range, which is decoded each time, and Op::UNKNOWN. */
    Instruction outside_[2] = {};
    /** Whether the instruction that has exited is `outside_`, and not to be fetched again. */
    bool fetched_ = false;
};

#endif // HART_HART_H
