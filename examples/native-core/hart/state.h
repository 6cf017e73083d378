#ifndef HART_STATE_H
#define HART_STATE_H

#include <cstdint>

/** The state of a hart. JavaScript has it as a BigUint64Array: see ../core-hart.ts. */
struct State {
    /** The registers, and after them a slot for writes to register 0. */
    uint64_t x[33];
    uint64_t pc;
    /** Instructions since reset, including those that trapped: the value of mcycle and time. */
    uint64_t time;
    /** The instructions that trapped. */
    uint64_t exceptions;
    /** The time from which on the timer interrupt is pending. */
    uint64_t alarm;
    /** 1 if the software interrupt is pending. */
    uint64_t software;
    /** 1 if the machine is switched off. */
    uint64_t stopped;
    // The control and status registers.
    uint64_t mstatus;
    uint64_t mie;
    uint64_t mtvec;
    uint64_t mscratch;
    uint64_t mepc;
    uint64_t mcause;
    uint64_t mtval;
    // The guest can write the counters. These are the differences from the hart's own counts.
    uint64_t cycle_offset;
    uint64_t retired_offset;
};

constexpr uint64_t STATE_WORDS = sizeof(State) / sizeof(uint64_t);

#endif // HART_STATE_H
