#include "hart.h"

#include <algorithm>
#include <type_traits>

using namespace pound::kvm::memory;

namespace {

constexpr uint64_t TWO_32 = uint64_t{1} << 32;
constexpr int PAGE_SHIFT = 12;
/** The most instructions between two checks for interrupts. */
constexpr uint64_t SLICE = 1 << 20;
constexpr uint64_t INSTRUCTIONS_PER_PAGE = (1 << PAGE_SHIFT) / 4;

uint64_t sign_extend(uint32_t value) {
    return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)));
}

int64_t as_signed(uint64_t value) {
    return static_cast<int64_t>(value);
}

uint64_t half(const Instruction* at) {
    return reinterpret_cast<uintptr_t>(at) / 2;
}

uint32_t word(uint64_t value) {
    return static_cast<uint32_t>(value);
}

int64_t signed_word(uint64_t value) {
    return static_cast<int32_t>(word(value));
}

uint64_t shift_arithmetic(uint64_t value, uint64_t by) {
    return static_cast<uint64_t>(as_signed(value) >> by);
}

uint64_t multiply(uint64_t a, uint64_t b) {
    return a * b;
}

/** The high 64 bits of a product. */
uint64_t multiply_high(uint64_t a, uint64_t b) {
    const uint64_t low = uint64_t{word(a)} * word(b);
    const uint64_t middle = (a >> 32) * word(b) + (low >> 32);
    const uint64_t other = word(a) * (b >> 32) + word(middle);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

/** What to subtract from the high half of an unsigned product if the operand `a` is signed. */
uint64_t correction(uint64_t a, uint64_t b) {
    return as_signed(a) < 0 ? b : 0;
}

/** Division as RISC-V defines it for all operands: that by 0 is -1, and -2^63 / -1 is -2^63. */
template <typename T>
T quotient(T a, T b) {
    const bool negates = std::is_signed_v<T> && b == static_cast<T>(-1);
    return b == 0    ? static_cast<T>(-1)
           : negates ? static_cast<T>(uint64_t{0} - static_cast<uint64_t>(a))
                     : a / b;
}

template <typename T>
T remainder(T a, T b) {
    const bool divides = std::is_signed_v<T> && b == static_cast<T>(-1);
    return b == 0 ? a : divides ? 0 : a % b;
}

/** An address space, and the copy of its page table that instructions try first. */
struct Memory {
    guest_page_table_t table;
    guest_space_t* space;
};

/** Loads a T into a register. Its sign is extended if `As` is signed. */
template <typename T, typename As>
int32_t load(const Memory& memory, uint64_t gpa, uint64_t* rd) {
    T value = 0;
    int32_t result = GUEST_MEM_ACCESS_OK;
    if (!guest_page_read(&memory.table, gpa, &value)) {
        result = guest_space_read<T, default_access_policy_t>(memory.space, gpa, &value);
    }
    if (result == GUEST_MEM_ACCESS_OK) {
        *rd = static_cast<uint64_t>(static_cast<int64_t>(static_cast<As>(value)));
    }
    return result;
}

template <typename T>
int32_t store(const Memory& memory, uint64_t gpa, T value) {
    return guest_page_write(&memory.table, gpa, value)
               ? GUEST_MEM_ACCESS_OK
               : guest_space_write<T, default_access_policy_t>(memory.space, gpa, value);
}

} // namespace

Hart::Hart(uint64_t base, uint64_t size)
    : base_(base), size_(size),
      // calloc: pages that are never used take no memory.
      code_(static_cast<Instruction*>(std::calloc(size / 4 + 1, sizeof(Instruction)))) {
}

int32_t Hart::run(State* state, guest_space_t* space, uint64_t end) {
    if (space->exit->state != GUEST_EXIT_IDLE || space->exit->completed != 0) {
        // The instruction that has exited comes before an interrupt.
        const int32_t result = execute(state, space, 1, true);
        if (result != GUEST_MEM_ACCESS_OK) {
            return result;
        }
        guest_space_retire(space);
    }
    while (state->stopped == 0 && state->time < end) {
        take_interrupt(state);
        const uint64_t alarm = state->alarm > state->time ? state->alarm : end;
        const uint64_t count = std::min(std::min(end, alarm) - state->time, SLICE);
        const int32_t result = execute(state, space, count, false);
        if (result != GUEST_MEM_ACCESS_OK) {
            return result;
        }
    }
    return GUEST_MEM_ACCESS_OK;
}

/** Decodes the instruction at an address. @return Null if its fetch has failed. */
const Instruction* Hart::fetch(guest_space_t* space, uint64_t pc, int32_t* out_result) {
    uint32_t word = 0;
    // Addresses from 4 GiB on have no code.
    const int32_t result =
        pc < TWO_32 ? guest_space_fetchl(space, pc, &word) : GUEST_MEM_ACCESS_FAULT_BOUNDARY;
    *out_result = result;
    if (result != GUEST_MEM_ACCESS_OK) {
        return nullptr;
    }
    // The instruction is not fetched again if one of its own accesses exits.
    guest_space_retire(space);
    const uint64_t offset = pc - base_;
    Instruction* entry = outside_;
    if (offset < size_) {
        entry = &code_[offset >> 2];
        if (decoded_pages_.empty() || decoded_pages_.back() != offset >> PAGE_SHIFT) {
            decoded_pages_.push_back(offset >> PAGE_SHIFT);
        }
    }
    *entry = decode(word);
    return entry;
}

/** `fence.i`: discards all decoded instructions. */
void Hart::forget_code() {
    for (const uint64_t page : decoded_pages_) {
        std::fill_n(&code_[page * INSTRUCTIONS_PER_PAGE], INSTRUCTIONS_PER_PAGE, Instruction{});
    }
    decoded_pages_.clear();
}

// The operands of the next instruction, which are copied before a store can change a register.
#define START_INSTRUCTION()                                                                        \
    if (at == end) {                                                                               \
        goto leave;                                                                                \
    }                                                                                              \
    rd = &x[at->rd];                                                                               \
    a = x[at->rs1];                                                                                \
    b = x[at->rs2];                                                                                \
    immediate = static_cast<uint64_t>(static_cast<int64_t>(at->immediate))

#if defined(__GNUC__)
// Each instruction ends with a jump of its own to the next one, which processors predict better
// than one jump for all instructions.
#define SWITCH(op) goto* LABELS[static_cast<uint8_t>(op)];
#define CASE(name) op_##name:
#define NEXT()                                                                                     \
    do {                                                                                           \
        at++;                                                                                      \
        START_INSTRUCTION();                                                                       \
        SWITCH(at->op)                                                                             \
    } while (0)
#else
#define SWITCH(op) switch (op)
#define CASE(name) case Op::name:
#define NEXT()                                                                                     \
    {                                                                                              \
        at++;                                                                                      \
        continue;                                                                                  \
    }
#endif

// The kinds of instructions.
#define COMPUTE(name, value)                                                                       \
    CASE(name)* rd = (value);                                                                      \
    NEXT()
#define BRANCH(name, condition)                                                                    \
    CASE(name) if (condition) {                                                                    \
        goto branch;                                                                               \
    }                                                                                              \
    NEXT()
#define LOAD(name, type, extended)                                                                 \
    CASE(name) result = load<type, extended>(memory, a + immediate, rd);                           \
    if (result != GUEST_MEM_ACCESS_OK) {                                                           \
        goto failed_access;                                                                        \
    }                                                                                              \
    NEXT()
#define STORE(name, type)                                                                          \
    CASE(name) result = store(memory, a + immediate, static_cast<type>(b));                        \
    if (result != GUEST_MEM_ACCESS_OK) {                                                           \
        goto failed_access;                                                                        \
    }                                                                                              \
    NEXT()
#define TRAP(name, exception, value)                                                               \
    CASE(name) cause = exception;                                                                  \
    tval = value;                                                                                  \
    goto trap

/**
 * Executes up to `count` instructions, and fewer after a trap or an access to a control register,
 * since an interrupt may be pending then.
 */
int32_t Hart::execute(State* state, guest_space_t* space, uint64_t count, bool repeats) {
    // A copy, which no store of the guest can change, so that the compiler keeps it in registers.
    // It has no entries if the instruction may have to repeat accesses that JavaScript has made.
    const Memory memory{repeats ? guest_page_table_t{} : *space->table, space};
    uint64_t* const x = state->x;
    // The instruction, the end of the slice if no jump is taken, and the difference of the pc from
    // half the address of the instruction, which has twice the size of that of the guest.
    const Instruction* at = fetched_ ? outside_ : place(state->pc);
    const Instruction* end = at + count;
    uint64_t bias = state->pc - half(at);
    int32_t result = GUEST_MEM_ACCESS_OK;
    uint64_t address = 0;
    Exception cause = ILLEGAL_INSTRUCTION;
    uint64_t tval = 0;

#if defined(__GNUC__)
    static const void* const LABELS[] = {
#define HART_LABEL(name) &&op_##name,
        HART_OPS(HART_LABEL)
#undef HART_LABEL
    };
#endif
    uint64_t* rd = nullptr;
    uint64_t a = 0;
    uint64_t b = 0;
    uint64_t immediate = 0;
    for (;;) {
        START_INSTRUCTION();
        SWITCH(at->op) {
            CASE(UNKNOWN) {
                const uint64_t pc = bias + half(at);
                const auto left = end - at;
                const Instruction* found = place(pc);
                if (found->op == Op::UNKNOWN) {
                    int32_t fetch_result = GUEST_MEM_ACCESS_OK;
                    found = fetch(space, pc, &fetch_result);
                    if (found == nullptr) {
                        result = fetch_result;
                        address = pc;
                        goto failed;
                    }
                }
                at = found;
                end = at + left;
                bias = pc - half(at);
                continue;
            }

            COMPUTE(LUI, immediate);
            COMPUTE(AUIPC, bias + half(at) + immediate);
            BRANCH(BEQ, a == b);
            BRANCH(BNE, a != b);
            BRANCH(BLT, as_signed(a) < as_signed(b));
            BRANCH(BGE, as_signed(a) >= as_signed(b));
            BRANCH(BLTU, a < b);
            BRANCH(BGEU, a >= b);

            CASE(JAL) {
                address = bias + half(at) + immediate;
                goto call;
            }
            CASE(JALR) {
                address = (a + immediate) & ~uint64_t{1};
                goto call;
            }

            LOAD(LB, uint8_t, int8_t);
            LOAD(LH, uint16_t, int16_t);
            LOAD(LW, uint32_t, int32_t);
            LOAD(LD, uint64_t, int64_t);
            LOAD(LBU, uint8_t, uint8_t);
            LOAD(LHU, uint16_t, uint16_t);
            LOAD(LWU, uint32_t, uint32_t);
            STORE(SB, uint8_t);
            STORE(SH, uint16_t);
            STORE(SW, uint32_t);
            STORE(SD, uint64_t);

            COMPUTE(ADDI, a + immediate);
            COMPUTE(SLTI, as_signed(a) < as_signed(immediate) ? 1 : 0);
            COMPUTE(SLTIU, a < immediate ? 1 : 0);
            COMPUTE(XORI, a ^ immediate);
            COMPUTE(ORI, a | immediate);
            COMPUTE(ANDI, a & immediate);
            COMPUTE(SLLI, a << immediate);
            COMPUTE(SRLI, a >> immediate);
            COMPUTE(SRAI, shift_arithmetic(a, immediate));

            COMPUTE(ADD, a + b);
            COMPUTE(SUB, a - b);
            COMPUTE(SLL, a << (b & 63));
            COMPUTE(SLT, as_signed(a) < as_signed(b) ? 1 : 0);
            COMPUTE(SLTU, a < b ? 1 : 0);
            COMPUTE(XOR, a ^ b);
            COMPUTE(SRL, a >> (b & 63));
            COMPUTE(SRA, shift_arithmetic(a, b & 63));
            COMPUTE(OR, a | b);
            COMPUTE(AND, a & b);

            COMPUTE(ADDIW, sign_extend(word(a + immediate)));
            COMPUTE(SLLIW, sign_extend(word(a) << immediate));
            COMPUTE(SRLIW, sign_extend(word(a) >> immediate));
            COMPUTE(SRAIW, shift_arithmetic(sign_extend(word(a)), immediate));
            COMPUTE(ADDW, sign_extend(word(a + b)));
            COMPUTE(SUBW, sign_extend(word(a - b)));
            COMPUTE(SLLW, sign_extend(word(a) << (b & 31)));
            COMPUTE(SRLW, sign_extend(word(a) >> (b & 31)));
            COMPUTE(SRAW, shift_arithmetic(sign_extend(word(a)), b & 31));

            COMPUTE(MUL, multiply(a, b));
            COMPUTE(MULH, multiply_high(a, b) - correction(a, b) - correction(b, a));
            COMPUTE(MULHSU, multiply_high(a, b) - correction(a, b));
            COMPUTE(MULHU, multiply_high(a, b));
            COMPUTE(DIV, static_cast<uint64_t>(quotient(as_signed(a), as_signed(b))));
            COMPUTE(DIVU, quotient(a, b));
            COMPUTE(REM, static_cast<uint64_t>(remainder(as_signed(a), as_signed(b))));
            COMPUTE(REMU, remainder(a, b));
            COMPUTE(MULW, sign_extend(word(multiply(a, b))));
            COMPUTE(DIVW, sign_extend(word(quotient<int64_t>(signed_word(a), signed_word(b)))));
            COMPUTE(DIVUW, sign_extend(quotient(word(a), word(b))));
            COMPUTE(REMW, sign_extend(word(remainder<int64_t>(signed_word(a), signed_word(b)))));
            COMPUTE(REMUW, sign_extend(remainder(word(a), word(b))));

            // A single hart sees its own accesses in order, and WFI may return at once.
            CASE(FENCE) {
                NEXT();
            }
            CASE(WFI) {
                NEXT();
            }
            CASE(FENCE_I) {
                forget_code();
                NEXT();
            }
            TRAP(ECALL, MACHINE_ECALL, 0);
            TRAP(EBREAK, BREAKPOINT, bias + half(at));
            TRAP(ILLEGAL, ILLEGAL_INSTRUCTION, word(immediate));
            CASE(MRET) {
                leave_trap(state);
                at++;
                bias = state->pc - half(at);
                goto leave;
            }
            CASE(CSR) {
                const auto left = static_cast<uint64_t>(end - at);
                state->pc = bias + half(at);
                state->time += count - left;
                count = left;
                if (!access_csr(state, word(immediate), rd)) {
                    cause = ILLEGAL_INSTRUCTION;
                    tval = word(immediate);
                    goto trap;
                }
                at++;
                goto leave;
            }
        }

    failed_access:
        address = a + immediate;
        goto failed;

    branch:
        address = bias + half(at) + immediate;
        goto jump;
    call:
        if ((address & 2) == 0) {
            *rd = bias + half(at + 1);
        }
    jump:
        if ((address & 2) != 0) {
            cause = INSTRUCTION_MISALIGNED;
            tval = address;
            goto trap;
        }
        end += place(address) - (at + 1);
        at = place(address);
        bias = address - half(at);
    }
leave:
    fetched_ = false;
    state->pc = bias + half(at);
    state->time += count - static_cast<uint64_t>(end - at);
    return GUEST_MEM_ACCESS_OK;

failed:
    if (result != GUEST_MEM_ACCESS_FAULT_BOUNDARY && result != GUEST_MEM_ACCESS_FAULT_UNALIGNED) {
        // An exit: the instruction will be executed again.
        fetched_ = at == outside_;
        state->pc = bias + half(at);
        state->time += count - static_cast<uint64_t>(end - at);
        return result;
    }
    {
        const bool boundary = result == GUEST_MEM_ACCESS_FAULT_BOUNDARY;
        if (at->op == Op::UNKNOWN) {
            cause = boundary ? INSTRUCTION_FAULT : INSTRUCTION_MISALIGNED;
        } else if (at->op >= Op::SB) {
            cause = boundary ? STORE_FAULT : STORE_MISALIGNED;
        } else {
            cause = boundary ? LOAD_FAULT : LOAD_MISALIGNED;
        }
        tval = address;
    }
trap:
    state->pc = bias + half(at);
    enter_exception(state, cause, tval);
    at++;
    bias = state->pc - half(at);
    goto leave;
}
