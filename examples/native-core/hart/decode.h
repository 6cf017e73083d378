#ifndef HART_DECODE_H
#define HART_DECODE_H

#include <cstdint>

/** Calls a macro with the name of each operation. UNKNOWN is an instruction that is not decoded. */
#define HART_OPS(X)                                                                                \
    X(UNKNOWN)                                                                                     \
    X(ILLEGAL)                                                                                     \
    X(LUI)                                                                                         \
    X(AUIPC)                                                                                       \
    X(JAL)                                                                                         \
    X(JALR)                                                                                        \
    X(BEQ)                                                                                         \
    X(BNE)                                                                                         \
    X(BLT)                                                                                         \
    X(BGE)                                                                                         \
    X(BLTU)                                                                                        \
    X(BGEU)                                                                                        \
    X(LB)                                                                                          \
    X(LH)                                                                                          \
    X(LW)                                                                                          \
    X(LD)                                                                                          \
    X(LBU)                                                                                         \
    X(LHU)                                                                                         \
    X(LWU)                                                                                         \
    X(SB)                                                                                          \
    X(SH)                                                                                          \
    X(SW)                                                                                          \
    X(SD)                                                                                          \
    X(ADDI)                                                                                        \
    X(SLTI)                                                                                        \
    X(SLTIU)                                                                                       \
    X(XORI)                                                                                        \
    X(ORI)                                                                                         \
    X(ANDI)                                                                                        \
    X(SLLI)                                                                                        \
    X(SRLI)                                                                                        \
    X(SRAI)                                                                                        \
    X(ADD)                                                                                         \
    X(SUB)                                                                                         \
    X(SLL)                                                                                         \
    X(SLT)                                                                                         \
    X(SLTU)                                                                                        \
    X(XOR)                                                                                         \
    X(SRL)                                                                                         \
    X(SRA)                                                                                         \
    X(OR)                                                                                          \
    X(AND)                                                                                         \
    X(ADDIW)                                                                                       \
    X(SLLIW)                                                                                       \
    X(SRLIW)                                                                                       \
    X(SRAIW)                                                                                       \
    X(ADDW)                                                                                        \
    X(SUBW)                                                                                        \
    X(SLLW)                                                                                        \
    X(SRLW)                                                                                        \
    X(SRAW)                                                                                        \
    X(MUL)                                                                                         \
    X(MULH)                                                                                        \
    X(MULHSU)                                                                                      \
    X(MULHU)                                                                                       \
    X(DIV)                                                                                         \
    X(DIVU)                                                                                        \
    X(REM)                                                                                         \
    X(REMU)                                                                                        \
    X(MULW)                                                                                        \
    X(DIVW)                                                                                        \
    X(DIVUW)                                                                                       \
    X(REMW)                                                                                        \
    X(REMUW)                                                                                       \
    X(FENCE)                                                                                       \
    X(FENCE_I)                                                                                     \
    X(ECALL)                                                                                       \
    X(EBREAK)                                                                                      \
    X(MRET)                                                                                        \
    X(WFI)                                                                                         \
    X(CSR)

enum class Op : uint8_t {
#define HART_OP(name) name,
    HART_OPS(HART_OP)
#undef HART_OP
};

/** A decoded instruction. Zero bytes are Op::UNKNOWN. */
struct Instruction {
    Op op;
    /** The index of the register, or that of the slot for writes to register 0. */
    uint8_t rd;
    uint8_t rs1;
    uint8_t rs2;
    /** The immediate, or the instruction itself if it is illegal or accesses a control register. */
    int32_t immediate;
};

Instruction decode(uint32_t word);

#endif // HART_DECODE_H
