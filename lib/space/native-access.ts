import type { GuestAccessors } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import type { Bus } from "./bus.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import type { NativeAccess } from "../native/access.js";
import type { RamRegion, RomRegion, Stretch } from "./regions.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { spaceAtomics } from "./atomics.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { uncloneable } from "../base/uncloneable.js";
import { checkOut, QUAD, type Out, type Value } from "../base/widths.js";

const byte = SPACE_BYTE.scratch;
const word = SPACE_WORD.scratch;
const long = SPACE_LONG.scratch;
const quad = SPACE_QUAD.scratch;

/**
 * The native path of an address space: {@link AddressSpace.native}. The compiled C++ accessors
 * access RAM and ROM. Devices, watchpoints and dirty marks are those of the view path.
 */
export class NativeSpaceAccess implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  // The stretches that were last read and written. No byte of a stretch is watched, so an access
  // that starts in one goes to the addon, which checks the rest. If the addon refuses a throwing
  // read (`readl`), the slow path repeats it, because the error must name the guest physical
  // address. That is safe: a refused access has no effect. The fields are private to TypeScript
  // only and the accessors are written out per width, for the reasons given in GuestMemory.
  private readBase = 0;
  private readLength = 0;
  /** The offset of the stretch from the start of its region. */
  private readFrom = 0;
  private readAccess: NativeAccess | null = null;
  private writeBase = 0;
  private writeLength = 0;
  private writeFrom = 0;
  private writeAccess: NativeAccess | null = null;

  readonly #bus: Bus;
  #atomics: GuestAtomicAccess | undefined;

  /** @internal */
  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** The operations of {@link AddressSpace.atomics} on the native path. */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= spaceAtomics(this.#bus, "native"));
  }

  /** Invalidates the cached stretches. @internal */
  clear(): void {
    this.readLength = 0;
    this.readAccess = null;
    this.writeLength = 0;
    this.writeAccess = null;
  }

  /** Keeps `JSON.stringify` from writing out the RAM. */
  toJSON(): { type: "NativeSpaceAccess" } {
    return { type: "NativeSpaceAccess" };
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryReadb(this.readFrom + offset, out);
      }
    }
    return this.tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryReadw(this.readFrom + offset, out);
      }
    }
    return this.tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryReadl(this.readFrom + offset, out);
      }
    }
    return this.tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryReadq(this.readFrom + offset, out);
      }
    }
    return this.tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.tryWriteb(this.writeFrom + offset, value);
      }
    }
    return this.tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.tryWritew(this.writeFrom + offset, value);
      }
    }
    return this.tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.tryWritel(this.writeFrom + offset, value);
      }
    }
    return this.tryWrite(SPACE_LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.tryWriteq(this.writeFrom + offset, value);
      }
    }
    return this.tryWrite(SPACE_QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.tryWriteqFrom(this.writeFrom + offset, source);
      }
    }
    return this.tryWrite(SPACE_QUAD, gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (
        offset >= 0 &&
        offset < this.readLength &&
        this.readAccess!.tryReadb(this.readFrom + offset, byte) === OK
      ) {
        return byte[0]!;
      }
    }
    return this.read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (
        offset >= 0 &&
        offset < this.readLength &&
        this.readAccess!.tryReadw(this.readFrom + offset, word) === OK
      ) {
        return word[0]!;
      }
    }
    return this.read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (
        offset >= 0 &&
        offset < this.readLength &&
        this.readAccess!.tryReadl(this.readFrom + offset, long) === OK
      ) {
        return long[0]!;
      }
    }
    return this.read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (
        offset >= 0 &&
        offset < this.readLength &&
        this.readAccess!.tryReadq(this.readFrom + offset, quad) === OK
      ) {
        return quad[0]!;
      }
    }
    return this.read(SPACE_QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const result = this.tryWriteb(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 1, "write");
    }
  }

  writew(gpa: Gpa, value: number): void {
    const result = this.tryWritew(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 2, "write");
    }
  }

  writel(gpa: Gpa, value: number): void {
    const result = this.tryWritel(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 4, "write");
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    const result = this.tryWriteq(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write");
    }
  }

  // #endregion

  private tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    checkOut(kind.width, out, "out");
    const value = this.#load(kind, gpa);
    const { result } = this.#bus;
    if (result === OK) {
      kind.width.store(out, value);
    }
    return result;
  }

  private read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const value = this.#load(kind, gpa);
    const { result } = this.#bus;
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, kind.bytes, "read");
    }
    return value;
  }

  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const bus = this.#bus;
    const region = bus.find(gpa);
    if (typeof gpa === "number" && region !== null && region.kind !== "mmio") {
      this.#cacheForReads(
        region,
        region.readStretchAt(bus.offset, bus.watches.index("read"), bus.version),
      );
    }
    return bus.read(true, kind, gpa, region);
  }

  private tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const checked = kind.width.checkValue(value);
    const bus = this.#bus;
    const region = bus.find(gpa);
    if (typeof gpa === "number" && region !== null && region.kind === "ram") {
      this.#cacheForWrites(
        region,
        region.writeStretchAt(bus.offset, bus.watches.index("write"), bus.version),
      );
    }
    return bus.write(true, kind, gpa, checked, region);
  }

  #cacheForReads(region: RamRegion | RomRegion, stretch: Stretch | null): void {
    if (stretch?.safe === true) {
      this.readBase = stretch.base;
      this.readLength = stretch.length;
      this.readFrom = stretch.from;
      this.readAccess = region.memory.native;
    }
  }

  #cacheForWrites(region: RamRegion, stretch: Stretch | null): void {
    if (stretch?.safe === true) {
      this.writeBase = stretch.base;
      this.writeLength = stretch.length;
      this.writeFrom = stretch.from;
      this.writeAccess = region.memory.native;
    }
  }
}
