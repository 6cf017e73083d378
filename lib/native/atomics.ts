import {
  type AtomicLane,
  type AtomicLanes,
  type Cells,
  found,
  type HalvesLane,
} from "../atomics/lane.js";
import {
  ATOMIC_ADD,
  ATOMIC_AND,
  ATOMIC_COMPARE_EXCHANGE,
  ATOMIC_EXCHANGE,
  ATOMIC_LOAD,
  ATOMIC_OR,
  ATOMIC_STORE,
  ATOMIC_XOR,
} from "../atomics/operations.js";
import { EXPECTED8, OPERATION32, RESULT32, VALUE8 } from "./call-block.js";
import { EXPECTED_HIGH32, EXPECTED_LOW32, VALUE_HIGH32, VALUE_LOW32 } from "./value-halves.js";
import { PAGE_SIZE } from "../base/page.js";
import type { Gpa } from "../base/gpa.js";
import type { Marks } from "./marks.js";
import { native } from "./addon.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Value } from "../base/widths.js";

const block32 = new Uint32Array(native.callBlock);
const { atomic } = native;
const LOG2_QUAD = 3;

/** Writes the memory and the address of the next call into the call block. */
type Prepare = (gpa: Gpa) => void;

/**
 * The atomic operations of one width through N-API. C++ makes every check of the guest's access.
 */
class NativeLane<T extends Value> implements AtomicLane<T> {
  code: GuestMemAccessResult = OK;
  private readonly valueAt: number;
  private readonly expectedAt: number;
  private readonly log2: number;

  constructor(
    readonly bytes: 1 | 2 | 4 | 8,
    private readonly block: Cells<T>,
    private readonly prepare: Prepare,
    private readonly marks: Marks,
  ) {
    this.valueAt = VALUE8 / bytes;
    this.expectedAt = EXPECTED8 / bytes;
    this.log2 = Math.log2(bytes);
  }

  load(gpa: Gpa): T | undefined {
    return this.run(ATOMIC_LOAD, gpa);
  }

  store(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_STORE, gpa);
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_EXCHANGE, gpa);
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    this.block[this.expectedAt] = expected;
    this.block[this.valueAt] = replacement;
    return this.run(ATOMIC_COMPARE_EXCHANGE, gpa);
  }

  add(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_ADD, gpa);
  }

  and(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_AND, gpa);
  }

  or(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_OR, gpa);
  }

  xor(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ATOMIC_XOR, gpa);
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    return this.run(ATOMIC_LOAD, gpa) === undefined ? this.code : OK;
  }

  private run(operation: number, gpa: Gpa): T | undefined {
    if (this.marks.guards !== null && operation !== ATOMIC_LOAD) {
      this.callGuards(gpa);
    }
    this.prepare(gpa);
    block32[OPERATION32] = operation + this.log2;
    atomic();
    const code = block32[RESULT32] as GuestMemAccessResult;
    if (code === OK) {
      // After a store, the call block still has the stored value.
      const found = this.block[this.valueAt];
      if (this.marks.dirty !== null && this.stored(operation, found)) {
        this.marks.dirty.markPage(Math.floor(Number(gpa) / PAGE_SIZE));
      }
      return found;
    }
    this.code = code;
    return undefined;
  }

  /** Calls the guards of a write that does not fault, and keeps the operands in the call block. */
  private callGuards(gpa: Gpa): void {
    const { block } = this;
    const value = block[this.valueAt]!;
    const expected = block[this.expectedAt]!;
    if (this.checkStore(gpa) === OK) {
      this.marks.callGuards(Number(gpa), this.bytes);
    }
    block[this.valueAt] = value;
    block[this.expectedAt] = expected;
  }

  /** Whether an operation that returned `found` has written to RAM. */
  private stored(operation: number, found: T | undefined): boolean {
    return operation === ATOMIC_COMPARE_EXCHANGE
      ? found === this.block[this.expectedAt]
      : operation !== ATOMIC_LOAD;
  }
}

/** The 64-bit atomic operations through N-API, with values in halves. They need no bigint. */
class NativeHalves implements HalvesLane {
  constructor(
    private readonly prepare: Prepare,
    private readonly marks: Marks,
  ) {}

  run(
    operation: number,
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult {
    if (
      this.marks.guards !== null &&
      operation !== ATOMIC_LOAD &&
      this.run(ATOMIC_LOAD, gpa, 0, 0, 0, 0) === OK
    ) {
      this.marks.callGuards(Number(gpa), 1 << LOG2_QUAD);
    }
    const block = block32;
    block[VALUE_LOW32] = low;
    block[VALUE_HIGH32] = high;
    block[EXPECTED_LOW32] = expectedLow;
    block[EXPECTED_HIGH32] = expectedHigh;
    this.prepare(gpa);
    block[OPERATION32] = operation + LOG2_QUAD;
    atomic();
    const code = block[RESULT32] as GuestMemAccessResult;
    if (code === OK) {
      found[0] = block[VALUE_LOW32]!;
      found[1] = block[VALUE_HIGH32]!;
      if (this.marks.dirty !== null && this.stored(operation, expectedLow, expectedHigh)) {
        this.marks.dirty.markPage(Math.floor(Number(gpa) / PAGE_SIZE));
      }
    }
    return code;
  }

  /** Whether an operation that completed has written to RAM. */
  private stored(operation: number, expectedLow: number, expectedHigh: number): boolean {
    return operation === ATOMIC_COMPARE_EXCHANGE
      ? found[0] === expectedLow && found[1] === expectedHigh
      : operation !== ATOMIC_LOAD;
  }
}

/** The lanes of the native path of one memory. */
export function nativeLanes(prepare: Prepare, marks: Marks): AtomicLanes {
  const block = native.callBlock;
  return {
    b: new NativeLane<number>(1, new Uint8Array(block), prepare, marks),
    w: new NativeLane<number>(2, new Uint16Array(block), prepare, marks),
    l: new NativeLane<number>(4, block32, prepare, marks),
    q: new NativeLane<bigint>(8, new BigUint64Array(block), prepare, marks),
    halves: new NativeHalves(prepare, marks),
  };
}
