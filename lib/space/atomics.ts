import { type AtomicLane, type AtomicLanes, found, type HalvesLane } from "../atomics/lane.js";
import { AtomicAccess } from "../atomics/forms.js";
import {
  ATOMIC_ADD,
  ATOMIC_AND,
  ATOMIC_COMPARE_EXCHANGE,
  ATOMIC_EXCHANGE,
  ATOMIC_LOAD,
  ATOMIC_OR,
  ATOMIC_STORE,
} from "../atomics/operations.js";
import { type Bus, checkMemory, checkWrite } from "./bus.js";
import type { Gpa } from "../base/gpa.js";
import { quadOf, storeHalves } from "../base/halves.js";
import type { RamRegion, RomRegion } from "./regions.js";
import { GuestMemAccessResult } from "../base/result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import type { Out, Value } from "../base/widths.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

type Path = "view" | "native";
type Backed = RamRegion | RomRegion;

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

  load(gpa: Gpa): T | undefined {
    const region = this.bus.find(gpa);
    if (region === null || region.kind === "mmio") {
      this.code = FAULT_BOUNDARY;
      return undefined;
    }
    const { offset, room } = this.bus;
    if (room < this.bytes || !region.readable) {
      this.code = checkMemory(region, offset, room, this.bytes, "read");
      return undefined;
    }
    return this.read(this.lanesOf(region), gpa, (lane) => lane.load(offset));
  }

  store(gpa: Gpa, value: T): T | undefined {
    const lane = this.prepare(gpa, value);
    const offset = this.offset;
    return lane === null ? undefined : this.run(lane, (of) => of.store(offset, value));
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
    const region = this.locate(gpa);
    return region === null ? this.code : this.lanesOf(region).checkStore(this.offset);
  }

  /** The offset in the region of the access that `locate` checked last. */
  private offset = 0;

  private modify(
    gpa: Gpa,
    operate: (lane: AtomicLane<T>, offset: number) => T | undefined,
    value?: T,
  ): T | undefined {
    const lane = this.prepare(gpa, value);
    if (lane === null) {
      return undefined;
    }
    const { offset } = this;
    return this.read(lane, gpa, (of) => operate(of, offset));
  }

  /** As `locate`, and notifies write watchpoints if the write does not fault. */
  private prepare(gpa: Gpa, value: T | undefined): AtomicLane<T> | null {
    const region = this.locate(gpa);
    if (region === null) {
      return null;
    }
    const { offset } = this;
    // Before the listeners, which may switch the bank.
    const lane = this.lanesOf(region);
    if (this.bus.isWatched(gpa, "write")) {
      // The lane has faults of its own: memory at an unaligned host address has no wide atomics.
      this.code = lane.checkStore(offset);
      if (this.code !== OK) {
        return null;
      }
      this.bus.notify(gpa, this.bytes, "write", value);
      // Restored, because a listener may have used this lane.
      this.offset = offset;
    }
    return lane;
  }

  /** The region to write to; null, with the reason in `code`, if the write faults. */
  private locate(gpa: Gpa): Backed | null {
    const region = this.bus.find(gpa);
    const { offset, room } = this.bus;
    if (region === null || region.kind === "mmio") {
      this.code = FAULT_BOUNDARY;
      return null;
    }
    this.code = checkWrite(region, gpa, offset, room, this.kind);
    this.offset = offset;
    return this.code === OK ? region : null;
  }

  /** Runs an operation, and notifies read watchpoints of the value that it returns. */
  private read(
    lane: AtomicLane<T>,
    gpa: Gpa,
    operate: (lane: AtomicLane<T>) => T | undefined,
  ): T | undefined {
    const found = this.run(lane, operate);
    if (found !== undefined) {
      this.bus.notify(gpa, this.bytes, "read", found);
    }
    return found;
  }

  private run(lane: AtomicLane<T>, operate: (lane: AtomicLane<T>) => T | undefined): T | undefined {
    const found = operate(lane);
    if (found === undefined) {
      this.code = lane.code;
    }
    return found;
  }

  private lanesOf(region: Backed): AtomicLane<T> {
    return this.laneOf(lanesOf(region, this.path));
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
    private readonly quads: AtomicLane<bigint>,
  ) {}

  run(
    operation: number,
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult {
    const { bus, quads } = this;
    const region = bus.find(gpa);
    const { offset, room } = bus;
    if (
      region?.kind === "ram" &&
      region.readable &&
      region.writable &&
      room >= quads.bytes &&
      !bus.isWatched(gpa, "read") &&
      !bus.isWatched(gpa, "write")
    ) {
      const { halves } = lanesOf(region, this.path);
      return halves.run(operation, offset, expectedLow, expectedHigh, low, high);
    }
    const value = quadOf(low, high);
    const old = runQuad(quads, operation, gpa, value, quadOf(expectedLow, expectedHigh));
    if (old === undefined) {
      return quads.code;
    }
    storeHalves(found, 0, old);
    return OK;
  }
}

/** Runs the operation of a number. The last one is `ATOMIC_XOR`. */
function runQuad(
  lane: AtomicLane<bigint>,
  operation: number,
  gpa: Gpa,
  value: bigint,
  expected: bigint,
): bigint | undefined {
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

/** The atomic operations of an address space on one path. */
export function spaceAtomics(bus: Bus, path: Path): AtomicAccess {
  const q = new SpaceLane(bus, path, SPACE_QUAD, (lanes) => lanes.q);
  return new AtomicAccess({
    b: new SpaceLane(bus, path, SPACE_BYTE, ({ b }) => b),
    w: new SpaceLane(bus, path, SPACE_WORD, ({ w }) => w),
    l: new SpaceLane(bus, path, SPACE_LONG, ({ l }) => l),
    q,
    halves: new SpaceHalves(bus, path, q),
  });
}
