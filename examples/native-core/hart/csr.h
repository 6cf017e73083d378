#ifndef HART_CSR_H
#define HART_CSR_H

#include <cstdint>

#include "state.h"

/** Numbers of the exceptions. */
enum Exception : uint64_t {
    INSTRUCTION_MISALIGNED = 0,
    INSTRUCTION_FAULT = 1,
    ILLEGAL_INSTRUCTION = 2,
    BREAKPOINT = 3,
    LOAD_MISALIGNED = 4,
    LOAD_FAULT = 5,
    STORE_MISALIGNED = 6,
    STORE_FAULT = 7,
    MACHINE_ECALL = 11,
};

/** Executes an instruction that accesses a control register. @return False if it is illegal. */
bool access_csr(State* state, uint32_t instruction, uint64_t* rd);

/** Continues at the handler of an exception. */
void enter_exception(State* state, Exception cause, uint64_t tval);

/** Continues at the handler of an interrupt, if one is pending and enabled. */
void take_interrupt(State* state);

/** MRET. */
void leave_trap(State* state);

#endif // HART_CSR_H
