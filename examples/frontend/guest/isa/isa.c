/*
 * Checks RV64IM instruction by instruction. Results for ordinary operands and edge cases are
 * written out by hand. Results for all pairs of difficult operands are compared with arithmetic
 * that works bit by bit.
 */
#include "check.h"

#define MIN64 0x8000000000000000ul
#define MAX64 0x7ffffffffffffffful
#define MIN32 0xffffffff80000000ul
#define MAX32 0x7ffffffful
#define ONES 0xfffffffffffffffful

static unsigned checks;
static unsigned failures;

void check(const char* name, int line, uint64_t got, uint64_t expected) {
    ++checks;
    if (got != expected) {
        ++failures;
        print("FAIL %s (line %d): got %x, expected %x\n", name, (int64_t)line, got, expected);
    }
}

static void check_add_and_sub(void) {
    CHECK_RR(add, 0, 0, 0);
    CHECK_RR(add, 3, 7, 10);
    CHECK_RR(add, ONES, 1, 0);
    CHECK_RR(add, 0xffffffff, 1, 0x100000000);
    CHECK_RR(add, MAX64, 1, MIN64);
    CHECK_RR(add, MIN64, MIN64, 0);
    CHECK_RR(sub, 3, 7, -4);
    CHECK_RR(sub, 0, 1, ONES);
    CHECK_RR(sub, 0x100000000, 1, 0xffffffff);
    CHECK_RR(sub, MIN64, 1, MAX64);
    CHECK_RI(addi, 0xfffff800, 0x7ff, 0xffffffff);
    CHECK_RI(addi, 0xffffffff, 1, 0x100000000);
    CHECK_RI(addi, 0, -2048, -2048);
    CHECK_RI(addi, 0x100000000, -1, 0xffffffff);
    CHECK_RI(addi, MIN64, -1, MAX64);

    CHECK_RR(addw, MAX32, 1, MIN32);
    CHECK_RR(addw, 0xffffffff, 1, 0);
    CHECK_RR(addw, 0x1234567800000001, 0x8765432100000002, 3);
    CHECK_RR(subw, 0, 0x80000000, MIN32);
    CHECK_RR(subw, 0xdeadbeef00000000, 1, ONES);
    CHECK_RI(addiw, MAX32, 1, MIN32);
    CHECK_RI(addiw, 0xffffffff80000000, -1, MAX32);
    CHECK_RI(addiw, 0x123456789abcdef0, 0, 0xffffffff9abcdef0);
}

static void check_logic(void) {
    CHECK_RR(xor, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0xf00ff00ff00ff00f);
    CHECK_RR(or, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0xff0fff0fff0fff0f);
    CHECK_RR(and, 0xff00ff00ff00ff00, 0x0f0f0f0f0f0f0f0f, 0x0f000f000f000f00);
    CHECK_RI(xori, 0x00ff00ff00ff0f0f, -241, 0xff00ff00ff00f000);
    CHECK_RI(xori, 0x0ff00ff0, 0x70f, 0x0ff008ff);
    CHECK_RI(ori, 0xff00ff00, -241, 0xffffffffffffff0f);
    CHECK_RI(ori, 0x0ff00ff0, 0x0f0, 0x0ff00ff0);
    CHECK_RI(andi, 0xff00ff00ff00ff00, -241, 0xff00ff00ff00ff00);
    CHECK_RI(andi, 0x00ff00ff, 0x70f, 0x0000000f);
}

static void check_compare(void) {
    CHECK_RR(slt, 1, 2, 1);
    CHECK_RR(slt, 2, 1, 0);
    CHECK_RR(slt, MIN64, MAX64, 1);
    CHECK_RR(slt, MAX64, MIN64, 0);
    CHECK_RR(slt, ONES, 0, 1);
    CHECK_RR(slt, 0x80000000, 0x7fffffff, 0);
    CHECK_RR(slt, 0xffffffff00000001, 0xffffffff80000000, 1);
    CHECK_RR(sltu, ONES, 0, 0);
    CHECK_RR(sltu, 0, ONES, 1);
    CHECK_RR(sltu, 0x7fffffff, 0x80000000, 1);
    CHECK_RR(sltu, 0x100000000, 0xffffffff, 0);
    CHECK_RI(slti, -3, -2, 1);
    CHECK_RI(slti, 0x80000000, 0, 0);
    CHECK_RI(slti, MIN64, -2048, 1);
    CHECK_RI(sltiu, 0, -1, 1);
    CHECK_RI(sltiu, ONES, -1, 0);
    CHECK_RI(sltiu, 0xffffffff, -1, 1);
    CHECK_RI(sltiu, 0, 1, 1);
}

static void check_shifts(void) {
    CHECK_RR(sll, 1, 63, MIN64);
    CHECK_RR(sll, 0x123456789abcdef0, 0, 0x123456789abcdef0);
    CHECK_RR(sll, 0x123456789abcdef0, 32, 0x9abcdef000000000);
    CHECK_RR(sll, 0x123456789abcdef0, 4, 0x23456789abcdef00);
    CHECK_RR(sll, 1, 64 + 3, 8);
    CHECK_RR(srl, MIN64, 63, 1);
    CHECK_RR(srl, 0x123456789abcdef0, 32, 0x12345678);
    CHECK_RR(srl, 0x923456789abcdef0, 36, 0x9234567);
    CHECK_RR(srl, ONES, 0, ONES);
    CHECK_RR(srl, ONES, 0xffffffffffffff81, MAX64);
    CHECK_RR(sra, MIN64, 63, ONES);
    CHECK_RR(sra, MIN64, 32, MIN32);
    CHECK_RR(sra, 0x923456789abcdef0, 36, 0xfffffffff9234567);
    CHECK_RR(sra, MAX64, 33, 0x3fffffff);
    CHECK_RR(sra, MIN64, 0, MIN64);
    CHECK_RI(slli, 0x21212121, 31, 0x1090909080000000);
    CHECK_RI(slli, ONES, 63, MIN64);
    CHECK_RI(srli, ONES, 31, 0x1ffffffff);
    CHECK_RI(srli, MIN64, 33, 0x40000000);
    CHECK_RI(srai, MIN64, 31, 0xffffffff00000000);
    CHECK_RI(srai, 0xffffffff81818181, 7, 0xffffffffff030303);

    CHECK_RR(sllw, 0xffffffff00000001, 31, MIN32);
    CHECK_RR(sllw, 1, 32, 1);
    CHECK_RR(srlw, 0x1234567880000000, 31, 1);
    CHECK_RR(srlw, ONES, 0, ONES);
    CHECK_RR(srlw, ONES, 33, MAX32);
    CHECK_RR(sraw, 0x80000000, 31, ONES);
    CHECK_RR(sraw, 0xffffffff7fffffff, 30, 1);
    CHECK_RR(sraw, 0x1234567880000000, 4, 0xfffffffff8000000);
    CHECK_RI(slliw, 0x40000000, 1, MIN32);
    CHECK_RI(srliw, 0xffffffff80000000, 0, MIN32);
    CHECK_RI(srliw, 0xffffffff80000000, 1, 0x40000000);
    CHECK_RI(sraiw, 0x80000000, 1, 0xffffffffc0000000);
}

static void check_constants(void) {
    uint64_t value;
    __asm__ volatile("lui %0, 0x7ffff" : "=r"(value));
    CHECK("lui", value, 0x7ffff000);
    __asm__ volatile("lui %0, 0x80000" : "=r"(value));
    CHECK("lui", value, MIN32);
    uint64_t here;
    __asm__ volatile("1: auipc %0, 0x80000\n la %1, 1b" : "=r"(value), "=r"(here));
    CHECK("auipc", value, here + MIN32);
    __asm__ volatile("1: auipc %0, 0x7ffff\n la %1, 1b" : "=r"(value), "=r"(here));
    CHECK("auipc", value, here + 0x7ffff000);
    /* Register 0 stays 0. */
    __asm__ volatile("addi zero, %1, 5\n mv %0, zero" : "=r"(value) : "r"(4ul));
    CHECK("zero", value, 0);
    __asm__ volatile("ld zero, 0(%1)\n mv %0, zero" : "=r"(value) : "r"(&here));
    CHECK("zero", value, 0);
    /* The target may be a source. */
    __asm__ volatile("li %0, 5\n add %0, %0, %0\n sub %0, %0, %0\n addi %0, %0, 3\n sll %0, %0, %0"
                     : "=r"(value));
    CHECK("rd = rs", value, 24);
}

static void check_multiply(void) {
    CHECK_RR(mul, 7, -3, -21);
    CHECK_RR(mul, 0x100000001, 0x100000001, 0x200000001);
    CHECK_RR(mul, MIN64, -1, MIN64);
    CHECK_RR(mul, 0xaaaaaaaaaaaaaaab, 0x2fe7d, 0xff7f);
    CHECK_RR(mul, ONES, ONES, 1);
    CHECK_RR(mulh, MIN64, MIN64, 0x4000000000000000);
    CHECK_RR(mulh, ONES, ONES, 0);
    CHECK_RR(mulh, MIN64, -1, 0);
    CHECK_RR(mulh, MAX64, MAX64, 0x3fffffffffffffff);
    CHECK_RR(mulh, MIN64, MAX64, 0xc000000000000000);
    CHECK_RR(mulh, 1, -1, -1);
    CHECK_RR(mulhu, ONES, ONES, 0xfffffffffffffffe);
    CHECK_RR(mulhu, MIN64, 2, 1);
    CHECK_RR(mulhu, 0xaaaaaaaaaaaaaaab, 0x2fe7d, 0x1fefe);
    CHECK_RR(mulhsu, -1, ONES, -1);
    CHECK_RR(mulhsu, MIN64, ONES, MIN64);
    CHECK_RR(mulhsu, MAX64, ONES, 0x7ffffffffffffffe);
    CHECK_RR(mulhsu, 1, MIN64, 0);
    CHECK_RR(mulw, 0x10000, 0x8000, MIN32);
    CHECK_RR(mulw, 0xffffffff00000003, 0x1234567800000005, 15);
    CHECK_RR(mulw, 0x7fffffff, 0x7fffffff, 1);
}

static void check_divide(void) {
    CHECK_RR(div, 20, 6, 3);
    CHECK_RR(div, -20, 6, -3);
    CHECK_RR(div, 20, -6, -3);
    CHECK_RR(div, -20, -6, 3);
    CHECK_RR(div, 5, 0, ONES);
    CHECK_RR(div, MIN64, 0, ONES);
    CHECK_RR(div, MIN64, -1, MIN64);
    CHECK_RR(div, MIN64, 1, MIN64);
    CHECK_RR(div, MAX64, 3, 0x2aaaaaaaaaaaaaaa);
    CHECK_RR(divu, 20, 6, 3);
    CHECK_RR(divu, -20, 6, 0x2aaaaaaaaaaaaaa7);
    CHECK_RR(divu, MIN64, -1, 0);
    CHECK_RR(divu, MIN64, 1, MIN64);
    CHECK_RR(divu, 5, 0, ONES);
    CHECK_RR(divu, ONES, 0xffffffff, 0x100000001);
    CHECK_RR(rem, 20, 6, 2);
    CHECK_RR(rem, -20, 6, -2);
    CHECK_RR(rem, 20, -6, 2);
    CHECK_RR(rem, -20, -6, -2);
    CHECK_RR(rem, 5, 0, 5);
    CHECK_RR(rem, MIN64, 0, MIN64);
    CHECK_RR(rem, MIN64, -1, 0);
    CHECK_RR(remu, -20, 6, 2);
    CHECK_RR(remu, MIN64, -1, MIN64);
    CHECK_RR(remu, ONES, 0, ONES);

    CHECK_RR(divw, -20, 6, -3);
    CHECK_RR(divw, 0xffffffff80000000, -1, MIN32);
    CHECK_RR(divw, 0x1234567800000014, 0x8765432100000006, 3);
    CHECK_RR(divw, 7, 0x100000000, ONES);
    CHECK_RR(divuw, 0x80000000, 1, MIN32);
    CHECK_RR(divuw, 0xffffffff, 0xffffffffffffffff, 1);
    CHECK_RR(divuw, 0xfffffffffffffff0, 3, 0x55555550);
    CHECK_RR(divuw, 7, 0, ONES);
    CHECK_RR(remw, -20, 6, -2);
    CHECK_RR(remw, 0x80000000, -1, 0);
    CHECK_RR(remw, 0xffffffff80000000, 0, MIN32);
    CHECK_RR(remuw, 0x80000000, 0, MIN32);
    CHECK_RR(remuw, 0xfffffffffffffff0, 7, 2);
    CHECK_RR(remuw, 0x80000001, 0xffffffff, MIN32 + 1);
}

/* Operands that test carries, signs and the boundary of the halves. */
static const uint64_t AWKWARD[] = {
    0,
    1,
    2,
    3,
    10,
    31,
    32,
    63,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xfffffffe,
    0xffffffff,
    0x100000000,
    0x100000001,
    0x1fffffffffffff,
    0x20000000000000,
    0x20000000000001,
    0x5555555555555555,
    0xaaaaaaaaaaaaaaab,
    0x123456789abcdef0,
    0xfedcba9876543210,
    MAX64,
    MIN64,
    MIN64 + 1,
    MIN32,
    MIN32 - 1,
    0xfffffffffffff801,
    ONES - 1,
    ONES,
};
#define AWKWARD_COUNT (sizeof AWKWARD / sizeof AWKWARD[0])

static uint64_t sign_extend(uint64_t word) {
    return (word & 0x80000000) != 0 ? word | 0xffffffff00000000 : word & 0xffffffff;
}

/* a + b with a carry in and out, computed with logic operations only. */
static uint64_t slow_add(uint64_t a, uint64_t b, uint64_t* carry_out) {
    uint64_t sum = 0;
    uint64_t carry = 0;
    for (uint64_t bit = 1; bit != 0; bit <<= 1) {
        const int ones = ((a & bit) != 0) + ((b & bit) != 0) + (carry != 0);
        if ((ones & 1) != 0) {
            sum |= bit;
        }
        carry = ones >> 1;
    }
    *carry_out += carry;
    return sum;
}

/* The unsigned product, computed by adding the first operand for each bit of the second. */
static void slow_multiply(uint64_t a, uint64_t b, uint64_t* low, uint64_t* high) {
    uint64_t high_a = 0;
    *low = 0;
    *high = 0;
    for (int bit = 0; bit < 64; ++bit) {
        if (((b >> bit) & 1) != 0) {
            uint64_t carry = 0;
            *low = slow_add(*low, a, &carry);
            *high += high_a + carry;
        }
        high_a = (high_a << 1) | (a >> 63);
        a <<= 1;
    }
}

/* The unsigned quotient and remainder, bit by bit; the divisor is not 0. */
static uint64_t slow_divide(uint64_t a, uint64_t b, uint64_t* remainder) {
    uint64_t quotient = 0;
    uint64_t rest = 0;
    for (int bit = 63; bit >= 0; --bit) {
        const uint64_t lost = rest >> 63;
        rest = (rest << 1) | ((a >> bit) & 1);
        if (lost != 0 || rest >= b) {
            rest -= b;
            quotient |= 1ul << bit;
        }
    }
    *remainder = rest;
    return quotient;
}

static uint64_t magnitude(uint64_t value) {
    return (value >> 63) != 0 ? -value : value;
}

static void check_pair(uint64_t a, uint64_t b) {
    uint64_t carry = 0;
    const uint64_t sum = slow_add(a, b, &carry);
    CHECK_RR(add, a, b, sum);
    CHECK_RR(addw, a, b, sign_extend(sum));
    /* a - b = a + ~b + 1 = ~(~a + b) */
    carry = 0;
    const uint64_t difference = ~slow_add(~a, b, &carry);
    CHECK_RR(sub, a, b, difference);
    CHECK_RR(subw, a, b, sign_extend(difference));
    /* ~a + b has a carry exactly if b > a. */
    CHECK_RR(sltu, a, b, carry);
    carry = 0;
    (void)slow_add(~(a ^ MIN64), b ^ MIN64, &carry);
    CHECK_RR(slt, a, b, carry);

    uint64_t low;
    uint64_t high;
    slow_multiply(a, b, &low, &high);
    const uint64_t less_b = (a >> 63) != 0 ? b : 0;
    const uint64_t less_a = (b >> 63) != 0 ? a : 0;
    CHECK_RR(mul, a, b, low);
    CHECK_RR(mulw, a, b, sign_extend(low));
    CHECK_RR(mulhu, a, b, high);
    CHECK_RR(mulhsu, a, b, high - less_b);
    CHECK_RR(mulh, a, b, high - less_b - less_a);

    uint64_t remainder;
    if (b != 0) {
        CHECK_RR(divu, a, b, slow_divide(a, b, &remainder));
        CHECK_RR(remu, a, b, remainder);
        const uint64_t quotient = slow_divide(magnitude(a), magnitude(b), &remainder);
        CHECK_RR(div, a, b, ((a ^ b) >> 63) != 0 ? -quotient : quotient);
        CHECK_RR(rem, a, b, (a >> 63) != 0 ? -remainder : remainder);
    }
    if ((b & 0xffffffff) != 0) {
        CHECK_RR(divuw, a, b, sign_extend(slow_divide(a & 0xffffffff, b & 0xffffffff, &remainder)));
        CHECK_RR(remuw, a, b, sign_extend(remainder));
        const uint64_t a32 = sign_extend(a);
        const uint64_t b32 = sign_extend(b);
        const uint64_t quotient = slow_divide(magnitude(a32), magnitude(b32), &remainder);
        CHECK_RR(divw, a, b, sign_extend(((a32 ^ b32) >> 63) != 0 ? -quotient : quotient));
        CHECK_RR(remw, a, b, (a32 >> 63) != 0 ? -remainder : remainder);
    }

    /* Shifts by one bit at a time. */
    uint64_t left = a;
    uint64_t logical = a;
    uint64_t arithmetic = a;
    for (uint64_t i = 0; i < (b & 63); ++i) {
        left += left;
        logical = (logical >> 1) & MAX64;
        arithmetic = ((arithmetic >> 1) & MAX64) | (arithmetic & MIN64);
    }
    CHECK_RR(sll, a, b, left);
    CHECK_RR(srl, a, b, logical);
    CHECK_RR(sra, a, b, arithmetic);
}

/* The branches that are taken, as bits: beq 1, bne 2, blt 4, bge 8, bltu 16, bgeu 32. */
static unsigned branches_taken(uint64_t a, uint64_t b) {
    unsigned taken = 0;
#define BRANCH(op, bit)                                                                            \
    do {                                                                                           \
        __asm__ goto(#op " %0, %1, %l[yes_" #op "]" ::"r"(a), "r"(b)::yes_##op);                   \
        break;                                                                                     \
        yes_##op : taken |= bit;                                                                   \
    } while (0)
    BRANCH(beq, 1);
    BRANCH(bne, 2);
    BRANCH(blt, 4);
    BRANCH(bge, 8);
    BRANCH(bltu, 16);
    BRANCH(bgeu, 32);
    return taken;
}

static void check_branches(uint64_t a, uint64_t b) {
    uint64_t below = 0;
    uint64_t less = 0;
    (void)slow_add(~a, b, &below);
    (void)slow_add(~(a ^ MIN64), b ^ MIN64, &less);
    const unsigned equal = (a ^ b) == 0 ? 1 : 2;
    CHECK("branches", branches_taken(a, b), equal | (less ? 4 : 8) | (below ? 16 : 32));
}

static void check_jumps(void) {
    uint64_t link;
    uint64_t expected;
    uint64_t passed;
    __asm__ volatile("li %2, 0\n"
                     "jal %0, 2f\n"
                     "1: li %2, 1\n"
                     "2: la %1, 1b\n"
                     : "=&r"(link), "=&r"(expected), "=&r"(passed));
    CHECK("jal", link, expected);
    CHECK("jal", passed, 0);
    /* The target is read before the link is written, and its lowest bit is cleared. */
    __asm__ volatile("li %2, 0\n"
                     "la %0, 2f\n"
                     "addi %0, %0, -15\n"
                     "jalr %0, 16(%0)\n"
                     "1: li %2, 1\n"
                     ".balign 4\n"
                     "2: la %1, 1b\n"
                     : "=&r"(link), "=&r"(expected), "=&r"(passed));
    CHECK("jalr", link, expected);
    CHECK("jalr", passed, 0);
    /* A backward jump. */
    __asm__ volatile("li %0, 0\n"
                     "li %1, 5\n"
                     "1: add %0, %0, %1\n"
                     "addi %1, %1, -1\n"
                     "bnez %1, 1b\n"
                     : "=&r"(link), "=&r"(passed));
    CHECK("loop", link, 15);
}

#define LOAD(op, pointer, offset)                                                                  \
    ({                                                                                             \
        uint64_t result_;                                                                          \
        __asm__ volatile(#op " %0, " #offset "(%1)" : "=r"(result_) : "r"(pointer) : "memory");    \
        result_;                                                                                   \
    })
#define STORE(op, pointer, offset, value)                                                          \
    __asm__ volatile(#op " %0, " #offset "(%1)" ::"r"((uint64_t)(value)), "r"(pointer) : "memory")

static void check_memory(void) {
    static uint64_t data[4];
    char* const middle = (char*)&data[2];
    data[1] = 0x8899aabbccddeeff;
    data[2] = 0x0123456789abcdef;
    CHECK("lb", LOAD(lb, middle, 0), 0xffffffffffffffef);
    CHECK("lb", LOAD(lb, middle, 7), 0x01);
    CHECK("lb", LOAD(lb, middle, -1), 0xffffffffffffff88);
    CHECK("lbu", LOAD(lbu, middle, 0), 0xef);
    CHECK("lbu", LOAD(lbu, middle, -8), 0xff);
    CHECK("lh", LOAD(lh, middle, 0), 0xffffffffffffcdef);
    CHECK("lh", LOAD(lh, middle, 6), 0x0123);
    CHECK("lh", LOAD(lh, middle, -2), 0xffffffffffff8899);
    CHECK("lhu", LOAD(lhu, middle, 0), 0xcdef);
    CHECK("lw", LOAD(lw, middle, 0), 0xffffffff89abcdef);
    CHECK("lw", LOAD(lw, middle, 4), 0x01234567);
    CHECK("lw", LOAD(lw, middle, -8), 0xffffffffccddeeff);
    CHECK("lwu", LOAD(lwu, middle, 0), 0x89abcdef);
    CHECK("lwu", LOAD(lwu, middle, -4), 0x8899aabb);
    CHECK("ld", LOAD(ld, middle, 0), 0x0123456789abcdef);
    CHECK("ld", LOAD(ld, middle, -8), 0x8899aabbccddeeff);

    /* A store changes its bytes and no others. */
    STORE(sb, middle, 1, 0xffffffffffffff77);
    CHECK("sb", data[2], 0x0123456789ab77ef);
    STORE(sb, middle, -1, 0x66);
    CHECK("sb", data[1], 0x6699aabbccddeeff);
    STORE(sh, middle, 2, 0xffffffffffff5544);
    CHECK("sh", data[2], 0x01234567554477ef);
    STORE(sh, middle, -8, 0x3322);
    CHECK("sh", data[1], 0x6699aabbccdd3322);
    STORE(sw, middle, 4, 0xffffffff8badf00d);
    CHECK("sw", data[2], 0x8badf00d554477ef);
    STORE(sw, middle, -8, 0x11223344);
    CHECK("sw", data[1], 0x6699aabb11223344);
    STORE(sd, middle, 0, 0xfedcba9876543210);
    CHECK("sd", data[2], 0xfedcba9876543210);
    CHECK("sd", data[1], 0x6699aabb11223344);
    CHECK("sd", data[3], 0);
    STORE(sd, middle, -8, 0);
    CHECK("sd", data[1], 0);

    /* Offsets are from -2048 to 2047. */
    static char wide[4096];
    STORE(sb, wide + 2048, -2048, 1);
    STORE(sb, wide + 2048, 2047, 2);
    CHECK("sb", wide[0], 1);
    CHECK("sb", wide[4095], 2);
    CHECK("lb", LOAD(lb, wide + 2048, -2048), 1);
    CHECK("lb", LOAD(lb, wide + 2048, 2047), 2);
}

/* Written code takes effect after fence.i. */
static void check_fence_i(void) {
    /* addi a0, a0, 1; ret */
    static uint32_t code[2] __attribute__((aligned(4096))) = {0x00150513, 0x00008067};
    uint64_t (*const function)(uint64_t) = (uint64_t (*)(uint64_t))(uintptr_t)code;
    __asm__ volatile("fence.i" ::: "memory");
    CHECK("fence.i", function(4), 5);
    code[0] = 0x00250513; /* addi a0, a0, 2 */
    __asm__ volatile("fence.i" ::: "memory");
    CHECK("fence.i", function(4), 6);
    __asm__ volatile("fence rw, rw" ::: "memory");
    CHECK("fence", function(4), 6);
}

int main(void) {
    check_add_and_sub();
    check_logic();
    check_compare();
    check_shifts();
    check_constants();
    check_multiply();
    check_divide();
    for (unsigned i = 0; i < AWKWARD_COUNT; ++i) {
        for (unsigned j = 0; j < AWKWARD_COUNT; ++j) {
            check_pair(AWKWARD[i], AWKWARD[j]);
            check_branches(AWKWARD[i], AWKWARD[j]);
        }
    }
    check_jumps();
    check_memory();
    check_fence_i();
    check_traps();
    print("isa: %d checks, %d failed\n", (int64_t)checks, (int64_t)failures);
    return failures == 0 ? 0 : 1;
}
