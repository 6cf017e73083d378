import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import {
  type FaultReason,
  GuestMemoryFault,
  type Operation,
  rangeError,
  reasonOfResult,
  typeError,
} from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { printable } from "../base/printable.js";
import { GuestMemAccessResult } from "../base/result.js";
import { checkReturned } from "./device.js";
import { type AnyHandler, BUS_ERROR } from "./mmio.js";
import type { AccessFault, CheckedOptions } from "./options.js";
import { pageOf } from "../base/page.js";
import { MemoryLinks, type MemoryUser } from "../memory/marks.js";
import {
  isRegion,
  type MmioRegion,
  type RamRegion,
  type Region,
  type RomRegion,
} from "./regions.js";
import type { SpaceWidth } from "./widths.js";
import { reserveLittleStack, reserveStack } from "../base/stack.js";
import {
  type WatchedAccess,
  type WatchListener,
  Watchpoint,
  type WatchRange,
} from "./watchpoint.js";
import { WatchTable } from "./watch-table.js";
import type { Out, Value } from "../base/widths.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

/** The part of a bulk access that lies in one region. */
export interface Piece {
  readonly region: RamRegion | RomRegion;
  /** Offset in bytes from the start of the region. */
  readonly offset: number;
  readonly length: number;
}

/**
 * The state that both paths of an address space share: the map, the watchpoints, and the rules for
 * the result of an access.
 *
 * Device handlers and listeners may change the bus. An access therefore copies the fields `hit` and
 * `offset` to local variables before it calls one.
 *
 * A change of the map or of the watchpoints first invalidates all caches and then takes effect in
 * steps that cannot fail. If the change throws earlier (the stack may be full), both paths still
 * see the old map. Accesses fill the caches again when they need them, so the cost of a change does
 * not grow with the numbers of regions and watchpoints.
 */
export class Bus implements MemoryUser {
  /** Sorted by address. */
  readonly #regions: Region[] = [];
  /** The first address of each region; Infinity if it exceeds 2^53 - 1. */
  readonly #starts: number[] = [];
  /** Whether there are watchpoints. */
  private watched = false;
  readonly watches = new WatchTable();
  /**
   * Incremented when a watchpoint is added or removed, and when memory of a region is destroyed or
   * its tracking changes.
   */
  version = 0;
  /** The region found before `hit`: accesses often alternate between two regions. */
  #previous: Region | null = null;
  /** The region that `find` returned last. `find` tries it first. */
  hit: Region | null = null;
  /** The offset in `hit` of the address that `find` looked up last. */
  offset = 0;
  /** The result of the last `read`, and of every access that has faulted. */
  result: GuestMemAccessResult = OK;
  /** The reason of the fault that `result` describes. */
  reason: FaultReason = "hole";
  /** The last fault that was returned or thrown; null before the first. */
  lastFault: AccessFault | null = null;
  /** Whether the write that has just faulted had notified watchpoints. */
  #announced = false;
  /** Whether the listener of faults is running. */
  #isListening = false;

  /** The cached value of `largest`; undefined if it must be computed. */
  #largest: RamRegion | null | undefined = null;
  #watchpointsMade = 0;
  readonly #links = new MemoryLinks(this);
  readonly #invalidate: () => void;
  readonly #options: CheckedOptions;

  /** @param invalidate - Invalidates the caches of both paths. Called before each change. */
  constructor(options: CheckedOptions, invalidate: () => void) {
    this.#options = options;
    this.#invalidate = invalidate;
  }

  /**
   * @param dirty - The new dirty bitmap of the region's memory; null keeps the present one, if any.
   * @throws RangeError if the region overlaps another. Nothing changes then.
   */
  add(region: Region, dirty: DirtyBitmap | null = null): void {
    const index = this.#countUpTo(region.gpa);
    for (const other of [this.#regions[index - 1], this.#regions[index]]) {
      if (other !== undefined && overlap(region, other)) {
        throw rangeError(`${printable(region.name)} overlaps ${printable(other.name)}`);
      }
    }
    let largest = this.#largest;
    if (region.kind === "ram" && largest !== undefined && isLarger(region, largest)) {
      largest = region;
    }
    this.#invalidateMap();
    if (region.kind !== "mmio") {
      this.#links.add(region.internals.marks);
    }
    reserveLittleStack();
    if (region.kind === "ram" && dirty !== null) {
      region.internals.marks.set(dirty);
    }
    this.#largest = largest;
    this.#regions.splice(index, 0, region);
    this.#starts.splice(index, 0, region.start);
  }

  /** The mapped regions, sorted by address. Not a copy. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** @throws TypeError; RangeError if the region is not mapped here. */
  remove(region: Region): void {
    if (!isRegion(region)) {
      throw typeError("region must be a region of the address space");
    }
    const index = this.#countUpTo(region.gpa) - 1;
    if (this.#regions[index] !== region) {
      throw rangeError("region is not mapped in this address space");
    }
    this.#invalidateMap();
    reserveLittleStack();
    if (region === this.#largest) {
      this.#largest = undefined;
    }
    this.#regions.splice(index, 1);
    this.#starts.splice(index, 1);
    if (region.kind !== "mmio") {
      try {
        this.#links.remove(region.internals.marks);
      } catch {
        // The stack is full. The memory keeps notifying this bus of changes, which is harmless.
      }
    }
  }

  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    const serial = this.#watchpointsMade;
    const watchpoint = new Watchpoint(range, listener, serial, (removed) => {
      this.#invalidateAll();
      this.watches.remove(removed);
      this.watched = this.watches.size !== 0;
    });
    reserveStack();
    this.#invalidateAll();
    this.#watchpointsMade++;
    this.watches.add(watchpoint);
    this.watched = true;
    return watchpoint;
  }

  memoryChanging(): void {
    this.#largest = undefined;
    this.#invalidateAll();
  }

  /**
   * The RAM region with the most bytes below guest physical address 4 GiB; null for no such RAM.
   */
  get largest(): RamRegion | null {
    if (this.#largest === undefined) {
      let found: RamRegion | null = null;
      for (const region of this.#regions) {
        if (region.kind === "ram" && isLarger(region, found)) {
          found = region;
        }
      }
      this.#largest = found;
    }
    return this.#largest;
  }

  /**
   * The region that contains an address; null if it is not mapped. Also sets `hit` to the region
   * and `offset` to the offset in it.
   *
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  find(gpa: Gpa): Region | null {
    const { hit } = this;
    if (hit !== null && typeof gpa === "number") {
      // Integers of 32 bits: a difference of floating-point numbers would make every offset one.
      const low = gpa >>> 0;
      const at = (low - hit.low) >>> 0;
      if (low === gpa && at < hit.near) {
        this.offset = at;
        return hit;
      }
    }
    const address = toAddress(gpa);
    if (hit !== null && address >= hit.start && address - hit.start < hit.length) {
      this.offset = toSmall(address - hit.start);
      return hit;
    }
    const previous = this.#previous;
    if (
      previous !== null &&
      address >= previous.start &&
      address - previous.start < previous.length
    ) {
      this.#previous = hit;
      this.hit = previous;
      this.offset = toSmall(address - previous.start);
      return previous;
    }
    return address === Infinity ? this.#findFar(BigInt(gpa)) : this.#findNear(address);
  }

  /**
   * Makes a read and sets `result` and, after a fault, `reason`. The return value is valid only if
   * `result` is `OK`.
   *
   * @param native - Whether to read RAM and ROM on the native path.
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: Region | null,
  ): T {
    const value = this.#read(native, kind, gpa, region);
    return this.result === OK ? value : this.#reread(native, kind, gpa, value);
  }

  /**
   * Makes a write. After a fault, sets `reason`.
   *
   * @param native - Whether to write RAM on the native path.
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  write<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: Region | null,
  ): GuestMemAccessResult {
    const result = this.#write(native, kind, gpa, value, region, true);
    return result === OK ? OK : this.#rewrite(native, kind, gpa, value);
  }

  /** Finishes a read that has faulted: repeats it once if the listener of faults asks for it. */
  #reread<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    refused: T,
  ): T {
    if (!this.mayRetry(gpa, kind.bytes, "read")) {
      return refused;
    }
    const value = this.#read(native, kind, gpa, this.find(gpa));
    if (this.result !== OK) {
      this.recordFault(gpa, kind.bytes, "read");
    }
    return value;
  }

  /** As `#reread`, for a write. */
  #rewrite<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const announced = this.#announced;
    if (announced && this.reason !== "device") {
      // A watchpoint has destroyed the memory.
      this.recordFault(gpa, kind.bytes, "write");
    } else if (this.mayRetry(gpa, kind.bytes, "write")) {
      const result = this.#write(native, kind, gpa, value, this.find(gpa), !announced);
      if (result !== OK) {
        this.recordFault(gpa, kind.bytes, "write");
      }
      return result;
    }
    return this.result;
  }

  #read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: Region | null,
  ): T {
    if (region === null) {
      return this.#readHole(kind, gpa);
    }
    if (region.kind === "mmio") {
      return this.#readDevice(kind, gpa, region);
    }
    const { offset } = this;
    const memory = native ? region.memory.native : region.memory;
    const result = kind.tryRead(memory, offset, kind.scratch);
    const value = kind.scratch[0] as T;
    if (result !== OK) {
      return this.#refuse(result, region, offset, kind, gpa);
    }
    this.notify(region, offset, kind.bytes, "read", gpa, value);
    this.result = OK;
    return value;
  }

  // Small, and without a call but of the handler, because device registers are often polled.
  #readDevice<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
  ): T {
    const { offset } = this;
    const { bytes, mask } = kind;
    const { fns, takeWidth } = region.reads;
    const handler = fns[kind.log2]!;
    const result = checkRegister(region, offset, bytes, handler);
    if (result !== OK) {
      return this.#refuse(result, region, offset, kind, gpa);
    }
    const { device } = region;
    const found =
      (takeWidth & bytes) === 0
        ? Reflect.apply(handler, device, [offset])
        : Reflect.apply(handler, device, [offset, bytes]);
    if (typeof found === "number" && !this.watched) {
      const value = (found & mask) >>> 0;
      if (value === found && mask !== 0) {
        this.result = OK;
        return value as T;
      }
    }
    return this.#finishRead(found, kind, gpa, region, offset);
  }

  /** Takes the answer of a device. */
  #finishRead<T extends Value, A extends Out>(
    found: unknown,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
    offset: number,
  ): T {
    const { bytes } = kind;
    if (found === BUS_ERROR) {
      this.result = FAULT_BOUNDARY;
      this.reason = "device";
      return kind.scratch[0] as T;
    }
    const value = checkReturned(found, bytes, region.readName) as T;
    this.notify(region, offset, bytes, "read", gpa, value);
    this.result = OK;
    return value;
  }

  /** Sets `result` and `reason` of a read that faults. The return value has no meaning. */
  #refuse<T extends Value, A extends Out>(
    result: GuestMemAccessResult,
    region: Region,
    offset: number,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
  ): T {
    this.#fault(result, region, offset, kind.bytes, gpa);
    return kind.scratch[0] as T;
  }

  #readHole<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { read } = this.#options.holes;
    const { bytes } = kind;
    let value: Value = 0;
    let result = this.#checkHole(gpa, bytes, read !== null);
    if (result === OK) {
      const found = read!(plainAddress(gpa), bytes);
      if (found === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      } else {
        value = checkReturned(found, bytes, "what unmapped.read returns");
        this.notify(null, 0, bytes, "read", gpa, value);
      }
    }
    if (result !== OK) {
      this.#fault(result, null, 0, bytes, gpa);
    }
    this.result = result;
    return value as T;
  }

  /**
   * @param announces - Whether to notify watchpoints. After a fault, `#announced` says whether the
   * write has notified them.
   */
  #write<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: Region | null,
    announces: boolean,
  ): GuestMemAccessResult {
    if (region === null) {
      return this.#writeHole(kind, gpa, value, announces);
    }
    if (region.kind === "mmio") {
      return this.#writeDevice(kind, gpa, value, region, announces);
    }
    const { offset } = this;
    const { bytes } = kind;
    let announced = false;
    if (region.kind === "rom" || this.isWatched(region, offset, "write")) {
      // The owner of ROM handles a write that has the rights of a read.
      const trapped = region.kind === "rom" && region.onWrite !== null;
      const result = checkAligned(region, offset, bytes, trapped ? "read" : "write");
      if (result !== OK) {
        return this.#fault(result, region, offset, bytes, gpa);
      }
      announced = this.watched && announces;
      if (announced) {
        this.notify(region, offset, bytes, "write", gpa, value);
      }
    }
    if (region.kind === "rom") {
      const { onWrite } = region;
      return onWrite!(offset, value, bytes) === BUS_ERROR ? this.#refuseWrite(announced) : OK;
    }
    const memory = native ? region.memory.native : region.memory;
    const result = kind.tryWrite(memory, offset, value);
    if (result !== OK) {
      this.#fault(result, region, offset, bytes, gpa, announced);
    }
    return result;
  }

  // As small as `#readDevice`.
  #writeDevice<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: MmioRegion,
    announces: boolean,
  ): GuestMemAccessResult {
    const { offset } = this;
    const { bytes } = kind;
    const { fns, takeWidth } = region.writes;
    const handler = fns[kind.log2]!;
    const result = checkRegister(region, offset, bytes, handler);
    if (result !== OK) {
      return this.#fault(result, region, offset, bytes, gpa);
    }
    const announced = this.watched && announces;
    if (announced) {
      this.notify(region, offset, bytes, "write", gpa, value);
    }
    const { device } = region;
    const answer =
      (takeWidth & bytes) === 0
        ? Reflect.apply(handler, device, [offset, value])
        : Reflect.apply(handler, device, [offset, value, bytes]);
    return answer === BUS_ERROR ? this.#refuseWrite(announced) : OK;
  }

  /** The result of a write that a handler refuses. */
  #refuseWrite(announced: boolean): GuestMemAccessResult {
    this.#announced = announced;
    this.reason = "device";
    return (this.result = FAULT_BOUNDARY);
  }

  #writeHole<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    announces: boolean,
  ): GuestMemAccessResult {
    const { write } = this.#options.holes;
    const { bytes } = kind;
    let announced = false;
    let result = this.#checkHole(gpa, bytes, write !== null);
    if (result === OK) {
      if (announces) {
        this.notify(null, 0, bytes, "write", gpa, value);
        announced = this.watched;
      }
      if (write!(plainAddress(gpa), value, bytes) === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      }
    }
    if (result !== OK) {
      this.#fault(result, null, 0, bytes, gpa, announced);
    }
    return result;
  }

  /** The result of a plain access that starts at an unmapped address, before its handler. */
  #checkHole(gpa: Gpa, bytes: number, handled: boolean): GuestMemAccessResult {
    if (!handled || !this.#isHole(gpa, bytes)) {
      return FAULT_BOUNDARY;
    }
    const last = typeof gpa === "number" ? gpa % bytes : Number(BigInt.asUintN(3, gpa)) % bytes;
    return last === 0 ? OK : FAULT_UNALIGNED;
  }

  /** Whether no byte of an access that starts at an unmapped address is in a region. */
  #isHole(gpa: Gpa, bytes: number): boolean {
    for (let i = 1; i < bytes; i++) {
      const at = gpaAt(gpa, i);
      if (at > MAX_U64 || this.find(at) !== null) {
        return false;
      }
    }
    return true;
  }

  /** Sets `result`, `reason` and `#announced` of an access that no handler has refused. */
  #fault(
    result: GuestMemAccessResult,
    region: Region | null,
    offset: number,
    bytes: number,
    gpa: Gpa,
    announced = false,
  ): GuestMemAccessResult {
    this.result = result;
    this.#announced = announced;
    if (result !== FAULT_BOUNDARY) {
      this.reason = reasonOfResult(result);
    } else if (region === null) {
      this.reason = this.#isHole(gpa, bytes) ? "hole" : "straddle";
    } else if (offset > region.length - bytes) {
      this.reason = "straddle";
    } else {
      this.reason = region.kind === "mmio" ? "no-handler" : "read-only";
    }
    return result;
  }

  /**
   * Finds the memory of an atomic access, and makes all its checks. Also sets `offset` to the offset
   * in the region.
   *
   * @returns Null after a fault; `result` and `reason` describe it.
   */
  findMemory(gpa: Gpa, bytes: number, operation: Operation): RamRegion | RomRegion | null {
    let region = this.#findMemory(gpa, bytes, operation);
    if (region === null && this.mayRetry(gpa, bytes, operation)) {
      region = this.#findMemory(gpa, bytes, operation);
      if (region === null) {
        this.recordFault(gpa, bytes, operation);
      }
    }
    return region;
  }

  #findMemory(gpa: Gpa, bytes: number, operation: Operation): RamRegion | RomRegion | null {
    const region = this.find(gpa);
    const { offset } = this;
    if (region === null || region.kind === "mmio") {
      this.#fault(FAULT_BOUNDARY, region, offset, bytes, gpa);
      return null;
    }
    const result = checkAligned(region, offset, bytes, operation);
    if (result !== OK) {
      this.#fault(result, region, offset, bytes, gpa);
      return null;
    }
    return region;
  }

  /**
   * Calls the listener of faults, if there is one, for the fault that `result` and `reason`
   * describe.
   *
   * @returns Whether to make the access again. If not, the fault is recorded as the last.
   */
  mayRetry(gpa: Gpa, width: number, operation: Operation): boolean {
    const { onFault } = this.#options;
    if (onFault !== null && !this.#isListening) {
      const { result, reason } = this;
      this.#isListening = true;
      try {
        if (onFault({ result, gpa, width, operation, reason }) === "retry") {
          return true;
        }
      } finally {
        this.#isListening = false;
      }
      this.result = result;
      this.reason = reason;
    }
    this.recordFault(gpa, width, operation);
    return false;
  }

  /** Records the fault that `result` and `reason` describe as the last. */
  recordFault(gpa: Gpa, width: number, operation: Operation): void {
    const { result, reason } = this;
    this.lastFault = { result, gpa, width, operation, reason };
  }

  /**
   * Splits a bulk access into one piece for each region, and checks that all pieces are accessible.
   *
   * @throws {@link GuestMemoryFault} if one is not; TypeError, RangeError.
   */
  pieces(gpa: Gpa, length: number, operation: Operation): Piece[] {
    toAddress(gpa);
    let pieces = this.#pieces(gpa, length, operation);
    if (pieces === null && this.mayRetry(gpa, length, operation)) {
      pieces = this.#pieces(gpa, length, operation);
      if (pieces === null) {
        this.recordFault(gpa, length, operation);
      }
    }
    if (pieces === null) {
      throw new GuestMemoryFault(this.result, gpa, length, operation, this.reason);
    }
    return pieces;
  }

  /** As `pieces`, but null after a fault, which `result` and `reason` describe. */
  #pieces(gpa: Gpa, length: number, operation: Operation): Piece[] | null {
    const pieces: Piece[] = [];
    for (let done = 0; done < length;) {
      const at = gpaAt(gpa, done);
      const region = at <= MAX_U64 ? this.find(at) : null;
      if (region === null || region.kind === "mmio") {
        this.result = FAULT_BOUNDARY;
        this.reason = region === null ? "hole" : "no-handler";
        return null;
      }
      const { offset } = this;
      const part = Math.min(length - done, region.length - offset);
      const result = checkMemory(region, offset, part, operation);
      if (result !== OK) {
        this.#fault(result, region, offset, part, at);
        return null;
      }
      pieces.push({ region, offset, length: part });
      done += part;
    }
    return pieces;
  }

  /** Whether the page of a byte has a watchpoint for this kind of access. */
  isWatched(region: Region, offset: number, kind: Operation): boolean {
    return this.watched && this.watches.index(kind).covers(region.pageAt(offset));
  }

  /**
   * Calls the listeners whose ranges an access touches, in the order they were added.
   *
   * @param region - Null for an access to unmapped addresses.
   */
  notify(
    region: Region | null,
    offset: number,
    width: number,
    kind: Operation,
    gpa: Gpa,
    value?: Value,
  ): void {
    if (!this.watched) {
      return;
    }
    const page = region === null ? pageOf(BigInt(gpa)) : region.pageAt(offset);
    const index = this.watches.index(kind);
    if (!index.covers(page)) {
      return;
    }
    // Created only if a listener is called.
    let access: WatchedAccess | undefined;
    for (const watchpoint of index.atPage(page)) {
      // An earlier listener may have removed this watchpoint.
      if (watchpoint.touches(gpa, width) && !watchpoint.removed) {
        access ??= describe(gpa, width, kind, value);
        watchpoint.listener(access);
      }
    }
  }

  /** As `notify`, for a bulk access: calls each listener once. */
  notifyBulk(gpa: Gpa, length: number, kind: Operation): void {
    if (this.watched && length !== 0) {
      const start = BigInt(gpa);
      const access = { gpa: start, width: length, kind };
      for (const watchpoint of this.watches.index(kind).touching(start, length)) {
        if (!watchpoint.removed) {
          watchpoint.listener(access);
        }
      }
    }
  }

  /**
   * Checks after the calls of listeners that the pieces of a bulk access are still accessible: a
   * listener may have destroyed the memory. If it changed the map, the access still uses the
   * regions that were mapped before.
   *
   * @throws {@link GuestMemoryFault} if a piece is not accessible.
   */
  recheck(pieces: readonly Piece[], gpa: Gpa, length: number, operation: Operation): void {
    for (const { region, offset, length: part } of pieces) {
      const result = checkMemory(region, offset, part, operation);
      if (result !== OK) {
        this.#fault(result, region, offset, part, gpa);
        this.recordFault(gpa, length, operation);
        throw new GuestMemoryFault(result, gpa, length, operation, this.reason);
      }
    }
  }

  /** Invalidates the caches that depend on which region is mapped where. */
  #invalidateMap(): void {
    this.hit = null;
    this.#previous = null;
    this.#invalidate();
  }

  /** Invalidates these and the stretches of every region (see `Stretch`). */
  #invalidateAll(): void {
    this.#invalidateMap();
    this.version++;
  }

  /** The number of regions that start at or below an address. */
  #countUpTo(gpa: bigint): number {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#regions[middle]!.gpa <= gpa) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  #findNear(address: number): Region | null {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low === 0 ? null : this.#found(this.#regions[low - 1]!, address - starts[low - 1]!);
  }

  /** As `#findNear`, for addresses above 2^53 - 1. */
  #findFar(address: bigint): Region | null {
    const region = this.#regions[this.#countUpTo(address) - 1];
    return region === undefined ? null : this.#found(region, Number(address - region.gpa));
  }

  #found(region: Region, offset: number): Region | null {
    if (offset >= region.length) {
      return null;
    }
    this.#previous = this.hit;
    this.hit = region;
    this.offset = toSmall(offset);
    return region;
  }
}

/**
 * The same number, which V8 represents as a small integer if possible. One floating-point number in
 * a field makes V8 convert all values of the field.
 */
function toSmall(offset: number): number {
  const small = offset | 0;
  return small === offset ? small : offset;
}

function overlap(a: Region, b: Region): boolean {
  return a.gpa < b.gpa + b.size && b.gpa < a.gpa + a.size;
}

/** Whether a RAM region has more bytes below 4 GiB than another. */
function isLarger(region: RamRegion, other: RamRegion | null): boolean {
  return region.lowWindow.quads > (other?.lowWindow.quads ?? 0);
}

/** The result of an access to a device, before its handler is called. */
function checkRegister(
  region: MmioRegion,
  offset: number,
  bytes: number,
  handler: AnyHandler | null,
): GuestMemAccessResult {
  if (handler === null || offset > region.length - bytes) {
    return FAULT_BOUNDARY;
  }
  // The address is aligned, which the offset need not be. Only their low bits are added, because
  // the sum of an offset and an address may not be exact.
  return (((region.pageOffset & 7) + (offset & 7)) & (bytes - 1)) === 0 ? OK : FAULT_UNALIGNED;
}

/** The result of an access to RAM or ROM, apart from its alignment. */
function checkMemory(
  region: RamRegion | RomRegion,
  offset: number,
  length: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = region.internals.checkRange(offset, length);
  // An error of the host (destroyed memory) takes precedence over a fault of the guest.
  return operation === "write" && region.kind === "rom" && result !== ERROR_INTERNAL
    ? FAULT_BOUNDARY
    : result;
}

/** The result of an access to RAM or ROM. */
function checkAligned(
  region: RamRegion | RomRegion,
  offset: number,
  bytes: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = checkMemory(region, offset, bytes, operation);
  return result === OK && (offset & (bytes - 1)) !== 0 ? FAULT_UNALIGNED : result;
}

/** The address as the handlers of unmapped addresses get it. */
function plainAddress(gpa: Gpa): Gpa {
  const address = toAddress(gpa);
  return address === Infinity ? gpa : address;
}

function describe(gpa: Gpa, width: number, kind: Operation, value?: Value): WatchedAccess {
  const start = BigInt(gpa);
  return value === undefined ? { gpa: start, width, kind } : { gpa: start, width, kind, value };
}
