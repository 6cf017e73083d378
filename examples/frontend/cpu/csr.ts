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
const STATUS_MIE = 1n << 3n;
const STATUS_MPIE = 1n << 7n;
/** The privilege mode before the trap. This hart has machine mode only. */
const STATUS_MPP = 3n << 11n;

const MXL_64 = 2n << 62n;
const EXTENSION_I = 1n << 8n;
const EXTENSION_M = 1n << 12n;

/** Bit numbers in mie and mip, which are also the numbers of the causes. */
export const SOFTWARE_INTERRUPT = 3;
export const TIMER_INTERRUPT = 7;

const INTERRUPTS = (1n << BigInt(SOFTWARE_INTERRUPT)) | (1n << BigInt(TIMER_INTERRUPT));
const INTERRUPT_CAUSE = 1n << 63n;
const MAX_U64 = 2n ** 64n - 1n;

/** The state of the hart that the counters and the interrupt registers show. */
export interface HartState {
  /** Instructions since reset, including those that trapped: the value of mcycle and time. */
  readonly time: number;
  /** Completed instructions: the value of minstret. */
  readonly retired: number;
  /** The value of mip. */
  readonly pending: number;
}

/** The control and status registers of a machine-mode hart. */
export class Csrs {
  mepc = 0n;
  private interruptsOn = false;
  private interruptsWereOn = false;
  private mie = 0n;
  private mtvec = 0n;
  private mscratch = 0n;
  private mcause = 0n;
  private mtval = 0n;
  // The guest can write the counters. These are the differences from the hart's own counts.
  private cycleOffset = 0n;
  private retiredOffset = 0n;

  constructor(private readonly hart: HartState) {}

  /** Reads a register; undefined if it does not exist. */
  read(csr: number): bigint | undefined {
    switch (csr) {
      case MSTATUS:
        return this.status;
      case MISA:
        return MXL_64 | EXTENSION_I | EXTENSION_M;
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

  /** Writes a register that exists. Returns false if it is read-only. */
  write(csr: number, value: bigint): boolean {
    if (csr >>> 10 === 3) {
      return false;
    }
    switch (csr) {
      case MSTATUS:
        this.interruptsOn = (value & STATUS_MIE) !== 0n;
        this.interruptsWereOn = (value & STATUS_MPIE) !== 0n;
        break;
      case MIE:
        this.mie = value & INTERRUPTS;
        break;
      case MTVEC:
        this.mtvec = value & ~2n;
        break;
      case MSCRATCH:
        this.mscratch = value;
        break;
      case MEPC:
        this.mepc = value & ~3n;
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

  /** Enters a trap. @returns the address of the handler. */
  enterException(cause: number, epc: bigint, tval: bigint): bigint {
    this.enter(BigInt(cause), epc, tval);
    return this.mtvec & ~3n;
  }

  /** Enters an interrupt. @returns the address of the handler. */
  enterInterrupt(cause: number, epc: bigint): bigint {
    this.enter(INTERRUPT_CAUSE | BigInt(cause), epc, 0n);
    const base = this.mtvec & ~3n;
    const vectored = (this.mtvec & 1n) !== 0n;
    return vectored ? (base + 4n * BigInt(cause)) & MAX_U64 : base;
  }

  /** Leaves a trap. @returns the address to continue at. */
  leave(): bigint {
    this.interruptsOn = this.interruptsWereOn;
    this.interruptsWereOn = true;
    return this.mepc;
  }

  /** The interrupts that are pending and enabled, as bits of mip. */
  get enabledInterrupts(): number {
    return this.interruptsOn ? Number(this.mie) : 0;
  }

  /** The values of all registers that hold state, in a fixed order. */
  state(): bigint[] {
    const { status, mie, mtvec, mscratch, mepc, mcause, mtval, cycleOffset, retiredOffset } = this;
    return [status, mie, mtvec, mscratch, mepc, mcause, mtval, cycleOffset, retiredOffset];
  }

  private get status(): bigint {
    return (
      STATUS_MPP |
      (this.interruptsOn ? STATUS_MIE : 0n) |
      (this.interruptsWereOn ? STATUS_MPIE : 0n)
    );
  }

  private enter(cause: bigint, epc: bigint, tval: bigint): void {
    this.mcause = cause;
    this.mepc = epc;
    this.mtval = tval;
    this.interruptsWereOn = this.interruptsOn;
    this.interruptsOn = false;
  }
}
