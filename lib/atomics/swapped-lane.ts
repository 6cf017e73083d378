import type { AtomicLane } from "../atomics/lane.js";
import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { Out, Value, Width } from "../base/widths.js";

const view = new DataView(new ArrayBuffer(8));

/** The atomic operations of a lane on values with the opposite byte order. */
export class SwappedLane<T extends Value> implements AtomicLane<T> {
  constructor(
    private readonly lane: AtomicLane<T>,
    private readonly width: Width<T, Out>,
  ) {}

  get bytes(): 1 | 2 | 4 | 8 {
    return this.lane.bytes;
  }

  get code(): GuestMemAccessResult {
    return this.lane.code;
  }

  load(gpa: Gpa): T | undefined {
    return this.swapFound(this.lane.load(gpa));
  }

  store(gpa: Gpa, value: T): T | undefined {
    return this.swapFound(this.lane.store(gpa, this.swap(value)));
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    return this.swapFound(this.lane.exchange(gpa, this.swap(value)));
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    return this.swapFound(
      this.lane.compareExchange(gpa, this.swap(expected), this.swap(replacement)),
    );
  }

  /** Carries go from byte to byte, so that the lane cannot add swapped values itself. */
  add(gpa: Gpa, value: T): T | undefined {
    let old = this.load(gpa);
    while (old !== undefined) {
      const found = this.compareExchange(gpa, old, this.sum(old, value));
      if (found === old) {
        break;
      }
      old = found;
    }
    return old;
  }

  and(gpa: Gpa, value: T): T | undefined {
    return this.swapFound(this.lane.and(gpa, this.swap(value)));
  }

  or(gpa: Gpa, value: T): T | undefined {
    return this.swapFound(this.lane.or(gpa, this.swap(value)));
  }

  xor(gpa: Gpa, value: T): T | undefined {
    return this.swapFound(this.lane.xor(gpa, this.swap(value)));
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    return this.lane.checkStore(gpa);
  }

  private sum(a: Value, b: Value): T {
    const isWide = typeof a === "bigint";
    return (
      isWide ? BigInt.asUintN(64, a + BigInt(b)) : (a + Number(b)) % 2 ** (8 * this.bytes)
    ) as T;
  }

  private swap(value: T): T {
    this.width.set(view, 0, value, false);
    return this.width.get(view, 0, true);
  }

  private swapFound(value: T | undefined): T | undefined {
    return value === undefined ? undefined : this.swap(value);
  }
}
