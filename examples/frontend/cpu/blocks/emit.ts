import { Op } from "../decode.js";
import { type Extended, isExtended, usesImmediate } from "./facts.js";
import type { Instruction } from "./region.js";

/** The low half of a register. */
export function low(register: number): string {
  return register === 0 ? "0" : `a${register}`;
}

export function high(register: number, extended: Extended): string {
  if (register === 0) {
    return "0";
  }
  return isExtended(register, extended) ? `(a${register} >> 31)` : `b${register}`;
}

/** Expressions for both halves of a value. */
type Halves = readonly [low: string, high: string];

/** The instructions whose result is a 32-bit value with its sign extended. */
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
  return `t = (${a[0]} + ${b[0]}) | 0;
    u = (${a[1]} + ${b[1]} + (t >>> 0 < ${a[0]} >>> 0 ? 1 : 0)) | 0;`;
}

/** The sum of an offset in the current page and a multiple of its size, in `t` and `u`. */
function fromPage(offset: number, immediate: number): string {
  return `t = (pageLow + ${offset + immediate}) | 0;
    u = (pageHigh + ${immediate >> 31} + (t >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0;`;
}

/** Puts the address after a jump into its register. */
export function link({ next, rd }: Instruction): string {
  // The offset can be the size of the page.
  return rd === 0
    ? ""
    : `t = (pageLow + ${next}) | 0;
      u = (pageHigh + (t >>> 0 < pageLow >>> 0 ? 1 : 0)) | 0;
      ${put(rd)}`;
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
  const [far, near] = shiftedParts(op, aLow, aHigh);
  return `s = ${by} & 63;
    if (s >= 32) { ${far} } else { ${near} }`;
}

/** A shift by `s`, which is 32 or more, and one by less. */
function shiftedParts(op: Op, aLow: string, aHigh: string): readonly [far: string, near: string] {
  // Two shifts stand for one by 32, which would do nothing.
  const right = `t = (${aLow} >>> s) | ((${aHigh} << 1) << (31 - s));`;
  switch (op) {
    case Op.SLL:
      return [
        `t = 0; u = ${aLow} << s;`,
        `t = ${aLow} << s; u = (${aHigh} << s) | ((${aLow} >>> 1) >>> (31 - s));`,
      ];
    case Op.SRL:
      return [`t = (${aHigh} >>> s) | 0; u = 0;`, `${right} u = (${aHigh} >>> s) | 0;`];
    default:
      return [`t = ${aHigh} >> s; u = ${aHigh} >> 31;`, `${right} u = ${aHigh} >> s;`];
  }
}

/** The low 64 bits of a product, in `t` and `u`. */
function product([aLow, aHigh]: Halves, [bLow, bHigh]: Halves): string {
  return `s = ${aLow} & 0xffff; t = ${aLow} >>> 16;
    v = ${bLow} & 0xffff; w = ${bLow} >>> 16;
    p = (Math.imul(t, v) >>> 0) + (Math.imul(s, v) >>> 16);
    q = (Math.imul(s, w) >>> 0) + (p & 0xffff);
    u = Math.imul(${aLow}, ${bHigh}) + Math.imul(${aHigh}, ${bLow});
    u = (Math.imul(t, w) + (p >>> 16) + (q >>> 16) + u) | 0;
    t = Math.imul(${aLow}, ${bLow});`;
}

/** Multiplications and divisions that functions do in the array of registers: their arguments. */
const IN_ARRAY: Partial<Record<Op, readonly [name: string, flags: string]>> = {
  [Op.MULH]: ["multiplyHigh", "true, true"],
  [Op.MULHSU]: ["multiplyHigh", "true, false"],
  [Op.MULHU]: ["multiplyHigh", "false, false"],
  [Op.DIV]: ["divide", "true, false"],
  [Op.DIVU]: ["divide", "false, false"],
  [Op.REM]: ["divide", "true, true"],
  [Op.REMU]: ["divide", "false, true"],
};

function store(register: number, [aLow, aHigh]: Halves): string {
  return register === 0 ? "" : `x[${2 * register}] = ${aLow}; x[${2 * register + 1}] = ${aHigh};`;
}

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
    const [name, flags] = call;
    return `${store(rs1, a)} ${store(rs2, b)}
      ${name}(x, ${2 * rd}, ${2 * rs1}, ${2 * rs2}, ${flags});
      a${rd} = x[${2 * rd}]; b${rd} = x[${2 * rd + 1}];`;
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
      return `t = (${a[0]} - ${b[0]}) | 0;
        u = (${a[1]} - ${b[1]} - (${a[0]} >>> 0 < ${b[0]} >>> 0 ? 1 : 0)) | 0;
        ${put(rd)}`;
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
