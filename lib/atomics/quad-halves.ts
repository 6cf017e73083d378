import { quadOf, storeHalves } from "../base/halves.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Value } from "../base/widths.js";
import { type AtomicLane, found, type HalvesLane } from "./lane.js";
import {
  ATOMIC_ADD,
  ATOMIC_AND,
  ATOMIC_COMPARE_EXCHANGE,
  ATOMIC_EXCHANGE,
  ATOMIC_LOAD,
  ATOMIC_OR,
  ATOMIC_STORE,
} from "./operations.js";

/** The 64-bit atomic operations with values in halves, as operations on bigints. */
export class QuadHalves implements HalvesLane {
  constructor(private readonly quads: AtomicLane<bigint>) {}

  run(
    operation: number,
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult {
    const { quads } = this;
    const value = quadOf(low, high);
    const old = runOn(quads, operation, gpa, value, quadOf(expectedLow, expectedHigh));
    if (old === undefined) {
      return quads.code;
    }
    storeHalves(found, 0, old);
    return OK;
  }
}

/** Runs the operation of a number. The last one is `ATOMIC_XOR`. */
export function runOn<T extends Value>(
  lane: AtomicLane<T>,
  operation: number,
  gpa: Gpa,
  value: T,
  expected: T,
): T | undefined {
  switch (operation) {
    case ATOMIC_LOAD:
      return lane.load(gpa);
    case ATOMIC_STORE:
      return lane.store(gpa, value);
    case ATOMIC_EXCHANGE:
      return lane.exchange(gpa, value);
    case ATOMIC_COMPARE_EXCHANGE:
      return lane.compareExchange(gpa, expected, value);
    case ATOMIC_ADD:
      return lane.add(gpa, value);
    case ATOMIC_AND:
      return lane.and(gpa, value);
    case ATOMIC_OR:
      return lane.or(gpa, value);
    default:
      return lane.xor(gpa, value);
  }
}
