import { gpaAt } from "../base/arguments.js";
import { type FaultReason, type Operation, reasonOfResult } from "../base/errors.js";
import { type Gpa, MAX_U64 } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Out, Value, Width } from "../base/widths.js";
import type { GuestMemory, GuestMemoryInternals } from "../memory/guest-memory.js";
import { checkMemory } from "./backed.js";
import { callGuards, unguarded, type WrittenBytes } from "./guarded-write.js";
import type { HoleHandlers } from "./holes.js";
import type { RegionLookup } from "./lookup.js";
import { type AccessWidth, BUS_ERROR } from "./mmio.js";
import type { Outcome } from "./outcome.js";
import { checkReturned, readRegister, valueOf, writeRegister } from "./register-call.js";
import type { WatchTable } from "./watch-table.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

/** An aligned part of an access, which lies in one region or in a hole. */
interface Part {
  /** The offset of the part in the access. */
  readonly at: number;
  readonly width: AnyWidth;
  readonly bytes: AccessWidth;
  /** Calls the handler with the value of a write; null for memory. */
  readonly call: ((value?: Value) => unknown) | null;
  /** The name of a handler's return value in error messages. */
  readonly name: string;
  /** The reason of the fault if the handler refuses. */
  readonly refusal: FaultReason;
  readonly memory: GuestMemory | null;
  readonly internals: GuestMemoryInternals | null;
  /** The offset in the memory. */
  readonly offset: number;
}

type AnyWidth = Width<Value, Out>;

const WIDTHS = [SPACE_BYTE, SPACE_WORD, SPACE_LONG, SPACE_QUAD] as unknown as readonly SpaceWidth<
  Value,
  Out
>[];

const byte = new Uint8Array(1);

/**
 * The accesses under `alignment: "allow"` that no region serves as a whole: unaligned accesses to
 * devices and holes, and accesses that touch several regions.
 *
 * All parts are checked first. Then the watchpoints of a write are called, then the handlers, in
 * ascending order, then the code guards, and last the bytes of RAM and ROM are read or written.
 * Therefore an access that faults changes no byte.
 */
export class SplitAccess {
  /** Whether the write that has just faulted had notified watchpoints, or may not be repeated. */
  announced = false;

  constructor(
    private readonly lookup: RegionLookup,
    private readonly watches: WatchTable,
    private readonly outcome: Outcome,
    private readonly holes: HoleHandlers,
    private readonly littleEndian: boolean,
  ) {}

  /** Makes a read, and sets `result` and, after a fault, `reason`. */
  read<T extends Value, A extends Out>(native: boolean, kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { bytes, width } = kind;
    const view = new DataView(new ArrayBuffer(bytes));
    const parts = this.#partsOf(gpa, bytes, "read");
    if (parts !== null && this.#readParts(parts, view, native)) {
      const value = width.get(view, 0, this.littleEndian);
      this.watches.notifyRange(gpa, bytes, "read", value);
      this.outcome.result = OK;
      return value;
    }
    return kind.scratch[0] as T;
  }

  /**
   * Makes a write. After a fault, sets `result`, `reason` and `announced`.
   *
   * @param value - A value of the width.
   * @param announces - Whether to notify watchpoints.
   */
  write<T extends Value, A extends Out>(
    native: boolean,
    { bytes, width }: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    announces: boolean,
  ): GuestMemAccessResult {
    this.announced = false;
    const parts = this.#partsOf(gpa, bytes, "write");
    if (parts === null) {
      return this.outcome.result;
    }
    const view = new DataView(new ArrayBuffer(bytes));
    width.set(view, 0, value, this.littleEndian);
    if (announces) {
      this.announced = this.watches.active;
      this.watches.notifyRange(gpa, bytes, "write", value);
    }
    if (!this.#callWrites(parts, view)) {
      return this.outcome.result;
    }
    const written = writtenBytes(parts);
    // A handler, and then a guard, may have destroyed a memory.
    let alive = this.#isAlive(parts);
    if (alive) {
      callGuards(written);
      alive = this.#isAlive(parts);
    }
    if (!alive) {
      this.announced = true;
      return this.outcome.result;
    }
    unguarded(written, () => {
      for (const { memory, offset, at, bytes: count } of parts) {
        for (let i = 0; native && i < count; i++) {
          memory?.native.tryWriteb(offset + i, view.getUint8(at + i));
        }
        if (!native) {
          // Not by tryWriteb, which would leave its fast form: see accessor-forms.ts.
          memory?.tryWrite(offset, new Uint8Array(view.buffer, at, count));
        }
      }
    });
    return OK;
  }

  /** Checks an access, and splits it; null after a fault. */
  #partsOf(gpa: Gpa, bytes: number, operation: Operation): Part[] | null {
    const parts: Part[] = [];
    for (let at = 0; at < bytes;) {
      const part = this.#partAt(gpaAt(gpa, at), at, bytes - at, operation);
      if (part === null) {
        return null;
      }
      parts.push(part);
      at += part.bytes;
    }
    return parts;
  }

  /** The widest aligned part that starts at an address; null after a fault. */
  #partAt(gpa: Gpa, at: number, most: number, operation: Operation): Part | null {
    const { lookup } = this;
    if (gpa > MAX_U64) {
      return this.#refuse(FAULT_BOUNDARY, "hole");
    }
    const room = lookup.extent(gpa);
    const region = lookup.find(gpa);
    const { offset } = lookup;
    const log2 = partLog2(gpa, Math.min(most, room));
    const { bytes, width } = WIDTHS[log2]!;
    const part = { at, bytes, width, name: "", refusal: "device", offset } as const;
    if (region === null) {
      const { read, write } = this.holes;
      if ((operation === "read" ? read : write) === null) {
        return this.#refuse(FAULT_BOUNDARY, "hole");
      }
      const call = (value?: Value): unknown =>
        operation === "read" ? read!(gpa, bytes) : write!(gpa, value!, bytes);
      const name = "what unmapped.read returns";
      return { ...part, call, name, refusal: "hole", memory: null, internals: null };
    }
    if (region.kind === "mmio") {
      const { readName: name } = region;
      const handler = (operation === "read" ? region.reads : region.writes)[log2]!;
      if (handler === null) {
        return this.#refuse(FAULT_BOUNDARY, "no-handler");
      }
      const call = (value?: Value): unknown => {
        if (operation === "write") {
          return writeRegister(handler, offset, value!);
        }
        const found = readRegister(handler, offset);
        return found === BUS_ERROR ? found : valueOf(handler, offset, bytes, found, name);
      };
      return { ...part, call, name, memory: null, internals: null };
    }
    const trap = operation === "write" && region.kind === "rom" ? region.onWrite : null;
    const rights = trap === null ? operation : "read";
    const result = checkMemory(region, offset, room, bytes, rights);
    if (result !== OK) {
      const reason = operation === "read" ? "write-only" : "read-only";
      return this.#refuse(result, result === FAULT_BOUNDARY ? reason : reasonOfResult(result));
    }
    if (trap !== null) {
      const inRegion = Number(BigInt(gpa) - region.gpa);
      const call = (value?: Value): unknown => trap(inRegion, value!, bytes);
      return { ...part, call, memory: null, internals: null };
    }
    const { memory, internals } = region;
    return { ...part, call: null, memory, internals };
  }

  /** Reads all parts into the bytes of the access; returns false after a fault. */
  #readParts(parts: readonly Part[], view: DataView, native: boolean): boolean {
    for (const { call, at, bytes, width, name, refusal } of parts) {
      if (call !== null) {
        const found = call();
        if (found === BUS_ERROR) {
          return this.#refuse(FAULT_BOUNDARY, refusal) !== null;
        }
        width.set(view, at, checkReturned(found, bytes, name), this.littleEndian);
      }
    }
    if (!this.#isAlive(parts)) {
      return false;
    }
    for (const { memory, offset, at, bytes } of parts) {
      if (memory !== null) {
        const access = native ? memory.native : memory;
        for (let i = 0; i < bytes; i++) {
          access.tryReadb(offset + i, byte);
          view.setUint8(at + i, byte[0]!);
        }
      }
    }
    return true;
  }

  /** Calls the handlers of a write; returns false if one refuses. */
  #callWrites(parts: readonly Part[], view: DataView): boolean {
    for (const { call, at, width, refusal } of parts) {
      if (call?.(width.get(view, at, this.littleEndian)) === BUS_ERROR) {
        return this.#refuse(FAULT_BOUNDARY, refusal) !== null;
      }
    }
    return true;
  }

  /** Whether the memories of all parts are still accessible. */
  #isAlive(parts: readonly Part[]): boolean {
    for (const { internals, offset, bytes } of parts) {
      const result = internals?.checkRange(offset, bytes) ?? OK;
      if (result !== OK) {
        return this.#refuse(result, reasonOfResult(result)) !== null;
      }
    }
    return true;
  }

  #refuse(result: GuestMemAccessResult, reason: FaultReason): null {
    this.outcome.refuse(result, reason);
    return null;
  }
}

/** The bytes of memory that a write changes, those of adjacent parts in one range. */
function writtenBytes(parts: readonly Part[]): WrittenBytes[] {
  const ranges: WrittenBytes[] = [];
  for (const { internals, offset, bytes } of parts) {
    const last = ranges.at(-1);
    if (last?.internals === internals && last.offset + last.length === offset) {
      ranges[ranges.length - 1] = { ...last, length: last.length + bytes };
    } else if (internals !== null) {
      ranges.push({ internals, offset, length: bytes });
    }
  }
  return ranges;
}

/** log2 of the bytes of the widest aligned access at an address with at most `most` bytes. */
function partLog2(gpa: Gpa, most: number): number {
  const low = Number(BigInt.asUintN(3, BigInt(gpa)));
  let log2 = 0;
  while (log2 < 3 && 2 << log2 <= most && (low & ((2 << log2) - 1)) === 0) {
    log2++;
  }
  return log2;
}
