import type { GuestAtomicAccess } from "./access.js";
import { type AtomicLane, type AtomicLanes, found, type HalvesLane } from "./lane.js";
import {
  ATOMIC_ADD,
  ATOMIC_AND,
  ATOMIC_COMPARE_EXCHANGE,
  ATOMIC_EXCHANGE,
  ATOMIC_LOAD,
  ATOMIC_OR,
  ATOMIC_STORE,
  ATOMIC_XOR,
} from "./operations.js";
import { GuestMemoryFault, type Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { checkHalvesOut } from "../base/halves.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import { BYTE, checkOut, isView, LONG, QUAD, WORD, type Value } from "../base/widths.js";

/** The result code of an operation that returned `found`. */
function resultOf<T extends Value>(
  lane: AtomicLane<T>,
  found: T | undefined,
): GuestMemAccessResult {
  return found === undefined ? lane.code : OK;
}

/** As `resultOf`, and stores the value in `out`. */
function resultInto<T extends Value>(
  lane: AtomicLane<T>,
  out: { [index: number]: T },
  found: T | undefined,
): GuestMemAccessResult {
  if (found === undefined) {
    return lane.code;
  }
  out[0] = found;
  return OK;
}

/** The value, or throws a fault. */
function valueOrThrow<T extends Value>(
  lane: AtomicLane<T>,
  gpa: Gpa,
  operation: Operation,
  found: T | undefined,
): T {
  if (found === undefined) {
    throw new GuestMemoryFault(lane.code, gpa, lane.bytes, operation, lane.reason);
  }
  return found;
}

function out8(out: Uint8Array): Uint8Array {
  return isView(out) && out[0] !== undefined && out instanceof Uint8Array
    ? out
    : checkOut(BYTE, out, "out");
}

function out16(out: Uint16Array): Uint16Array {
  return isView(out) && out[0] !== undefined && out instanceof Uint16Array
    ? out
    : checkOut(WORD, out, "out");
}

function out32(out: Uint32Array): Uint32Array {
  return isView(out) && out[0] !== undefined && out instanceof Uint32Array
    ? out
    : checkOut(LONG, out, "out");
}

function out64(out: BigUint64Array): BigUint64Array {
  return isView(out) && out[0] !== undefined && out instanceof BigUint64Array
    ? out
    : checkOut(QUAD, out, "out");
}

/** Checks the array that receives two halves. */
function outHalves(out: Uint32Array, at: number): Uint32Array {
  if (
    !isView(out) ||
    typeof at !== "number" ||
    out[at] === undefined ||
    out[at + 1] === undefined ||
    !(out instanceof Uint32Array)
  ) {
    checkHalvesOut(out, at);
  }
  return out;
}

/** Checks half of a value. */
function half(value: number, what: string): number {
  return typeof value === "number" && value >>> 0 === value ? value : LONG.checkValue(value, what);
}

/** Stores the halves that an operation with this result has found. */
function halvesInto(
  out: Uint32Array,
  at: number,
  result: GuestMemAccessResult,
): GuestMemAccessResult {
  if (result === OK) {
    out[at] = found[0]!;
    out[at + 1] = found[1]!;
  }
  return result;
}

/** Throws a fault of 64 bits. */
function throwFault(result: GuestMemAccessResult, gpa: Gpa, operation: Operation): void {
  if (result !== OK) {
    throw new GuestMemoryFault(result, gpa, QUAD.bytes, operation);
  }
}

/**
 * Both forms of every atomic operation of every width, over the lanes of one path. This class
 * checks the JavaScript arguments, `out` first and values next. The lane checks the guest's access.
 */
export class AtomicAccess implements GuestAtomicAccess {
  /** @internal */
  readonly uncloneable = uncloneable;
  readonly lanes: AtomicLanes;
  private readonly b: AtomicLane<number>;
  private readonly w: AtomicLane<number>;
  private readonly l: AtomicLane<number>;
  private readonly q: AtomicLane<bigint>;
  private readonly halves: HalvesLane;

  constructor(lanes: AtomicLanes) {
    this.lanes = lanes;
    const { b, w, l, q, halves } = lanes;
    this.b = b;
    this.w = w;
    this.l = l;
    this.q = q;
    this.halves = halves;
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. */
  toJSON(): { type: "AtomicAccess" } {
    return { type: "AtomicAccess" };
  }

  // #region generated: npm run generate

  tryLoadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.load(gpa));
  }

  tryLoadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.load(gpa));
  }

  tryLoadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.load(gpa));
  }

  tryLoadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.load(gpa));
  }

  tryStoreb(gpa: Gpa, value: number): GuestMemAccessResult {
    return resultOf(this.b, this.b.store(gpa, BYTE.checkValue(value)));
  }

  tryStorew(gpa: Gpa, value: number): GuestMemAccessResult {
    return resultOf(this.w, this.w.store(gpa, WORD.checkValue(value)));
  }

  tryStorel(gpa: Gpa, value: number): GuestMemAccessResult {
    return resultOf(this.l, this.l.store(gpa, LONG.checkValue(value)));
  }

  tryStoreq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    return resultOf(this.q, this.q.store(gpa, QUAD.checkValue(value)));
  }

  tryExchangeb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.exchange(gpa, BYTE.checkValue(value)));
  }

  tryExchangew(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.exchange(gpa, WORD.checkValue(value)));
  }

  tryExchangel(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.exchange(gpa, LONG.checkValue(value)));
  }

  tryExchangeq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.exchange(gpa, QUAD.checkValue(value)));
  }

  tryCompareExchangeb(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint8Array,
  ): GuestMemAccessResult {
    return resultInto(
      this.b,
      out8(out),
      this.b.compareExchange(gpa, BYTE.checkValue(expected), BYTE.checkValue(replacement)),
    );
  }

  tryCompareExchangew(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint16Array,
  ): GuestMemAccessResult {
    return resultInto(
      this.w,
      out16(out),
      this.w.compareExchange(gpa, WORD.checkValue(expected), WORD.checkValue(replacement)),
    );
  }

  tryCompareExchangel(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint32Array,
  ): GuestMemAccessResult {
    return resultInto(
      this.l,
      out32(out),
      this.l.compareExchange(gpa, LONG.checkValue(expected), LONG.checkValue(replacement)),
    );
  }

  tryCompareExchangeq(
    gpa: Gpa,
    expected: bigint,
    replacement: bigint,
    out: BigUint64Array,
  ): GuestMemAccessResult {
    return resultInto(
      this.q,
      out64(out),
      this.q.compareExchange(gpa, QUAD.checkValue(expected), QUAD.checkValue(replacement)),
    );
  }

  tryAddb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.add(gpa, BYTE.checkValue(value)));
  }

  tryAddw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.add(gpa, WORD.checkValue(value)));
  }

  tryAddl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.add(gpa, LONG.checkValue(value)));
  }

  tryAddq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.add(gpa, QUAD.checkValue(value)));
  }

  tryAndb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.and(gpa, BYTE.checkValue(value)));
  }

  tryAndw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.and(gpa, WORD.checkValue(value)));
  }

  tryAndl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.and(gpa, LONG.checkValue(value)));
  }

  tryAndq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.and(gpa, QUAD.checkValue(value)));
  }

  tryOrb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.or(gpa, BYTE.checkValue(value)));
  }

  tryOrw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.or(gpa, WORD.checkValue(value)));
  }

  tryOrl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.or(gpa, LONG.checkValue(value)));
  }

  tryOrq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.or(gpa, QUAD.checkValue(value)));
  }

  tryXorb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult {
    return resultInto(this.b, out8(out), this.b.xor(gpa, BYTE.checkValue(value)));
  }

  tryXorw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult {
    return resultInto(this.w, out16(out), this.w.xor(gpa, WORD.checkValue(value)));
  }

  tryXorl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult {
    return resultInto(this.l, out32(out), this.l.xor(gpa, LONG.checkValue(value)));
  }

  tryXorq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult {
    return resultInto(this.q, out64(out), this.q.xor(gpa, QUAD.checkValue(value)));
  }

  loadb(gpa: Gpa): number {
    return valueOrThrow(this.b, gpa, "read", this.b.load(gpa));
  }

  loadw(gpa: Gpa): number {
    return valueOrThrow(this.w, gpa, "read", this.w.load(gpa));
  }

  loadl(gpa: Gpa): number {
    return valueOrThrow(this.l, gpa, "read", this.l.load(gpa));
  }

  loadq(gpa: Gpa): bigint {
    return valueOrThrow(this.q, gpa, "read", this.q.load(gpa));
  }

  storeb(gpa: Gpa, value: number): void {
    valueOrThrow(this.b, gpa, "write", this.b.store(gpa, BYTE.checkValue(value)));
  }

  storew(gpa: Gpa, value: number): void {
    valueOrThrow(this.w, gpa, "write", this.w.store(gpa, WORD.checkValue(value)));
  }

  storel(gpa: Gpa, value: number): void {
    valueOrThrow(this.l, gpa, "write", this.l.store(gpa, LONG.checkValue(value)));
  }

  storeq(gpa: Gpa, value: bigint): void {
    valueOrThrow(this.q, gpa, "write", this.q.store(gpa, QUAD.checkValue(value)));
  }

  exchangeb(gpa: Gpa, value: number): number {
    return valueOrThrow(this.b, gpa, "write", this.b.exchange(gpa, BYTE.checkValue(value)));
  }

  exchangew(gpa: Gpa, value: number): number {
    return valueOrThrow(this.w, gpa, "write", this.w.exchange(gpa, WORD.checkValue(value)));
  }

  exchangel(gpa: Gpa, value: number): number {
    return valueOrThrow(this.l, gpa, "write", this.l.exchange(gpa, LONG.checkValue(value)));
  }

  exchangeq(gpa: Gpa, value: bigint): bigint {
    return valueOrThrow(this.q, gpa, "write", this.q.exchange(gpa, QUAD.checkValue(value)));
  }

  compareExchangeb(gpa: Gpa, expected: number, replacement: number): number {
    return valueOrThrow(
      this.b,
      gpa,
      "write",
      this.b.compareExchange(gpa, BYTE.checkValue(expected), BYTE.checkValue(replacement)),
    );
  }

  compareExchangew(gpa: Gpa, expected: number, replacement: number): number {
    return valueOrThrow(
      this.w,
      gpa,
      "write",
      this.w.compareExchange(gpa, WORD.checkValue(expected), WORD.checkValue(replacement)),
    );
  }

  compareExchangel(gpa: Gpa, expected: number, replacement: number): number {
    return valueOrThrow(
      this.l,
      gpa,
      "write",
      this.l.compareExchange(gpa, LONG.checkValue(expected), LONG.checkValue(replacement)),
    );
  }

  compareExchangeq(gpa: Gpa, expected: bigint, replacement: bigint): bigint {
    return valueOrThrow(
      this.q,
      gpa,
      "write",
      this.q.compareExchange(gpa, QUAD.checkValue(expected), QUAD.checkValue(replacement)),
    );
  }

  addb(gpa: Gpa, value: number): number {
    return valueOrThrow(this.b, gpa, "write", this.b.add(gpa, BYTE.checkValue(value)));
  }

  addw(gpa: Gpa, value: number): number {
    return valueOrThrow(this.w, gpa, "write", this.w.add(gpa, WORD.checkValue(value)));
  }

  addl(gpa: Gpa, value: number): number {
    return valueOrThrow(this.l, gpa, "write", this.l.add(gpa, LONG.checkValue(value)));
  }

  addq(gpa: Gpa, value: bigint): bigint {
    return valueOrThrow(this.q, gpa, "write", this.q.add(gpa, QUAD.checkValue(value)));
  }

  andb(gpa: Gpa, value: number): number {
    return valueOrThrow(this.b, gpa, "write", this.b.and(gpa, BYTE.checkValue(value)));
  }

  andw(gpa: Gpa, value: number): number {
    return valueOrThrow(this.w, gpa, "write", this.w.and(gpa, WORD.checkValue(value)));
  }

  andl(gpa: Gpa, value: number): number {
    return valueOrThrow(this.l, gpa, "write", this.l.and(gpa, LONG.checkValue(value)));
  }

  andq(gpa: Gpa, value: bigint): bigint {
    return valueOrThrow(this.q, gpa, "write", this.q.and(gpa, QUAD.checkValue(value)));
  }

  orb(gpa: Gpa, value: number): number {
    return valueOrThrow(this.b, gpa, "write", this.b.or(gpa, BYTE.checkValue(value)));
  }

  orw(gpa: Gpa, value: number): number {
    return valueOrThrow(this.w, gpa, "write", this.w.or(gpa, WORD.checkValue(value)));
  }

  orl(gpa: Gpa, value: number): number {
    return valueOrThrow(this.l, gpa, "write", this.l.or(gpa, LONG.checkValue(value)));
  }

  orq(gpa: Gpa, value: bigint): bigint {
    return valueOrThrow(this.q, gpa, "write", this.q.or(gpa, QUAD.checkValue(value)));
  }

  xorb(gpa: Gpa, value: number): number {
    return valueOrThrow(this.b, gpa, "write", this.b.xor(gpa, BYTE.checkValue(value)));
  }

  xorw(gpa: Gpa, value: number): number {
    return valueOrThrow(this.w, gpa, "write", this.w.xor(gpa, WORD.checkValue(value)));
  }

  xorl(gpa: Gpa, value: number): number {
    return valueOrThrow(this.l, gpa, "write", this.l.xor(gpa, LONG.checkValue(value)));
  }

  xorq(gpa: Gpa, value: bigint): bigint {
    return valueOrThrow(this.q, gpa, "write", this.q.xor(gpa, QUAD.checkValue(value)));
  }

  tryLoadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    return halvesInto(outHalves(out, at), at, this.halves.run(ATOMIC_LOAD, gpa, 0, 0, 0, 0));
  }

  loadqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    throwFault(this.tryLoadqHalves(gpa, out, at), gpa, "read");
  }

  tryStoreqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return this.halves.run(ATOMIC_STORE, gpa, 0, 0, half(low, "low"), half(high, "high"));
  }

  storeqHalves(gpa: Gpa, low: number, high: number): void {
    throwFault(this.tryStoreqHalves(gpa, low, high), gpa, "write");
  }

  tryExchangeqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(ATOMIC_EXCHANGE, gpa, 0, 0, half(low, "low"), half(high, "high")),
    );
  }

  exchangeqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void {
    throwFault(this.tryExchangeqHalves(gpa, low, high, out, at), gpa, "write");
  }

  tryCompareExchangeqHalves(
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    replacementLow: number,
    replacementHigh: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(
        ATOMIC_COMPARE_EXCHANGE,
        gpa,
        half(expectedLow, "expectedLow"),
        half(expectedHigh, "expectedHigh"),
        half(replacementLow, "replacementLow"),
        half(replacementHigh, "replacementHigh"),
      ),
    );
  }

  compareExchangeqHalves(
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    replacementLow: number,
    replacementHigh: number,
    out: Uint32Array,
    at: number,
  ): void {
    throwFault(
      this.tryCompareExchangeqHalves(
        gpa,
        expectedLow,
        expectedHigh,
        replacementLow,
        replacementHigh,
        out,
        at,
      ),
      gpa,
      "write",
    );
  }

  tryAddqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(ATOMIC_ADD, gpa, 0, 0, half(low, "low"), half(high, "high")),
    );
  }

  addqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void {
    throwFault(this.tryAddqHalves(gpa, low, high, out, at), gpa, "write");
  }

  tryAndqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(ATOMIC_AND, gpa, 0, 0, half(low, "low"), half(high, "high")),
    );
  }

  andqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void {
    throwFault(this.tryAndqHalves(gpa, low, high, out, at), gpa, "write");
  }

  tryOrqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(ATOMIC_OR, gpa, 0, 0, half(low, "low"), half(high, "high")),
    );
  }

  orqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void {
    throwFault(this.tryOrqHalves(gpa, low, high, out, at), gpa, "write");
  }

  tryXorqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    return halvesInto(
      outHalves(out, at),
      at,
      this.halves.run(ATOMIC_XOR, gpa, 0, 0, half(low, "low"), half(high, "high")),
    );
  }

  xorqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void {
    throwFault(this.tryXorqHalves(gpa, low, high, out, at), gpa, "write");
  }

  // #endregion
}
