import type { AtomicLane, AtomicLanes } from "../atomics/lane.js";
import { AtomicAccess } from "../atomics/forms.js";
import { type Bus, checkWrite } from "./bus.js";
import type { Gpa } from "../base/gpa.js";
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
    const { offset } = this.bus;
    return this.read(region, offset, gpa, (lane) => lane.load(offset));
  }

  store(gpa: Gpa, value: T): T | undefined {
    const region = this.prepare(gpa, value);
    const offset = this.offset;
    return region === null ? undefined : this.run(region, (lane) => lane.store(offset, value));
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
    return region === null ? this.code : this.lane(region).checkStore(this.offset);
  }

  /** The offset in the region of the access that `locate` checked last. */
  private offset = 0;

  private modify(
    gpa: Gpa,
    operate: (lane: AtomicLane<T>, offset: number) => T | undefined,
    value?: T,
  ): T | undefined {
    const region = this.prepare(gpa, value);
    if (region === null) {
      return undefined;
    }
    const { offset } = this;
    return this.read(region, offset, gpa, (lane) => operate(lane, offset));
  }

  /** As `locate`, and notifies write watchpoints if the write does not fault. */
  private prepare(gpa: Gpa, value: T | undefined): RamRegion | null {
    const region = this.locate(gpa);
    if (region === null) {
      return null;
    }
    const { offset } = this;
    if (this.bus.isWatched(region, offset, "write")) {
      // The lane has faults of its own: memory at an unaligned host address has no wide atomics.
      this.code = this.lane(region).checkStore(offset);
      if (this.code !== OK) {
        return null;
      }
      this.bus.notify(region, offset, this.bytes, "write", gpa, value);
      // Restored, because a listener may have used this lane.
      this.offset = offset;
    }
    return region;
  }

  /** The RAM region to write to; null, with the reason in `code`, if the write faults. */
  private locate(gpa: Gpa): RamRegion | null {
    const region = this.bus.find(gpa);
    const { offset } = this.bus;
    if (region === null || region.kind === "mmio") {
      this.code = FAULT_BOUNDARY;
      return null;
    }
    this.code = checkWrite(region, offset, this.kind);
    this.offset = offset;
    return this.code === OK && region.kind === "ram" ? region : null;
  }

  /** Runs an operation, and notifies read watchpoints of the value that it returns. */
  private read(
    region: Backed,
    offset: number,
    gpa: Gpa,
    operate: (lane: AtomicLane<T>) => T | undefined,
  ): T | undefined {
    const found = this.run(region, operate);
    if (found !== undefined) {
      this.bus.notify(region, offset, this.bytes, "read", gpa, found);
    }
    return found;
  }

  private run(region: Backed, operate: (lane: AtomicLane<T>) => T | undefined): T | undefined {
    const lane = this.lane(region);
    const found = operate(lane);
    if (found === undefined) {
      this.code = lane.code;
    }
    return found;
  }

  private lane(region: Backed): AtomicLane<T> {
    return this.laneOf(
      this.path === "native" ? region.memory.native.atomicLanes : region.internals.atomicLanes(),
    );
  }
}

/** The atomic operations of an address space on one path. */
export function spaceAtomics(bus: Bus, path: Path): AtomicAccess {
  return new AtomicAccess({
    b: new SpaceLane(bus, path, SPACE_BYTE, ({ b }) => b),
    w: new SpaceLane(bus, path, SPACE_WORD, ({ w }) => w),
    l: new SpaceLane(bus, path, SPACE_LONG, ({ l }) => l),
    q: new SpaceLane(bus, path, SPACE_QUAD, ({ q }) => q),
  });
}
