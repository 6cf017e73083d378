import type { AtomicLane, AtomicLanes, Cells } from "../atomics/lane.js";
import { PAGE_SIZE } from "../base/page.js";
import type { Gpa } from "../base/gpa.js";
import type { Marks } from "./marks.js";
import { native } from "./addon.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Value } from "../base/widths.js";

// Where `CallBlock` of the addon has its fields, in bytes.
const RESULT_AT = 12;
const VALUE_AT = 16;
const EXPECTED_AT = 24;
const OPERATION_AT = 32;

// The operations as the addon numbers them, at the width of a byte; the next widths follow each.
const LOAD = 0;
const STORE = 4;
const EXCHANGE = 8;
const COMPARE_EXCHANGE = 12;
const ADD = 16;
const AND = 20;
const OR = 24;
const XOR = 28;

const block32 = new Uint32Array(native.callBlock);
const { atomic } = native;

/** Names the memory and the address of the next call in the call block. */
type Prepare = (gpa: Gpa) => void;

/** One width through N-API: C++ makes every check of the guest's access. */
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
    this.valueAt = VALUE_AT / bytes;
    this.expectedAt = EXPECTED_AT / bytes;
    this.log2 = Math.log2(bytes);
  }

  load(gpa: Gpa): T | undefined {
    return this.run(LOAD, gpa);
  }

  store(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(STORE, gpa);
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(EXCHANGE, gpa);
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    this.block[this.expectedAt] = expected;
    this.block[this.valueAt] = replacement;
    return this.run(COMPARE_EXCHANGE, gpa);
  }

  add(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(ADD, gpa);
  }

  and(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(AND, gpa);
  }

  or(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(OR, gpa);
  }

  xor(gpa: Gpa, value: T): T | undefined {
    this.block[this.valueAt] = value;
    return this.run(XOR, gpa);
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    return this.run(LOAD, gpa) === undefined ? this.code : OK;
  }

  private run(operation: number, gpa: Gpa): T | undefined {
    this.prepare(gpa);
    block32[OPERATION_AT / 4] = operation + this.log2;
    atomic();
    const code = block32[RESULT_AT / 4] as GuestMemAccessResult;
    if (code === OK) {
      // A store has left what was staged.
      const found = this.block[this.valueAt];
      if (this.marks.dirty !== null && this.stored(operation, found)) {
        this.marks.dirty.markPage(Math.floor(Number(gpa) / PAGE_SIZE));
      }
      return found;
    }
    this.code = code;
    return undefined;
  }

  /** Whether an operation that found a value has written. */
  private stored(operation: number, found: T | undefined): boolean {
    return operation === COMPARE_EXCHANGE
      ? found === this.block[this.expectedAt]
      : operation !== LOAD;
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
  };
}
