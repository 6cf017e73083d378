import { Mode } from "./mode.js";

/** Numbers of the control and status registers. */
const MSTATUS = 0x300;
const MISA = 0x301;
const MIE = 0x304;
const MTVEC = 0x305;
const MSCRATCH = 0x340;
const MEPC = 0x341;
const MCAUSE = 0x342;
const MTVAL = 0x343;
const MIP = 0x344;
const MCYCLE = 0xb00;
const MINSTRET = 0xb02;
const CYCLE = 0xc00;
const TIME = 0xc01;
const INSTRET = 0xc02;
const MVENDORID = 0xf11;
const MHARTID = 0xf14;

// Fields of mstatus.
export const STATUS_MIE = 1n << 3n;
export const STATUS_MPIE = 1n << 7n;
/** The privilege mode before the trap. */
export const STATUS_MPP = 3n << 11n;
export const MPP_SHIFT = 11n;

const MXL_64 = 2n << 62n;
const EXTENSION_I = 1n << 8n;
const EXTENSION_M = 1n << 12n;

/** Bit numbers in mie and mip, which are also the numbers of the causes. */
export const SOFTWARE_INTERRUPT = 3;
export const TIMER_INTERRUPT = 7;

const INTERRUPT_CAUSE = 1n << 63n;
const MAX_U64 = 2n ** 64n - 1n;

/** What the machine-mode registers of a hart depend on. */
export interface Features {
  readonly misa: bigint;
  /** The bits of mstatus that the guest can change. */
  readonly status: bigint;
  /** The value of mstatus after reset, which has all bits that the guest cannot change. */
  readonly resetStatus: bigint;
  /** The bits of mie that the guest can change. */
  readonly interrupts: bigint;
  /** Bytes that the address of an instruction is a multiple of. */
  readonly alignment: bigint;
  /** The mode with the fewest rights. */
  readonly lowestMode: Mode;
}

/** A hart that has only RV64IM and machine mode. */
const MACHINE_ONLY: Features = {
  misa: MXL_64 | EXTENSION_I | EXTENSION_M,
  status: STATUS_MIE | STATUS_MPIE,
  resetStatus: STATUS_MPP,
  interrupts: bits(SOFTWARE_INTERRUPT, TIMER_INTERRUPT),
  alignment: 4n,
  lowestMode: Mode.MACHINE,
};

/** The state of the hart that the counters and the interrupt registers show. */
export interface HartState {
  /** Instructions since reset, including those that trapped: the value of mcycle and time. */
  readonly time: number;
  /** Completed instructions: the value of minstret. */
  readonly retired: number;
  /** The value of mip. */
  readonly pending: number;
}

/** The machine-mode control and status registers of a hart. */
export class Csrs {
  mepc = 0n;
  /** The current privilege mode. */
  mode = Mode.MACHINE;
  protected status: bigint;
  protected mie = 0n;
  private mtvec = 0n;
  private mscratch = 0n;
  private mcause = 0n;
  private mtval = 0n;
  // The guest can write the counters. These are the differences from the hart's own counts.
  private cycleOffset = 0n;
  private retiredOffset = 0n;

  constructor(
    protected readonly hart: HartState,
    protected readonly features = MACHINE_ONLY,
  ) {
    this.status = features.resetStatus;
  }

  /** The mode with whose rights loads and stores are made. */
  get dataMode(): Mode {
    return Mode.MACHINE;
  }

  /** Whether an instruction of the current mode may access a register, if it exists. */
  permits(csr: number): boolean {
    return modeOf(csr) <= this.mode;
  }

  /** Reads a register; undefined if it does not exist. */
  read(csr: number): bigint | undefined {
    switch (csr) {
      case MSTATUS:
        return this.status;
      case MISA:
        return this.features.misa;
      case MIE:
        return this.mie;
      case MTVEC:
        return this.mtvec;
      case MSCRATCH:
        return this.mscratch;
      case MEPC:
        return this.mepc;
      case MCAUSE:
        return this.mcause;
      case MTVAL:
        return this.mtval;
      case MIP:
        return BigInt(this.hart.pending);
      case MCYCLE:
      case CYCLE:
        return BigInt.asUintN(64, BigInt(this.hart.time) + this.cycleOffset);
      case MINSTRET:
      case INSTRET:
        return BigInt.asUintN(64, BigInt(this.hart.retired) + this.retiredOffset);
      case TIME:
        return BigInt(this.hart.time);
      default:
        // mvendorid, marchid, mimpid and mhartid are 0.
        return csr >= MVENDORID && csr <= MHARTID ? 0n : undefined;
    }
  }

  /**
   * The value whose bits CSRRS and CSRRC change.
   *
   * @param read - What {@link Csrs.read} returns for the register.
   */
  changed(_csr: number, read: bigint): bigint {
    return read;
  }

  /** Writes a register that exists. Returns false if it is read-only. */
  write(csr: number, value: bigint): boolean {
    if (csr >>> 10 === 3) {
      return false;
    }
    switch (csr) {
      case MSTATUS:
        this.setStatus(value, this.features.status);
        break;
      case MIE:
        this.mie = value & this.features.interrupts;
        break;
      case MTVEC:
        this.mtvec = value & ~2n;
        break;
      case MSCRATCH:
        this.mscratch = value;
        break;
      case MEPC:
        this.mepc = value & -this.features.alignment & MAX_U64;
        break;
      case MCAUSE:
        this.mcause = value;
        break;
      case MTVAL:
        this.mtval = value;
        break;
      case MCYCLE:
        this.cycleOffset = value - BigInt(this.hart.time);
        break;
      case MINSTRET:
        this.retiredOffset = value - BigInt(this.hart.retired);
        break;
      // Writes to misa and mip change nothing.
    }
    return true;
  }

  /** Enters an exception. @returns the address of the handler. */
  enterException(cause: number, epc: bigint, tval: bigint): bigint {
    this.enter(BigInt(cause), epc, tval);
    return this.mtvec & ~3n;
  }

  /** Enters an interrupt. @returns the address of the handler. */
  enterInterrupt(cause: number, epc: bigint): bigint {
    this.enter(INTERRUPT_CAUSE | BigInt(cause), epc, 0n);
    return vectorOf(this.mtvec, cause);
  }

  /** `mret`. @returns the address to continue at; null if the instruction is illegal. */
  leave(): bigint | null {
    this.mode = this.previousMode;
    this.status =
      (this.status & ~(STATUS_MIE | STATUS_MPP)) |
      ((this.status & STATUS_MPIE) >> 4n) |
      STATUS_MPIE |
      (BigInt(this.features.lowestMode) << MPP_SHIFT);
    return this.mepc;
  }

  /** `sret`. @returns the address to continue at; null if the instruction is illegal. */
  leaveSupervisor(): bigint | null {
    return null;
  }

  /** Whether `sfence.vma` is legal. */
  mayFence(): boolean {
    return false;
  }

  /** Whether `wfi` is legal. */
  mayWait(): boolean {
    return true;
  }

  /** Whether an enabled interrupt is pending, which ends `wfi`. */
  get wakes(): boolean {
    return (this.hart.pending & Number(this.mie)) !== 0;
  }

  /** The cause of the interrupt to enter now; -1 if there is none. */
  nextInterrupt(): number {
    const taken = (this.status & STATUS_MIE) === 0n ? 0 : this.hart.pending & Number(this.mie);
    return firstOf(taken);
  }

  /** The values of all registers that hold state, in a fixed order. */
  state(): bigint[] {
    const { status, mie, mtvec, mscratch, mepc, mcause, mtval, cycleOffset, retiredOffset } = this;
    return [status, mie, mtvec, mscratch, mepc, mcause, mtval, cycleOffset, retiredOffset];
  }

  save() {
    const { mode, status, mie, mtvec, mscratch, mepc, mcause, mtval } = this;
    const { cycleOffset, retiredOffset } = this;
    return {
      ...{ mode, status, mie, mtvec, mscratch, mepc, mcause, mtval },
      ...{ cycleOffset, retiredOffset },
    };
  }

  restore(saved: ReturnType<Csrs["save"]>): void {
    Object.assign(this, saved);
  }

  /** Changes those bits of mstatus that are set in `mask`. */
  protected setStatus(value: bigint, mask: bigint): void {
    this.status = (this.status & ~mask) | (value & mask);
  }

  /** The mode before the trap: mstatus.MPP. */
  protected get previousMode(): Mode {
    return toMode(this.status >> MPP_SHIFT);
  }

  private enter(cause: bigint, epc: bigint, tval: bigint): void {
    this.mcause = cause;
    this.mepc = epc;
    this.mtval = tval;
    this.status =
      (this.status & ~(STATUS_MIE | STATUS_MPIE | STATUS_MPP)) |
      ((this.status & STATUS_MIE) << 4n) |
      (BigInt(this.mode) << MPP_SHIFT);
    this.mode = Mode.MACHINE;
  }
}

/** The lowest mode that may access a control register. */
function modeOf(csr: number): Mode {
  return toMode(BigInt(csr) >> 8n);
}

/** The mode whose number is in the two lowest bits. */
function toMode(number: bigint): Mode {
  switch (number & 3n) {
    case 0n:
      return Mode.USER;
    case 1n:
      return Mode.SUPERVISOR;
    default:
      // The number 2 belongs to the registers of a hypervisor, which this hart does not have.
      return Mode.MACHINE;
  }
}

/** The handler of an interrupt, given the value of mtvec or stvec. */
export function vectorOf(tvec: bigint, cause: number): bigint {
  const base = tvec & ~3n;
  const vectored = (tvec & 1n) !== 0n;
  return vectored ? (base + 4n * BigInt(cause)) & MAX_U64 : base;
}

/** The interrupts, from the highest priority to the lowest. */
const PRIORITIES = [11, SOFTWARE_INTERRUPT, TIMER_INTERRUPT, 9, 1, 5];

/** The interrupt with the highest priority in a set of bits of mip; -1 if the set is empty. */
export function firstOf(pending: number): number {
  return pending === 0 ? -1 : PRIORITIES.find((cause) => (pending & (1 << cause)) !== 0)!;
}

/** A set of bits, given their numbers. */
export function bits(...numbers: readonly number[]): bigint {
  return numbers.reduce((set, number) => set | (1n << BigInt(number)), 0n);
}
