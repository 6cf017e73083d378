import type { GuestAccessors } from "./access.js";
import type { Bus } from "./bus.js";
import { GuestMemoryFault } from "./errors.js";
import type { Gpa } from "./gpa.js";
import { GuestMemAccessResult } from "./result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./space-widths.js";
import { checkOut, QUAD, type Out, type Value } from "./widths.js";

const { OK } = GuestMemAccessResult;

/**
 * The native path into an address space: RAM and ROM through the compiled C++ accessors, MMIO
 * through the same devices as on the view path, with the same watchpoints and dirty marks.
 */
export class NativeSpaceAccess implements GuestAccessors {
  readonly #bus: Bus;

  /** @internal */
  constructor(bus: Bus) {
    this.#bus = bus;
  }

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return this.#tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return this.#tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return this.#tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return this.#tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(SPACE_LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    return this.#tryWrite(SPACE_QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    return this.#tryWrite(SPACE_QUAD, gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    return this.#read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    return this.#read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    return this.#read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    return this.#read(SPACE_QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    this.#write(SPACE_BYTE, gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    this.#write(SPACE_WORD, gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    this.#write(SPACE_LONG, gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    this.#write(SPACE_QUAD, gpa, value);
  }

  #tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    checkOut(kind.width, out, "out");
    const value = this.#bus.read(true, kind, gpa, this.#bus.find(gpa));
    const { result } = this.#bus;
    if (result === OK) {
      kind.width.store(out, value);
    }
    return result;
  }

  #read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const value = this.#bus.read(true, kind, gpa, this.#bus.find(gpa));
    const { result } = this.#bus;
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, kind.bytes, "read");
    }
    return value;
  }

  #tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    kind.width.checkValue(value);
    return this.#bus.write(true, kind, gpa, value, this.#bus.find(gpa));
  }

  #write<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa, value: T): void {
    const result = this.#tryWrite(kind, gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, kind.bytes, "write");
    }
  }
}
