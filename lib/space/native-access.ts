import type { GuestAccessors, GuestHalvesAccessors } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import type { Bus } from "./bus.js";
import { type Reach, reaches } from "./reach.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { checkHalvesOut, quadOf, storeHalves } from "../base/halves.js";
import type { HalvesAccess } from "../base/halves-access.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { DeviceAccess } from "./device-access.js";
import { NO_ENTRIES } from "./page-table.js";
import { atomicsPart } from "./atomics-part.js";
import { spaceHalves } from "./halves.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { uncloneable } from "../base/uncloneable.js";
import { BYTE, checkOut, isView, LONG, type Out, QUAD, type Value, WORD } from "../base/widths.js";
import { native } from "../native/addon.js";
import { block16, block32, block64, block8 } from "../native/block-views.js";
import {
  GPA_LOW32,
  MEMORY32,
  RESULT32,
  VALUE16,
  VALUE32,
  VALUE64,
  VALUE8,
} from "../native/call-block.js";
import { VALUE_HIGH32, VALUE_LOW32 } from "../native/value-halves.js";

const {
  spaceReadb,
  spaceReadw,
  spaceReadl,
  spaceReadq,
  spaceWriteb,
  spaceWritew,
  spaceWritel,
  spaceWriteq,
} = native;

/**
 * The native path of an address space: {@link AddressSpace.native}. The compiled C++ accessors
 * access RAM and ROM. Devices, watchpoints and dirty marks are those of the view path.
 */
export class NativeSpaceAccess implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  // C++ looks the address up in the page table that the view path uses too. Pages without an entry
  // take the slow path at once, without a call of C++. It uses the reach of the last access of each
  // kind, in memory outside the home buffer.
  /** The number of the page table in the call block; at first, one that no table has. @internal */
  number = 0xffff_ffff;
  /** The page table of the view path, for its open pages. @internal */
  reads = NO_ENTRIES;
  /** @internal */
  writes = NO_ENTRIES;
  private readonly shift: number;
  readonly #devices: DeviceAccess;
  #readReach: Reach | null = null;
  #readMemory: GuestAccessors | null = null;
  #writeReach: Reach | null = null;
  #writeMemory: GuestAccessors | null = null;

  readonly #bus: Bus;
  #atomics: GuestAtomicAccess | undefined;
  #halves: HalvesAccess | undefined;

  /** @internal */
  constructor(bus: Bus, shift: number) {
    this.#bus = bus;
    this.shift = shift;
    this.#devices = new DeviceAccess(bus, true);
  }

  /** The operations of {@link AddressSpace.atomics} on the native path. */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= atomicsPart.get().spaceAtomics(this.#bus, "native"));
  }

  /** The accessors of {@link AddressSpace.halves} on the native path. */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= spaceHalves(this.#bus, this, true));
  }

  /** Invalidates the cached reaches. @internal */
  clear(): void {
    this.#halves?.clear();
    this.#readReach = null;
    this.#writeReach = null;
    this.#devices.clear();
  }

  /** Keeps `JSON.stringify` from writing out the RAM. */
  toJSON(): { type: "NativeSpaceAccess" } {
    return { type: "NativeSpaceAccess" };
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint8Array)) {
      checkOut(BYTE, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadb();
        if (block[RESULT32] === OK) {
          out[0] = block8[VALUE8]!;
          return OK;
        }
      }
    }
    return this.tryReadNumber(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint16Array)) {
      checkOut(WORD, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadw();
        if (block[RESULT32] === OK) {
          out[0] = block16[VALUE16]!;
          return OK;
        }
      }
    }
    return this.tryReadNumber(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint32Array)) {
      checkOut(LONG, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadl();
        if (block[RESULT32] === OK) {
          out[0] = block32[VALUE32]!;
          return OK;
        }
      }
    }
    return this.tryReadNumber(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof BigUint64Array)) {
      checkOut(QUAD, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadq();
        if (block[RESULT32] === OK) {
          out[0] = block64[VALUE64]!;
          return OK;
        }
      }
    }
    return this.tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x80 && value <= 0xff && (value | 0) === value
        ? value
        : BYTE.checkValue(value);
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block8[VALUE8] = checked;
        spaceWriteb();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWriteNumber(SPACE_BYTE, gpa, checked);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x8000 && value <= 0xffff && (value | 0) === value
        ? value
        : WORD.checkValue(value);
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block16[VALUE16] = checked;
        spaceWritew();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWriteNumber(SPACE_WORD, gpa, checked);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && (value >>> 0 === value || (value | 0) === value)
        ? value
        : LONG.checkValue(value);
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block32[VALUE32] = checked;
        spaceWritel();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWriteNumber(SPACE_LONG, gpa, checked);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    const checked = QUAD.checkValue(value);
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block64[VALUE64] = checked;
        spaceWriteq();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWrite(SPACE_QUAD, gpa, checked);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block64[VALUE64] = value;
        spaceWriteq();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWrite(SPACE_QUAD, gpa, value);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadb();
        if (block[RESULT32] === OK) {
          return block8[VALUE8]!;
        }
      }
    }
    return this.readNumber(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadw();
        if (block[RESULT32] === OK) {
          return block16[VALUE16]!;
        }
      }
    }
    return this.readNumber(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadl();
        if (block[RESULT32] === OK) {
          return block32[VALUE32]!;
        }
      }
    }
    return this.readNumber(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadq();
        if (block[RESULT32] === OK) {
          return block64[VALUE64]!;
        }
      }
    }
    return this.read(SPACE_QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const result = this.tryWriteb(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 1, "write", this.#bus.outcome.reason);
    }
  }

  writew(gpa: Gpa, value: number): void {
    const result = this.tryWritew(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 2, "write", this.#bus.outcome.reason);
    }
  }

  writel(gpa: Gpa, value: number): void {
    const result = this.tryWritel(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 4, "write", this.#bus.outcome.reason);
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    const result = this.tryWriteq(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write", this.#bus.outcome.reason);
    }
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
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.reads[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;

        spaceReadq();
        if (block[RESULT32] === OK) {
          out[at] = block[VALUE_LOW32]!;
          out[at + 1] = block[VALUE_HIGH32]!;
          return OK;
        }
      }
    }
    return this.#tryReadHalves(gpa, out, at);
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
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.writes[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        block[VALUE_LOW32] = checkedLow;
        block[VALUE_HIGH32] = checkedHigh;
        spaceWriteq();
        if (block[RESULT32] === OK) {
          return OK;
        }
      }
    }
    return this.tryWrite(SPACE_QUAD, gpa, quadOf(checkedLow, checkedHigh));
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read", this.#bus.outcome.reason);
    }
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write", this.#bus.outcome.reason);
    }
  }

  // #endregion

  private tryReadNumber<A extends Out>(
    kind: SpaceWidth<number, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    const found = this.#find(kind, gpa);
    if (found >= 0) {
      kind.width.store(out, found);
      return OK;
    }
    return found === -1 ? this.tryRead(kind, gpa, out) : this.#bus.outcome.result;
  }

  private readNumber<A extends Out>(kind: SpaceWidth<number, A>, gpa: Gpa): number {
    const found = this.#find(kind, gpa);
    if (found >= 0) {
      return found;
    }
    return found === -1 ? this.read(kind, gpa) : this.#bus.outcome.fault(gpa, kind.bytes, "read");
  }

  /**
   * Makes a read of the last watched page or of a device, unless it lies in the last reach.
   *
   * @returns As `DeviceAccess.read`.
   */
  #find<A extends Out>(kind: SpaceWidth<number, A>, gpa: Gpa): number {
    const { watched } = this.#bus;
    if (watched.reads.holds(gpa)) {
      return watched.read(true, kind, gpa) ?? -1;
    }
    const known = this.#readReach;
    return known !== null && reaches(known, gpa, kind.bytes) ? -1 : this.#devices.read(kind, gpa);
  }

  /** As `#find`, for a write. */
  private tryWriteNumber<A extends Out>(
    kind: SpaceWidth<number, A>,
    gpa: Gpa,
    value: number,
  ): GuestMemAccessResult {
    const { watched } = this.#bus;
    const unsigned = (value & kind.mask) >>> 0;
    let result: GuestMemAccessResult | -1 = -1;
    if (watched.writes.holds(gpa)) {
      result = watched.write(true, kind, gpa, unsigned) ?? -1;
    } else {
      const known = this.#writeReach;
      if (known === null || !reaches(known, gpa, kind.bytes)) {
        result = this.#devices.write(kind, gpa, unsigned);
      }
    }
    return result === -1 ? this.tryWrite(kind, gpa, unsigned) : result;
  }

  private tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    const value = this.#load(kind, gpa);
    const { result } = this.#bus.outcome;
    if (result === OK) {
      kind.width.store(out, value);
    }
    return result;
  }

  #tryReadHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    checkHalvesOut(out, at);
    const value = this.#load(SPACE_QUAD, gpa);
    const { result } = this.#bus.outcome;
    if (result === OK) {
      storeHalves(out, at, value);
    }
    return result;
  }

  private read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const value = this.#load(kind, gpa);
    if (this.#bus.outcome.result !== OK) {
      this.#bus.outcome.fault(gpa, kind.bytes, "read");
    }
    return value;
  }

  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const bus = this.#bus;
    const known = this.#readReach;
    if (known !== null && reaches(known, gpa, kind.bytes)) {
      const offset = known.offset + (gpa - known.base);
      if (kind.tryRead(this.#readMemory!, offset, kind.scratch) === OK) {
        bus.outcome.result = OK;
        return kind.scratch[0] as T;
      }
    }
    const watched = bus.watched.read(true, kind, gpa);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.lookup.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.readable) {
      this.#readReach = bus.reaches.of(region, "read");
      this.#readMemory = bus.policy.accessOf(true, region.memory);
    }
    if (region?.kind === "mmio") {
      this.#devices.cache(region, "read", gpa, kind.log2);
    }
    return bus.rules.read(true, kind, gpa, region);
  }

  private tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const checked = kind.width.checkValue(value);
    const bus = this.#bus;
    const known = this.#writeReach;
    if (known !== null && reaches(known, gpa, kind.bytes)) {
      if (kind.tryWrite(this.#writeMemory!, known.offset + (gpa - known.base), value) === OK) {
        return OK;
      }
    }
    const watched = bus.watched.write(true, kind, gpa, checked);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.lookup.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.writable) {
      this.#writeReach = bus.reaches.of(region, "write");
      this.#writeMemory = bus.policy.accessOf(true, region.memory);
    }
    if (region?.kind === "mmio") {
      this.#devices.cache(region, "write", gpa, kind.log2);
    }
    return bus.rules.write(true, kind, gpa, checked, region);
  }
}
