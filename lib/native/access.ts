import type { GuestHalvesAccessors, GuestMemoryAccess } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import type { AtomicLanes } from "../atomics/lane.js";
import type { AtomicAccess } from "../atomics/forms.js";
import { Part } from "../base/part.js";
import { result } from "./call.js";
import {
  GPA_HIGH32,
  GPA_LOW32,
  MEMORY32,
  NO_MEMORY,
  VALUE16,
  VALUE32,
  VALUE64,
  VALUE8,
  WIDE_ADDRESS,
} from "./call-block.js";
import { checkHalvesOut } from "../base/halves.js";
import type { HalvesAccess } from "../base/halves-access.js";
import { halvesPart } from "../base/halves-part.js";
import { GuestMemoryFault } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress } from "../base/arguments.js";
import type { Marks } from "./marks.js";
import { native, noAddon, type Handle } from "./addon.js";
import { block16, block32, block64, block8 } from "./block-views.js";
import { VALUE_HIGH32, VALUE_LOW32 } from "./value-halves.js";
import { nativeLanes } from "./atomics.js";
import { type AccessPolicy, policyOf } from "../base/policy.js";
import { OpBuffer, opWidth, opWrites } from "./op-buffer.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import {
  BYTE,
  checkOut,
  isView,
  LONG,
  QUAD,
  WORD,
  type Out,
  type Value,
  type Width,
} from "../base/widths.js";

const atomicForms = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("../atomics/forms.js") as typeof import("../atomics/forms.js"),
  noAddon,
);

const { readb, readw, readl, readq, writeb, writew, writel, writeq } = native;

/**
 * The native path: each call crosses N-API and runs the compiled C++ accessor, which makes every
 * check of the guest's access. TypeScript checks only the types and ranges of the arguments.
 *
 * @example
 *
 * ```ts
 * const memory = GuestMemory.allocate(4096);
 * const ops = new OpBuffer(2);
 * ops.push(OpKind.WRITEL, 0x10, 0x1234);
 * ops.push(OpKind.READW, 0x10);
 * const faults = memory.native.run(ops); // 0
 * const value = ops.value(1); // 0x1234n
 * ```
 */
export class NativeAccess implements GuestMemoryAccess {
  /** @internal */
  readonly uncloneable = uncloneable;
  readonly size: bigint;
  readonly #handle: Handle;
  private readonly number: number;
  // The bytes of the view path's first window. Until that is made, the field is missing, and the
  // prototype has an array that is never detached.
  declare private first: Uint8Array;
  static {
    this.prototype.first = new Uint8Array(1);
  }
  /** @internal */
  readonly marks: Marks;
  readonly #lost: (address: number) => boolean;
  #atomicLanes: AtomicLanes | undefined;
  #atomics: AtomicAccess | undefined;
  #halves: HalvesAccess | undefined;

  /**
   * @param lost - Returns whether the buffer over an address is detached, as the view path checks
   * it.
   */
  constructor(handle: Handle, size: bigint, lost: (address: number) => boolean, marks: Marks) {
    this.size = size;
    this.#handle = handle;
    this.number = native.guestMemoryNumber(handle);
    this.marks = marks;
    this.#lost = lost;
  }

  /**
   * Sets the bytes of the view path's first window, so that the native path checks whether they are
   * detached.
   *
   * @internal
   */
  useFirst(bytes: Uint8Array): void {
    this.first = bytes;
  }

  /** Atomic access through N-API: each call runs the compiled C++ accessor. */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= new (atomicForms.get().AtomicAccess)(this.atomicLanes));
  }

  /** The accessors of {@link GuestMemory.halves} on the native path. */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= halvesPart.get().halvesOfRam(this, Number(this.size)));
  }

  /** @internal */
  get atomicLanes(): AtomicLanes {
    return (this.#atomicLanes ??= nativeLanes((gpa) => {
      this.prepare(gpa);
    }, this.marks));
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint8Array)) {
      checkOut(BYTE, out, "out");
    }
    this.prepare(gpa);
    readb();
    const code = result();
    if (code === OK) {
      out[0] = block8[VALUE8]!;
    }
    return code;
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint16Array)) {
      checkOut(WORD, out, "out");
    }
    this.prepare(gpa);
    readw();
    const code = result();
    if (code === OK) {
      out[0] = block16[VALUE16]!;
    }
    return code;
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint32Array)) {
      checkOut(LONG, out, "out");
    }
    this.prepare(gpa);
    readl();
    const code = result();
    if (code === OK) {
      out[0] = block32[VALUE32]!;
    }
    return code;
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof BigUint64Array)) {
      checkOut(QUAD, out, "out");
    }
    this.prepare(gpa);
    readq();
    const code = result();
    if (code === OK) {
      out[0] = block64[VALUE64]!;
    }
    return code;
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x80 && value <= 0xff && (value | 0) === value
        ? value
        : BYTE.checkValue(value);
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 1);
    }
    block8[VALUE8] = checked;
    this.prepare(gpa);
    writeb();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x8000 && value <= 0xffff && (value | 0) === value
        ? value
        : WORD.checkValue(value);
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 2);
    }
    block16[VALUE16] = checked;
    this.prepare(gpa);
    writew();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && (value >>> 0 === value || (value | 0) === value)
        ? value
        : LONG.checkValue(value);
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 4);
    }
    block32[VALUE32] = checked;
    this.prepare(gpa);
    writel();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    const checked = QUAD.checkValue(value);
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block64[VALUE64] = checked;
    this.prepare(gpa);
    writeq();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block64[VALUE64] = value;
    this.prepare(gpa);
    writeq();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }

  readb(gpa: Gpa): number {
    this.prepare(gpa);
    readb();
    this.#check(result(), BYTE, gpa, "read");
    return block8[VALUE8]!;
  }

  readw(gpa: Gpa): number {
    this.prepare(gpa);
    readw();
    this.#check(result(), WORD, gpa, "read");
    return block16[VALUE16]!;
  }

  readl(gpa: Gpa): number {
    this.prepare(gpa);
    readl();
    this.#check(result(), LONG, gpa, "read");
    return block32[VALUE32]!;
  }

  readq(gpa: Gpa): bigint {
    this.prepare(gpa);
    readq();
    this.#check(result(), QUAD, gpa, "read");
    return block64[VALUE64]!;
  }

  writeb(gpa: Gpa, value: number): void {
    this.#check(this.tryWriteb(gpa, value), BYTE, gpa, "write");
  }

  writew(gpa: Gpa, value: number): void {
    this.#check(this.tryWritew(gpa, value), WORD, gpa, "write");
  }

  writel(gpa: Gpa, value: number): void {
    this.#check(this.tryWritel(gpa, value), LONG, gpa, "write");
  }

  writeq(gpa: Gpa, value: bigint): void {
    this.#check(this.tryWriteq(gpa, value), QUAD, gpa, "write");
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (
      typeof at !== "number" ||
      !isView(out) ||
      out[at] === undefined ||
      out[at + 1] === undefined ||
      !(out instanceof Uint32Array)
    ) {
      checkHalvesOut(out, at);
    }
    this.prepare(gpa);
    readq();
    const code = result();
    if (code === OK) {
      out[at] = block32[VALUE_LOW32]!;
      out[at + 1] = block32[VALUE_HIGH32]!;
    }
    return code;
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    const checkedLow =
      typeof low === "number" && (low >>> 0 === low || (low | 0) === low)
        ? low
        : LONG.checkValue(low, "low");
    const checkedHigh =
      typeof high === "number" && (high >>> 0 === high || (high | 0) === high)
        ? high
        : LONG.checkValue(high, "high");
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block32[VALUE_LOW32] = checkedLow;
    block32[VALUE_HIGH32] = checkedHigh;
    this.prepare(gpa);
    writeq();
    return this.marks.dirty === null ? result() : this.mark(gpa);
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

  // #endregion

  /**
   * Runs a batch of operations in one call: C++ loops over the compiled accessors. Sets the result
   * of each operation, and the value of each read that completed. Code guards of all its writes are
   * called before the first operation.
   *
   * @returns The number of operations that faulted.
   * @throws TypeError if `ops` is not an {@link OpBuffer}; Error `ERR_DESTROYED` if its bytes are
   * detached.
   */
  run(ops: OpBuffer): number {
    return this.runUnder(0, ops);
  }

  /** Runs a batch under the access policy with a number. @internal */
  runUnder(policy: number, ops: OpBuffer): number {
    OpBuffer.bytesOf(ops);
    if (this.marks.guards !== null) {
      this.#callGuardsOf(ops, policy);
    }
    const faults = native.guestMemoryRun(this.#handle, OpBuffer.bytesOf(ops), policy);
    for (let i = 0; this.marks.dirty !== null && i < ops.length; i++) {
      const kind = ops.kind(i);
      if (opWrites(kind) && ops.result(i) === OK) {
        this.marks.mark(Number(ops.gpaOf(i)), opWidth(kind));
      }
    }
    return faults;
  }

  #callGuardsOf(ops: OpBuffer, policy: number): void {
    const { alignment } = policyOf(policy);
    // Copied first: a listener may change the batch.
    const writes: [gpa: Gpa, bytes: number][] = [];
    for (let i = 0; i < ops.length; i++) {
      const kind = ops.kind(i);
      if (opWrites(kind)) {
        writes.push([ops.gpaOf(i), opWidth(kind)]);
      }
    }
    for (const [gpa, bytes] of writes) {
      this.callGuards(gpa, bytes, alignment);
    }
  }

  /**
   * Calls the guards of a write that does not fault.
   *
   * @param alignment - Of the access policy.
   * @internal
   */
  callGuards(gpa: Gpa, bytes: number, alignment: AccessPolicy["alignment"] = "fault"): void {
    const address = toAddress(gpa);
    if (
      (alignment === "allow" || address % bytes === 0) &&
      address + bytes <= Number(this.size) &&
      !this.#lost(address) &&
      !this.#lost(address + bytes - 1)
    ) {
      this.marks.callGuards(address, bytes);
    }
  }

  /** Marks the pages of the last write, of `bytes` bytes, if the write completed. @internal */
  mark(gpa: Gpa, bytes = 1): GuestMemAccessResult {
    const code = result();
    if (code === OK) {
      // After the write, as DirtyBitmap requires.
      this.marks.mark(Number(gpa), bytes);
    }
    return code;
  }

  /** The size in bytes, for `JSON.stringify`, which would otherwise write all bytes of RAM. */
  toJSON(): { type: "NativeAccess"; size: number } {
    return { type: "NativeAccess", size: Number(this.size) };
  }

  /** Writes the memory and the address of the next call into the call block. @internal */
  prepare(gpa: Gpa): void {
    if (typeof gpa === "number") {
      const low = gpa >>> 0;
      if (low === gpa && this.first[0] !== undefined) {
        // A local variable takes fewer bytes of bytecode than a variable of the module.
        const block = block32;
        block[GPA_LOW32] = low;
        block[MEMORY32] = this.number;
        return;
      }
    }
    this.prepareSlowly(gpa);
  }

  /** As `prepare`, for every kind of address. */
  private prepareSlowly(gpa: Gpa): void {
    // For NO_MEMORY, C++ returns ERROR_INTERNAL, as for a memory that has ended.
    block32[MEMORY32] = this.#lost(toAddress(gpa)) ? NO_MEMORY : this.number | WIDE_ADDRESS;
    if (typeof gpa === "number") {
      const low = gpa >>> 0;
      block32[GPA_LOW32] = low;
      block32[GPA_HIGH32] = (gpa - low) / 2 ** 32;
      return;
    }
    block32[GPA_LOW32] = Number(gpa & 0xffff_ffffn);
    block32[GPA_HIGH32] = Number(gpa >> 32n);
  }

  #check<T extends Value, A extends Out>(
    code: GuestMemAccessResult,
    width: Width<T, A>,
    gpa: Gpa,
    operation: "read" | "write",
  ): void {
    if (code !== OK) {
      throw new GuestMemoryFault(code, gpa, width.bytes, operation);
    }
  }
}
