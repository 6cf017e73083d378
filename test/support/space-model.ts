import { GuestMemAccessResult, type Operation } from "pound-guest-memory";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const PAGE = 4096;

/** The value that test devices return for a read: it fits the width and differs for each offset. */
export function registerValue(offset: number, width: number): bigint {
  return (BigInt(offset + 1) * 0x9e37_79b9_7f4a_7c15n) & (2n ** BigInt(8 * width) - 1n);
}

/** Memory, which several regions may map. */
export interface ModelMemory {
  readonly bytes: Uint8Array;
  dirty: Set<number> | null;
  ended: boolean;
}

export interface ModelRegion {
  readonly kind: "ram" | "rom" | "mmio";
  readonly gpa: bigint;
  readonly memory: ModelMemory;
  /** The accesses that a device has handlers for, for instance "read4". */
  readonly handlers: ReadonlySet<string>;
}

export interface ModelWatch {
  readonly id: number;
  readonly gpa: bigint;
  readonly length: bigint;
  readonly kinds: Operation | "access";
  /** Called as the listener: may change the map. */
  readonly act: () => void;
}

export interface ModelRange {
  readonly gpa: bigint;
  readonly length: number;
}

/** The location of one byte, looked up before listeners can change the map. */
interface Place {
  readonly memory: ModelMemory;
  readonly offset: number;
}

/**
 * A slow, simple model of an address space: it looks up each byte of an access in the list of
 * regions. It shares no code with lib.
 */
export class SpaceModel {
  regions: ModelRegion[] = [];
  watches: ModelWatch[] = [];
  /** The calls of device handlers and listeners, in order. */
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
    this.#notify(gpa, width, "read", value);
    return { result, value };
  }

  write(gpa: bigint, width: number, value: bigint): GuestMemAccessResult {
    const result = this.#check(gpa, width, "write");
    if (result !== OK) {
      return result;
    }
    const region = this.regionAt(gpa)!;
    const places = this.#places(gpa, width);
    this.#notify(gpa, width, "write", value);
    if (region.kind === "mmio") {
      this.log.push(`write${width} ${places[0]!.offset} ${value}`);
      return OK;
    }
    return store(places, littleEndian(value, width));
  }

  /**
   * An atomic operation.
   *
   * @param change - Computes the new value from the old; returns null to store nothing. Null for a
   * load.
   * @param announced - The value that write watchpoints get: undefined if it depends on the old
   * one.
   * @param reads - Whether the operation returns the old value.
   */
  atomic(
    gpa: bigint,
    width: number,
    change: ((old: bigint) => bigint | null) | null,
    announced: bigint | undefined,
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
      this.#notify(gpa, width, "write", announced);
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
      this.#notify(gpa, width, "read", old);
    }
    return { result: OK, old };
  }

  /** A write through the accessors of the memory itself, not of the space. */
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

  /** The bytes of a range, or the result code of the fault. */
  bulkRead(gpa: bigint, length: number): number[] | GuestMemAccessResult {
    const result = this.#checkBulk(gpa, length, "read");
    if (result !== OK) {
      return result;
    }
    const bytes = load(this.#places(gpa, length));
    this.#notify(gpa, length, "read");
    return bytes;
  }

  bulkWrite(gpa: bigint, bytes: readonly number[]): GuestMemAccessResult {
    const result = this.#checkBulk(gpa, bytes.length, "write");
    if (result !== OK) {
      return result;
    }
    const places = this.#places(gpa, bytes.length);
    this.#notify(gpa, bytes.length, "write");
    return store(places, bytes);
  }

  bulkCopy(target: bigint, source: bigint, length: number): GuestMemAccessResult {
    const read = this.#checkBulk(source, length, "read");
    const result = read === OK ? this.#checkBulk(target, length, "write") : read;
    if (result !== OK) {
      return result;
    }
    const [from, to] = [this.#places(source, length), this.#places(target, length)];
    this.#notify(source, length, "read");
    this.#notify(target, length, "write");
    return from.some(({ memory }) => memory.ended) ? ERROR_INTERNAL : store(to, load(from));
  }

  /** The bytes of all ranges, or the result code of the first fault. */
  readVector(ranges: readonly ModelRange[]): number[] | GuestMemAccessResult {
    const result = this.#checkRanges(ranges, "read");
    if (result !== OK) {
      return result;
    }
    const bytes = load(ranges.flatMap(({ gpa, length }) => this.#places(gpa, length)));
    ranges.forEach(({ gpa, length }) => this.#notify(gpa, length, "read"));
    return bytes;
  }

  writeVector(ranges: readonly ModelRange[], bytes: readonly number[]): GuestMemAccessResult {
    const result = this.#checkRanges(ranges, "write");
    if (result !== OK) {
      return result;
    }
    const places = ranges.flatMap(({ gpa, length }) => this.#places(gpa, length));
    ranges.forEach(({ gpa, length }) => this.#notify(gpa, length, "write"));
    return store(places, bytes);
  }

  /** What a debugger sees: null for each byte that is not accessible. */
  peek(gpa: bigint, length: number): (number | null)[] {
    return Array.from({ length }, (_, i) => {
      const place = this.#debugPlace(gpa + BigInt(i));
      return place === null ? null : place.memory.bytes[place.offset]!;
    });
  }

  /** A debugger's write to the bytes that are accessible. */
  poke(gpa: bigint, bytes: readonly number[]): void {
    bytes.forEach((byte, i) => {
      const place = this.#debugPlace(gpa + BigInt(i));
      if (place !== null) {
        store([place], [byte]);
      }
    });
  }

  #debugPlace(gpa: bigint): Place | null {
    const region = this.regionAt(gpa);
    return region === undefined || region.kind === "mmio" || region.memory.ended
      ? null
      : { memory: region.memory, offset: Number(gpa - region.gpa) };
  }

  /** The result code of the first range that faults. */
  #checkRanges(ranges: readonly ModelRange[], operation: Operation): GuestMemAccessResult {
    const results = ranges.map(({ gpa, length }) => this.#checkBulk(gpa, length, operation));
    return results.find((result) => result !== OK) ?? OK;
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

  /** The result code of the first byte that is not accessible. */
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

  #notify(gpa: bigint, width: number, operation: Operation, value?: bigint): void {
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

/** Stores all bytes, or none if any memory is destroyed. */
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
