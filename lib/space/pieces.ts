import { gpaAt, toAddress } from "../base/arguments.js";
import { type Operation, reasonOfResult } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import { checkMemory, type MemoryOfRegion } from "./backed.js";
import type { AccessRules } from "./access-rules.js";
import type { RegionLookup } from "./lookup.js";
import type { Outcome } from "./outcome.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

/** The part of a bulk access that lies in one memory. */
export interface Piece extends MemoryOfRegion {
  /** Offset in bytes from the start of the memory. */
  readonly offset: number;
  readonly length: number;
}

/** Splits bulk accesses to an address space into one piece for each region. */
export class Pieces {
  constructor(
    private readonly lookup: RegionLookup,
    private readonly rules: AccessRules,
    private readonly outcome: Outcome,
  ) {}

  /**
   * Appends the pieces of a bulk access to `pieces`.
   *
   * @returns The result code of the first piece that is not accessible, or `OK`.
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  split(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    const before = pieces.length;
    let result = this.#split(gpa, length, operation, pieces);
    if (result !== OK && this.outcome.mayRetry(gpa, length, operation)) {
      pieces.length = before;
      result = this.#split(gpa, length, operation, pieces);
      if (result !== OK) {
        this.outcome.recordFault(gpa, length, operation);
      }
    }
    return result;
  }

  #split(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    const { lookup } = this;
    toAddress(gpa);
    for (let done = 0; done < length;) {
      const at = gpaAt(gpa, done);
      const region = at <= MAX_U64 ? lookup.find(at) : null;
      if (region === null || region.kind === "mmio") {
        return this.outcome.refuse(FAULT_BOUNDARY, region === null ? "hole" : "no-handler");
      }
      const { offset, room } = lookup;
      const part = Math.min(length - done, room);
      const result = checkMemory(region, offset, room, part, operation);
      if (result !== OK) {
        return this.rules.fault(result, region, room, part, at, operation);
      }
      const { memory, internals } = region;
      pieces.push({ memory, internals, offset, length: part });
      done += part;
    }
    return OK;
  }

  /**
   * Checks after the calls of listeners that the pieces of a bulk access are still accessible: a
   * listener may have destroyed the memory. If it changed the map, the access still uses the
   * regions that were mapped before.
   *
   * @returns The result code of the first piece that is not accessible, or `OK`.
   */
  recheck(pieces: readonly Piece[]): GuestMemAccessResult {
    for (const { internals, offset, length } of pieces) {
      const result = internals.checkRange(offset, length);
      if (result !== OK) {
        return this.outcome.refuse(result, reasonOfResult(result));
      }
    }
    return OK;
  }
}
