import {
  type FaultReason,
  GuestMemAccessResult,
  type MmioImplementation,
  type Operation,
} from "pound-guest-memory";

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
  /** Whether a handler of ROM takes its writes. */
  readonly trapped: boolean;
  readonly device: ModelDevice | null;
}

/** A device whose registers hold `registerValue`. */
export interface ModelDevice {
  /** Its handlers: those of one width, for instance "read4", and "read" and "write". */
  readonly handlers: ReadonlySet<string>;
  readonly impl: MmioImplementation;
  /** The offset at which the handlers refuse accesses; -1 for none. */
  readonly refused: number;
}

/** The last fault of a space. */
export interface ModelFault {
  readonly result: GuestMemAccessResult;
  readonly gpa: bigint;
  readonly width: number;
  readonly operation: Operation;
  readonly reason: FaultReason;
}

/** How a space treats unaligned accesses and the order of bytes. */
export interface ModelPolicy {
  readonly alignment: "fault" | "allow";
  readonly endian: "little" | "big";
}

/** An aligned part of an access, from byte `at` of it on. */
interface Part {
  readonly at: number;
  readonly gpa: bigint;
  readonly width: number;
  readonly region: ModelRegion | undefined;
}

/** What unmapped addresses answer to plain accesses. */
export type ModelHoles = "fault" | "value" | "handlers";

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

interface Fault {
  readonly result: GuestMemAccessResult;
  readonly reason: FaultReason;
}

/** The fault of an access whose memory a watchpoint has destroyed: the listener does not get it. */
const DESTROYED_BY_LISTENER: Fault = { result: ERROR_INTERNAL, reason: "destroyed" };

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

  /** The last fault that was returned or thrown. */
  lastFault: ModelFault | null = null;
  #isListening = false;

  /**
   * @param holes - What unmapped addresses answer.
   * @param onFault - The listener of faults: may change the map, and returns whether to retry.
   */
  constructor(
    readonly holes: ModelHoles,
    readonly onFault: ((fault: ModelFault) => boolean) | null,
    readonly policy: ModelPolicy = { alignment: "fault", endian: "little" },
  ) {}

  read(gpa: bigint, width: number): { result: GuestMemAccessResult; value: bigint } {
    let value = 0n;
    const result = this.#attempt(gpa, width, "read", () => {
      const parts = this.#parts(gpa, width, "read");
      if (!Array.isArray(parts)) {
        return parts;
      }
      const bytes: number[] = [];
      for (const part of parts) {
        if (part.region === undefined || part.region.device !== null) {
          const found = this.#readPart(part);
          if (found === null) {
            return { result: FAULT_BOUNDARY, reason: "device" };
          }
          bytes.splice(part.at, part.width, ...this.#bytesOf(found, part.width));
        } else {
          // Filled in below.
          bytes.push(...new Array<number>(part.width).fill(0));
        }
      }
      for (const part of parts) {
        if (part.region !== undefined && part.region.device === null) {
          bytes.splice(part.at, part.width, ...load(placesIn(part)));
        }
      }
      value = this.#valueOf(bytes);
      this.#notify(gpa, width, "read", value);
      return null;
    });
    return { result, value };
  }

  write(gpa: bigint, width: number, value: bigint): GuestMemAccessResult {
    let announced = false;
    return this.#attempt(gpa, width, "write", () => {
      const parts = this.#parts(gpa, width, "write");
      if (!Array.isArray(parts)) {
        return parts;
      }
      const bytes = this.#bytesOf(value, width);
      if (!announced) {
        announced = true;
        this.#notify(gpa, width, "write", value);
      }
      for (const part of parts) {
        const { at, region } = part;
        const own = bytes.slice(at, at + part.width);
        if (!isMemory(part) && !this.#writePart(part, this.#valueOf(own))) {
          return {
            result: FAULT_BOUNDARY,
            reason: region === undefined ? "hole" : "device",
          };
        }
      }
      const inMemory = parts.filter(isMemory);
      const stored = inMemory.flatMap(({ at, width: count }) => bytes.slice(at, at + count));
      return store(inMemory.flatMap(placesIn), stored) === OK ? null : DESTROYED_BY_LISTENER;
    });
  }

  /** A device or a hole; null if a handler refuses. */
  #readPart({ gpa, width, region }: Part): bigint | null {
    return region === undefined
      ? this.#readHole(gpa, width)
      : this.#readDevice(region.device!, Number(gpa - region.gpa), width);
  }

  /** A device, a hole, or ROM with a handler; whether no handler refuses. */
  #writePart({ gpa, width, region }: Part, value: bigint): boolean {
    if (region === undefined) {
      if (this.holes === "handlers") {
        this.log.push(`write hole ${gpa} ${width} ${value}`);
      }
      return true;
    }
    const offset = Number(gpa - region.gpa);
    if (region.device !== null) {
      return this.#writeDevice(region.device, offset, width, value);
    }
    this.log.push(`trap ${offset} ${width} ${value}`);
    return offset % 16 !== 8;
  }

  /**
   * The parts of an access, which has only one if it is aligned and in one region; or its fault.
   */
  #parts(gpa: bigint, width: number, operation: Operation): Part[] | Fault {
    if (this.policy.alignment === "fault") {
      const region = this.regionAt(gpa);
      return this.#check(gpa, width, operation) ?? [{ at: 0, gpa, width, region }];
    }
    const parts: Part[] = [];
    for (let at = 0; at < width;) {
      const start = gpa + BigInt(at);
      const region = this.regionAt(start);
      // The widest aligned access that ends in the same region.
      const count = [8, 4, 2, 1].find(
        (bytes) =>
          bytes <= width - at &&
          start % BigInt(bytes) === 0n &&
          start + BigInt(bytes) <= 2n ** 64n &&
          this.regionAt(start + BigInt(bytes) - 1n) === region &&
          this.#isUniform(start, bytes, region),
      )!;
      const fault =
        start >= 2n ** 64n
          ? { result: FAULT_BOUNDARY, reason: "hole" as const }
          : this.#check(start, count, operation);
      if (fault !== null) {
        return fault;
      }
      parts.push({ at, gpa: start, width: count, region });
      at += count;
    }
    return parts;
  }

  /** Whether all bytes of a range belong to one region, or to none. */
  #isUniform(gpa: bigint, bytes: number, region: ModelRegion | undefined): boolean {
    return Array.from({ length: bytes }, (_, i) => this.regionAt(gpa + BigInt(i))).every(
      (found) => found === region,
    );
  }

  /** The bytes of a value, in the order of the policy. */
  #bytesOf(value: bigint, width: number): number[] {
    const bytes = littleEndian(value, width);
    return this.policy.endian === "little" ? bytes : bytes.reverse();
  }

  #valueOf(bytes: readonly number[]): bigint {
    return fromBytes(this.policy.endian === "little" ? bytes : [...bytes].reverse());
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
    let old = 0n;
    const operation = change === null ? "read" : "write";
    const result = this.#attempt(gpa, width, operation, () => {
      const fault = this.#check(gpa, width, operation, true);
      if (fault !== null) {
        return fault;
      }
      const places = this.#places(gpa, width);
      if (change !== null) {
        this.#notify(gpa, width, "write", announced);
      }
      old = this.#valueOf(load(places));
      const stored = change === null ? null : change(old);
      if (places[0]!.memory.ended) {
        return DESTROYED_BY_LISTENER;
      }
      if (stored !== null) {
        store(places, this.#bytesOf(stored, width));
      }
      if (reads) {
        this.#notify(gpa, width, "read", old);
      }
      return null;
    });
    return { result, old };
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
    const result = this.#attemptBulk(gpa, length, "read");
    if (result !== OK) {
      return result;
    }
    const bytes = load(this.#places(gpa, length));
    this.#notify(gpa, length, "read");
    return bytes;
  }

  bulkWrite(gpa: bigint, bytes: readonly number[]): GuestMemAccessResult {
    const result = this.#attemptBulk(gpa, bytes.length, "write");
    if (result !== OK) {
      return result;
    }
    const places = this.#places(gpa, bytes.length);
    this.#notify(gpa, bytes.length, "write");
    return this.#storeBulk(gpa, places, bytes);
  }

  bulkCopy(target: bigint, source: bigint, length: number): GuestMemAccessResult {
    const read = this.#attemptBulk(source, length, "read");
    if (read !== OK) {
      return read;
    }
    // The listener of faults may change the map between the two.
    const from = this.#places(source, length);
    const result = this.#attemptBulk(target, length, "write");
    if (result !== OK) {
      return result;
    }
    const to = this.#places(target, length);
    this.#notify(source, length, "read");
    this.#notify(target, length, "write");
    if (from.some(({ memory }) => memory.ended)) {
      this.#record(source, length, "read", DESTROYED_BY_LISTENER);
      return ERROR_INTERNAL;
    }
    return this.#storeBulk(target, to, load(from));
  }

  #storeBulk(
    gpa: bigint,
    places: readonly Place[],
    bytes: readonly number[],
  ): GuestMemAccessResult {
    const result = store(places, bytes);
    if (result !== OK) {
      this.#record(gpa, bytes.length, "write", DESTROYED_BY_LISTENER);
    }
    return result;
  }

  /** Makes an access, once more if the listener of faults asks for it, and records its fault. */
  #attempt(
    gpa: bigint,
    width: number,
    operation: Operation,
    access: () => Fault | null,
  ): GuestMemAccessResult {
    let fault = access();
    if (fault !== null && fault !== DESTROYED_BY_LISTENER && this.onFault !== null) {
      if (!this.#isListening) {
        this.#isListening = true;
        const retry = this.onFault({ ...fault, gpa, width, operation });
        this.#isListening = false;
        fault = retry ? access() : fault;
      }
    }
    if (fault !== null) {
      this.#record(gpa, width, operation, fault);
    }
    return fault?.result ?? OK;
  }

  #attemptBulk(gpa: bigint, length: number, operation: Operation): GuestMemAccessResult {
    return this.#attempt(gpa, length, operation, () => this.#checkBulk(gpa, length, operation));
  }

  #record(gpa: bigint, width: number, operation: Operation, { result, reason }: Fault): void {
    this.lastFault = { result, gpa, width, operation, reason };
  }

  #readHole(gpa: bigint, width: number): bigint {
    if (this.holes === "handlers") {
      this.log.push(`read hole ${gpa} ${width}`);
      return registerValue(Number(gpa % 64n), width);
    }
    return 2n ** BigInt(8 * width) - 1n;
  }

  /** Calls the handler for an aligned access of a width that the device implements. */
  #call(
    { handlers, refused }: ModelDevice,
    operation: Operation,
    offset: number,
    width: number,
    value?: bigint,
  ): boolean {
    const name = handlers.has(`${operation}${width}`) ? `${operation}${width}` : operation;
    const given = value === undefined ? "" : ` ${value}`;
    this.log.push(
      name === operation ? `${name} ${offset}${given} ${width}` : `${name} ${offset}${given}`,
    );
    return offset !== refused;
  }

  /** The value; null if a handler refuses. */
  #readDevice(device: ModelDevice, offset: number, width: number): bigint | null {
    const called = calledWidth(device, width);
    const first = offset - (offset % called);
    const bytes: number[] = [];
    for (let at = called > width ? first : offset; at < offset + width; at += called) {
      if (!this.#call(device, "read", at, called)) {
        return null;
      }
      bytes.push(...this.#bytesOf(registerValue(at, called), called));
    }
    const skip = called > width ? offset - first : 0;
    return this.#valueOf(bytes.slice(skip, skip + width));
  }

  /** Whether no handler refuses. */
  #writeDevice(device: ModelDevice, offset: number, width: number, value: bigint): boolean {
    const called = calledWidth(device, width);
    const bytes = this.#bytesOf(value, width);
    if (called <= width) {
      for (let at = 0; at < width; at += called) {
        const part = this.#valueOf(bytes.slice(at, at + called));
        if (!this.#call(device, "write", offset + at, called, part)) {
          return false;
        }
      }
      return true;
    }
    const skip = offset % called;
    const { narrowWrites } = device.impl;
    const register = this.#bytesOf(
      narrowWrites === "merge" ? registerValue(offset - skip, called) : 0n,
      called,
    );
    if (narrowWrites === "merge" && !this.#call(device, "read", offset - skip, called)) {
      return false;
    }
    const whole = register.map((byte, i) => {
      const written = i >= skip && i < skip + width;
      return narrowWrites === "replicate" || written ? bytes[i % width]! : byte;
    });
    return this.#call(device, "write", offset - skip, called, this.#valueOf(whole));
  }

  /** The bytes of all ranges, or the result code of the first fault. */
  readVector(ranges: readonly ModelRange[]): number[] | GuestMemAccessResult {
    const places = this.#attemptRanges(ranges, "read");
    if (typeof places === "number") {
      return places;
    }
    const bytes = load(places.flat());
    ranges.forEach(({ gpa, length }) => this.#notify(gpa, length, "read"));
    return bytes;
  }

  writeVector(ranges: readonly ModelRange[], bytes: readonly number[]): GuestMemAccessResult {
    const places = this.#attemptRanges(ranges, "write");
    if (typeof places === "number") {
      return places;
    }
    ranges.forEach(({ gpa, length }) => this.#notify(gpa, length, "write"));
    const lost = places.findIndex((of) => of.some(({ memory }) => memory.ended));
    if (lost >= 0) {
      const { gpa, length } = ranges[lost]!;
      this.#record(gpa, length, "write", DESTROYED_BY_LISTENER);
    }
    return store(places.flat(), bytes);
  }

  /** The places of the bytes of each range, or the result code of the first range that faults. */
  #attemptRanges(
    ranges: readonly ModelRange[],
    operation: Operation,
  ): Place[][] | GuestMemAccessResult {
    const places: Place[][] = [];
    for (const { gpa, length } of ranges) {
      const result = this.#attemptBulk(gpa, length, operation);
      if (result !== OK) {
        return result;
      }
      // Now, because the listener of faults may change the map before the next range.
      places.push(this.#places(gpa, length));
    }
    return places;
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

  #places(gpa: bigint, length: number): Place[] {
    return Array.from({ length }, (_, i) => {
      const { gpa: start, memory } = this.regionAt(gpa + BigInt(i))!;
      return { memory, offset: Number(gpa + BigInt(i) - start) };
    });
  }

  #check(gpa: bigint, width: number, operation: Operation, atomic = false): Fault | null {
    const region = this.regionAt(gpa);
    if (region?.memory.ended) {
      return { result: ERROR_INTERNAL, reason: "destroyed" };
    }
    for (let i = 0; i < width; i++) {
      if (gpa + BigInt(i) >= 2n ** 64n || this.regionAt(gpa + BigInt(i)) !== region) {
        return { result: FAULT_BOUNDARY, reason: "straddle" };
      }
    }
    const reason = this.#refusal(region, width, operation, atomic);
    if (reason !== null) {
      return { result: FAULT_BOUNDARY, reason };
    }
    return gpa % BigInt(width) === 0n ? null : { result: FAULT_UNALIGNED, reason: "alignment" };
  }

  /** Why a region, or a hole, does not take an access, whatever its alignment. */
  #refusal(
    region: ModelRegion | undefined,
    width: number,
    operation: Operation,
    atomic: boolean,
  ): FaultReason | null {
    if (region === undefined) {
      return atomic || this.holes === "fault" ? "hole" : null;
    }
    if (region.device !== null) {
      return !atomic && handles(region.device, operation, width) ? null : "no-handler";
    }
    const isRefused = region.kind === "rom" && operation === "write" && (atomic || !region.trapped);
    return isRefused ? "read-only" : null;
  }

  /** The fault of the first byte that is not accessible. */
  #checkBulk(gpa: bigint, length: number, operation: Operation): Fault | null {
    for (let i = 0; i < length; i++) {
      const region = this.regionAt(gpa + BigInt(i));
      if (region?.memory.ended) {
        return { result: ERROR_INTERNAL, reason: "destroyed" };
      }
      if (region === undefined || region.kind === "mmio") {
        return { result: FAULT_BOUNDARY, reason: region === undefined ? "hole" : "no-handler" };
      }
      if (region.kind === "rom" && operation === "write") {
        return { result: FAULT_BOUNDARY, reason: "read-only" };
      }
    }
    return null;
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

/** The width of the calls that make an access. */
function calledWidth({ impl: { min = 1, max = 8 } }: ModelDevice, width: number): number {
  return Math.min(Math.max(width, min), max);
}

function handles(device: ModelDevice, operation: Operation, width: number): boolean {
  const called = calledWidth(device, width);
  const has = (name: string): boolean =>
    device.handlers.has(name) || device.handlers.has(`${name}${called}`);
  const { narrowWrites } = device.impl;
  const isNarrow = operation === "write" && width < called;
  return (
    has(operation) &&
    (!isNarrow || (narrowWrites !== undefined && (narrowWrites !== "merge" || has("read"))))
  );
}

/** Whether a part of a write goes to bytes. */
function isMemory({ region }: Part): boolean {
  return region !== undefined && region.device === null && !region.trapped;
}

function placesIn({ gpa, width, region }: Part): Place[] {
  const { gpa: start, memory } = region!;
  return Array.from({ length: width }, (_, i) => ({ memory, offset: Number(gpa - start) + i }));
}

function fromBytes(bytes: readonly number[]): bigint {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
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
