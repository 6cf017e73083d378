import { Op } from "../decode.js";
import { NUMBER_HIGH } from "../port.js";
import { type Instruction, isBranch } from "./region.js";

/**
 * The registers, by number as bits, that hold a 32-bit value with its sign extended. The high half
 * of such a register need not be known to use it.
 */
export type Extended = number;

/** Register 0 always has such a value. */
export const NONE_EXTENDED: Extended = 1;

const low = (register: number) => (register === 0 ? "0" : `a${register}`);
const isExtended = (register: number, extended: Extended) => ((extended >>> register) & 1) !== 0;

function high(register: number, extended: Extended): string {
  if (register === 0) {
    return "0";
  }
  return isExtended(register, extended) ? `(a${register} >> 31)` : `b${register}`;
}

/** Both halves of a register, as arguments of a template below. */
type Halves = readonly [low: string, high: string];

/** The instructions whose result has 32 bits, with its sign extended, in terms of the low halves. */
const WORD: Partial<Record<Op, (a: string, b: string) => string>> = {
  [Op.ADDIW]: (a, b) => `(${a} + ${b}) | 0`,
  [Op.SLLIW]: (a, b) => `${a} << ${b}`,
  [Op.SRLIW]: (a, b) => `(${a} >>> ${b}) | 0`,
  [Op.SRAIW]: (a, b) => `${a} >> ${b}`,
  [Op.ADDW]: (a, b) => `(${a} + ${b}) | 0`,
  [Op.SUBW]: (a, b) => `(${a} - ${b}) | 0`,
  [Op.SLLW]: (a, b) => `${a} << ${b}`,
  [Op.SRLW]: (a, b) => `(${a} >>> ${b}) | 0`,
  [Op.SRAW]: (a, b) => `${a} >> ${b}`,
  [Op.MULW]: (a, b) => `Math.imul(${a}, ${b})`,
  [Op.DIVW]: (a, b) => `${b} === 0 ? -1 : (${a} / ${b}) | 0`,
  [Op.DIVUW]: (a, b) => `${b} === 0 ? -1 : ((${a} >>> 0) / (${b} >>> 0)) | 0`,
  [Op.REMW]: (a, b) => `${b} === 0 ? ${a} : (${a} % ${b}) | 0`,
  [Op.REMUW]: (a, b) => `${b} === 0 ? ${a} : ((${a} >>> 0) % (${b} >>> 0)) | 0`,
};

const BITWISE: Partial<Record<Op, string>> = {
  [Op.XORI]: "^",
  [Op.ORI]: "|",
  [Op.ANDI]: "&",
  [Op.XOR]: "^",
  [Op.OR]: "|",
  [Op.AND]: "&",
};

/** The condition of a branch, and that of SLT and its kind. */
function condition(op: Op, a: Halves, b: Halves, areExtended: boolean): string {
  const unsigned = ([one, other]: readonly [string, string]) => `${one} >>> 0 < ${other} >>> 0`;
  switch (op) {
    case Op.BEQ:
      return areExtended ? `${a[0]} === ${b[0]}` : `${a[0]} === ${b[0]} && ${a[1]} === ${b[1]}`;
    case Op.BNE:
      return areExtended ? `${a[0]} !== ${b[0]}` : `${a[0]} !== ${b[0]} || ${a[1]} !== ${b[1]}`;
    case Op.BLT:
    case Op.SLT:
    case Op.SLTI:
      return areExtended
        ? `${a[0]} < ${b[0]}`
        : `(${a[1]} === ${b[1]} ? ${unsigned([a[0], b[0]])} : ${a[1]} < ${b[1]})`;
    case Op.BLTU:
    case Op.SLTU:
    case Op.SLTIU:
      // The order of 32-bit values is that of their sign extensions.
      return areExtended
        ? unsigned([a[0], b[0]])
        : `(${a[1]} === ${b[1]} ? ${unsigned([a[0], b[0]])} : ${unsigned([a[1], b[1]])})`;
    case Op.BGE:
      return `!(${condition(Op.BLT, a, b, areExtended)})`;
    default:
      return `!(${condition(Op.BLTU, a, b, areExtended)})`;
  }
}

/** The condition under which a branch is taken. */
export function branchCondition({ op, rs1, rs2 }: Instruction, extended: Extended): string {
  return condition(
    op,
    [low(rs1), high(rs1, extended)],
    [low(rs2), high(rs2, extended)],
    isExtended(rs1, extended) && isExtended(rs2, extended),
  );
}

/** Puts the address of a load, a store or `jalr` into the variables `t` and `u`. */
export function addressOf({ rs1, immediate }: Instruction, extended: Extended): string {
  return sum([low(rs1), high(rs1, extended)], constant(immediate));
}

function constant(value: number): Halves {
  return [`${value}`, `${value >> 31}`];
}

/** Puts a sum into the variables `t` and `u`. */
function sum(a: Halves, b: Halves): string {
  if (b[0] === "0" && b[1] === "0") {
    return `t = ${a[0]}; u = ${a[1]};`;
  }
  if (a[0] === "0" && a[1] === "0") {
    return `t = ${b[0]}; u = ${b[1]};`;
  }
  return `t = (${a[0]} + ${b[0]}) | 0; u = (${a[1]} + ${b[1]} + (t >>> 0 < ${a[0]} >>> 0 ? 1 : 0)) | 0;`;
}

/** The sum of an offset in the current page and a multiple of its size, in `t` and `u`. */
function fromPage(offset: number, immediate: number): string {
  return `t = (pageLow + ${offset + immediate}) | 0; u = (pageHigh + ${immediate >> 31} + (t >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0;`;
}

/** Puts the address after a jump into its register. */
export function link({ next, rd }: Instruction): string {
  // The offset can be the size of the page.
  return rd === 0
    ? ""
    : `t = (pageLow + ${next}) | 0; u = (pageHigh + (t >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0; ${put(rd)}`;
}

/** Puts `t` and `u` into a register. */
function put(rd: number): string {
  return `a${rd} = t; b${rd} = u;`;
}

function shift(op: Op, [aLow, aHigh]: Halves, by: number): string {
  if (by === 0) {
    return `t = ${aLow}; u = ${aHigh};`;
  }
  const rest = 32 - by;
  switch (op) {
    case Op.SLLI:
      return by >= 32
        ? `t = 0; u = ${aLow} << ${by - 32};`
        : `t = ${aLow} << ${by}; u = (${aHigh} << ${by}) | (${aLow} >>> ${rest});`;
    case Op.SRLI:
      return by >= 32
        ? `t = (${aHigh} >>> ${by - 32}) | 0; u = 0;`
        : `t = (${aLow} >>> ${by}) | (${aHigh} << ${rest}); u = (${aHigh} >>> ${by}) | 0;`;
    default:
      return by >= 32
        ? `t = ${aHigh} >> ${by - 32}; u = ${aHigh} >> 31;`
        : `t = (${aLow} >>> ${by}) | (${aHigh} << ${rest}); u = ${aHigh} >> ${by};`;
  }
}

function variableShift(op: Op, [aLow, aHigh]: Halves, by: string): string {
  // Two shifts stand for one by 32, which would do nothing.
  switch (op) {
    case Op.SLL:
      return `s = ${by} & 63; if (s >= 32) { t = 0; u = ${aLow} << s; } else { t = ${aLow} << s; u = (${aHigh} << s) | ((${aLow} >>> 1) >>> (31 - s)); }`;
    case Op.SRL:
      return `s = ${by} & 63; if (s >= 32) { t = (${aHigh} >>> s) | 0; u = 0; } else { t = (${aLow} >>> s) | ((${aHigh} << 1) << (31 - s)); u = (${aHigh} >>> s) | 0; }`;
    default:
      return `s = ${by} & 63; if (s >= 32) { t = ${aHigh} >> s; u = ${aHigh} >> 31; } else { t = (${aLow} >>> s) | ((${aHigh} << 1) << (31 - s)); u = ${aHigh} >> s; }`;
  }
}

/** The low 64 bits of a product, in `t` and `u`. */
function product(a: Halves, b: Halves): string {
  return (
    `s = ${a[0]} & 0xffff; t = ${a[0]} >>> 16; v = ${b[0]} & 0xffff; w = ${b[0]} >>> 16; ` +
    `p = (Math.imul(t, v) >>> 0) + (Math.imul(s, v) >>> 16); ` +
    `q = (Math.imul(s, w) >>> 0) + (p & 0xffff); ` +
    `u = (Math.imul(t, w) + (p >>> 16) + (q >>> 16) + Math.imul(${a[0]}, ${b[1]}) + Math.imul(${a[1]}, ${b[0]})) | 0; ` +
    `t = Math.imul(${a[0]}, ${b[0]});`
  );
}

/** Multiplications and divisions that the interpreter's functions do in the array of registers. */
const IN_ARRAY: Partial<Record<Op, string>> = {
  [Op.MULH]: "multiplyHigh(x, D, A, B, true, true)",
  [Op.MULHSU]: "multiplyHigh(x, D, A, B, true, false)",
  [Op.MULHU]: "multiplyHigh(x, D, A, B, false, false)",
  [Op.DIV]: "divide(x, D, A, B, true, false)",
  [Op.DIVU]: "divide(x, D, A, B, false, false)",
  [Op.REM]: "divide(x, D, A, B, true, true)",
  [Op.REMU]: "divide(x, D, A, B, false, true)",
};

/** JavaScript for an instruction that neither jumps nor accesses memory. */
export function emitArithmetic(one: Instruction, extended: Extended): string {
  const { op, rd, rs1, rs2, immediate, at } = one;
  if (op === Op.FENCE || rd === 0) {
    return "";
  }
  const a: Halves = [low(rs1), high(rs1, extended)];
  const b: Halves = usesImmediate(op) ? constant(immediate) : [low(rs2), high(rs2, extended)];
  const word = WORD[op];
  if (word !== undefined) {
    return `a${rd} = ${word(a[0], b[0])}; b${rd} = a${rd} >> 31;`;
  }
  const bitwise = BITWISE[op];
  if (bitwise !== undefined) {
    return `t = ${a[0]} ${bitwise} ${b[0]}; u = ${a[1]} ${bitwise} ${b[1]}; ${put(rd)}`;
  }
  const call = IN_ARRAY[op];
  if (call !== undefined) {
    const numbers = call.replace("D", `${2 * rd}`).replace("A", `${2 * rs1}`);
    const store = (r: number, [l, h]: Halves) =>
      r === 0 ? "" : `x[${2 * r}] = ${l}; x[${2 * r + 1}] = ${h};`;
    return `${store(rs1, a)} ${store(rs2, b)} ${numbers.replace("B", `${2 * rs2}`)}; a${rd} = x[${2 * rd}]; b${rd} = x[${2 * rd + 1}];`;
  }
  switch (op) {
    case Op.LUI:
      return `a${rd} = ${immediate}; b${rd} = ${immediate >> 31};`;
    case Op.AUIPC:
      return fromPage(at, immediate) + put(rd);
    case Op.SLT:
    case Op.SLTI:
    case Op.SLTU:
    case Op.SLTIU: {
      const areExtended =
        isExtended(rs1, extended) && (usesImmediate(op) || isExtended(rs2, extended));
      return `a${rd} = ${condition(op, a, b, areExtended)} ? 1 : 0; b${rd} = 0;`;
    }
    case Op.ADDI:
    case Op.ADD:
      return sum(a, b) + put(rd);
    case Op.SUB:
      return `t = (${a[0]} - ${b[0]}) | 0; u = (${a[1]} - ${b[1]} - (${a[0]} >>> 0 < ${b[0]} >>> 0 ? 1 : 0)) | 0; ${put(rd)}`;
    case Op.SLLI:
    case Op.SRLI:
    case Op.SRAI:
      return shift(op, a, immediate) + put(rd);
    case Op.SLL:
    case Op.SRL:
    case Op.SRA:
      return variableShift(op, a, b[0]) + put(rd);
    case Op.MUL:
      return product(a, b) + put(rd);
    default:
      throw new Error(`no code for the operation ${op}`);
  }
}

/** Whether the second operand of arithmetic is the immediate. */
export function usesImmediate(op: Op): boolean {
  return (op >= Op.ADDI && op <= Op.SRAI) || (op >= Op.ADDIW && op <= Op.SRAIW);
}

/** The registers with extended values after an instruction. */
export function extendedAfter(one: Instruction, before: Extended): Extended {
  const bit = one.rd === 0 || !writes(one.op) ? 0 : 1 << one.rd;
  return (isResultExtended(one, before) ? before | bit : before & ~bit) | NONE_EXTENDED;
}

/** Whether an operation writes rd. */
export function writes(op: Op): boolean {
  return !isStore(op) && !isBranch(op) && op !== Op.FENCE;
}

/** The numbers of the registers that an instruction reads. */
export function readBy({ op, rs1, rs2 }: Instruction): number[] {
  if (op === Op.LUI || op === Op.AUIPC || op === Op.JAL || op === Op.FENCE) {
    return [];
  }
  return usesImmediate(op) || isLoad(op) || op === Op.JALR ? [rs1] : [rs1, rs2];
}

function isResultExtended({ op, rs1, rs2, immediate }: Instruction, before: Extended): boolean {
  const first = isExtended(rs1, before);
  switch (op) {
    case Op.LUI:
    case Op.LB:
    case Op.LBU:
    case Op.LH:
    case Op.LHU:
    case Op.LW:
    case Op.SLT:
    case Op.SLTI:
    case Op.SLTU:
    case Op.SLTIU:
      return true;
    case Op.ANDI:
      return first || immediate >= 0;
    case Op.XORI:
    case Op.ORI:
      return first;
    case Op.AND:
    case Op.OR:
    case Op.XOR:
      return first && isExtended(rs2, before);
    case Op.ADDI:
      return rs1 === 0 || (immediate === 0 && first);
    case Op.SRAI:
      return first || immediate >= 32;
    case Op.SRLI:
      return immediate > 32;
    default:
      return WORD[op] !== undefined;
  }
}

/** A load or store: its bytes, and the accessor with its second argument. */
interface Access {
  readonly width: number;
  readonly method: string;
  readonly argument: string;
}

const LOADS: Partial<Record<Op, Access & { readonly value: string; readonly high: string }>> = {
  [Op.LB]: loads(1, "tryReadb", "byte", "(byte[0] << 24) >> 24", ">> 31"),
  [Op.LBU]: loads(1, "tryReadb", "byte", "byte[0]", ">> 31"),
  [Op.LH]: loads(2, "tryReadw", "word", "(word[0] << 16) >> 16", ">> 31"),
  [Op.LHU]: loads(2, "tryReadw", "word", "word[0]", ">> 31"),
  [Op.LW]: loads(4, "tryReadl", "long", "long[0] | 0", ">> 31"),
  [Op.LWU]: loads(4, "tryReadl", "long", "long[0] | 0", "& 0"),
  [Op.LD]: loads(8, "tryReadq", "quad", "halves[0]", ""),
};

function loads(width: number, method: string, argument: string, value: string, high: string) {
  return { width, method, argument, value, high };
}

const STORES: Partial<Record<Op, Access>> = {
  [Op.SB]: { width: 1, method: "tryWriteb", argument: "s & 0xff" },
  [Op.SH]: { width: 2, method: "tryWritew", argument: "s & 0xffff" },
  [Op.SW]: { width: 4, method: "tryWritel", argument: "s >>> 0" },
  [Op.SD]: { width: 8, method: "tryWriteqFrom", argument: "quad" },
};

export function isLoad(op: Op): boolean {
  return LOADS[op] !== undefined;
}

export function isStore(op: Op): boolean {
  return STORES[op] !== undefined;
}

/** Which accesses of a function are fast. The others are right too. */
export type FastAccess = "physical" | "virtual";

/** Code that leaves the function, given the offset to continue at, for each way to do so. */
export interface Leave {
  /** The access failed. */
  readonly fault: string;
  /** The access has changed the interrupts, the code or the power switch. */
  readonly attention: string;
}

/**
 * JavaScript for a load or store.
 *
 * The port's conditions are checked here, and not in its methods, since V8 inlines only so many
 * bytes of bytecode into a function.
 */
export function emitAccess(
  one: Instruction,
  extended: Extended,
  fast: FastAccess,
  leave: Leave,
): string {
  const { op, rd, rs2 } = one;
  const load = LOADS[op];
  const store = STORES[op];
  const { width, method, argument } = (load ?? store)!;
  const kind = load === undefined ? "write" : "read";
  const outside =
    load === undefined
      ? `port.storeOutside(${width}, t, u, ${width === 8 ? 0 : "s"})`
      : `port.loadOutside(${width}, t, u)`;
  const value =
    load !== undefined
      ? ""
      : width === 8
        ? `halves[0] = ${low(rs2)}; halves[1] = ${high(rs2, extended)};`
        : `s = ${low(rs2)};`;
  const result =
    load === undefined || rd === 0
      ? ""
      : `a${rd} = ${load.value}; b${rd} = ${width === 8 ? "halves[1]" : `a${rd} ${load.high}`};`;
  const access =
    fast === "virtual"
      ? `port.translated !== null && u >= ${-NUMBER_HIGH} && u < ${NUMBER_HIGH} ? virtual.${method}(u * ${2 ** 32} + (t >>> 0), ${argument}) : ${outside}`
      : `u === 0 && ((t - port.${kind}Base) ^ ${0x8000_0000 | 0}) < port.${kind}Size ? memory.${method}(t >>> 0, ${argument}) : ${outside}`;
  return (
    `${addressOf(one, extended)} ${value}\n` +
    `r = ${access};\n` +
    `if (r !== 0) { ${leave.fault} }\n${result}\n` +
    `if (hart.attention) { ${leave.attention} }`
  );
}
