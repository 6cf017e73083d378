import { checkObject } from "../base/arguments.js";
import { typeError } from "../base/errors.js";
import { isUint8Array } from "../base/type-checks.js";
import { bytesOf } from "../base/view.js";
import { mismatchError } from "./errors.js";
import { describeRegion } from "./layout.js";
import type { StatefulDevice } from "./stateful-device.js";
import type { LiveRegion } from "./subject.js";

/** The state of a machine beside its memory. Immutable. */
export interface MachineState {
  /** The blocks that the program has passed, by name. */
  readonly named: ReadonlyMap<string, Uint8Array>;
  /** What `save` of each device returned, by the index of the first window with the device. */
  readonly devices: ReadonlyMap<number, Uint8Array>;
}

/** The state of a snapshot without any. */
export const NO_STATE: MachineState = { named: new Map(), devices: new Map() };

/** A device with both methods. */
type Saved = Required<StatefulDevice>;

/** Restores a device. */
export interface DeviceLoad {
  readonly device: Saved;
  readonly bytes: Uint8Array;
}

/**
 * Copies the blocks of the program, and has each device save its state.
 *
 * @throws TypeError for blocks that are no views, and devices that have `save` but not `load`;
 * RangeError for a block whose buffer is detached; what `save` throws.
 */
export function collectState(
  live: readonly LiveRegion[],
  blocks: Readonly<Record<string, ArrayBufferView>> = {},
): MachineState {
  const named = new Map<string, Uint8Array>();
  for (const [name, block] of Object.entries(checkObject(blocks, "state"))) {
    named.set(name, Uint8Array.from(bytesOf(block, "a block of state")));
  }
  const devices = new Map<number, Uint8Array>();
  for (const [window, device] of statefulDevices(live)) {
    const bytes: unknown = device.save();
    if (!isUint8Array(bytes)) {
      throw typeError(`save of ${describeRegion(live[window])} must return a Uint8Array`);
    }
    devices.set(window, Uint8Array.from(bytes));
  }
  return { named, devices };
}

/**
 * The devices to restore, with copies of their states.
 *
 * @throws Error `ERR_SNAPSHOT_MISMATCH` if other devices have state than in the snapshot; TypeError
 * for a device that has `save` but not `load`.
 */
export function planLoads(live: readonly LiveRegion[], { devices }: MachineState): DeviceLoad[] {
  const now = statefulDevices(live);
  for (const window of devices.keys()) {
    if (!now.has(window)) {
      throw mismatchError(
        `the snapshot has a state for the device of ${describeRegion(live[window])}, which has none of its own`,
      );
    }
  }
  return [...now].map(([window, device]) => {
    const bytes = devices.get(window);
    if (bytes === undefined) {
      throw mismatchError(
        `the snapshot has no state for the device of ${describeRegion(live[window])}`,
      );
    }
    return { device, bytes: Uint8Array.from(bytes) };
  });
}

/** Restores the states of devices. */
export function loadDevices(loads: readonly DeviceLoad[]): void {
  for (const { device, bytes } of loads) {
    device.load(bytes);
  }
}

/** The devices with state, by the index of their first window. */
function statefulDevices(live: readonly LiveRegion[]): Map<number, Saved> {
  const found = new Map<number, Saved>();
  const seen = new Set<StatefulDevice>();
  live.forEach((region, window) => {
    const { device } = region;
    if (device == null || typeof device.save !== "function" || seen.has(device)) {
      return;
    }
    if (typeof device.load !== "function") {
      throw typeError(`the device of ${describeRegion(region)} has save but no load`);
    }
    seen.add(device);
    found.set(window, device as Saved);
  });
  return found;
}
