import { GuestMemAccessResult, type Operation } from "pound-guest-memory";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const PAGE = 4096;

/** What a test's device gives for a read: some value of the width that tells offsets apart. */
export function registerValue(offset: number, width: number): bigint {
  return (BigInt(offset + 1) * 0x9e37_79b9_7f4a_7c15n) & (2n ** BigInt(8 * width) - 1n);
}

export interface ModelRegion {
  readonly kind: "ram" | "rom" | "mmio";
  readonly gpa: bigint;
  readonly bytes: Uint8Array;
  /** The accesses that a device answers, for instance "read4". */
  readonly handlers: ReadonlySet<string>;
  dirty: Set<number> | null;
  ended: boolean;
}

export interface ModelWatch {
  readonly id: number;
  readonly gpa: bigint;
  readonly length: bigint;
  readonly kinds: Operation | "access";
}

/**
 * An address space done the slow and plain way: every question is answered byte by byte, by looking
 * at every region. It shares no code with lib.
 */
export class SpaceModel {
  regions: ModelRegion[] = [];
  watches: ModelWatch[] = [];
  /** What devices and listeners were told. */
  log: string[] = [];

  overlaps(gpa: bigint, size: number): boolean {
    return this.regions.some(
      (region) => gpa < region.gpa + BigInt(region.bytes.length) && region.gpa < gpa + BigInt(size),
    );
  }

  regionAt(gpa: bigint): ModelRegion | undefined {
    return this.regions.find(
      (region) => gpa >= region.gpa && gpa < region.gpa + BigInt(region.bytes.length),
    );
  }

  read(gpa: bigint, width: number): { result: GuestMemAccessResult; value: bigint } {
    const result = this.#check(gpa, width, "read");
    if (result !== OK) {
      return { result, value: 0n };
    }
    const region = this.regionAt(gpa)!;
    const offset = Number(gpa - region.gpa);
    let value = 0n;
    if (region.kind === "mmio") {
      value = registerValue(offset, width);
      this.log.push(`read${width} ${offset}`);
    } else {
      for (let i = width - 1; i >= 0; i--) {
        value = value * 256n + BigInt(region.bytes[offset + i]!);
      }
    }
    this.#tell(gpa, width, "read", value);
    return { result, value };
  }

  write(gpa: bigint, width: number, value: bigint): GuestMemAccessResult {
    const result = this.#check(gpa, width, "write");
    if (result !== OK) {
      return result;
    }
    const region = this.regionAt(gpa)!;
    const offset = Number(gpa - region.gpa);
    this.#tell(gpa, width, "write", value);
    if (region.kind === "mmio") {
      this.log.push(`write${width} ${offset} ${value}`);
    } else {
      for (let i = 0; i < width; i++) {
        this.#store(gpa + BigInt(i), Number((value >> BigInt(8 * i)) % 256n));
      }
    }
    return OK;
  }

  /** The bytes of a range, or why not. */
  bulkRead(gpa: bigint, length: number): number[] | GuestMemAccessResult {
    const result = this.#checkBulk(gpa, length, "read");
    if (result !== OK) {
      return result;
    }
    const bytes = this.#bytes(gpa, length);
    this.#tell(gpa, length, "read");
    return bytes;
  }

  bulkWrite(gpa: bigint, bytes: readonly number[]): GuestMemAccessResult {
    const result = this.#checkBulk(gpa, bytes.length, "write");
    if (result === OK) {
      this.#tell(gpa, bytes.length, "write");
      bytes.forEach((byte, i) => this.#store(gpa + BigInt(i), byte));
    }
    return result;
  }

  bulkCopy(target: bigint, source: bigint, length: number): GuestMemAccessResult {
    const read = this.#checkBulk(source, length, "read");
    const result = read === OK ? this.#checkBulk(target, length, "write") : read;
    if (result === OK) {
      const bytes = this.#bytes(source, length);
      this.#tell(source, length, "read");
      this.#tell(target, length, "write");
      bytes.forEach((byte, i) => this.#store(target + BigInt(i), byte));
    }
    return result;
  }

  #bytes(gpa: bigint, length: number): number[] {
    return Array.from({ length }, (_, i) => {
      const region = this.regionAt(gpa + BigInt(i))!;
      return region.bytes[Number(gpa + BigInt(i) - region.gpa)]!;
    });
  }

  #store(gpa: bigint, byte: number): void {
    const region = this.regionAt(gpa)!;
    const offset = Number(gpa - region.gpa);
    region.bytes[offset] = byte;
    region.dirty?.add(Math.floor(offset / PAGE));
  }

  #check(gpa: bigint, width: number, operation: Operation): GuestMemAccessResult {
    const region = this.regionAt(gpa);
    if (region?.ended) {
      return ERROR_INTERNAL;
    }
    for (let i = 0; i < width; i++) {
      if (region === undefined || this.regionAt(gpa + BigInt(i)) !== region) {
        return FAULT_BOUNDARY;
      }
    }
    if (region?.kind === "mmio" && !region.handlers.has(`${operation}${width}`)) {
      return FAULT_BOUNDARY;
    }
    if (region?.kind === "rom" && operation === "write") {
      return FAULT_BOUNDARY;
    }
    return gpa % BigInt(width) === 0n ? OK : FAULT_UNALIGNED;
  }

  /** The first byte that cannot be accessed tells why. */
  #checkBulk(gpa: bigint, length: number, operation: Operation): GuestMemAccessResult {
    for (let i = 0; i < length; i++) {
      const region = this.regionAt(gpa + BigInt(i));
      if (region?.ended) {
        return ERROR_INTERNAL;
      }
      const allowed = operation === "read" ? ["ram", "rom"] : ["ram"];
      if (region === undefined || !allowed.includes(region.kind)) {
        return FAULT_BOUNDARY;
      }
    }
    return OK;
  }

  #tell(gpa: bigint, width: number, operation: Operation, value?: bigint): void {
    for (const watch of this.watches) {
      const touches = gpa < watch.gpa + watch.length && watch.gpa < gpa + BigInt(width);
      if (touches && width > 0 && (watch.kinds === "access" || watch.kinds === operation)) {
        this.log.push(`watch ${watch.id}: ${operation} ${width} at ${gpa}: ${value}`);
      }
    }
  }
}
