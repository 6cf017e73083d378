/*
 * Checks traps: memory faults, illegal instructions, calls, misaligned jumps, control registers and
 * interrupts.
 */
#include "check.h"

enum {
    INSTRUCTION_MISALIGNED = 0,
    INSTRUCTION_FAULT = 1,
    ILLEGAL_INSTRUCTION = 2,
    BREAKPOINT = 3,
    LOAD_MISALIGNED = 4,
    LOAD_FAULT = 5,
    STORE_MISALIGNED = 6,
    STORE_FAULT = 7,
    MACHINE_ECALL = 11,
    NO_TRAP = 99,
};

/* The last trap, and the number of traps. */
static volatile uint64_t last_cause;
static volatile uint64_t last_epc;
static volatile uint64_t last_tval;
static volatile uint64_t traps;
/* The address to continue at after a fetch fault. Other traps continue at the next instruction. */
static volatile uint64_t resume;

uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval) {
    last_cause = cause;
    last_epc = epc;
    last_tval = tval;
    ++traps;
    if (cause == (INTERRUPT_CAUSE | TIMER_INTERRUPT)) {
        MTIMECMP = ~0ul;
        return epc;
    }
    if (cause == (INTERRUPT_CAUSE | SOFTWARE_INTERRUPT)) {
        MSIP = 0;
        return epc;
    }
    if (cause == INSTRUCTION_FAULT || cause == INSTRUCTION_MISALIGNED) {
        return resume;
    }
    return epc + 4;
}

/* Runs one instruction that may trap; afterwards `at` is its address. */
#define TRY(instruction, ...)                                                                      \
    ({                                                                                             \
        uint64_t at_;                                                                              \
        last_cause = NO_TRAP;                                                                      \
        last_tval = 0;                                                                             \
        __asm__ volatile("la %0, 1f\n.option push\n.option norvc\n1: " instruction "\n.option pop" \
                         : "=&r"(at_)                                                              \
                         : __VA_ARGS__                                                             \
                         : "memory", "a7");                                                        \
        at_;                                                                                       \
    })

#define CHECK_TRAP(name, cause, tval, instruction, ...)                                            \
    do {                                                                                           \
        const uint64_t epc_ = TRY(instruction, __VA_ARGS__);                                       \
        CHECK(name " cause", last_cause, cause);                                                   \
        CHECK(name " epc", last_epc, epc_);                                                        \
        CHECK(name " tval", last_tval, tval);                                                      \
    } while (0)

/* Addresses without a mapping, in the memory map's range and far above it. */
#define NOWHERE 0x18000000ul
#define FAR_AWAY 0x123456789abcdef0ul
#define RAM_END 0x81000000ul
#define MISA_C (1ul << 2)

static void check_faults(void) {
    static const uint64_t nowhere[] = {NOWHERE, FAR_AWAY, RAM_END, 0xfffffffffffffff0, 0x180000000};
    for (unsigned i = 0; i < sizeof nowhere / sizeof nowhere[0]; ++i) {
        const uint64_t gpa = nowhere[i];
        CHECK_TRAP("lb", LOAD_FAULT, gpa, "lb a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("lbu", LOAD_FAULT, gpa, "lbu a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("lh", LOAD_FAULT, gpa, "lh a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("lhu", LOAD_FAULT, gpa, "lhu a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("lw", LOAD_FAULT, gpa, "lw a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("lwu", LOAD_FAULT, gpa, "lwu a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("ld", LOAD_FAULT, gpa, "ld a7, 0(%1)", "r"(gpa));
        CHECK_TRAP("sb", STORE_FAULT, gpa, "sb zero, 0(%1)", "r"(gpa));
        CHECK_TRAP("sh", STORE_FAULT, gpa, "sh zero, 0(%1)", "r"(gpa));
        CHECK_TRAP("sw", STORE_FAULT, gpa, "sw zero, 0(%1)", "r"(gpa));
        CHECK_TRAP("sd", STORE_FAULT, gpa, "sd zero, 0(%1)", "r"(gpa));
    }
    /* The last bytes of RAM can be read. */
    CHECK("ld", (TRY("ld a7, -8(%1)", "r"(RAM_END)), last_cause), NO_TRAP);
    CHECK("lb", (TRY("lb a7, -1(%1)", "r"(RAM_END)), last_cause), NO_TRAP);
    CHECK("lw", (TRY("lw a7, 0(%1)", "r"(0x1000ul)), last_cause), NO_TRAP);

    /* A load that faults does not change its register. */
    uint64_t value = 42;
    last_cause = NO_TRAP;
    __asm__ volatile("ld %0, 0(%1)" : "+r"(value) : "r"(NOWHERE) : "memory");
    CHECK("ld", last_cause, LOAD_FAULT);
    CHECK("ld", value, 42);
}

/*
 * Behaviour that RISC-V leaves to the machine: misaligned accesses may work or trap, and so may
 * stores to ROM. This machine traps on both.
 */
static void check_own_rules(void) {
    static uint64_t data[2] = {0x1122334455667788, 0x99aabbccddeeff00};
    const uint64_t gpa = (uint64_t)data;
    (void)TRY("lw a7, 1(%1)", "r"(gpa));
    if (last_cause == NO_TRAP) {
        print("isa: skipped the traps of another machine\n");
        return;
    }
    CHECK_TRAP("sw to ROM", STORE_FAULT, 0x1000, "sw zero, 0(%1)", "r"(0x1000ul));
    CHECK_TRAP("lh", LOAD_MISALIGNED, gpa + 1, "lh a7, 1(%1)", "r"(gpa));
    CHECK_TRAP("lhu", LOAD_MISALIGNED, gpa + 7, "lhu a7, 7(%1)", "r"(gpa));
    CHECK_TRAP("lw", LOAD_MISALIGNED, gpa + 2, "lw a7, 2(%1)", "r"(gpa));
    CHECK_TRAP("lwu", LOAD_MISALIGNED, gpa + 5, "lwu a7, 5(%1)", "r"(gpa));
    CHECK_TRAP("ld", LOAD_MISALIGNED, gpa + 4, "ld a7, 4(%1)", "r"(gpa));
    CHECK_TRAP("sh", STORE_MISALIGNED, gpa + 1, "sh zero, 1(%1)", "r"(gpa));
    CHECK_TRAP("sw", STORE_MISALIGNED, gpa + 2, "sw zero, 2(%1)", "r"(gpa));
    CHECK_TRAP("sd", STORE_MISALIGNED, gpa + 4, "sd zero, 4(%1)", "r"(gpa));
    CHECK("sd", data[0], 0x1122334455667788);
    CHECK("sd", data[1], 0x99aabbccddeeff00);
    /* Across the end of RAM: no byte of it changes. */
    *(volatile uint32_t*)(RAM_END - 4) = 0x55aa55aa;
    (void)TRY("sd zero, -4(%1)", "r"(RAM_END));
    CHECK("sd", last_cause, STORE_FAULT);
    CHECK("sd", *(volatile uint32_t*)(RAM_END - 4), 0x55aa55aa);
}

static void check_instructions(void) {
    CHECK_TRAP("ecall", MACHINE_ECALL, 0, "ecall", "r"(0));
    (void)TRY("ebreak", "r"(0));
    CHECK("ebreak", last_cause, BREAKPOINT);
    CHECK_TRAP("no instruction", ILLEGAL_INSTRUCTION, 0xffffffff, ".word 0xffffffff", "r"(0));
    CHECK_TRAP("zeros", ILLEGAL_INSTRUCTION, 0, ".word 0", "r"(0));
    /* add with an undefined funct7, and a word shift by 32. */
    CHECK_TRAP("funct7", ILLEGAL_INSTRUCTION, 0xc0b50533, ".word 0xc0b50533", "r"(0));
    CHECK_TRAP("slliw", ILLEGAL_INSTRUCTION, 0x0205151b, ".word 0x0205151b", "r"(0));
    /* A control register that does not exist, and a read-only one. */
    CHECK_TRAP("csrr", ILLEGAL_INSTRUCTION, 0x00002573, ".word 0x00002573", "r"(0));
    CHECK_TRAP("csrw mhartid", ILLEGAL_INSTRUCTION, 0xf1401073, ".word 0xf1401073", "r"(0));
}

/* Jumps to an address. The code there, or the trap, returns. */
#define JUMP(address)                                                                              \
    do {                                                                                           \
        uint64_t back_;                                                                            \
        last_cause = NO_TRAP;                                                                      \
        __asm__ volatile("la %0, 1f\n sd %0, 0(%2)\n jalr ra, 0(%1)\n 1:"                          \
                         : "=&r"(back_)                                                            \
                         : "r"((uint64_t)(address)), "r"(&resume)                                  \
                         : "memory", "ra");                                                        \
    } while (0)

static void check_jumps_into_nowhere(void) {
    static const uint64_t nowhere[] = {NOWHERE, FAR_AWAY, RAM_END, 0x180000000};
    for (unsigned i = 0; i < sizeof nowhere / sizeof nowhere[0]; ++i) {
        JUMP(nowhere[i]);
        CHECK("fetch cause", last_cause, INSTRUCTION_FAULT);
        CHECK("fetch epc", last_epc, nowhere[i]);
        CHECK("fetch tval", last_tval, nowhere[i]);
    }
}

/* Without compressed instructions, every instruction is aligned to 4 bytes. */
static void check_misaligned_jumps(void) {
    if ((csr_read(misa) & MISA_C) != 0) {
        print("isa: skipped what compressed instructions allow\n");
        return;
    }
    uint64_t at;
    uint64_t target;
    uint64_t link = 42;
    last_cause = NO_TRAP;
    __asm__ volatile("la %0, 2f\n"
                     "sd %0, 0(%3)\n"
                     "la %0, 1f\n"
                     "la %1, 2f + 2\n"
                     "1: jalr %2, 0(%1)\n"
                     "2: nop\n"
                     "nop\n"
                     : "=&r"(at), "=&r"(target), "+r"(link)
                     : "r"(&resume)
                     : "memory");
    CHECK("jalr cause", last_cause, INSTRUCTION_MISALIGNED);
    CHECK("jalr epc", last_epc, at);
    CHECK("jalr tval", last_tval, target);
    CHECK("jalr link", link, 42);
    last_cause = NO_TRAP;
    __asm__ volatile("la %0, 2f\n"
                     "sd %0, 0(%3)\n"
                     "la %0, 1f\n"
                     "la %1, 2f + 2\n"
                     /* jal t0, 6 */
                     "1: .word 0x006002ef\n"
                     "2: nop\n"
                     "nop\n"
                     : "=&r"(at), "=&r"(target), "+r"(link)
                     : "r"(&resume)
                     : "memory", "t0");
    CHECK("jal cause", last_cause, INSTRUCTION_MISALIGNED);
    CHECK("jal epc", last_epc, at);
    CHECK("jal tval", last_tval, target);
    last_cause = NO_TRAP;
    __asm__ volatile("la %0, 2f\n"
                     "sd %0, 0(%3)\n"
                     "la %0, 1f\n"
                     "la %1, 2f + 2\n"
                     /* beq zero, zero, 6; then bne zero, zero, 6, which is not taken */
                     "1: .word 0x00000363\n"
                     "2: .word 0x00001363\n"
                     "nop\n"
                     : "=&r"(at), "=&r"(target), "+r"(link)
                     : "r"(&resume)
                     : "memory");
    CHECK("beq cause", last_cause, INSTRUCTION_MISALIGNED);
    CHECK("beq epc", last_epc, at);
    CHECK("beq tval", last_tval, target);
}

static void check_csrs(void) {
    uint64_t old;
    csr_write(mscratch, 0xfedcba9876543210);
    CHECK("csrr", csr_read(mscratch), 0xfedcba9876543210);
    __asm__ volatile("csrrw %0, mscratch, %1" : "=r"(old) : "r"(0x0ff0ul));
    CHECK("csrrw", old, 0xfedcba9876543210);
    __asm__ volatile("csrrs %0, mscratch, %1" : "=r"(old) : "r"(0xf00ful));
    CHECK("csrrs", old, 0x0ff0);
    __asm__ volatile("csrrc %0, mscratch, %1" : "=r"(old) : "r"(0x00fful));
    CHECK("csrrc", old, 0xffff);
    __asm__ volatile("csrrwi %0, mscratch, 0x15" : "=r"(old));
    CHECK("csrrwi", old, 0xff00);
    __asm__ volatile("csrrsi %0, mscratch, 0x0a" : "=r"(old));
    CHECK("csrrsi", old, 0x15);
    __asm__ volatile("csrrci %0, mscratch, 0x11" : "=r"(old));
    CHECK("csrrci", old, 0x1f);
    CHECK("csrrci", csr_read(mscratch), 0x0e);
    CHECK("mhartid", csr_read(mhartid), 0);
    CHECK("misa", csr_read(misa) >> 62, 2);
    CHECK("misa", csr_read(misa) & 0x1100, 0x1100);

    const uint64_t before = csr_read(mcycle);
    const uint64_t instructions = csr_read(minstret);
    for (volatile int i = 0; i < 10; ++i) {
    }
    CHECK("mcycle", csr_read(mcycle) > before, 1);
    CHECK("minstret", csr_read(minstret) > instructions, 1);
}

static void check_interrupts(void) {
    /* The timer interrupt comes at its time. */
    const uint64_t start = MTIME;
    traps = 0;
    MTIMECMP = start + 1000;
    csr_set(mie, 1ul << TIMER_INTERRUPT);
    csr_set(mstatus, MSTATUS_MIE);
    while (traps == 0) {
        __asm__ volatile("wfi");
    }
    csr_clear(mstatus, MSTATUS_MIE);
    CHECK("timer", last_cause, INTERRUPT_CAUSE | TIMER_INTERRUPT);
    CHECK("timer", traps, 1);
    CHECK("timer", MTIME >= start + 1000, 1);
    CHECK("timer", MTIMECMP, ~0ul);

    /* While interrupts are disabled it stays pending in mip. */
    MTIMECMP = 0;
    CHECK("mip", (csr_read(mip) >> TIMER_INTERRUPT) & 1, 1);
    CHECK("timer", traps, 1);
    csr_set(mstatus, MSTATUS_MIE);
    __asm__ volatile("nop");
    csr_clear(mstatus, MSTATUS_MIE);
    CHECK("timer", traps, 2);
    CHECK("mip", (csr_read(mip) >> TIMER_INTERRUPT) & 1, 0);
    csr_clear(mie, 1ul << TIMER_INTERRUPT);

    /* A store raises the software interrupt, and a trap leaves interrupts as they were. */
    csr_set(mie, 1ul << SOFTWARE_INTERRUPT);
    csr_set(mstatus, MSTATUS_MIE);
    MSIP = 1;
    while (traps == 2) {
    }
    CHECK("software", last_cause, INTERRUPT_CAUSE | SOFTWARE_INTERRUPT);
    CHECK("software", MSIP, 0);
    CHECK("mstatus", csr_read(mstatus) & MSTATUS_MIE, MSTATUS_MIE);
    csr_clear(mstatus, MSTATUS_MIE);
    csr_clear(mie, 1ul << SOFTWARE_INTERRUPT);
    CHECK("software", traps, 3);
}

void check_traps(void) {
    check_faults();
    check_own_rules();
    check_instructions();
    check_jumps_into_nowhere();
    check_misaligned_jumps();
    check_csrs();
    check_interrupts();
}
