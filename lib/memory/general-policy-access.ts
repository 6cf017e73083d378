import type { GuestAccessors } from "../base/access.js";
import { toAddress } from "../base/arguments.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { checkHalvesOut, quadOf, storeHalves } from "../base/halves.js";
import type { AccessPolicy } from "../base/policy.js";
import { GuestMemAccessResult } from "../base/result.js";
import {
  BYTE,
  checkOut,
  LONG,
  QUAD,
  WORD,
  type Out,
  type Value,
  type Width,
} from "../base/widths.js";
import * as bulk from "./bulk.js";
import type { GeneralAccess } from "./general-access.js";
import type { MemoryMarks } from "./marks.js";
import { WINDOW_SIZE, type Window } from "./windows.js";

const { OK, FAULT_UNALIGNED } = GuestMemAccessResult;

// Holds the bytes of an access that crosses the border of two windows.
const bytes = new Uint8Array(8);
const bytesView = new DataView(bytes.buffer);

/**
 * The view path under one access policy for all accesses that the hot paths of `PolicyAccess` do
 * not make. It repeats all checks. It has a method per width, because a call with the width as an
 * argument would take ten more bytes of bytecode in each hot path.
 */
export class GeneralPolicyAccess implements GuestAccessors {
  readonly #memory: GeneralAccess;
  readonly #marks: MemoryMarks;
  readonly #unaligned: boolean;
  readonly #littleEndian: boolean;

  constructor(
    memory: GeneralAccess,
    marks: MemoryMarks,
    { alignment, endian }: Required<AccessPolicy>,
  ) {
    this.#memory = memory;
    this.#marks = marks;
    this.#unaligned = alignment === "allow";
    this.#littleEndian = endian === "little";
  }

  // #region generated: npm run generate

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    return this.#tryReadHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return this.#tryWrite(QUAD, gpa, quadOf(low, high));
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read");
    }
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write");
    }
  }

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return this.#tryRead(BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return this.#tryRead(WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return this.#tryRead(LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return this.#tryRead(QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    return this.#tryWrite(QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    return this.#tryWrite(QUAD, gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    return this.#read(BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    return this.#read(WORD, gpa);
  }

  readl(gpa: Gpa): number {
    return this.#read(LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    return this.#read(QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    this.#write(BYTE, gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    this.#write(WORD, gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    this.#write(LONG, gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    this.#write(QUAD, gpa, value);
  }

  // #endregion

  #tryRead<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    checkOut(width, out, "out");
    const address = toAddress(gpa);
    const result = this.#check(address, width.bytes);
    if (result === OK) {
      width.store(out, this.#load(width, address));
    }
    return result;
  }

  #tryReadHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    checkHalvesOut(out, at);
    const address = toAddress(gpa);
    const result = this.#check(address, QUAD.bytes);
    if (result === OK) {
      storeHalves(out, at, this.#load(QUAD, address));
    }
    return result;
  }

  #tryWrite<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const checked = width.checkValue(value);
    const address = toAddress(gpa);
    let result = this.#check(address, width.bytes);
    if (result === OK && this.#marks.callGuards(address, width.bytes)) {
      result = this.#check(address, width.bytes);
    }
    if (result === OK) {
      this.#store(width, address, checked);
      // After the write, as DirtyBitmap requires.
      this.#marks.mark(address, width.bytes);
    }
    return result;
  }

  #read<T extends Value, A extends Out>(width: Width<T, A>, gpa: Gpa): T {
    const address = toAddress(gpa);
    const result = this.#check(address, width.bytes);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, "read");
    }
    return this.#load(width, address);
  }

  #write<T extends Value, A extends Out>(width: Width<T, A>, gpa: Gpa, value: T): void {
    const result = this.#tryWrite(width, gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, "write");
    }
  }

  #check(address: number, length: number): GuestMemAccessResult {
    const result = this.#memory.checkRange(address, length);
    return result === OK && !this.#unaligned && (address & (length - 1)) !== 0
      ? FAULT_UNALIGNED
      : result;
  }

  #load<T extends Value, A extends Out>(width: Width<T, A>, address: number): T {
    const window = this.#windowOf(address, width.bytes);
    if (window !== null) {
      return width.get(window.data, address >>> 0, this.#littleEndian);
    }
    bulk.readInto(this.#memory.windows, address, bytes.subarray(0, width.bytes));
    return width.get(bytesView, 0, this.#littleEndian);
  }

  #store<T extends Value, A extends Out>(width: Width<T, A>, address: number, value: T): void {
    const window = this.#windowOf(address, width.bytes);
    if (window !== null) {
      width.set(window.data, address >>> 0, value, this.#littleEndian);
      return;
    }
    this.#memory.makeWindows(address, width.bytes);
    width.set(bytesView, 0, value, this.#littleEndian);
    bulk.write(this.#memory.windows, address, bytes.subarray(0, width.bytes));
  }

  /** The window that has all bytes of an access that passed the checks; null if two have them. */
  #windowOf(address: number, length: number): Window | null {
    return (address >>> 0) + length <= WINDOW_SIZE ? this.#memory.windows.at(address) : null;
  }
}
