import { type AtomicLane, type AtomicLanes, type HalvesLane } from "../atomics/lane.js";
import { AtomicAccess } from "../atomics/forms.js";
import { QuadHalves } from "../atomics/quad-halves.js";
import type { Backed } from "./backed.js";
import type { Bus } from "./bus.js";
import { type FaultReason, type Operation, reasonOfResult } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { SwappedLane } from "../atomics/swapped-lane.js";
import type { Out, Value } from "../base/widths.js";

type Path = "view" | "native";

/**
 * The atomic operations of one width on an address space. Each operation runs on the lane of the
 * memory that the address is mapped to; that lane sets the dirty marks.
 *
 * A read-modify-write operation notifies watchpoints twice: of a write before it runs, and of a
 * read, with the old value, after it.
 */
class SpaceLane<T extends Value, A extends Out> implements AtomicLane<T> {
  code: GuestMemAccessResult = OK;

  constructor(
    private readonly bus: Bus,
    private readonly path: Path,
    private readonly kind: SpaceWidth<T, A>,
    private readonly laneOf: (lanes: AtomicLanes) => AtomicLane<T>,
  ) {}

  get bytes(): 1 | 2 | 4 | 8 {
    return this.kind.bytes;
  }

  /** The reason of the last fault. */
  get reason(): FaultReason {
    return this.bus.outcome.reason;
  }

  load(gpa: Gpa): T | undefined {
    const region = this.locate(gpa, "read");
    const { offset } = this;
    return region === null
      ? undefined
      : this.read(this.lanesOf(region), gpa, "read", (lane) => lane.load(offset));
  }

  store(gpa: Gpa, value: T): T | undefined {
    const lane = this.prepare(gpa, value);
    const { offset } = this;
    return lane === null
      ? undefined
      : this.run(lane, gpa, "write", (of) => of.store(offset, value));
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.exchange(offset, value), value);
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.compareExchange(offset, expected, replacement));
  }

  add(gpa: Gpa, value: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.add(offset, value));
  }

  and(gpa: Gpa, value: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.and(offset, value));
  }

  or(gpa: Gpa, value: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.or(offset, value));
  }

  xor(gpa: Gpa, value: T): T | undefined {
    return this.modify(gpa, (lane, offset) => lane.xor(offset, value));
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    const region = this.locate(gpa, "write");
    return region === null ? this.code : this.lanesOf(region).checkStore(this.offset);
  }

  /** The offset in the memory of the access that `locate` checked last. */
  private offset = 0;

  private modify(
    gpa: Gpa,
    operate: (lane: AtomicLane<T>, offset: number) => T | undefined,
    value?: T,
  ): T | undefined {
    const lane = this.prepare(gpa, value);
    const { offset } = this;
    return lane === null ? undefined : this.read(lane, gpa, "write", (of) => operate(of, offset));
  }

  /** As `locate`, and notifies write watchpoints if the write does not fault. */
  private prepare(gpa: Gpa, value: T | undefined): AtomicLane<T> | null {
    const region = this.locate(gpa, "write");
    if (region === null) {
      return null;
    }
    const { offset } = this;
    // Before the listeners, which may switch the bank.
    const lane = this.lanesOf(region);
    if (this.bus.watches.covers(gpa, "write")) {
      // The lane has faults of its own: memory at an unaligned host address has no wide atomics.
      this.code = lane.checkStore(offset);
      if (this.code !== OK) {
        this.fail(gpa, "write");
        return null;
      }
      this.bus.watches.notify(gpa, this.bytes, "write", value);
      // Restored, because a listener may have used this lane.
      this.offset = offset;
    }
    return lane;
  }

  /** The region of an access; null, with the result in `code`, if the access faults. */
  private locate(gpa: Gpa, operation: Operation): Backed | null {
    const region = this.bus.rules.findMemory(gpa, this.bytes, operation);
    this.offset = this.bus.lookup.offset;
    if (region === null) {
      this.code = this.bus.outcome.result;
    }
    return region;
  }

  /** Runs an operation, and notifies read watchpoints of the value that it returns. */
  private read(
    lane: AtomicLane<T>,
    gpa: Gpa,
    operation: Operation,
    operate: (lane: AtomicLane<T>) => T | undefined,
  ): T | undefined {
    const found = this.run(lane, gpa, operation, operate);
    if (found !== undefined) {
      this.bus.watches.notify(gpa, this.bytes, "read", found);
    }
    return found;
  }

  private run(
    lane: AtomicLane<T>,
    gpa: Gpa,
    operation: Operation,
    operate: (lane: AtomicLane<T>) => T | undefined,
  ): T | undefined {
    const found = operate(lane);
    if (found === undefined) {
      // The lane has faults of its own, or a watchpoint has destroyed the memory.
      this.code = lane.code;
      this.fail(gpa, operation);
    }
    return found;
  }

  /** Records the fault of `code` as the last of the space. */
  private fail(gpa: Gpa, operation: Operation): void {
    this.bus.outcome.result = this.code;
    this.bus.outcome.reason = reasonOfResult(this.code);
    this.bus.outcome.recordFault(gpa, this.bytes, operation);
  }

  private lanesOf(region: Backed): AtomicLane<T> {
    const lane = this.laneOf(lanesOf(region, this.path));
    return this.bus.policy.littleEndian ? lane : new SwappedLane<T>(lane, this.kind.width);
  }
}

/** The lanes of the memory of a region. */
function lanesOf({ memory, internals }: Backed, path: Path): AtomicLanes {
  return path === "native" ? memory.native.atomicLanes : internals.atomicLanes();
}

/**
 * The 64-bit atomic operations on an address space, with values in halves. Those on RAM without
 * watchpoints need no bigint.
 */
class SpaceHalves implements HalvesLane {
  constructor(
    private readonly bus: Bus,
    private readonly path: Path,
    private readonly general: QuadHalves,
  ) {}

  run(
    operation: number,
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult {
    const { bus } = this;
    const region = bus.lookup.find(gpa);
    const { offset, room } = bus.lookup;
    if (
      region?.kind === "ram" &&
      bus.policy.littleEndian &&
      region.readable &&
      region.writable &&
      room >= SPACE_QUAD.bytes &&
      !bus.watches.covers(gpa, "read") &&
      !bus.watches.covers(gpa, "write")
    ) {
      const { halves } = lanesOf(region, this.path);
      // An access that faults is repeated below, which records the fault.
      if (halves.run(operation, offset, expectedLow, expectedHigh, low, high) === OK) {
        return OK;
      }
    }
    return this.general.run(operation, gpa, expectedLow, expectedHigh, low, high);
  }
}

/** The atomic operations of an address space on one path, by their width. */
export function spaceLanes(bus: Bus, path: Path): AtomicLanes {
  const q = new SpaceLane(bus, path, SPACE_QUAD, (lanes) => lanes.q);
  return {
    b: new SpaceLane(bus, path, SPACE_BYTE, ({ b }) => b),
    w: new SpaceLane(bus, path, SPACE_WORD, ({ w }) => w),
    l: new SpaceLane(bus, path, SPACE_LONG, ({ l }) => l),
    q,
    halves: new SpaceHalves(bus, path, new QuadHalves(q)),
  };
}

/** The atomic operations of an address space on one path. */
export function spaceAtomics(bus: Bus, path: Path): AtomicAccess {
  return new AtomicAccess(spaceLanes(bus, path));
}
