import { INSPECT } from "../base/inspect.js";
import type { GuestMemoryAccess } from "../base/access.js";
import { Part } from "../base/part.js";
import type { Gpa } from "../base/gpa.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import { GuestMemoryFault } from "../base/errors.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import { checkSlots } from "../base/widths.js";
import { hasAddon, noAddon, refuseNative } from "../native/addon.js";
import type { NativeAccess } from "../native/access.js";
import type { NativePolicyAccess } from "../native/policy-access.js";
import type { GeneralAccess } from "./general-access.js";
import { GeneralPolicyAccess } from "./general-policy-access.js";
import type { MemoryMarks } from "./marks.js";
import { EMPTY_WINDOW } from "./windows.js";

const nativeAccess = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("../native/policy-access.js") as typeof import("../native/policy-access.js"),
  noAddon,
);
if (hasAddon) {
  // With this module. The first access under a policy could fail for want of a file descriptor.
  nativeAccess.get();
}

/** The parts of a memory that its policy objects use. */
export interface PolicyMemory {
  /** The memory, which a policy object keeps alive. */
  readonly owner: GuestMemoryAccess;
  /** Null without the addon. */
  readonly native: NativeAccess | null;
  readonly general: GeneralAccess;
  readonly marks: MemoryMarks;
}

/**
 * The accessors of a {@link GuestMemory} under an access policy, over the same bytes. Make one with
 * {@link GuestMemory.withPolicy}.
 *
 * Checks, result codes and errors are those of the memory's own accessors, except that an unaligned
 * address is no fault under `alignment: "allow"`. An unaligned write checks all of its bytes before
 * it writes one of them, and marks every page that it touches. It is not atomic: another thread may
 * see a part of it. The memory's `atomics` have no policy.
 *
 * @example
 *
 * ```ts
 * const memory = GuestMemory.allocate(4096);
 * const bus = memory.withPolicy({ alignment: "allow", endian: "big" });
 * bus.writel(0x101, 0x11223344);
 * const first = memory.readb(0x101); // 0x11
 * const value = bus.native.readw(0x103); // 0x3344
 * ```
 */
export abstract class PolicyAccess implements GuestMemoryAccess {
  /** @internal */
  readonly uncloneable = uncloneable;
  readonly policy: Readonly<Required<AccessPolicy>>;
  /** The same accessors on the native path. */
  declare readonly native: NativePolicyAccess;

  // These fields use TypeScript's private for speed, as in GuestMemory.

  /** The first window of the RAM; empty after the RAM has ended. @internal */
  protected view: DataView;
  /**
   * The hot path makes accesses to addresses below 8 times this number. For V8 it is a small
   * integer, which an address is not.
   *
   * @internal
   */
  protected units: number;
  /** As `units`, for writes. 0 while writes are tracked or guarded. @internal */
  protected writeUnits: number;
  /** Makes the accesses that the hot path does not make. @internal */
  protected readonly general: GeneralPolicyAccess;
  /** A property of the prototype, which V8 treats as a constant. @internal */
  declare protected checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
    refuseNative(this.prototype);
  }

  readonly #owner: GuestMemoryAccess;
  readonly #marks: MemoryMarks;

  /** @internal */
  constructor(policy: Required<AccessPolicy>, { owner, native, general, marks }: PolicyMemory) {
    this.policy = Object.freeze(policy);
    if (native !== null) {
      this.native = new (nativeAccess.get().NativePolicyAccess)(native, policy);
    }
    const { data, u8 } = general.windows.at(0);
    this.view = data;
    // The last byte of the last unit may be the first one of an unaligned access of 8 bytes.
    const beyond = policy.alignment === "allow" ? 7 : 0;
    // The length of the array is 0 once the buffer is detached; that of a DataView throws then.
    this.units = Math.max(0, Math.floor((u8.length - beyond) / 8));
    this.writeUnits = marks.idle ? this.units : 0;
    this.general = new GeneralPolicyAccess(general, marks, policy);
    this.#owner = owner;
    this.#marks = marks;
  }

  get size(): bigint {
    return this.#owner.size;
  }

  /** Call it after the tracking or the guarding of writes has started or ended. @internal */
  marksChanged(): void {
    this.writeUnits = this.#marks.idle ? this.units : 0;
  }

  /** Ends the use of the RAM. The result of every later access is `ERROR_INTERNAL`. @internal */
  end(): void {
    this.view = EMPTY_WINDOW.data;
    this.units = 0;
    this.writeUnits = 0;
  }

  /** The text that `console.log` prints, without the bytes of RAM. */
  [INSPECT](): string {
    const { alignment, endian } = this.policy;
    return `PolicyAccess { size: ${this.size}, alignment: ${alignment}, endian: ${endian} }`;
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. The size is in bytes. */
  toJSON(): { type: "PolicyAccess"; size: number } & Required<AccessPolicy> {
    return { type: "PolicyAccess", size: Number(this.size), ...this.policy };
  }

  abstract tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult;
  abstract tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult;
  abstract tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult;
  abstract tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult;
  abstract tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult;
  abstract tryWritew(gpa: Gpa, value: number): GuestMemAccessResult;
  abstract tryWritel(gpa: Gpa, value: number): GuestMemAccessResult;
  abstract tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult;
  abstract tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult;
  abstract readb(gpa: Gpa): number;
  abstract readw(gpa: Gpa): number;
  abstract readl(gpa: Gpa): number;
  abstract readq(gpa: Gpa): bigint;
  abstract writeb(gpa: Gpa, value: number): void;
  abstract writew(gpa: Gpa, value: number): void;
  abstract writel(gpa: Gpa, value: number): void;
  abstract writeq(gpa: Gpa, value: bigint): void;
  abstract tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult;
  abstract tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult;
  abstract readqHalves(gpa: Gpa, out: Uint32Array, at: number): void;
  abstract writeqHalves(gpa: Gpa, low: number, high: number): void;
}

// One class per policy, so that V8 sees the policy as a constant and each class has type feedback
// of its own. guest-memory.ts explains the form of the accessors. Unlike there, an access uses a
// DataView, which throws if its buffer is detached; in optimized code, `try` costs nothing.

// #region generated: npm run generate
class FaultLittle extends PolicyAccess {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint8(at);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const at = (gpa & -2) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint16(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const at = (gpa & -4) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint32(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const at = (gpa & -8) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getBigUint64(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const at = (gpa & -8) >>> 0;
          if (at === gpa && at >>> 3 < this.writeUnits) {
            this.view.setBigUint64(at, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint8(at);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint16(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint32(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getBigUint64(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        const place = (gpa & -8) >>> 0;
        if (place === gpa && place >>> 3 < this.units) {
          const low = this.view.getUint32(place, true);
          out[at + 1] = this.view.getUint32(place + 4, true);
          out[at] = low;
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof low === "number" &&
      (low >>> 0 === low || (low | 0) === low) &&
      typeof high === "number" &&
      (high >>> 0 === high || (high | 0) === high)
    ) {
      const place = (gpa & -8) >>> 0;
      if (place === gpa && place >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(place, low, true);
          this.view.setUint32(place + 4, high, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
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
}

class FaultBig extends PolicyAccess {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint8(at);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const at = (gpa & -2) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint16(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const at = (gpa & -4) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint32(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const at = (gpa & -8) >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getBigUint64(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const at = (gpa & -8) >>> 0;
          if (at === gpa && at >>> 3 < this.writeUnits) {
            this.view.setBigUint64(at, value, false);
            return 0;
          }
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint8(at);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint16(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint32(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getBigUint64(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = (gpa & -2) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = (gpa & -4) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = (gpa & -8) >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        const place = (gpa & -8) >>> 0;
        if (place === gpa && place >>> 3 < this.units) {
          const low = this.view.getUint32(place + 4, false);
          out[at + 1] = this.view.getUint32(place, false);
          out[at] = low;
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof low === "number" &&
      (low >>> 0 === low || (low | 0) === low) &&
      typeof high === "number" &&
      (high >>> 0 === high || (high | 0) === high)
    ) {
      const place = (gpa & -8) >>> 0;
      if (place === gpa && place >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(place + 4, low, false);
          this.view.setUint32(place, high, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
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
}

class AllowLittle extends PolicyAccess {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint8(at);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint16(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint32(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getBigUint64(at, true);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const at = gpa >>> 0;
          if (at === gpa && at >>> 3 < this.writeUnits) {
            this.view.setBigUint64(at, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint8(at);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint16(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint32(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getBigUint64(at, true);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, true);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        const place = gpa >>> 0;
        if (place === gpa && place >>> 3 < this.units) {
          const low = this.view.getUint32(place, true);
          out[at + 1] = this.view.getUint32(place + 4, true);
          out[at] = low;
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof low === "number" &&
      (low >>> 0 === low || (low | 0) === low) &&
      typeof high === "number" &&
      (high >>> 0 === high || (high | 0) === high)
    ) {
      const place = gpa >>> 0;
      if (place === gpa && place >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(place, low, true);
          this.view.setUint32(place + 4, high, true);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
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
}

class AllowBig extends PolicyAccess {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint8(at);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint16(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getUint32(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const at = gpa >>> 0;
        if (at === gpa && at >>> 3 < this.units) {
          out[0] = this.view.getBigUint64(at, false);
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const at = gpa >>> 0;
          if (at === gpa && at >>> 3 < this.writeUnits) {
            this.view.setBigUint64(at, value, false);
            return 0;
          }
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint8(at);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint16(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getUint32(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.units) {
        try {
          return this.view.getBigUint64(at, false);
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint8(at, value);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint16(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const at = gpa >>> 0;
      if (at === gpa && at >>> 3 < this.writeUnits) {
        try {
          this.view.setBigUint64(at, value, false);
          return;
        } catch {
          // The buffer is detached.
        }
      }
    }
    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        const place = gpa >>> 0;
        if (place === gpa && place >>> 3 < this.units) {
          const low = this.view.getUint32(place + 4, false);
          out[at + 1] = this.view.getUint32(place, false);
          out[at] = low;
          return 0;
        }
      }
    } catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }
    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof low === "number" &&
      (low >>> 0 === low || (low | 0) === low) &&
      typeof high === "number" &&
      (high >>> 0 === high || (high | 0) === high)
    ) {
      const place = gpa >>> 0;
      if (place === gpa && place >>> 3 < this.writeUnits) {
        try {
          this.view.setUint32(place + 4, low, false);
          this.view.setUint32(place, high, false);
          return 0;
        } catch {
          // The buffer is detached.
        }
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
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
}

// #endregion

/** The classes by the number of the policy. */
const CLASSES = [FaultLittle, AllowLittle, FaultBig, AllowBig];

/** The accessors of a memory under a policy. */
export function policyAccess(policy: Required<AccessPolicy>, memory: PolicyMemory): PolicyAccess {
  return new CLASSES[policyNumber(policy)]!(policy, memory);
}
