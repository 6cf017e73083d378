import {
  bits,
  Csrs,
  type Features,
  firstOf,
  type HartState,
  MPP_SHIFT,
  STATUS_MIE,
  STATUS_MPIE,
  STATUS_MPP,
  vectorOf,
} from "./csr.js";
import type { AddressRules } from "./address-rules.js";
import { Mode } from "./mode.js";
import type { Pmp } from "./pmp.js";

/** Numbers of the control and status registers. */
const SSTATUS = 0x100;
const SIE = 0x104;
const STVEC = 0x105;
const SCOUNTEREN = 0x106;
const SENVCFG = 0x10a;
const SSCRATCH = 0x140;
const SEPC = 0x141;
const SCAUSE = 0x142;
const STVAL = 0x143;
const SIP = 0x144;
const SATP = 0x180;
const MSTATUS = 0x300;
const MEDELEG = 0x302;
const MIDELEG = 0x303;
const MCOUNTEREN = 0x306;
const MENVCFG = 0x30a;
const MCOUNTINHIBIT = 0x320;
const MHPMEVENT3 = 0x323;
const MIP = 0x344;
const PMPCFG0 = 0x3a0;
const PMPADDR15 = 0x3bf;
const MHPMCOUNTER3 = 0xb03;
const CYCLE = 0xc00;
const HPMCOUNTER3 = 0xc03;
const HPMCOUNTER31 = 0xc1f;
const MCONFIGPTR = 0xf15;
/** The number of event counters, which are all 0. */
const EVENT_COUNTERS = 29;

// Fields of mstatus.
const STATUS_SIE = 1n << 1n;
const STATUS_SPIE = 1n << 5n;
const STATUS_SPP = 1n << 8n;
const STATUS_MPRV = 1n << 17n;
const STATUS_SUM = 1n << 18n;
const STATUS_MXR = 1n << 19n;
const STATUS_TVM = 1n << 20n;
const STATUS_TW = 1n << 21n;
const STATUS_TSR = 1n << 22n;
/** UXL and SXL: supervisor and user mode have 64 bits. */
const STATUS_LENGTHS = (2n << 32n) | (2n << 34n);
const STATUS_UXL = 3n << 32n;

const SUPERVISOR_STATUS = STATUS_SIE | STATUS_SPIE | STATUS_SPP | STATUS_SUM | STATUS_MXR;

/** The fields that decide which loads and stores are allowed. */
const STATUS_OF_RIGHTS = STATUS_MPRV | STATUS_MPP | STATUS_SUM | STATUS_MXR;

const SUPERVISOR_INTERRUPTS = bits(1, 5, 9);
const SUPERVISOR_SOFTWARE = bits(1);
/** The exceptions that can be delegated: all but `ecall` in machine mode. */
const DELEGABLE = bits(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15);
const INTERRUPT_CAUSE = 1n << 63n;
const MAX_U64 = 2n ** 64n - 1n;
const LOW_32 = 0xffff_ffffn;
/** The only field of menvcfg and senvcfg: fences of input and output imply those of memory. */
const FIOM = 1n;

const letters = (...names: readonly string[]) =>
  bits(...names.map((name) => name.charCodeAt(0) - "A".charCodeAt(0)));

const FEATURES: Features = {
  misa: (2n << 62n) | letters("A", "C", "I", "M", "S", "U"),
  status:
    SUPERVISOR_STATUS |
    STATUS_MIE |
    STATUS_MPIE |
    STATUS_MPP |
    STATUS_MPRV |
    STATUS_TVM |
    STATUS_TW |
    STATUS_TSR,
  resetStatus: STATUS_LENGTHS,
  interrupts: SUPERVISOR_INTERRUPTS | bits(3, 7, 11),
  alignment: 2n,
  lowestMode: Mode.USER,
};

/** The state of a hart that has machine, supervisor and user mode. */
export interface PrivilegedHartState extends HartState {
  /**
   * Called when the mode, or the rights of loads and stores, may have changed.
   *
   * @param dataMode - The mode with whose rights loads and stores are made.
   * @param sum - Supervisor mode may access pages of user mode.
   * @param mxr - Pages that can be executed can be read.
   */
  changeMode(dataMode: Mode, sum: boolean, mxr: boolean): void;
  /** Called when the page tables, or the physical memory protection, may have changed. */
  changeRules(): void;
}

/** The control and status registers of a hart with machine, supervisor and user mode. */
export class PrivilegedCsrs extends Csrs {
  /** The interrupts that machine mode has made pending for supervisor mode. */
  private posted = 0n;
  private medeleg = 0n;
  private mideleg = 0n;
  private stvec = 0n;
  private sscratch = 0n;
  private sepc = 0n;
  private scause = 0n;
  private stval = 0n;
  private mcounteren = 0n;
  private scounteren = 0n;
  private menvcfg = 0n;
  private senvcfg = 0n;

  constructor(
    private readonly privileged: PrivilegedHartState,
    private readonly pmp: Pmp,
    private readonly rules: AddressRules,
  ) {
    super(privileged, FEATURES);
  }

  override get dataMode(): Mode {
    return (this.status & STATUS_MPRV) === 0n ? this.mode : this.previousMode;
  }

  override permits(csr: number): boolean {
    if (!super.permits(csr)) {
      return false;
    }
    if (csr === SATP) {
      return this.mayFence();
    }
    if (csr >= CYCLE && csr <= HPMCOUNTER31) {
      const bit = 1n << BigInt(csr - CYCLE);
      const inSupervisor = this.mode === Mode.MACHINE || (this.mcounteren & bit) !== 0n;
      return inSupervisor && (this.mode !== Mode.USER || (this.scounteren & bit) !== 0n);
    }
    return true;
  }

  override read(csr: number): bigint | undefined {
    switch (csr) {
      case SSTATUS:
        return this.status & (SUPERVISOR_STATUS | STATUS_UXL);
      case SIE:
        return this.mie & this.mideleg;
      case STVEC:
        return this.stvec;
      case SCOUNTEREN:
        return this.scounteren;
      case SENVCFG:
        return this.senvcfg;
      case SSCRATCH:
        return this.sscratch;
      case SEPC:
        return this.sepc;
      case SCAUSE:
        return this.scause;
      case STVAL:
        return this.stval;
      case SIP:
        return this.mip & this.mideleg;
      case SATP:
        return this.rules.satp;
      case MEDELEG:
        return this.medeleg;
      case MIDELEG:
        return this.mideleg;
      case MCOUNTEREN:
        return this.mcounteren;
      case MENVCFG:
        return this.menvcfg;
      case MIP:
        return this.mip;
      case MCOUNTINHIBIT:
      case MCONFIGPTR:
        return 0n;
      default:
        if (isEventCounter(csr)) {
          return 0n;
        }
        return csr >= PMPCFG0 && csr <= PMPADDR15 ? this.pmp.read(csr) : super.read(csr);
    }
  }

  override write(csr: number, value: bigint): boolean {
    switch (csr) {
      case SSTATUS:
        this.setStatus(value, SUPERVISOR_STATUS);
        break;
      case MSTATUS: {
        const hasMode = (value & STATUS_MPP) >> MPP_SHIFT !== 2n;
        this.setStatus(value, hasMode ? FEATURES.status : FEATURES.status & ~STATUS_MPP);
        break;
      }
      case SIE:
        this.mie = (this.mie & ~this.mideleg) | (value & this.mideleg);
        break;
      case STVEC:
        this.stvec = value & ~2n;
        break;
      case SCOUNTEREN:
        this.scounteren = value & LOW_32;
        break;
      case SENVCFG:
        this.senvcfg = value & FIOM;
        break;
      case SSCRATCH:
        this.sscratch = value;
        break;
      case SEPC:
        this.sepc = value & ~1n;
        break;
      case SCAUSE:
        this.scause = value;
        break;
      case STVAL:
        this.stval = value;
        break;
      case SIP:
        this.post(value, this.mideleg & SUPERVISOR_SOFTWARE);
        break;
      case SATP:
        this.rules.satp = value;
        this.changeRules();
        break;
      case MEDELEG:
        this.medeleg = value & DELEGABLE;
        break;
      case MIDELEG:
        this.mideleg = value & SUPERVISOR_INTERRUPTS;
        break;
      case MCOUNTEREN:
        this.mcounteren = value & LOW_32;
        break;
      case MENVCFG:
        this.menvcfg = value & FIOM;
        break;
      case MIP:
        this.post(value, SUPERVISOR_INTERRUPTS);
        break;
      default:
        if (csr < PMPCFG0 || csr > PMPADDR15) {
          return super.write(csr, value);
        }
        this.pmp.write(csr, value);
        this.rules.changeProtection();
        this.changeRules();
    }
    return true;
  }

  override enterException(cause: number, epc: bigint, tval: bigint): bigint {
    if (this.mode !== Mode.MACHINE && (this.medeleg & bits(cause)) !== 0n) {
      this.enterSupervisor(BigInt(cause), epc, tval);
      return this.stvec & ~3n;
    }
    const handler = super.enterException(cause, epc, tval);
    this.changeMode();
    return handler;
  }

  override enterInterrupt(cause: number, epc: bigint): bigint {
    if (this.mode !== Mode.MACHINE && (this.mideleg & bits(cause)) !== 0n) {
      this.enterSupervisor(INTERRUPT_CAUSE | BigInt(cause), epc, 0n);
      return vectorOf(this.stvec, cause);
    }
    const handler = super.enterInterrupt(cause, epc);
    this.changeMode();
    return handler;
  }

  override leave(): bigint | null {
    if (this.mode !== Mode.MACHINE) {
      return null;
    }
    const pc = super.leave();
    this.enteredBelowMachine();
    return pc;
  }

  override leaveSupervisor(): bigint | null {
    const refused = this.mode === Mode.SUPERVISOR && (this.status & STATUS_TSR) !== 0n;
    if (this.mode === Mode.USER || refused) {
      return null;
    }
    this.mode = (this.status & STATUS_SPP) === 0n ? Mode.USER : Mode.SUPERVISOR;
    this.status =
      (this.status & ~(STATUS_SIE | STATUS_SPP)) |
      ((this.status & STATUS_SPIE) >> 4n) |
      STATUS_SPIE;
    this.enteredBelowMachine();
    return this.sepc;
  }

  override mayFence(): boolean {
    const refused = this.mode === Mode.SUPERVISOR && (this.status & STATUS_TVM) !== 0n;
    return this.mode !== Mode.USER && !refused;
  }

  override mayWait(): boolean {
    return this.mode === Mode.MACHINE || (this.mode === Mode.SUPERVISOR && !this.waitTraps);
  }

  override get wakes(): boolean {
    return (this.mip & this.mie) !== 0n;
  }

  override nextInterrupt(): number {
    const enabled = this.mip & this.mie;
    if (enabled === 0n) {
      return -1;
    }
    const inMachine = this.mode !== Mode.MACHINE || (this.status & STATUS_MIE) !== 0n;
    const forMachine = inMachine ? firstOf(Number(enabled & ~this.mideleg)) : -1;
    if (forMachine >= 0 || this.mode === Mode.MACHINE) {
      return forMachine;
    }
    const inSupervisor = this.mode === Mode.USER || (this.status & STATUS_SIE) !== 0n;
    return inSupervisor ? firstOf(Number(enabled & this.mideleg)) : -1;
  }

  /** Not the interrupts of devices in `mip`, which would stay pending after their end. */
  override changed(csr: number, read: bigint): bigint {
    return csr === MIP ? this.posted : read;
  }

  override state(): bigint[] {
    const { posted, medeleg, mideleg, stvec, sscratch, sepc, scause, stval } = this;
    const { satp } = this.rules;
    const { mcounteren, scounteren, menvcfg, senvcfg } = this;
    return [
      ...super.state(),
      ...[BigInt(this.mode), posted, medeleg, mideleg, stvec, sscratch, sepc, scause, stval, satp],
      ...[mcounteren, scounteren, menvcfg, senvcfg],
      ...this.pmp.state(),
    ];
  }

  override save() {
    const { posted, medeleg, mideleg, stvec, sscratch, sepc, scause, stval } = this;
    const { mcounteren, scounteren, menvcfg, senvcfg } = this;
    return {
      ...super.save(),
      ...{ posted, medeleg, mideleg, stvec, sscratch, sepc, scause, stval },
      ...{ mcounteren, scounteren, menvcfg, senvcfg },
      satp: this.rules.satp,
      pmp: this.pmp.save(),
    };
  }

  override restore(saved: ReturnType<PrivilegedCsrs["save"]>): void {
    const { satp, pmp, ...own } = saved;
    super.restore(own);
    this.rules.satp = satp;
    this.pmp.restore(pmp);
    this.rules.changeProtection();
    this.changeRules();
  }

  protected override setStatus(value: bigint, mask: bigint): void {
    const before = this.status;
    super.setStatus(value, mask);
    if (((before ^ this.status) & STATUS_OF_RIGHTS) !== 0n) {
      this.changeMode();
    }
  }

  private get mip(): bigint {
    return BigInt(this.hart.pending) | this.posted;
  }

  private changeMode(): void {
    const { status } = this;
    this.privileged.changeMode(
      this.dataMode,
      (status & STATUS_SUM) !== 0n,
      (status & STATUS_MXR) !== 0n,
    );
  }

  private changeRules(): void {
    this.privileged.changeRules();
    this.changeMode();
  }

  /** Whether `wfi` is illegal in supervisor mode. */
  private get waitTraps(): boolean {
    return (this.status & STATUS_TW) !== 0n;
  }

  private post(value: bigint, mask: bigint): void {
    this.posted = (this.posted & ~mask) | (value & mask);
  }

  /** The effects of `mret` and `sret` on the rules. */
  private enteredBelowMachine(): void {
    if (this.mode !== Mode.MACHINE) {
      this.status &= ~STATUS_MPRV;
    }
    this.changeMode();
  }

  private enterSupervisor(cause: bigint, epc: bigint, tval: bigint): void {
    this.scause = cause & MAX_U64;
    this.sepc = epc;
    this.stval = tval;
    this.status =
      (this.status & ~(STATUS_SIE | STATUS_SPIE | STATUS_SPP)) |
      ((this.status & STATUS_SIE) << 4n) |
      (this.mode === Mode.SUPERVISOR ? STATUS_SPP : 0n);
    this.mode = Mode.SUPERVISOR;
    this.changeMode();
  }
}

function isEventCounter(csr: number): boolean {
  return [MHPMEVENT3, MHPMCOUNTER3, HPMCOUNTER3].some(
    (first) => csr >= first && csr < first + EVENT_COUNTERS,
  );
}
