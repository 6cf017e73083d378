import { type AddressSpace, GuestMemAccessResult, resultName } from "pound-guest-memory";
import { AccessKind } from "./access-kind.js";
import { AddressRules } from "./address-rules.js";
import { AtomicUnit, LOAD_RESERVED } from "./atomic-unit.js";
import { type BlockHart, Blocks, COUNTERS, USUAL_JUMPS } from "./blocks/blocks.js";
import { CODE_PAGE, CodeCache, type CodeGuarder } from "./code-cache.js";
import { Csrs, SOFTWARE_INTERRUPT, TIMER_INTERRUPT } from "./csr.js";
import { lengthOf, Op } from "./decode.js";
import { Fetcher } from "./fetcher.js";
import { type CodeRange, type Hart, hashRegisters } from "./hart.js";
import type { Mode } from "./mode.js";
import { Pmp } from "./pmp.js";
import { address, type HartMemory, Port } from "./port.js";
import { PrivilegedCsrs, type PrivilegedHartState } from "./privileged-csr.js";
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
/** `ecall` in user mode. Those of the other modes are at this plus the number of the mode. */
const USER_ECALL = 8;

/** The value of `at` for an address that has to be looked up: {@link Cpu.target}. */
const ELSEWHERE = -0x8000_0000;
/** The most instructions between two checks of the timer and the interrupts. */
const SLICE = 2 ** 14;

/** What a hart of RV64IMAC with three privilege modes needs. */
export interface FullHart {
  readonly space: AddressSpace;
  readonly path: "view" | "native";
  readonly guarder: CodeGuarder;
}

/**
 * A RISC-V hart: RV64IM with Zicsr and Zifencei in machine mode, or RV64IMAC with machine,
 * supervisor and user mode.
 *
 * Instructions in the code range are decoded once. A hart of the first kind decodes them again
 * after `fence.i`, as RISC-V allows. One of the second kind does so after each change of their
 * page.
 *
 * Time is counted in instructions, so that every run of a program is the same.
 */
export class Cpu implements Hart, PrivilegedHartState, BlockHart {
  /** The registers, in the layout of `wide.ts`, and after them a slot for writes to register 0. */
  readonly x = new Int32Array(2 * 33);
  readonly csrs: Csrs;
  /** The {@link Cpu.time} from which on the timer interrupt is pending. */
  private alarm = Infinity;
  /** The other interrupts that devices have made pending, as bits of mip. */
  private lines = 0;

  private readonly port: Port;
  private readonly fetcher: Fetcher;
  private readonly blocks: Blocks;
  private readonly atomics: AtomicUnit | null;
  private readonly rules: AddressRules | null;
  /** The bit of the target of a branch, which is even, that must not be set; 0 for none. */
  private readonly unaligned: number;

  /** The program counter, in bytes from the current page of {@link Cpu.fetcher}. */
  private at = ELSEWHERE;
  /** The program counter, in halves, if {@link Cpu.at} is {@link ELSEWHERE}. */
  private targetLow = 0;
  private targetHigh = 0;
  /** Whether the current instruction may have changed what may be fetched. */
  private rulesChanged = false;
  /** Whether to leave the loop, since interrupts or the power switch may have changed. */
  attention = false;
  private stopped = false;
  /** Whether the hart waits for an interrupt, after `wfi`. */
  private waiting = false;

  /** The time at which the current slice ends, and the number of instructions until then. */
  private sliceEnd = 0;
  left = 0;
  /** The time in which no instruction completed: exceptions, and waiting. */
  private lost = 0;

  /**
   * @param full - Makes the hart one of RV64IMAC with three privilege modes.
   * @param compileAfter - The jumps to an instruction after which the code there is compiled to
   *   JavaScript, less than 65536; 0 for never.
   */
  constructor(
    memory: HartMemory,
    range: CodeRange,
    full: FullHart | null = null,
    compileAfter = USUAL_JUMPS,
  ) {
    if (full === null) {
      this.csrs = new Csrs(this);
      this.rules = null;
      this.atomics = null;
      this.port = new Port(memory, null, null);
    } else {
      const { space, path } = full;
      const pmp = new Pmp();
      const rules = new AddressRules(space, pmp);
      this.csrs = new PrivilegedCsrs(this, pmp, rules);
      this.rules = rules;
      this.atomics = new AtomicUnit(path === "view" ? space.atomics : space.native.atomics);
      this.port = new Port(memory, rules, path === "view" ? rules.mmu : rules.mmu.native);
    }
    this.unaligned = full === null ? 2 : 0;
    const cache = new CodeCache(range, full?.guarder ?? null);
    this.fetcher = new Fetcher(this.port, cache, this.rules, full !== null);
    this.blocks = new Blocks(
      this,
      memory,
      this.port,
      this.fetcher,
      this.unaligned,
      compileAfter,
      () => (this.attention = true),
    );
    cache.listener = this.blocks;
  }

  get time(): number {
    return this.sliceEnd - this.left;
  }

  get retired(): number {
    return this.time - this.lost;
  }

  get pending(): number {
    const timer = this.time >= this.alarm ? 1 << TIMER_INTERRUPT : 0;
    return timer | this.lines;
  }

  get pc(): bigint {
    return this.pcAt(this.at);
  }

  /** Continues at another address. */
  set pc(value: bigint) {
    this.at = this.goTo(value);
  }

  /** Sets the time from which on the timer interrupt is pending. */
  setAlarm(time: number): void {
    this.alarm = time;
    this.attention = true;
  }

  setSoftwareInterrupt(pending: boolean): void {
    this.setInterrupt(SOFTWARE_INTERRUPT, pending);
  }

  /** Sets whether an interrupt is pending, given its bit number in mip. */
  setInterrupt(number: number, pending: boolean): void {
    this.lines = (this.lines & ~(1 << number)) | (pending ? 1 << number : 0);
    this.attention = true;
  }

  changeMode(dataMode: Mode, sum: boolean, mxr: boolean): void {
    this.rules!.select(dataMode, sum, mxr);
    this.port.changeMode(dataMode);
    this.rulesChanged = true;
    this.attention = true;
  }

  /** Finds the page of an address for a debugger; null if all addresses are physical. */
  get probe(): ((va: bigint) => ReturnType<AddressRules["probe"]>) | null {
    const { rules } = this;
    return rules && ((va) => rules.probe(va, this.csrs.mode));
  }

  changeRules(): void {
    this.fetcher.changeRules();
  }

  stop(): void {
    this.stopped = true;
    this.attention = true;
  }

  /** Sets the addresses of the instructions before which {@link Cpu.run} returns. */
  setBreakpoints(addresses: ReadonlySet<bigint>): void {
    this.fetcher.setBreakpoints(addresses);
  }

  /** The state, except that a load has reserved an address for a conditional store. */
  save() {
    const { x, alarm, lines, pc, waiting, time, lost } = this;
    return { x, csrs: this.csrs.save(), own: { alarm, lines, waiting, lost }, pc, time };
  }

  restore({ x, csrs, own, pc, time }: ReturnType<Cpu["save"]>): void {
    this.x.set(x);
    Object.assign(this, own);
    this.sliceEnd = time;
    this.left = 0;
    this.csrs.restore(csrs);
    this.pc = pc;
  }

  run(limit: number): boolean {
    const end = this.time + limit;
    this.fetcher.atBreakpoint = false;
    while (!this.stopped && !this.fetcher.atBreakpoint && this.time < end) {
      if (this.waiting) {
        this.wait(end);
        continue;
      }
      this.attention = false;
      this.takeInterrupt();
      const toAlarm = this.alarm > this.time ? this.alarm - this.time : SLICE;
      this.execute(Math.min(end - this.time, toAlarm, SLICE));
    }
    return !this.stopped;
  }

  setRegister(number: number, value: bigint): void {
    if (number !== 0) {
      this.putWide(2 * number, value);
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
    const { x, port, fetcher, unaligned, blocks } = this;
    const { code } = fetcher.cache;
    const { jumps: counters, after } = blocks;
    let { pageLow, pageHigh, slot } = fetcher;
    this.sliceEnd = this.time + count;
    let at = this.at;
    let left = count;
    /** The offset after the last instruction, if that neither jumps nor ends compiled code. */
    let following = -1;
    /** The function that was left by the jump to the current instruction; -1 for none. */
    let from = -1;
    let low: number;
    let high: number;
    let result: GuestMemAccessResult;

    while (left > 0 && !this.attention) {
      // Devices read the time, which depends on this.
      this.left = left;
      left--;

      if (at >>> 0 >= CODE_PAGE) {
        at = this.turnPage(at);
        ({ pageLow, pageHigh, slot } = fetcher);
      }
      let entry = slot + at;
      if (code[entry] === 0) {
        entry = fetcher.fetch(at, this.csrs.mode);
        if (entry < 0) {
          at = this.fetchFault(at);
          continue;
        }
      }
      let word = code[entry]!;
      if ((word & 0xff) === (Op.COMPILED as number)) {
        const block = blocks.list[word >>> 8]!;
        if (block.least <= left + 1) {
          at = block.run(left + 1);
          left = this.left;
          following = -1;
          from = word >>> 8;
          continue;
        }
        word = block.word;
      } else if (at !== following) {
        // This is not a method of `blocks`, since V8 inlines only so much into this function.
        const counter = (entry >>> 1) % COUNTERS;
        const jumps = counters[counter]! + 1;
        counters[counter] = jumps;
        if (jumps === after && blocks.compile(at, from)) {
          left++;
          continue;
        }
        from = -1;
      }
      const immediate = code[entry + 1]!;
      const rd = (word >>> 8) & 0xfe;
      const rs1 = (word >>> 16) & 0xff;
      const rs2 = word >>> 24;
      following = at + lengthOf(word);
      let next = following;

      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- decode wrote an Op
      switch ((word & 0xff) as Op) {
        case Op.LUI:
          x[rd] = immediate;
          x[rd + 1] = immediate >> 31;
          break;
        case Op.AUIPC:
          low = (pageLow + at + immediate) | 0;
          x[rd + 1] = sumHigh(pageLow + at, pageHigh, immediate >> 31, low);
          x[rd] = low;
          break;

        case Op.JAL:
          low = next;
          next = at + immediate;
          if ((next & unaligned) === 0) {
            link(x, rd, pageLow, pageHigh, low);
          }
          break;
        case Op.JALR:
          low = (x[rs1]! + immediate) & ~1;
          high = sumHigh(x[rs1]!, x[rs1 + 1]!, immediate >> 31, (x[rs1]! + immediate) | 0);
          if ((low & unaligned) !== 0) {
            next = this.jumpFault(at, low, high);
          } else {
            link(x, rd, pageLow, pageHigh, next);
            next = this.offsetOf(low, high);
          }
          break;
        case Op.BEQ:
          following = -1;
          if (x[rs1] === x[rs2] && x[rs1 + 1] === x[rs2 + 1]) {
            next = at + immediate;
          }
          break;
        case Op.BNE:
          following = -1;
          if (x[rs1] !== x[rs2] || x[rs1 + 1] !== x[rs2 + 1]) {
            next = at + immediate;
          }
          break;
        case Op.BLT:
          following = -1;
          if (lessSigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BGE:
          following = -1;
          if (!lessSigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BLTU:
          following = -1;
          if (lessUnsigned(x[rs1]!, x[rs1 + 1]!, x[rs2]!, x[rs2 + 1]!)) {
            next = at + immediate;
          }
          break;
        case Op.BGEU:
          following = -1;
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
          // A single hart sees its own accesses in order.
          break;
        case Op.FENCE_I:
          fetcher.cache.synchronize();
          break;
        case Op.ECALL:
          next = this.trap(USER_ECALL + this.csrs.mode, at, 0, 0);
          break;
        case Op.EBREAK:
          next = this.trap(BREAKPOINT, at, pageLow + at, pageHigh);
          break;
        case Op.MRET:
        case Op.SRET:
        case Op.SFENCE_VMA:
        case Op.WFI:
          next = this.privileged(immediate, at, next);
          break;
        case Op.ATOMIC:
          next = this.atomic(immediate, rd, rs1, rs2, at);
          following = -1;
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
          next = this.illegal(immediate, at);
      }
      // Only a jump or branch can be misaligned. One that trapped continues at an aligned address.
      if ((next & unaligned) !== 0) {
        next = this.misalignedJump(at, next);
      }
      at = next;
    }
    this.left = left;
    this.at = at;
  }

  /**
   * Makes the page with the program counter the current page of code.
   *
   * @param from - The program counter, as {@link Cpu.at}.
   * @returns The offset in the page.
   */
  private turnPage(from: number): number {
    const { fetcher } = this;
    let low = this.targetLow;
    let high = this.targetHigh;
    if (from !== ELSEWHERE) {
      low = (fetcher.pageLow + from) | 0;
      high = sumHigh(fetcher.pageLow, fetcher.pageHigh, from >> 31, low);
    }
    return fetcher.turnTo(low, high, this.csrs.mode);
  }

  /** Raises the exception for a fetch that failed, or stops the run at a breakpoint. */
  private fetchFault(at: number): number {
    const { atBreakpoint, result, failedAt } = this.fetcher;
    if (atBreakpoint) {
      this.attention = true;
      // The loop has counted the instruction already.
      this.sliceEnd--;
      return at;
    }
    return this.fault(result, INSTRUCTION_FAULT, INSTRUCTION_MISALIGNED, at, failedAt);
  }

  loadFault(result: GuestMemAccessResult, at: number, low: number, high: number): number {
    return this.fault(result, LOAD_FAULT, LOAD_MISALIGNED, at, address(low, high));
  }

  storeFault(result: GuestMemAccessResult, at: number, low: number, high: number): number {
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
    const refusal = this.rules?.takeRefusal() ?? null;
    if (refusal !== null) {
      return this.enterTrap(refusal.cause, at, refusal.va);
    }
    switch (result) {
      case FAULT_BOUNDARY:
        return this.enterTrap(outside, at, gpa);
      case FAULT_UNALIGNED:
        return this.enterTrap(misaligned, at, gpa);
      default:
        throw new Error(`guest memory failed: ${resultName(result)} at 0x${gpa.toString(16)}`);
    }
  }

  jumpFault(at: number, low: number, high: number): number {
    return this.trap(INSTRUCTION_MISALIGNED, at, low, high);
  }

  private misalignedJump(at: number, next: number): number {
    return this.enterTrap(INSTRUCTION_MISALIGNED, at, this.pcAt(next));
  }

  /** Raises an exception at the instruction at `at`. @returns {@link ELSEWHERE} */
  private trap(cause: number, at: number, tvalLow: number, tvalHigh: number): number {
    return this.enterTrap(cause, at, address(tvalLow, tvalHigh));
  }

  private illegal(instruction: number, at: number): number {
    return this.trap(ILLEGAL_INSTRUCTION, at, instruction, 0);
  }

  private enterTrap(cause: number, at: number, tval: bigint): number {
    this.lost++;
    this.attention = true;
    return this.goTo(this.csrs.enterException(cause, this.pcAt(at), tval));
  }

  /** Enters the handler of an interrupt that is pending and enabled. */
  private takeInterrupt(): void {
    const cause = this.csrs.nextInterrupt();
    if (cause >= 0) {
      this.pc = this.csrs.enterInterrupt(cause, this.pc);
    }
  }

  /** Lets the time pass until an interrupt is pending, or until `end`. */
  private wait(end: number): void {
    if (this.csrs.wakes) {
      this.waiting = false;
      return;
    }
    const { time } = this;
    const until = this.alarm > time ? Math.min(this.alarm, end) : end;
    this.sliceEnd += until - time;
    this.lost += until - time;
  }

  /** MRET, SRET, SFENCE.VMA and WFI. @returns the offset to continue at. */
  private privileged(instruction: number, at: number, next: number): number {
    const { csrs } = this;
    switch (instruction) {
      case 0x3020_0073:
      case 0x1020_0073: {
        const pc = instruction === 0x3020_0073 ? csrs.leave() : csrs.leaveSupervisor();
        this.attention = true;
        return pc === null ? this.illegal(instruction, at) : this.goTo(pc);
      }
      case 0x1050_0073:
        if (!csrs.mayWait()) {
          return this.illegal(instruction, at);
        }
        // Without the rules, it returns at once, which is allowed.
        this.waiting = this.rules !== null;
        this.attention = true;
        return next;
      default:
        if (!csrs.mayFence()) {
          return this.illegal(instruction, at);
        }
        this.fence((instruction >>> 15) & 31, (instruction >>> 20) & 31);
        return this.goTo(this.pcAt(next));
    }
  }

  /** `sfence.vma`. */
  private fence(rs1: number, rs2: number): void {
    const value = (number: number) => (number === 0 ? undefined : this.register(number));
    this.rules?.flush(value(rs1), value(rs2));
    this.fetcher.changeRules();
  }

  /** An operation of RV64A. @returns the offset to continue at. */
  private atomic(instruction: number, rd: number, rs1: number, rs2: number, at: number): number {
    const { atomics, port, x } = this;
    if (atomics === null) {
      return this.illegal(instruction, at);
    }
    const [low, high] = [x[rs1]!, x[rs1 + 1]!];
    const width = ((instruction >>> 12) & 7) === 2 ? 4 : 8;
    const loads = instruction >>> 27 === LOAD_RESERVED;
    const kind = loads ? AccessKind.READ : AccessKind.WRITE;
    const isAligned = (low & (width - 1)) === 0;
    const gpa = isAligned ? port.resolve(low, high, width, kind) : null;
    const result =
      gpa !== null
        ? atomics.execute(instruction, gpa, address(x[rs2]!, x[rs2 + 1]!))
        : isAligned
          ? FAULT_BOUNDARY
          : FAULT_UNALIGNED;
    if (result !== OK) {
      return loads ? this.loadFault(result, at, low, high) : this.storeFault(result, at, low, high);
    }
    this.putWide(rd, atomics.value);
    return at + 4;
  }

  private putWide(rd: number, value: bigint): void {
    this.x[rd] = Number(BigInt.asIntN(32, value));
    this.x[rd + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }

  /** CSRRW, CSRRS, CSRRC and their immediate forms. @returns the offset to continue at. */
  private accessCsr(instruction: number, rd: number, at: number): number {
    const funct3 = (instruction >>> 12) & 7;
    const csr = instruction >>> 20;
    const source = (instruction >>> 15) & 31;
    const before = this.csrs.permits(csr) ? this.csrs.read(csr) : undefined;
    if (before === undefined) {
      return this.illegal(instruction, at);
    }
    const operand =
      funct3 >= 4 ? BigInt(source) : address(this.x[2 * source]!, this.x[2 * source + 1]!);
    const swap = (funct3 & 3) === 1;
    const base = this.csrs.changed(csr, before);
    const after = swap ? operand : (funct3 & 3) === 2 ? base | operand : base & ~operand;
    // CSRRS and CSRRC with register 0 only read, which read-only registers allow.
    this.rulesChanged = false;
    if (swap || source !== 0) {
      if (!this.csrs.write(csr, after)) {
        return this.illegal(instruction, at);
      }
      this.attention = true;
    }
    this.putWide(rd, before);
    return this.rulesChanged ? this.goTo(this.pcAt(at + 4)) : at + 4;
  }

  /** Continues at any address. @returns {@link ELSEWHERE} */
  private goTo(pc: bigint): number {
    return this.goToHalves(Number(BigInt.asIntN(32, pc)), Number(BigInt.asIntN(32, pc >> 32n)));
  }

  /** The offset of an address in the current page; if it is in another, {@link ELSEWHERE}. */
  offsetOf(low: number, high: number): number {
    const { pageLow, pageHigh } = this.fetcher;
    return high === pageHigh && (low - pageLow) >>> 0 < CODE_PAGE
      ? low - pageLow
      : this.goToHalves(low, high);
  }

  private goToHalves(low: number, high: number): number {
    this.targetLow = low;
    this.targetHigh = high;
    return ELSEWHERE;
  }

  /** The address at an offset from the current page. */
  private pcAt(at: number): bigint {
    return at === ELSEWHERE ? address(this.targetLow, this.targetHigh) : this.fetcher.addressAt(at);
  }
}

/**
 * Puts the address at an offset from the page of code, which is at most its size, into a register.
 */
function link(x: Int32Array, rd: number, pageLow: number, pageHigh: number, at: number): void {
  const low = (pageLow + at) | 0;
  x[rd] = low;
  x[rd + 1] = sumHigh(pageLow, pageHigh, 0, low);
}
