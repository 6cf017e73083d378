/*
 * Runs random programs, which the machine finds in RAM, and prints for each one hashes of its
 * registers, its memory, its control registers and its traps.
 */
#include "machine.h"

#define BODIES 0x80400000ul /* 4 MiB that programs may read and execute */
#define DATA 0x80800000ul   /* that they may read and write */
#define DATA_SIZE 0x10000ul
#define TABLES 0x80900000ul /* page tables, which supervisor mode has to be able to access */
#define TABLES_SIZE 0x4000ul
#define ALIASES 0x4000000000ul - 0x200000ul /* the same bytes with translation */
#define GIB (1ul << 30)
#define PATTERN(i) ((i) * 0x0101010101010101)
#define MOST_TRAPS 20000

#define BREAKPOINT 3

#define PAGED 4
#define VERBOSE 8

#define MSTATUS_MPP_SHIFT 11
#define SATP_SV39 (8ul << 60)
#define PTE_V 1ul
#define PTE_RWX 14ul
#define PTE_U 16ul
#define PTE_AD 192ul

struct context {
    uint64_t x[32];
    uint64_t start;
    uint64_t end;
    uint64_t traps;
    uint64_t hash;
};

/* A program: its size with this header, its mode and flags, its registers, and its code. */
struct program {
    uint32_t size;
    uint32_t mode;
    uint64_t x[32];
    uint32_t code[];
};

void run(struct context* context, uint64_t epc, uint64_t status);
uint64_t handle(struct context* context);

#define root ((uint64_t*)TABLES)
#define middle (root + 512)
#define leaves (root + 1024)

static uint64_t verbose;

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ (hash >> 29);
}

/* Returns whether the program goes on, after the instruction that trapped. */
uint64_t handle(struct context* context) {
    uint64_t epc = csr_read(mepc);
    uint64_t cause = csr_read(mcause);
    /* For a breakpoint, RISC-V allows mtval to be 0 or the address. */
    if (cause == BREAKPOINT) {
        csr_write(mtval, 0);
    }
    uint64_t value = csr_read(mtval);
    uint64_t status = csr_read(mstatus);
    if (epc < context->start || epc >= context->end || ++context->traps > MOST_TRAPS) {
        return 0;
    }
    if (verbose) {
        print("trap %d at %x, %x, %x\n", cause, epc - context->start, value, status);
    }
    context->hash = mix(context->hash, cause);
    context->hash = mix(context->hash, epc - context->start);
    context->hash = mix(context->hash, value);
    context->hash = mix(context->hash, status);
    csr_write(mepc, epc + ((*(const uint16_t*)epc & 3) == 3 ? 4 : 2));
    return 1;
}

/* RAM at its own addresses, and the pages of data with all combinations of rights. */
static void map(uint64_t user) {
    root[2] = ((2 * GIB) >> 2) | PTE_V | PTE_RWX | user | PTE_AD;
    root[255] = ((uint64_t)middle >> 2) | PTE_V;
    middle[511] = ((uint64_t)leaves >> 2) | PTE_V;
    for (uint64_t i = 0; i < 16; ++i) {
        uint64_t rights = (i * 5) & 15;
        leaves[i] = ((DATA + 4096 * i) >> 2) | (rights << 1) | PTE_V | (i & 3 ? PTE_AD : 0);
    }
    csr_write(satp, SATP_SV39 | ((uint64_t)root >> 12));
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void reset(void) {
    csr_write(satp, 0);
    csr_write(medeleg, 0);
    csr_write(mideleg, 0);
    csr_write(mie, 0);
    csr_write(mip, 0);
    csr_write(mstatus, 0);
    csr_write(mcause, 0);
    csr_write(mtval, 0);
    csr_write(stvec, 0);
    csr_write(sscratch, 0);
    csr_write(sepc, 0);
    csr_write(scause, 0);
    csr_write(stval, 0);
    csr_write(mcounteren, 0);
    csr_write(scounteren, 0);
    csr_write(pmpaddr0, (DATA >> 2) | (DATA_SIZE / 8 - 1));
    csr_write(pmpaddr1, (BODIES >> 2) | (0x400000 / 8 - 1));
    csr_write(pmpaddr2, (TABLES >> 2) | (TABLES_SIZE / 8 - 1));
    csr_write(pmpcfg0, 0x1b1d1b);
    for (uint64_t i = 0; i < DATA_SIZE / 8; ++i) {
        ((uint64_t*)DATA)[i] = PATTERN(i);
    }
}

static void run_program(uint64_t index, const struct program* program) {
    static struct context context;
    uint64_t mode = program->mode & 3;
    for (int i = 1; i < 32; ++i) {
        context.x[i] = program->x[i];
    }
    context.start = (uint64_t)program->code;
    context.end = (uint64_t)program + program->size - 4;
    context.traps = 0;
    verbose = program->mode & VERBOSE;
    context.hash = 0;
    reset();
    if (program->mode & PAGED) {
        map(mode == 0 ? PTE_U : 0);
    }
    run(&context, context.start, mode << MSTATUS_MPP_SHIFT);

    /* The trap at the end is the first that the hash does not include. */
    uint64_t status = csr_read(mstatus);
    csr_write(mstatus, 0);
    uint64_t registers = 0;
    for (int i = 1; i < 32; ++i) {
        registers = mix(registers, context.x[i]);
        if (verbose) {
            print("x%d %x\n", (uint64_t)i, context.x[i]);
        }
    }
    uint64_t memory = 0;
    for (uint64_t i = 0; i < DATA_SIZE / 8; ++i) {
        uint64_t word = ((const uint64_t*)DATA)[i];
        if (verbose && word != PATTERN(i)) {
            print("memory %x %x\n", 8 * i, word);
        }
        memory = mix(memory, word);
    }
    uint64_t controls[] = {
        status,
        csr_read(stvec),
        csr_read(sscratch),
        csr_read(sepc),
        csr_read(scause),
        csr_read(stval),
        csr_read(mcounteren),
        csr_read(scounteren),
        csr_read(mideleg),
    };
    uint64_t control = 0;
    for (unsigned i = 0; i < sizeof controls / sizeof *controls; ++i) {
        control = mix(control, controls[i]);
        if (verbose) {
            print("control %d %x\n", (uint64_t)i, controls[i]);
        }
    }
    print("%d: %x %x %x %x, %d traps\n", index, registers, memory, control, context.hash,
          context.traps);
}

int main(void) {
    uint64_t at = BODIES;
    for (uint64_t index = 0; *(const uint32_t*)at != 0; ++index) {
        const struct program* program = (const struct program*)at;
        run_program(index, program);
        at += program->size;
    }
    return 0;
}
