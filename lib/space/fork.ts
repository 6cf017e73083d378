import { checkFunction, checkObject } from "../base/arguments.js";
import { destroyedError, typeError, withCode } from "../base/errors.js";
import type { AccessPolicy } from "../base/policy.js";
import { printable } from "../base/printable.js";
import { OK } from "../base/result.js";
import { type GuestMemory, guestMemoryInternals } from "../memory/guest-memory.js";
import { mismatchError } from "../snapshot/errors.js";
import type { Snapshot } from "../snapshot/snapshot.js";
import type { SpaceSettings } from "./options.js";
import type { SpaceArena } from "./space-arena.js";
import type { MmioDevice, WriteTrap } from "./mmio.js";
import { MmioRegion, RamRegion, type Region, RomRegion } from "./regions.js";

/**
 * Makes the clone's device for a region of MMIO, or its `onWrite` for a region of ROM that has one.
 */
export type DeviceFork = (region: MmioRegion | RomRegion) => MmioDevice | WriteTrap;

/** Options of {@link AddressSpace.fork}. */
export interface ForkOptions {
  /**
   * The devices of the clone, and its handlers for writes to ROM. They are needed if the space has
   * any, because the package cannot copy the state of a device, and two machines that change the
   * state of one device are rarely meant.
   *
   * - A function is called for each region with a device or an `onWrite`, and returns those of the
   *   clone.
   * - `"share"` gives the clone the same objects. That is right for devices without state.
   */
  readonly devices?: "share" | DeviceFork | undefined;
}

/** The options of the clone of a space. */
export class CloneOptions {
  readonly pageSize: number;

  /** @param memory - The arena of the clone; null if it has none. */
  constructor(
    readonly settings: SpaceSettings,
    readonly memory: SpaceArena | null,
  ) {
    this.pageSize = settings.pageSize;
  }
}

/** The devices of the clone, by the region of the original. */
export type ForkedDevices = ReadonlyMap<Region, MmioDevice | WriteTrap>;

/**
 * Makes the devices of a clone, and checks its memories.
 *
 * @throws Error `ERR_DESTROYED` if a memory has ended; TypeError for invalid options, or a device
 * without an option for it; what the option throws.
 */
export function prepareFork(regions: readonly Region[], options: ForkOptions): ForkedDevices {
  const { devices } = checkObject(options, "options");
  if (devices !== undefined && devices !== "share" && typeof devices !== "function") {
    throw typeError('devices must be a function or "share"');
  }
  const forked = new Map<Region, MmioDevice | WriteTrap>();
  for (const region of regions) {
    const original =
      region.kind === "mmio" ? region.device : region.kind === "rom" ? region.onWrite : null;
    if (original === null) {
      continue;
    }
    if (devices === undefined) {
      const name = printable(region.name);
      throw typeError(
        `a space with devices, such as ${name}, needs the option devices to be forked`,
      );
    }
    const device = devices === "share" ? original : devices(region as MmioRegion | RomRegion);
    if (region.kind === "rom") {
      checkFunction(device, "the result of devices for a region of ROM");
    }
    forked.set(region, device);
  }
  checkMemories(memoryRegions(regions).map(({ memory }) => memory));
  return forked;
}

/**
 * Makes the region of a clone, which is not mapped yet.
 *
 * @param ram - The memory of the clone.
 * @param policy - The access policy of the space.
 */
export function cloneRegion(
  region: Region,
  ram: (original: GuestMemory) => GuestMemory,
  devices: ForkedDevices,
  policy: Required<AccessPolicy>,
): Region {
  const { gpa, name, priority } = region;
  const device = devices.get(region) ?? null;
  if (region.kind === "mmio") {
    const { endian } = policy;
    return new MmioRegion(gpa, region.size, device as MmioDevice, { name, priority }, endian);
  }
  const { offset, period, length } = region;
  const options = { name, priority, offset, length: period, repeat: length / period };
  return region.kind === "ram"
    ? new RamRegion(gpa, ram(region.memory), options, region.access)
    : new RomRegion(gpa, ram(region.memory), options, device as WriteTrap | null);
}

/** The state of a space to which `reset` goes back: the bytes of its memories, and its banks. */
export class Checkpoint {
  readonly #regions: readonly Region[];
  readonly #banks: readonly Bank[];
  /** The memories, and the number of forks of each when the state was taken. */
  readonly #memories = new Map<GuestMemory, number>();
  /** The snapshot with the same state, if the state is that of one. */
  readonly snapshot: Snapshot | null;

  /** @param regions - Those of a space whose memories were just forked or rebased. */
  constructor(regions: readonly Region[], snapshot: Snapshot | null = null) {
    this.#regions = [...regions];
    this.snapshot = snapshot;
    this.#banks = memoryRegions(regions).map((region) => {
      const { memory, offset } = region;
      return { region, memory, offset };
    });
    for (const { memory } of this.#banks) {
      this.#memories.set(memory, guestMemoryInternals(memory).forks());
    }
  }

  /** Makes the present state of all memories of a space the one that `reset` restores. */
  static take(regions: readonly Region[], snapshot: Snapshot): Checkpoint {
    for (const memory of new Set(memoryRegions(regions).map((region) => region.memory))) {
      guestMemoryInternals(memory).rebase();
    }
    return new Checkpoint(regions, snapshot);
  }

  /** Whether `reset` restores the state, in a space with these regions. */
  isValid(regions: readonly Region[]): boolean {
    return (
      regions.length === this.#regions.length &&
      regions.every((region, i) => region === this.#regions[i]) &&
      [...this.#memories].every(([memory, forks]) => guestMemoryInternals(memory).forks() === forks)
    );
  }

  /** Goes back to the state. @returns The number of pages that had other bytes. */
  reset(regions: readonly Region[]): number {
    if (!this.isValid(regions)) {
      throw mismatchError(
        "regions were added or removed, or a memory was forked, since the space was",
      );
    }
    checkMemories(this.#memories.keys());
    let written = 0;
    for (const memory of this.#memories.keys()) {
      written += memory.reset();
    }
    for (const { region, memory, offset } of this.#banks) {
      if (region.memory !== memory || region.offset !== offset) {
        region.select(offset, memory);
      }
    }
    return written;
  }
}

/** @throws Error `ERR_DESTROYED` if a memory has ended or its buffer was detached. */
function checkMemories(memories: Iterable<GuestMemory>): void {
  for (const memory of memories) {
    const { checkRange, size } = guestMemoryInternals(memory);
    if (checkRange(0, size) !== OK) {
      throw destroyedError("a memory of the space is destroyed, or its buffer detached");
    }
  }
}

/** What a window showed. */
interface Bank {
  readonly region: RamRegion | RomRegion;
  readonly memory: GuestMemory;
  readonly offset: bigint;
}

function memoryRegions(regions: readonly Region[]): (RamRegion | RomRegion)[] {
  return regions.filter((region) => region.kind !== "mmio");
}

/** The error of a reset of a space that was never forked. */
export function notForkedError(): Error {
  return withCode(new Error("the space is no clone and was not forked"), "ERR_NOT_FORKED");
}
