import { GuestMemAccessResult, type Operation } from "pound-guest-memory";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const PAGE = 4096;

/** What a test's device gives for a read: some value of the width that tells offsets apart. */
export function registerValue(offset: number, width: number): bigint {
  return (BigInt(offset + 1) * 0x9e37_79b9_7f4a_7c15n) & (2n ** BigInt(8 * width) - 1n);
}

/** What several regions may be over. */
export interface ModelMemory {
  readonly bytes: Uint8Array;
  dirty: Set<number> | null;
  ended: boolean;
}

export interface ModelRegion {
  readonly kind: "ram" | "rom" | "mmio";
  readonly gpa: bigint;
  readonly memory: ModelMemory;
  /** The accesses that a device answers, for instance "read4". */
  readonly handlers: ReadonlySet<string>;
}

export interface ModelWatch {
  readonly id: number;
  readonly gpa: bigint;
  readonly length: bigint;
  readonly kinds: Operation | "access";
  /** What the listener does to the map. */
  readonly act: () => void;
}

/** One byte of a region, found before listeners may have changed the map. */
interface Place {
  readonly memory: ModelMemory;
  readonly offset: number;
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
      (region) =>
        gpa < region.gpa + BigInt(region.memory.bytes.length) && region.gpa < gpa + BigInt(size),
    );
  }

  regionAt(gpa: bigint): ModelRegion | undefined {
    return this.regions.find(
      (region) => gpa >= region.gpa && gpa < region.gpa + BigInt(region.memory.bytes.length),
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
        value = value * 256n + BigInt(region.memory.bytes[offset + i]!);
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
    const places = this.#places(gpa, width);
    this.#tell(gpa, width, "write", value);
    if (region.kind === "mmio") {
      this.log.push(`write${width} ${places[0]!.offset} ${value}`);
      return OK;
    }
    return store(places, littleEndian(value, width));
  }

  /**
   * An atomic operation. `change` gives what is stored, or null where nothing is.
   *
   * @param told - What is to be written, where that does not depend on what RAM holds.
   * @param reads - Whether the operation gives what RAM held.
   */
  atomic(
    gpa: bigint,
    width: number,
    change: ((old: bigint) => bigint | null) | null,
    told: bigint | undefined,
    reads: boolean,
  ): { result: GuestMemAccessResult; old: bigint } {
    const region = this.regionAt(gpa);
    const result =
      region?.kind === "mmio"
        ? FAULT_BOUNDARY
        : this.#check(gpa, width, change === null ? "read" : "write");
    if (result !== OK) {
      return { result, old: 0n };
    }
    const places = this.#places(gpa, width);
    if (change !== null) {
      this.#tell(gpa, width, "write", told);
    }
    const old = places.reduceRight(
      (value, { memory, offset }) => value * 256n + BigInt(memory.bytes[offset]!),
      0n,
    );
    const stored = change === null ? null : change(old);
    if (places[0]!.memory.ended) {
      return { result: ERROR_INTERNAL, old: 0n };
    }
    if (stored !== null) {
      store(places, littleEndian(stored, width));
    }
    if (reads) {
      this.#tell(gpa, width, "read", old);
    }
    return { result: OK, old };
  }

  /** A write to memory itself, past the space. */
  direct(region: ModelRegion, offset: number, bytes: readonly number[]): GuestMemAccessResult {
    const { memory } = region;
    if (memory.ended) {
      return ERROR_INTERNAL;
    }
    if (offset + bytes.length > memory.bytes.length) {
      return FAULT_BOUNDARY;
    }
    return store(
      bytes.map((_, i) => ({ memory, offset: offset + i })),
      bytes,
    );
  }

  /** The bytes of a range, or why not. */
  bulkRead(gpa: bigint, length: number): number[] | GuestMemAccessResult {
    const result = this.#checkBulk(gpa, length, "read");
    if (result !== OK) {
      return result;
    }
    const bytes = load(this.#places(gpa, length));
    this.#tell(gpa, length, "read");
    return bytes;
  }

  bulkWrite(gpa: bigint, bytes: readonly number[]): GuestMemAccessResult {
    const result = this.#checkBulk(gpa, bytes.length, "write");
    if (result !== OK) {
      return result;
    }
    const places = this.#places(gpa, bytes.length);
    this.#tell(gpa, bytes.length, "write");
    return store(places, bytes);
  }

  bulkCopy(target: bigint, source: bigint, length: number): GuestMemAccessResult {
    const read = this.#checkBulk(source, length, "read");
    const result = read === OK ? this.#checkBulk(target, length, "write") : read;
    if (result !== OK) {
      return result;
    }
    const [from, to] = [this.#places(source, length), this.#places(target, length)];
    this.#tell(source, length, "read");
    this.#tell(target, length, "write");
    return from.some(({ memory }) => memory.ended) ? ERROR_INTERNAL : store(to, load(from));
  }

  #places(gpa: bigint, length: number): Place[] {
    return Array.from({ length }, (_, i) => {
      const { gpa: start, memory } = this.regionAt(gpa + BigInt(i))!;
      return { memory, offset: Number(gpa + BigInt(i) - start) };
    });
  }

  #check(gpa: bigint, width: number, operation: Operation): GuestMemAccessResult {
    const region = this.regionAt(gpa);
    if (region?.memory.ended) {
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
      if (region?.memory.ended) {
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
        watch.act();
      }
    }
  }
}

function littleEndian(value: bigint, width: number): number[] {
  return Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) % 256n));
}

function load(places: readonly Place[]): number[] {
  return places.map(({ memory, offset }) => memory.bytes[offset]!);
}

/** Stores all bytes, or none where memory has ended. */
function store(places: readonly Place[], bytes: readonly number[]): GuestMemAccessResult {
  if (places.some(({ memory }) => memory.ended)) {
    return ERROR_INTERNAL;
  }
  places.forEach(({ memory, offset }, i) => {
    memory.bytes[offset] = bytes[i]!;
    memory.dirty?.add(Math.floor(offset / PAGE));
  });
  return OK;
}
