/*
 * 64-bit arithmetic on halves.
 *
 * The registers are one Int32Array, with the low half of register r at 2r and the high half after
 * it. A BigInt64Array would need less code, but is many times slower.
 */

const TWO_32 = 2 ** 32;

const scratch = new Int32Array(4);
const scratch64 = new BigInt64Array(scratch.buffer);

/** The high half of a sum whose low half is `low`: the sum of both high halves and the carry. */
export function sumHigh(aLow: number, aHigh: number, bHigh: number, low: number): number {
  return (aHigh + bHigh + (low >>> 0 < aLow >>> 0 ? 1 : 0)) | 0;
}

/** Whether a < b, both unsigned. */
export function lessUnsigned(aLow: number, aHigh: number, bLow: number, bHigh: number): boolean {
  return aHigh === bHigh ? aLow >>> 0 < bLow >>> 0 : aHigh >>> 0 < bHigh >>> 0;
}

/** Whether a < b, both signed. */
export function lessSigned(aLow: number, aHigh: number, bLow: number, bHigh: number): boolean {
  return aHigh === bHigh ? aLow >>> 0 < bLow >>> 0 : aHigh < bHigh;
}

/** Puts a 32-bit value into a register, sign-extended. */
export function putSigned(x: Int32Array, rd: number, value: number): void {
  x[rd] = value;
  x[rd + 1] = value >> 31;
}

/** Puts an unsigned 32-bit value into a register. */
export function putUnsigned(x: Int32Array, rd: number, value: number): void {
  x[rd] = value;
  x[rd + 1] = 0;
}

/** Puts a signed integer of a magnitude up to 2^53 into a register. */
function putInteger(x: Int32Array, rd: number, value: number): void {
  x[rd] = value;
  x[rd + 1] = Math.floor(value / TWO_32);
}

/** `x[rd] = x[rs] << by`, with `by` from 0 to 63. */
export function shiftLeft(x: Int32Array, rd: number, rs: number, by: number): void {
  const low = x[rs]!;
  if (by >= 32) {
    x[rd] = 0;
    x[rd + 1] = low << by;
  } else {
    // These are two shifts, because one by 32, where `by` is 0, would do nothing.
    x[rd + 1] = (x[rs + 1]! << by) | ((low >>> 1) >>> (31 - by));
    x[rd] = low << by;
  }
}

/** `x[rd] = x[rs] >> by`, filling with zeros. */
export function shiftRightLogical(x: Int32Array, rd: number, rs: number, by: number): void {
  const high = x[rs + 1]!;
  if (by >= 32) {
    x[rd] = high >>> by;
    x[rd + 1] = 0;
  } else {
    x[rd] = (x[rs]! >>> by) | ((high << 1) << (31 - by));
    x[rd + 1] = high >>> by;
  }
}

/** `x[rd] = x[rs] >> by`, filling with the sign. */
export function shiftRightArithmetic(x: Int32Array, rd: number, rs: number, by: number): void {
  const high = x[rs + 1]!;
  if (by >= 32) {
    x[rd] = high >> by;
    x[rd + 1] = high >> 31;
  } else {
    x[rd] = (x[rs]! >>> by) | ((high << 1) << (31 - by));
    x[rd + 1] = high >> by;
  }
}

/** The high half of the product of two unsigned 32-bit values. */
function highProduct(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = (Math.imul(a1, b0) >>> 0) + (Math.imul(a0, b0) >>> 16);
  const other = (Math.imul(a0, b1) >>> 0) + (middle & 0xffff);
  return (Math.imul(a1, b1) + (middle >>> 16) + (other >>> 16)) | 0;
}

/** `MUL`: the low 64 bits of a product. */
export function multiply(x: Int32Array, rd: number, rs1: number, rs2: number): void {
  const a = x[rs1]!;
  const b = x[rs2]!;
  const cross = Math.imul(a, x[rs2 + 1]!) + Math.imul(x[rs1 + 1]!, b);
  x[rd + 1] = (highProduct(a, b) + cross) | 0;
  x[rd] = Math.imul(a, b);
}

/**
 * `MULH`, `MULHSU` and `MULHU`: the high 64 bits of a product.
 *
 * An operand with its top bit set is 2^64 less as a signed value. That subtracts the other operand
 * from the high half of the unsigned product.
 */
export function multiplyHigh(
  x: Int32Array,
  rd: number,
  rs1: number,
  rs2: number,
  firstSigned: boolean,
  secondSigned: boolean,
): void {
  const a0 = x[rs1]!;
  const a1 = x[rs1 + 1]!;
  const b0 = x[rs2]!;
  const b1 = x[rs2 + 1]!;
  // These are sums of unsigned 32-bit values, which doubles hold exactly.
  const middle = (Math.imul(a1, b0) >>> 0) + (highProduct(a0, b0) >>> 0);
  const other = (Math.imul(a0, b1) >>> 0) + (middle >>> 0);
  let low =
    (Math.imul(a1, b1) >>> 0) +
    (highProduct(a1, b0) >>> 0) +
    (highProduct(a0, b1) >>> 0) +
    Math.floor(middle / TWO_32) +
    Math.floor(other / TWO_32);
  let high = highProduct(a1, b1);
  if (firstSigned && a1 < 0) {
    low -= b0 >>> 0;
    high -= b1;
  }
  if (secondSigned && b1 < 0) {
    low -= a0 >>> 0;
    high -= a1;
  }
  x[rd] = low;
  x[rd + 1] = high + Math.floor(low / TWO_32);
}

/** `DIV`, `DIVU`, `REM` and `REMU`. RISC-V defines them for all operands, so none traps. */
export function divide(
  x: Int32Array,
  rd: number,
  rs1: number,
  rs2: number,
  signed: boolean,
  remainder: boolean,
): void {
  const aHigh = signed ? x[rs1 + 1]! : x[rs1 + 1]! >>> 0;
  const bHigh = signed ? x[rs2 + 1]! : x[rs2 + 1]! >>> 0;
  const a = aHigh * TWO_32 + (x[rs1]! >>> 0);
  const b = bHigh * TWO_32 + (x[rs2]! >>> 0);
  if (Number.isSafeInteger(a) && Number.isSafeInteger(b) && b !== 0) {
    const quotient = Math.trunc(a / b);
    putInteger(x, rd, remainder ? a - quotient * b : quotient);
  } else {
    divideExactly(x, rd, rs1, rs2, signed, remainder);
  }
}

function divideExactly(
  x: Int32Array,
  rd: number,
  rs1: number,
  rs2: number,
  signed: boolean,
  remainder: boolean,
): void {
  scratch[0] = x[rs1]!;
  scratch[1] = x[rs1 + 1]!;
  scratch[2] = x[rs2]!;
  scratch[3] = x[rs2 + 1]!;
  const a = signed ? scratch64[0]! : BigInt.asUintN(64, scratch64[0]!);
  const b = signed ? scratch64[1]! : BigInt.asUintN(64, scratch64[1]!);
  if (b === 0n) {
    scratch64[0] = remainder ? a : -1n;
  } else {
    // The quotient of -2^63 and -1 wraps around to -2^63, as it should.
    scratch64[0] = remainder ? a % b : a / b;
  }
  x[rd] = scratch[0]!;
  x[rd + 1] = scratch[1]!;
}

/** `DIVW`, `DIVUW`, `REMW` and `REMUW` on the low halves. The result is sign-extended. */
export function divideWords(
  x: Int32Array,
  rd: number,
  rs1: number,
  rs2: number,
  signed: boolean,
  remainder: boolean,
): void {
  const a = signed ? x[rs1]! : x[rs1]! >>> 0;
  const b = signed ? x[rs2]! : x[rs2]! >>> 0;
  if (b === 0) {
    putSigned(x, rd, remainder ? a | 0 : -1);
  } else {
    putSigned(x, rd, remainder ? (a % b) | 0 : (a / b) | 0);
  }
}
