import { GuestMemAccessResult, resultName } from "pound-guest-memory";
import { Csrs, SOFTWARE_INTERRUPT, TIMER_INTERRUPT, type HartState } from "./csr.js";
import { decode, Op } from "./decode.js";
import { type CodeRange, type Hart, hashRegisters } from "./hart.js";
import { address, type HartMemory, Port } from "./port.js";
import {
  divide,
  divideWords,
  lessSigned,
  lessUnsigned,
  multiply,
  multiplyHigh,
  putSigned,
  putUnsigned,
  shiftLeft,
  shiftRightArithmetic,
  shiftRightLogical,
  sumHigh,
} from "./wide.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY } = GuestMemAccessResult;

/** Numbers of the exceptions. */
const INSTRUCTION_MISALIGNED = 0;
const INSTRUCTION_FAULT = 1;
const ILLEGAL_INSTRUCTION = 2;
const BREAKPOINT = 3;
const LOAD_MISALIGNED = 4;
const LOAD_FAULT = 5;
const STORE_MISALIGNED = 6;
const STORE_FAULT = 7;
const MACHINE_ECALL = 11;

const TWO_32 = 2 ** 32;
const PAGE_SHIFT = 12;
/** The most instructions between two checks of the timer and the interrupts. */
const SLICE = 2 ** 14;

/**
 * A RISC-V hart: RV64IM with Zicsr and Zifencei in machine mode.
 *
 * Instructions in the code range are decoded once. In RISC-V, code that the guest writes takes
 * effect at the next `fence.i`, so stores need not check for code.
 *
 * Time is counted in instructions, so that every run of a program is the same.
 */
export class Cpu implements Hart, HartState {
  /** The registers, in the layout of `wide.ts`, and after them a slot for writes to register 0. */
  readonly x = new Int32Array(2 * 33);
  readonly csrs = new Csrs(this);
  /** The {@link Cpu.time} from which on the timer interrupt is pending. */
  private alarm = Infinity;
  private software = false;

  private readonly port: Port;
  private readonly base: number;
  private readonly size: number;
  /**
   * Two words per instruction, see {@link decode}. The last entry is for code outside the range.
   */
  private readonly code: Int32Array;
  /** The pages of the range that hold decoded instructions. */
  private readonly decodedPages = new Set<number>();

  /** The program counter, in bytes from the base of the code range. */
  private at = 0;
  /** The program counter if it is above 4 GiB, where {@link Cpu.at} has no meaning; else null. */
  private farPc: bigint | null = null;
  /** Whether to leave the loop, since interrupts or the power switch may have changed. */
  private attention = false;
  private stopped = false;
  /** Addresses of instructions before which {@link Cpu.run} returns. They are never decoded. */
  private breakpoints: ReadonlySet<bigint> = new Set();
  private atBreakpoint = false;

  /** The time at which the current slice ends, and the number of instructions until then. */
  private sliceEnd = 0;
  private left = 0;
  private exceptions = 0;

  constructor(memory: HartMemory, { base, size }: CodeRange) {
    this.port = new Port(memory);
    this.base = base;
    this.size = size;
    this.code = new Int32Array(size / 2 + 2);
  }

  get time(): number {
    return this.sliceEnd - this.left;
  }

  get retired(): number {
    return this.time - this.exceptions;
  }

  get pending(): number {
    const timer = this.time >= this.alarm ? 1 << TIMER_INTERRUPT : 0;
    return timer | (this.software ? 1 << SOFTWARE_INTERRUPT : 0);
  }

  get pc(): bigint {
    return this.pcAt(this.at);
  }

  /** Continues at another address. */
  set pc(value: bigint) {
    this.at = this.place(value);
  }

  /** Sets the time from which on the timer interrupt is pending. */
  setAlarm(time: number): void {
    this.alarm = time;
    this.attention = true;
  }

  setSoftwareInterrupt(pending: boolean): void {
    this.software = pending;
    this.attention = true;
  }

  stop(): void {
    this.stopped = true;
    this.attention = true;
  }

  /** Sets the addresses of the instructions before which {@link Cpu.run} returns. */
  setBreakpoints(addresses: ReadonlySet<bigint>): void {
    if (addresses !== this.breakpoints) {
      this.breakpoints = addresses;
      this.forgetCode();
    }
  }

  run(limit: number): boolean {
    const end = this.time + limit;
    this.atBreakpoint = false;
    while (!this.stopped && !this.atBreakpoint && this.time < end) {
      this.attention = false;
      this.takeInterrupt();
      const toAlarm = this.alarm > this.time ? this.alarm - this.time : SLICE;
      this.execute(Math.min(end - this.time, toAlarm, SLICE));
    }
    return !this.stopped;
  }

  setRegister(number: number, value: bigint): void {
    if (number !== 0) {
      this.x[2 * number] = Number(BigInt.asIntN(32, value));
      this.x[2 * number + 1] = Number(BigInt.asIntN(32, value >> 32n));
    }
  }

  register(number: number): bigint {
    return address(this.x[2 * number]!, this.x[2 * number + 1]!);
  }

  hash(): number {
    return hashRegisters(this.x, [this.pc, ...this.csrs.state()]);
  }

  /**
   * Executes up to `count` instructions, or fewer if {@link Cpu.attention} is set.
   *
   * This is one long function, because V8 compiles a switch to a jump table and keeps local
   * variables in registers of the host.
   */
  private execute(count: number): void {
    const { x, code, port, size } = this;
    this.sliceEnd = this.time + count;
    let at = this.at;
    let left = count;
    let low: number;
    let high: number;
    let result: GuestMemAccessResult;

    while (left > 0 && !this.attention) {
      // Devices read the time, which depends on this.
      this.left = left;
      left--;

      let entry = at >>> 1;
      if (at >>> 0 >= size || code[entry] === 0) {
        entry = this.fetch(at);
        if (entry < 0) {
          at = this.at;
          continue;
        }
      }
      const word = code[entry]!;
      const immediate = code[entry + 1]!;
      const rd = (word >>> 8) & 0xff;
      const rs1 = (word >>> 16) & 0xff;
      const rs2 = word >>> 24;
      let next = at + 4;

      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- decode wrote an Op
      switch ((word & 0xff) as Op) {
        case Op.CONST:
          x[rd] = immediate;
          x[rd + 1] = word >> 24;
          break;

        case Op.JAL:
          next = at + immediate;
          if ((next & 2) === 0) {
            putUnsigned(x, rd, this.base + at + 4);
          }
          break;
        case Op.JALR:
          low = (x[rs1]! + immediate) & ~1;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, (x[rs1]! + immediate) | 0);
          if ((low & 2) !== 0) {
            next = this.trap(INSTRUCTION_MISALIGNED, at, low, high);
          } else {
            next = high === 0 ? (low >>> 0) - this.base : this.place(address(low, high));
            putUnsigned(x, rd, this.base + at + 4);
          }
          break;
        case Op.BEQ:
          if (x[rs1] === x[rs2] && x[rs1 + 1] === x[rs2 + 1]) {
            next = at + immediate;
          }
          break;
        case Op.BNE:
          if (x[rs1] !== x[rs2] || x[rs1 + 1] !== x[rs2 + 1]) {
            next = at + immediate;
          }
          break;
        case Op.BLT:
          if (lessSigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BGE:
          if (!lessSigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BLTU:
          if (lessUnsigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BGEU:
          if (!lessUnsigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;

        case Op.LB:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadb(low, high);
          if (result === OK) {
            putSigned(x, rd, (port.byte[0]! << 24) >> 24);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LBU:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadb(low, high);
          if (result === OK) {
            putUnsigned(x, rd, port.byte[0]!);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LH:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadw(low, high);
          if (result === OK) {
            putSigned(x, rd, (port.word[0]! << 16) >> 16);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LHU:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadw(low, high);
          if (result === OK) {
            putUnsigned(x, rd, port.word[0]!);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LW:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadl(low, high);
          if (result === OK) {
            putSigned(x, rd, port.long[0]! | 0);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LWU:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadl(low, high);
          if (result === OK) {
            putUnsigned(x, rd, port.long[0]!);
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;
        case Op.LD:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.loadq(low, high);
          if (result === OK) {
            x[rd] = port.halves[0]!;
            x[rd + 1] = port.halves[1]!;
          } else {
            next = this.loadFault(result, at, low, high);
          }
          break;

        case Op.SB:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.storeb(low, high, x[rs2]!);
          if (result !== OK) {
            next = this.storeFault(result, at, low, high);
          }
          break;
        case Op.SH:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.storew(low, high, x[rs2]!);
          if (result !== OK) {
            next = this.storeFault(result, at, low, high);
          }
          break;
        case Op.SW:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.storel(low, high, x[rs2]!);
          if (result !== OK) {
            next = this.storeFault(result, at, low, high);
          }
          break;
        case Op.SD:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          result = port.storeq(low, high, x[rs2]!, x[rs2 + 1]!);
          if (result !== OK) {
            next = this.storeFault(result, at, low, high);
          }
          break;

        case Op.ADDI:
          low = (x[rs1]! + immediate) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, low);
          x[rd] = low;
          x[rd + 1] = high;
          break;
        case Op.SLTI:
          putUnsigned(x, rd, lessSigned(x[rs1]!, x[rs1 + 1]!, immediate, immediate >> 31) ? 1 : 0);
          break;
        case Op.SLTIU:
          putUnsigned(
            x,
            rd,
            lessUnsigned(x[rs1]!, x[rs1 + 1]!, immediate, immediate >> 31) ? 1 : 0,
          );
          break;
        case Op.XORI:
          x[rd] = x[rs1]! ^ immediate;
          x[rd + 1] = x[rs1 + 1]! ^ (immediate >> 31);
          break;
        case Op.ORI:
          x[rd] = x[rs1]! | immediate;
          x[rd + 1] = x[rs1 + 1]! | (immediate >> 31);
          break;
        case Op.ANDI:
          x[rd] = x[rs1]! & immediate;
          x[rd + 1] = x[rs1 + 1]! & (immediate >> 31);
          break;
        case Op.SLLI:
          shiftLeft(x, rd, rs1, immediate);
          break;
        case Op.SRLI:
          shiftRightLogical(x, rd, rs1, immediate);
          break;
        case Op.SRAI:
          shiftRightArithmetic(x, rd, rs1, immediate);
          break;

        case Op.ADD:
          low = (x[rs1]! + x[rs2]!) | 0;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, x[rs2 + 1]!, low);
          x[rd] = low;
          x[rd + 1] = high;
          break;
        case Op.SUB:
          low = (x[rs1]! - x[rs2]!) | 0;
          high = x[rs1 + 1]! - x[rs2 + 1]! - (x[rs1]! >>> 0 < x[rs2]! >>> 0 ? 1 : 0);
          x[rd] = low;
          x[rd + 1] = high;
          break;
        case Op.SLL:
          shiftLeft(x, rd, rs1, x[rs2]! & 63);
          break;
        case Op.SLT:
          putUnsigned(x, rd, lessSigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!) ? 1 : 0);
          break;
        case Op.SLTU:
          putUnsigned(x, rd, lessUnsigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!) ? 1 : 0);
          break;
        case Op.XOR:
          x[rd] = x[rs1]! ^ x[rs2]!;
          x[rd + 1] = x[rs1 + 1]! ^ x[rs2 + 1]!;
          break;
        case Op.SRL:
          shiftRightLogical(x, rd, rs1, x[rs2]! & 63);
          break;
        case Op.SRA:
          shiftRightArithmetic(x, rd, rs1, x[rs2]! & 63);
          break;
        case Op.OR:
          x[rd] = x[rs1]! | x[rs2]!;
          x[rd + 1] = x[rs1 + 1]! | x[rs2 + 1]!;
          break;
        case Op.AND:
          x[rd] = x[rs1]! & x[rs2]!;
          x[rd + 1] = x[rs1 + 1]! & x[rs2 + 1]!;
          break;

        case Op.ADDIW:
          putSigned(x, rd, (x[rs1]! + immediate) | 0);
          break;
        case Op.SLLIW:
          putSigned(x, rd, x[rs1]! << immediate);
          break;
        case Op.SRLIW:
          putSigned(x, rd, (x[rs1]! >>> immediate) | 0);
          break;
        case Op.SRAIW:
          putSigned(x, rd, x[rs1]! >> immediate);
          break;
        case Op.ADDW:
          putSigned(x, rd, (x[rs1]! + x[rs2]!) | 0);
          break;
        case Op.SUBW:
          putSigned(x, rd, (x[rs1]! - x[rs2]!) | 0);
          break;
        // JavaScript uses the shift count modulo 32, as RISC-V does here.
        case Op.SLLW:
          putSigned(x, rd, x[rs1]! << x[rs2]!);
          break;
        case Op.SRLW:
          putSigned(x, rd, (x[rs1]! >>> x[rs2]!) | 0);
          break;
        case Op.SRAW:
          putSigned(x, rd, x[rs1]! >> x[rs2]!);
          break;

        case Op.MUL:
          multiply(x, rd, rs1, rs2);
          break;
        case Op.MULH:
          multiplyHigh(x, rd, rs1, rs2, true, true);
          break;
        case Op.MULHSU:
          multiplyHigh(x, rd, rs1, rs2, true, false);
          break;
        case Op.MULHU:
          multiplyHigh(x, rd, rs1, rs2, false, false);
          break;
        case Op.DIV:
          divide(x, rd, rs1, rs2, true, false);
          break;
        case Op.DIVU:
          divide(x, rd, rs1, rs2, false, false);
          break;
        case Op.REM:
          divide(x, rd, rs1, rs2, true, true);
          break;
        case Op.REMU:
          divide(x, rd, rs1, rs2, false, true);
          break;
        case Op.MULW:
          putSigned(x, rd, Math.imul(x[rs1]!, x[rs2]!));
          break;
        case Op.DIVW:
          divideWords(x, rd, rs1, rs2, true, false);
          break;
        case Op.DIVUW:
          divideWords(x, rd, rs1, rs2, false, false);
          break;
        case Op.REMW:
          divideWords(x, rd, rs1, rs2, true, true);
          break;
        case Op.REMUW:
          divideWords(x, rd, rs1, rs2, false, true);
          break;

        case Op.FENCE:
        case Op.WFI:
          // A single hart sees its own accesses in order, and WFI may return at once.
          break;
        case Op.FENCE_I:
          this.forgetCode();
          break;
        case Op.ECALL:
          next = this.trap(MACHINE_ECALL, at, 0, 0);
          break;
        case Op.EBREAK:
          next = this.trap(BREAKPOINT, at, this.base + at, 0);
          break;
        case Op.MRET:
          next = this.place(this.csrs.leave());
          this.attention = true;
          break;

        case Op.CSRRW:
        case Op.CSRRS:
        case Op.CSRRC:
        case Op.CSRRWI:
        case Op.CSRRSI:
        case Op.CSRRCI:
          next = this.accessCsr(immediate, rd, at);
          break;

        default:
          next = this.trap(ILLEGAL_INSTRUCTION, at, immediate, 0);
      }
      // Only a jump or branch can be misaligned. One that trapped continues at an aligned address.
      if ((next & 2) !== 0) {
        next = this.misalignedJump(at, next);
      }
      at = next;
    }
    this.left = left;
    this.at = at;
  }

  /**
   * Decodes the instruction at an offset. Instructions outside the code range are decoded into the
   * last entry each time they run.
   *
   * @returns The index in the code; -1 if the fetch trapped, which has changed {@link Cpu.at}, or
   *   if there is a breakpoint.
   */
  private fetch(at: number): number {
    const pc = this.base + at;
    if (this.breakpoints.size > 0 && this.breakpoints.has(this.pcAt(at))) {
      this.at = at;
      this.atBreakpoint = true;
      this.attention = true;
      // The loop has counted the instruction already.
      this.sliceEnd--;
      return -1;
    }
    const inReach = this.farPc === null && pc >= 0 && pc < TWO_32;
    const result = inReach ? this.port.loadl(pc | 0, 0) : FAULT_BOUNDARY;
    if (result !== OK) {
      this.at = this.fault(result, INSTRUCTION_FAULT, INSTRUCTION_MISALIGNED, at, this.pcAt(at));
      return -1;
    }
    const inRange = at >>> 0 < this.size;
    const index = inRange ? at >>> 1 : this.size / 2;
    if (inRange) {
      this.decodedPages.add(at >>> PAGE_SHIFT);
    }
    decode(this.port.long[0]! | 0, pc, this.code, index);
    return index;
  }

  /** `fence.i`: discards all decoded instructions. */
  forgetCode(): void {
    const words = 2 ** (PAGE_SHIFT - 1);
    for (const page of this.decodedPages) {
      this.code.fill(0, page * words, (page + 1) * words);
    }
    this.decodedPages.clear();
  }

  private loadFault(result: GuestMemAccessResult, at: number, low: number, high: number): number {
    return this.fault(result, LOAD_FAULT, LOAD_MISALIGNED, at, address(low, high));
  }

  private storeFault(result: GuestMemAccessResult, at: number, low: number, high: number): number {
    return this.fault(result, STORE_FAULT, STORE_MISALIGNED, at, address(low, high));
  }

  /** Raises the guest exception for the result code of a failed access. */
  private fault(
    result: GuestMemAccessResult,
    outside: number,
    misaligned: number,
    at: number,
    gpa: bigint,
  ): number {
    switch (result) {
      case FAULT_BOUNDARY:
        return this.enterTrap(outside, at, gpa);
      case FAULT_UNALIGNED:
        return this.enterTrap(misaligned, at, gpa);
      default:
        throw new Error(`guest memory failed: ${resultName(result)} at 0x${gpa.toString(16)}`);
    }
  }

  private misalignedJump(at: number, next: number): number {
    const target = BigInt.asUintN(64, BigInt(this.base + next));
    return this.enterTrap(INSTRUCTION_MISALIGNED, at, target);
  }

  /** Raises an exception at the instruction at `at`. @returns the offset of the handler. */
  private trap(cause: number, at: number, tvalLow: number, tvalHigh: number): number {
    return this.enterTrap(cause, at, address(tvalLow, tvalHigh));
  }

  private enterTrap(cause: number, at: number, tval: bigint): number {
    this.exceptions++;
    this.attention = true;
    return this.place(this.csrs.enterException(cause, this.pcAt(at), tval));
  }

  /** Enters the handler of an interrupt that is pending and enabled. */
  private takeInterrupt(): void {
    const taken = this.pending & this.csrs.enabledInterrupts;
    if (taken !== 0) {
      const software = (taken & (1 << SOFTWARE_INTERRUPT)) !== 0;
      const cause = software ? SOFTWARE_INTERRUPT : TIMER_INTERRUPT;
      this.pc = this.csrs.enterInterrupt(cause, this.pc);
    }
  }

  /** CSRRW, CSRRS, CSRRC and their immediate forms. @returns the offset to continue at. */
  private accessCsr(instruction: number, rd: number, at: number): number {
    const funct3 = (instruction >>> 12) & 7;
    const csr = instruction >>> 20;
    const source = (instruction >>> 15) & 31;
    const before = this.csrs.read(csr);
    if (before === undefined) {
      return this.trap(ILLEGAL_INSTRUCTION, at, instruction, 0);
    }
    const operand =
      funct3 >= 4 ? BigInt(source) : address(this.x[2 * source]!, this.x[2 * source + 1]!);
    const swap = (funct3 & 3) === 1;
    const after = swap ? operand : (funct3 & 3) === 2 ? before | operand : before & ~operand;
    // CSRRS and CSRRC with register 0 only read, which read-only registers allow.
    if ((swap || source !== 0) && !this.csrs.write(csr, after)) {
      return this.trap(ILLEGAL_INSTRUCTION, at, instruction, 0);
    }
    this.x[rd] = Number(BigInt.asIntN(32, before));
    this.x[rd + 1] = Number(BigInt.asIntN(32, before >> 32n));
    this.attention = true;
    return at + 4;
  }

  /** The offset of an address, in the unit of {@link Cpu.at}. */
  private place(pc: bigint): number {
    if (pc < TWO_32) {
      this.farPc = null;
      return Number(pc) - this.base;
    }
    this.farPc = pc;
    // This is outside the code range, so that fetch looks at farPc.
    return this.size;
  }

  private pcAt(at: number): bigint {
    return this.farPc ?? BigInt.asUintN(64, BigInt(this.base + at));
  }
}
