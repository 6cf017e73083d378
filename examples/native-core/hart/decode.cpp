#include "decode.h"

namespace {

/** Bits `high` to `low` of a word. */
uint32_t bits(uint32_t word, int high, int low) {
    return word >> low & ((uint32_t{2} << (high - low)) - 1);
}

int32_t immediate_i(uint32_t word) {
    return static_cast<int32_t>(word) >> 20;
}

int32_t immediate_s(uint32_t word) {
    return (static_cast<int32_t>(word) >> 25 << 5) | static_cast<int32_t>(bits(word, 11, 7));
}

int32_t immediate_b(uint32_t word) {
    const uint32_t low = bits(word, 7, 7) << 11 | bits(word, 30, 25) << 5 | bits(word, 11, 8) << 1;
    return static_cast<int32_t>((word >> 31 == 0 ? 0 : ~uint32_t{0xfff}) | low);
}

int32_t immediate_j(uint32_t word) {
    const uint32_t low = (word & 0xff000) | bits(word, 20, 20) << 11 | bits(word, 30, 21) << 1;
    return static_cast<int32_t>((word >> 31 == 0 ? 0 : ~uint32_t{0xfffff}) | low);
}

/** The operation of a table of eight, by funct3. */
Op by_funct3(const Op (&table)[8], uint32_t word) {
    return table[bits(word, 14, 12)];
}

constexpr Op NONE = Op::ILLEGAL;
constexpr Op BRANCHES[] = {Op::BEQ, Op::BNE, NONE, NONE, Op::BLT, Op::BGE, Op::BLTU, Op::BGEU};
constexpr Op LOADS[] = {Op::LB, Op::LH, Op::LW, Op::LD, Op::LBU, Op::LHU, Op::LWU, NONE};
constexpr Op STORES[] = {Op::SB, Op::SH, Op::SW, Op::SD, NONE, NONE, NONE, NONE};
constexpr Op IMMEDIATES[] = {Op::ADDI, NONE, Op::SLTI, Op::SLTIU,
                             Op::XORI, NONE, Op::ORI,  Op::ANDI};
constexpr Op FENCES[] = {Op::FENCE, Op::FENCE_I, NONE, NONE, NONE, NONE, NONE, NONE};
constexpr Op CSRS[] = {NONE, Op::CSR, Op::CSR, Op::CSR, NONE, Op::CSR, Op::CSR, Op::CSR};

// Register-register instructions, by funct7 and funct3.
constexpr Op REGISTERS[] = {Op::ADD, Op::SLL, Op::SLT, Op::SLTU, Op::XOR, Op::SRL, Op::OR, Op::AND};
constexpr Op ALTERNATES[] = {Op::SUB, NONE, NONE, NONE, NONE, Op::SRA, NONE, NONE};
constexpr Op PRODUCTS[] = {Op::MUL, Op::MULH, Op::MULHSU, Op::MULHU,
                           Op::DIV, Op::DIVU, Op::REM,    Op::REMU};
constexpr Op WORDS[] = {Op::ADDW, Op::SLLW, NONE, NONE, NONE, Op::SRLW, NONE, NONE};
constexpr Op ALTERNATE_WORDS[] = {Op::SUBW, NONE, NONE, NONE, NONE, Op::SRAW, NONE, NONE};
constexpr Op PRODUCT_WORDS[] = {Op::MULW, NONE,      NONE,     NONE,
                                Op::DIVW, Op::DIVUW, Op::REMW, Op::REMUW};

Op by_funct7(const Op (&plain)[8], const Op (&products)[8], const Op (&alternates)[8],
             uint32_t word) {
    switch (word >> 25) {
    case 0:
        return by_funct3(plain, word);
    case 1:
        return by_funct3(products, word);
    case 0x20:
        return by_funct3(alternates, word);
    default:
        return NONE;
    }
}

/** A shift by a constant. `zero` and `alternate` are the bits above the constant. */
Op shift(uint32_t word, uint32_t above, uint32_t alternate, Op left, Op right, Op arithmetic) {
    if (bits(word, 14, 12) == 1) {
        return above == 0 ? left : NONE;
    }
    return above == 0 ? right : above == alternate ? arithmetic : NONE;
}

Op system(uint32_t word) {
    switch (word) {
    case 0x00000073:
        return Op::ECALL;
    case 0x00100073:
        return Op::EBREAK;
    case 0x30200073:
        return Op::MRET;
    case 0x10500073:
        return Op::WFI;
    default:
        return by_funct3(CSRS, word);
    }
}

} // namespace

Instruction decode(uint32_t word) {
    const uint32_t funct3 = bits(word, 14, 12);
    const bool is_shift = funct3 == 1 || funct3 == 5;
    Op op = NONE;
    int32_t immediate = 0;
    switch (word & 0x7f) {
    case 0x37:
        op = Op::LUI;
        immediate = static_cast<int32_t>(word & ~uint32_t{0xfff});
        break;
    case 0x17:
        op = Op::AUIPC;
        immediate = static_cast<int32_t>(word & ~uint32_t{0xfff});
        break;
    case 0x6f:
        op = Op::JAL;
        immediate = immediate_j(word);
        break;
    case 0x67:
        op = funct3 == 0 ? Op::JALR : NONE;
        immediate = immediate_i(word);
        break;
    case 0x63:
        op = by_funct3(BRANCHES, word);
        immediate = immediate_b(word);
        break;
    case 0x03:
        op = by_funct3(LOADS, word);
        immediate = immediate_i(word);
        break;
    case 0x23:
        op = by_funct3(STORES, word);
        immediate = immediate_s(word);
        break;
    case 0x13:
        op = is_shift ? shift(word, word >> 26, 0x10, Op::SLLI, Op::SRLI, Op::SRAI)
                      : by_funct3(IMMEDIATES, word);
        immediate = is_shift ? immediate_i(word) & 63 : immediate_i(word);
        break;
    case 0x1b:
        op = is_shift      ? shift(word, word >> 25, 0x20, Op::SLLIW, Op::SRLIW, Op::SRAIW)
             : funct3 == 0 ? Op::ADDIW
                           : NONE;
        immediate = is_shift ? immediate_i(word) & 31 : immediate_i(word);
        break;
    case 0x33:
        op = by_funct7(REGISTERS, PRODUCTS, ALTERNATES, word);
        break;
    case 0x3b:
        op = by_funct7(WORDS, PRODUCT_WORDS, ALTERNATE_WORDS, word);
        break;
    case 0x0f:
        op = by_funct3(FENCES, word);
        break;
    case 0x73:
        op = system(word);
        immediate = static_cast<int32_t>(word);
        break;
    }
    constexpr uint32_t SINK = 32;
    const uint32_t rd = bits(word, 11, 7);
    return {op, static_cast<uint8_t>(rd == 0 ? SINK : rd), static_cast<uint8_t>(bits(word, 19, 15)),
            static_cast<uint8_t>(bits(word, 24, 20)),
            op == NONE ? static_cast<int32_t>(word) : immediate};
}
