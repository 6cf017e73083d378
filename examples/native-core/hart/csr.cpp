#include "csr.h"

namespace {

constexpr uint64_t STATUS_MIE = 1 << 3;
constexpr uint64_t STATUS_MPIE = 1 << 7;
/** The privilege mode before the trap. This hart has machine mode only. */
constexpr uint64_t STATUS_MPP = 3 << 11;

constexpr uint64_t SOFTWARE_INTERRUPT = 3;
constexpr uint64_t TIMER_INTERRUPT = 7;
constexpr uint64_t INTERRUPT_CAUSE = uint64_t{1} << 63;

/** RV64IM. */
constexpr uint64_t ISA = uint64_t{2} << 62 | 1 << 8 | 1 << 12;

uint64_t pending(const State* state) {
    return (state->time >= state->alarm ? 1 << TIMER_INTERRUPT : 0) | state->software
                                                                          << SOFTWARE_INTERRUPT;
}

uint64_t retired(const State* state) {
    return state->time - state->exceptions;
}

/** Reads a register. @return False if it does not exist. */
bool read_csr(const State* state, uint32_t csr, uint64_t* out) {
    switch (csr) {
    case 0x300:
        *out = state->mstatus;
        return true;
    case 0x301:
        *out = ISA;
        return true;
    case 0x304:
        *out = state->mie;
        return true;
    case 0x305:
        *out = state->mtvec;
        return true;
    case 0x340:
        *out = state->mscratch;
        return true;
    case 0x341:
        *out = state->mepc;
        return true;
    case 0x342:
        *out = state->mcause;
        return true;
    case 0x343:
        *out = state->mtval;
        return true;
    case 0x344:
        *out = pending(state);
        return true;
    case 0xb00: // mcycle
    case 0xc00:
        *out = state->time + state->cycle_offset;
        return true;
    case 0xb02: // minstret
    case 0xc02:
        *out = retired(state) + state->retired_offset;
        return true;
    case 0xc01:
        *out = state->time;
        return true;
    default:
        // mvendorid, marchid, mimpid and mhartid are 0.
        *out = 0;
        return csr >= 0xf11 && csr <= 0xf14;
    }
}

/** Writes a register that exists. @return False if it is read-only. */
bool write_csr(State* state, uint32_t csr, uint64_t value) {
    switch (csr) {
    case 0x300:
        state->mstatus = STATUS_MPP | (value & (STATUS_MIE | STATUS_MPIE));
        break;
    case 0x304:
        state->mie = value & (1 << SOFTWARE_INTERRUPT | 1 << TIMER_INTERRUPT);
        break;
    case 0x305:
        state->mtvec = value & ~uint64_t{2};
        break;
    case 0x340:
        state->mscratch = value;
        break;
    case 0x341:
        state->mepc = value & ~uint64_t{3};
        break;
    case 0x342:
        state->mcause = value;
        break;
    case 0x343:
        state->mtval = value;
        break;
    case 0xb00:
        state->cycle_offset = value - state->time;
        break;
    case 0xb02:
        state->retired_offset = value - retired(state);
        break;
    }
    // Writes to misa and mip change nothing.
    return csr >> 10 != 3;
}

void enter(State* state, uint64_t cause, uint64_t tval) {
    const bool on = (state->mstatus & STATUS_MIE) != 0;
    state->mstatus = STATUS_MPP | (on ? STATUS_MPIE : 0);
    state->mcause = cause;
    state->mepc = state->pc;
    state->mtval = tval;
    state->pc = state->mtvec & ~uint64_t{3};
}

} // namespace

bool access_csr(State* state, uint32_t instruction, uint64_t* rd) {
    const uint32_t csr = instruction >> 20;
    const uint32_t source = instruction >> 15 & 31;
    const uint32_t kind = instruction >> 12 & 3;
    uint64_t before = 0;
    if (!read_csr(state, csr, &before)) {
        return false;
    }
    const bool immediate = (instruction >> 14 & 1) != 0;
    const uint64_t operand = immediate ? source : state->x[source];
    const uint64_t after = kind == 1 ? operand : kind == 2 ? before | operand : before & ~operand;
    // CSRRS and CSRRC with register 0 only read, which read-only registers allow.
    if ((kind == 1 || source != 0) && !write_csr(state, csr, after)) {
        return false;
    }
    *rd = before;
    return true;
}

void enter_exception(State* state, Exception cause, uint64_t tval) {
    state->exceptions++;
    enter(state, cause, tval);
}

void take_interrupt(State* state) {
    const uint64_t taken = (state->mstatus & STATUS_MIE) != 0 ? pending(state) & state->mie : 0;
    if (taken == 0) {
        return;
    }
    const uint64_t cause =
        (taken >> SOFTWARE_INTERRUPT & 1) != 0 ? SOFTWARE_INTERRUPT : TIMER_INTERRUPT;
    enter(state, INTERRUPT_CAUSE | cause, 0);
    if ((state->mtvec & 1) != 0) {
        state->pc += 4 * cause;
    }
}

void leave_trap(State* state) {
    const bool on = (state->mstatus & STATUS_MPIE) != 0;
    state->mstatus = STATUS_MPP | STATUS_MPIE | (on ? STATUS_MIE : 0);
    state->pc = state->mepc;
}
