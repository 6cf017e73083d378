import type { GuestMemoryAccess } from "../base/access.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import { BYTE, checkOut, isView, LONG, QUAD, WORD } from "../base/widths.js";
import type { NativeAccess } from "./access.js";
import { native } from "./addon.js";
import { block16, block32, block64, block8 } from "./block-views.js";
import { result } from "./call.js";
import { OPERATION32, VALUE16, VALUE32, VALUE64, VALUE8 } from "./call-block.js";
import { VALUE_HIGH32, VALUE_LOW32 } from "./value-halves.js";
import { checkHalvesOut } from "../base/halves.js";
import type { OpBuffer } from "./op-buffer.js";

const { accessUnderPolicy } = native;

/** The kinds of access per policy: KINDS of native/addon/memory_binding.cpp. */
const KINDS = 8;

/**
 * The accessors of a {@link GuestMemory} under an access policy on the native path: each call
 * crosses N-API and runs the compiled C++ accessor (`guest_mem_read`, `guest_mem_write`).
 */
export class NativePolicyAccess implements GuestMemoryAccess {
  /** @internal */
  readonly uncloneable = uncloneable;
  readonly policy: Readonly<Required<AccessPolicy>>;
  private readonly access: NativeAccess;
  /** The operation of the call block for the first kind of access under the policy. */
  private readonly operation: number;

  /** @internal */
  constructor(access: NativeAccess, policy: Readonly<Required<AccessPolicy>>) {
    this.access = access;
    this.policy = policy;
    this.operation = policyNumber(policy) * KINDS;
  }

  get size(): bigint {
    return this.access.size;
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint8Array)) {
      checkOut(BYTE, out, "out");
    }
    this.prepare(gpa, 0);
    accessUnderPolicy();
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
    this.prepare(gpa, 1);
    accessUnderPolicy();
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
    this.prepare(gpa, 2);
    accessUnderPolicy();
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
    this.prepare(gpa, 3);
    accessUnderPolicy();
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
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 1);
    }
    block8[VALUE8] = checked;
    this.prepare(gpa, 4);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 1);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x8000 && value <= 0xffff && (value | 0) === value
        ? value
        : WORD.checkValue(value);
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 2);
    }
    block16[VALUE16] = checked;
    this.prepare(gpa, 5);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 2);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && (value >>> 0 === value || (value | 0) === value)
        ? value
        : LONG.checkValue(value);
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 4);
    }
    block32[VALUE32] = checked;
    this.prepare(gpa, 6);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 4);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    const checked = QUAD.checkValue(value);
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block64[VALUE64] = checked;
    this.prepare(gpa, 7);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 8);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block64[VALUE64] = value;
    this.prepare(gpa, 7);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 8);
  }

  readb(gpa: Gpa): number {
    this.prepare(gpa, 0);
    accessUnderPolicy();
    check(result(), 1, gpa, "read");
    return block8[VALUE8]!;
  }

  readw(gpa: Gpa): number {
    this.prepare(gpa, 1);
    accessUnderPolicy();
    check(result(), 2, gpa, "read");
    return block16[VALUE16]!;
  }

  readl(gpa: Gpa): number {
    this.prepare(gpa, 2);
    accessUnderPolicy();
    check(result(), 4, gpa, "read");
    return block32[VALUE32]!;
  }

  readq(gpa: Gpa): bigint {
    this.prepare(gpa, 3);
    accessUnderPolicy();
    check(result(), 8, gpa, "read");
    return block64[VALUE64]!;
  }

  writeb(gpa: Gpa, value: number): void {
    check(this.tryWriteb(gpa, value), 1, gpa, "write");
  }

  writew(gpa: Gpa, value: number): void {
    check(this.tryWritew(gpa, value), 2, gpa, "write");
  }

  writel(gpa: Gpa, value: number): void {
    check(this.tryWritel(gpa, value), 4, gpa, "write");
  }

  writeq(gpa: Gpa, value: bigint): void {
    check(this.tryWriteq(gpa, value), 8, gpa, "write");
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
    this.prepare(gpa, 3);
    accessUnderPolicy();
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
    if (this.access.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    block32[VALUE_LOW32] = checkedLow;
    block32[VALUE_HIGH32] = checkedHigh;
    this.prepare(gpa, 7);
    accessUnderPolicy();
    return this.access.marks.dirty === null ? result() : this.access.mark(gpa, 8);
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
   * As {@link NativeAccess.run}, under the policy.
   *
   * @throws as {@link NativeAccess.run}.
   */
  run(ops: OpBuffer): number {
    return this.access.runUnder(policyNumber(this.policy), ops);
  }

  /** The size in bytes and the policy, for `JSON.stringify`. */
  toJSON(): { type: "NativePolicyAccess"; size: number } & Required<AccessPolicy> {
    return { type: "NativePolicyAccess", size: Number(this.size), ...this.policy };
  }

  /** Calls the guards of a write that does not fault. */
  private callGuards(gpa: Gpa, bytes: number): void {
    this.access.callGuards(gpa, bytes, this.policy.alignment);
  }

  /**
   * Writes the memory, the address and the operation of the next call into the call block.
   *
   * @param kind - A value of `OpKind`.
   */
  private prepare(gpa: Gpa, kind: number): void {
    this.access.prepare(gpa);
    block32[OPERATION32] = this.operation + kind;
  }
}

function check(
  code: GuestMemAccessResult,
  bytes: number,
  gpa: Gpa,
  operation: "read" | "write",
): void {
  if (code !== OK) {
    throw new GuestMemoryFault(code, gpa, bytes, operation);
  }
}
