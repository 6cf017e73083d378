import { importFirst, Part } from "../base/part.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import { type FaultReason, type Operation, reasonOfResult } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { crossesPage } from "../base/page.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import { type Backed, checkAligned, checkMemory, isAligned } from "./backed.js";
import type { HoleHandlers } from "./holes.js";
import type { RegionLookup } from "./lookup.js";
import { BUS_ERROR } from "./mmio.js";
import type { Outcome } from "./outcome.js";
import type { SpacePolicy } from "./policy.js";
import {
  checkReturned,
  extract,
  readRegister,
  type RegisterCall,
  valueOf,
  writeRegister,
} from "./register-call.js";
import type { MmioRegion, Region } from "./regions.js";
import type { SplitAccess } from "./split-access.js";
import type { WatchTable } from "./watch-table.js";
import type { SpaceWidth } from "./widths.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY } = GuestMemAccessResult;

export const splitAccess = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("./split-access.js") as typeof import("./split-access.js"),
  importFirst("accessors"),
);

/**
 * The rules for the result of a single access to an address space: to RAM, ROM, devices and
 * unmapped addresses, with their watchpoints and faults.
 */
export class AccessRules {
  /** Whether the write that has just faulted had notified watchpoints. */
  #announced = false;

  /** Makes the accesses that no region serves as a whole; null if they fault. */
  readonly #split: SplitAccess | null;

  constructor(
    private readonly lookup: RegionLookup,
    private readonly watches: WatchTable,
    private readonly policy: SpacePolicy,
    private readonly outcome: Outcome,
    private readonly holes: HoleHandlers,
  ) {
    this.#split = policy.unaligned
      ? new (splitAccess.get().SplitAccess)(lookup, watches, outcome, holes, policy.littleEndian)
      : null;
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
    return this.outcome.result === OK ? value : this.#reread(native, kind, gpa, value);
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

  /**
   * As `read`, for a device whose handler has just been called.
   *
   * @param found - What the handler returned.
   */
  finishRead<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
    found: unknown,
  ): T {
    const value = this.#finishRead(found, kind, gpa, region);
    return this.outcome.result === OK ? value : this.#reread(native, kind, gpa, value);
  }

  /**
   * As `write`, for a device whose handler has just refused it.
   *
   * @param announced - Whether its watchpoints were notified.
   */
  finishRefused<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    announced: boolean,
  ): GuestMemAccessResult {
    this.#refuseWrite(announced);
    return this.#rewrite(native, kind, gpa, value);
  }

  /** As `write`, for RAM or ROM that has refused it after its watchpoints were notified. */
  refuseAnnounced<T extends Value, A extends Out>(
    result: GuestMemAccessResult,
    region: Backed,
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    this.fault(result, region, kind.bytes, kind.bytes, gpa, "write", true);
    return this.#rewrite(native, kind, gpa, value);
  }

  /** Finishes a read that has faulted: repeats it once if the listener of faults asks for it. */
  #reread<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    refused: T,
  ): T {
    if (!this.outcome.mayRetry(gpa, kind.bytes, "read")) {
      return refused;
    }
    const value = this.#read(native, kind, gpa, this.lookup.find(gpa));
    if (this.outcome.result !== OK) {
      this.outcome.recordFault(gpa, kind.bytes, "read");
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
    if (announced && this.outcome.reason !== "device") {
      // A watchpoint has destroyed the memory.
      this.outcome.recordFault(gpa, kind.bytes, "write");
    } else if (this.outcome.mayRetry(gpa, kind.bytes, "write")) {
      const result = this.#write(native, kind, gpa, value, this.lookup.find(gpa), !announced);
      if (result !== OK) {
        this.outcome.recordFault(gpa, kind.bytes, "write");
      }
      return result;
    }
    return this.outcome.result;
  }

  #read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: Region | null,
  ): T {
    if (this.#split !== null && this.#isSplit(region, gpa, kind.bytes, "read")) {
      return this.#split.read(native, kind, gpa);
    }
    if (region === null) {
      return this.#readHole(kind, gpa);
    }
    if (region.kind === "mmio") {
      return this.#readDevice(kind, gpa, region);
    }
    const { offset, room } = this.lookup;
    const result =
      room < kind.bytes || !region.readable
        ? checkMemory(region, offset, room, kind.bytes, "read")
        : kind.tryRead(this.policy.accessOf(native, region.memory), offset, kind.scratch);
    const value = kind.scratch[0] as T;
    if (result !== OK) {
      return this.#refuse(result, region, room, kind, gpa, "read");
    }
    this.watches.notify(gpa, kind.bytes, "read", value);
    this.outcome.result = OK;
    return value;
  }

  // Small, and without a call but of the handler, because device registers are often polled.
  #readDevice<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
  ): T {
    const { offset, room } = this.lookup;
    const { bytes, mask } = kind;
    const handler = region.reads[kind.log2]!;
    const result = checkRegister(gpa, room, bytes, handler);
    if (result !== OK) {
      return this.#refuse(result, region, room, kind, gpa, "read");
    }
    const found = readRegister(handler, offset);
    if (typeof found === "number" && !this.watches.active) {
      const value = (found & handler.mask) >>> 0;
      if (value === found && mask !== 0) {
        this.outcome.result = OK;
        return extract(handler, offset, mask, value) as T;
      }
    }
    return this.#finishRead(found, kind, gpa, region);
  }

  /** Takes the answer of a device. */
  #finishRead<T extends Value, A extends Out>(
    found: unknown,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
  ): T {
    const { bytes } = kind;
    if (found === BUS_ERROR) {
      this.outcome.refuse(FAULT_BOUNDARY, "device");
      return kind.scratch[0] as T;
    }
    const call = region.reads[kind.log2]!;
    const value = valueOf(call, offsetIn(region, gpa), bytes, found, region.readName) as T;
    this.watches.notify(gpa, bytes, "read", value);
    this.outcome.result = OK;
    return value;
  }

  /** Sets `result` and `reason` of a read that faults. The return value has no meaning. */
  #refuse<T extends Value, A extends Out>(
    result: GuestMemAccessResult,
    region: Region,
    room: number,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    operation: Operation,
  ): T {
    this.fault(result, region, room, kind.bytes, gpa, operation);
    return kind.scratch[0] as T;
  }

  #readHole<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { read } = this.holes;
    const { bytes } = kind;
    let value: Value = 0;
    let result = this.#checkHole(gpa, bytes, read !== null);
    if (result === OK) {
      const found = read!(plainAddress(gpa), bytes);
      if (found === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      } else {
        value = checkReturned(found, bytes, "what unmapped.read returns");
        this.watches.notify(gpa, bytes, "read", value);
      }
    }
    if (result !== OK) {
      this.fault(result, null, 0, bytes, gpa, "read");
    }
    this.outcome.result = result;
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
    if (this.#split !== null && this.#isSplit(region, gpa, kind.bytes, "write")) {
      const result = this.#split.write(native, kind, gpa, value, announces);
      this.#announced = this.#split.announced;
      return result;
    }
    if (region === null) {
      return this.#writeHole(kind, gpa, value, announces);
    }
    if (region.kind === "mmio") {
      return this.#writeDevice(kind, gpa, value, region, announces);
    }
    const { offset, room } = this.lookup;
    const { bytes } = kind;
    const { memory, internals } = region;
    const trap = region.kind === "rom" ? region.onWrite : null;
    let announced = false;
    if (
      !region.writable ||
      room < bytes ||
      internals.marks.guards !== null ||
      this.watches.covers(gpa, "write")
    ) {
      // The owner of ROM handles a write that has the rights of a read.
      const rights = trap === null ? "write" : "read";
      const result = this.policy.unaligned
        ? checkMemory(region, offset, room, bytes, rights)
        : checkAligned(region, gpa, offset, room, bytes, rights);
      if (result !== OK) {
        return this.fault(result, region, room, bytes, gpa, "write");
      }
      announced = this.watches.active && announces;
      if (announced) {
        this.watches.notify(gpa, bytes, "write", value);
      }
    }
    if (trap !== null) {
      return trap(offsetIn(region, gpa), value, bytes) === BUS_ERROR
        ? this.#refuseWrite(announced)
        : OK;
    }
    const result = this.policy.store(native, kind, { memory, internals }, offset, value);
    if (result !== OK) {
      this.fault(result, region, room, bytes, gpa, "write", announced);
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
    const { offset, room } = this.lookup;
    const { bytes } = kind;
    const handler = region.writes[kind.log2]!;
    const result = checkRegister(gpa, room, bytes, handler);
    if (result !== OK) {
      return this.fault(result, region, room, bytes, gpa, "write");
    }
    const announced = this.watches.active && announces;
    if (announced) {
      this.watches.notify(gpa, bytes, "write", value);
    }
    const answer = writeRegister(handler, offset, value);
    return answer === BUS_ERROR ? this.#refuseWrite(announced) : OK;
  }

  /** The result of a write that a handler refuses. */
  #refuseWrite(announced: boolean): GuestMemAccessResult {
    this.#announced = announced;
    return this.outcome.refuse(FAULT_BOUNDARY, "device");
  }

  #writeHole<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    announces: boolean,
  ): GuestMemAccessResult {
    const { write } = this.holes;
    const { bytes } = kind;
    let announced = false;
    let result = this.#checkHole(gpa, bytes, write !== null);
    if (result === OK) {
      if (announces) {
        this.watches.notify(gpa, bytes, "write", value);
        announced = this.watches.active;
      }
      if (write!(plainAddress(gpa), value, bytes) === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      }
    }
    if (result !== OK) {
      this.fault(result, null, 0, bytes, gpa, "write", announced);
    }
    return result;
  }

  /** The result of a plain access that starts at an unmapped address, before its handler. */
  #checkHole(gpa: Gpa, bytes: number, handled: boolean): GuestMemAccessResult {
    if (!handled || !this.#isHole(gpa, bytes)) {
      return FAULT_BOUNDARY;
    }
    return isAligned(gpa, bytes) ? OK : FAULT_UNALIGNED;
  }

  /** Whether no byte of an access that starts at an unmapped address is in a region. */
  #isHole(gpa: Gpa, bytes: number): boolean {
    for (let i = 1; i < bytes; i++) {
      const at = gpaAt(gpa, i);
      if (at > MAX_U64 || this.lookup.find(at) !== null) {
        return false;
      }
    }
    return true;
  }

  /**
   * Whether a split access makes an access under `alignment: "allow"`. Aligned accesses are split
   * if they touch several regions; unaligned ones also if a handler serves them, or if they touch
   * two pages, one of which may be watched.
   *
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  #isSplit(region: Region | null, gpa: Gpa, bytes: number, operation: Operation): boolean {
    const aligned = isAligned(gpa, bytes);
    if (region === null) {
      return !aligned || !this.#isHole(gpa, bytes);
    }
    return (
      this.lookup.room < bytes ||
      (!aligned &&
        (region.kind === "mmio" ||
          crossesPage(gpa, bytes) ||
          (operation === "write" && region.kind === "rom" && region.onWrite !== null)))
    );
  }

  /** Sets `result`, `reason` and `#announced` of an access that no handler has refused. */
  fault(
    result: GuestMemAccessResult,
    region: Region | null,
    room: number,
    bytes: number,
    gpa: Gpa,
    operation: Operation,
    announced = false,
  ): GuestMemAccessResult {
    this.#announced = announced;
    let reason: FaultReason;
    if (result !== FAULT_BOUNDARY) {
      reason = reasonOfResult(result);
    } else if (region === null) {
      reason = this.#isHole(gpa, bytes) ? "hole" : "straddle";
    } else if (room < bytes) {
      reason = "straddle";
    } else if (region.kind === "mmio") {
      reason = "no-handler";
    } else {
      reason = operation === "read" ? "write-only" : "read-only";
    }
    return this.outcome.refuse(result, reason);
  }

  /**
   * Finds the memory of an atomic access, and makes all its checks. Also sets `offset` to the
   * offset in the region.
   *
   * @returns Null after a fault; `result` and `reason` describe it.
   */
  findMemory(gpa: Gpa, bytes: number, operation: Operation): Backed | null {
    let region = this.#findMemory(gpa, bytes, operation);
    if (region === null && this.outcome.mayRetry(gpa, bytes, operation)) {
      region = this.#findMemory(gpa, bytes, operation);
      if (region === null) {
        this.outcome.recordFault(gpa, bytes, operation);
      }
    }
    return region;
  }

  #findMemory(gpa: Gpa, bytes: number, operation: Operation): Backed | null {
    const region = this.lookup.find(gpa);
    const { offset, room } = this.lookup;
    if (region === null || region.kind === "mmio") {
      this.fault(FAULT_BOUNDARY, region, room, bytes, gpa, operation);
      return null;
    }
    const result = checkAligned(region, gpa, offset, room, bytes, operation);
    if (result !== OK) {
      this.fault(result, region, room, bytes, gpa, operation);
      return null;
    }
    return region;
  }
}

/** The result of an access to a device, before its handler is called. */
function checkRegister(
  gpa: Gpa,
  room: number,
  bytes: number,
  handler: RegisterCall | null,
): GuestMemAccessResult {
  if (handler === null || room < bytes) {
    return FAULT_BOUNDARY;
  }
  return isAligned(gpa, bytes) ? OK : FAULT_UNALIGNED;
}

/** The bytes from the start of a region to an address in it. */
function offsetIn(region: Region, gpa: Gpa): number {
  return typeof gpa === "number" ? gpa - region.start : Number(gpa - region.gpa);
}

/** The address as the handlers of unmapped addresses get it. */
function plainAddress(gpa: Gpa): Gpa {
  const address = toAddress(gpa);
  return address === Infinity ? gpa : address;
}
