import type { Bus } from "./bus.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import { callHandler } from "./device.js";
import { BUS_ERROR } from "./mmio.js";
import type { Registers, WatchedRegisters } from "./reaches.js";
import { notifyEach } from "./watch-table.js";
import type { SpaceWidth } from "./widths.js";

/** A power of two. */
const ENTRIES = 64;

// Of the same shape as any other, so that V8 compiles the accesses for one shape.
const NONE = {
  low: 0,
  length: 0,
  offset: 0,
  region: null,
  device: null,
  handlers: [],
  watched: null,
} as unknown as Registers;

/**
 * The accesses of up to 32 bits to devices, with number addresses below 4 GiB: a direct-mapped
 * cache leads from the page of an address to the handlers. Programs poll device registers, often
 * those of several devices by turns.
 */
export class DeviceAccess {
  readonly #bus: Bus;
  readonly #native: boolean;
  readonly #reads = new Array<Registers>(ENTRIES).fill(NONE);
  readonly #writes = new Array<Registers>(ENTRIES).fill(NONE);
  #isClear = true;

  /** @param native - The path of the access that repeats a refused one. */
  constructor(bus: Bus, native: boolean) {
    this.#bus = bus;
    this.#native = native;
  }

  /** Invalidates the cache. */
  clear(): void {
    if (!this.#isClear) {
      this.#isClear = true;
      this.#reads.fill(NONE);
      this.#writes.fill(NONE);
    }
  }

  /** Caches the registers around the address that `bus.find` has just looked up. */
  cache(region: Registers["region"], kind: "read" | "write", gpa: Gpa): void {
    if (typeof gpa === "number") {
      const registers = this.#bus.reaches.registers(region, kind);
      if (registers !== null) {
        (kind === "read" ? this.#reads : this.#writes)[entryOf(gpa)] = registers;
        this.#isClear = false;
      }
    }
  }

  /**
   * @param kind - A width of up to 32 bits.
   * @returns The value; -1 if no handler was called; or -1 minus the result code of a fault, which
   * `bus.outcome.reason` and `bus.outcome.lastFault` describe.
   */
  read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const entry = entryOf(address);
      const registers = this.#reads[entry]!;
      const at = (address - registers.low) >>> 0;
      const { bytes } = kind;
      if (
        at < registers.length &&
        at + bytes <= registers.length &&
        (address & (bytes - 1)) === 0 &&
        address === gpa
      ) {
        const handler = registers.handlers[kind.log2]!;
        if (handler !== null) {
          const found = callHandler(handler, registers.device, registers.offset + at);
          // The handler may have added a watchpoint, which changes the entry.
          if (typeof found === "number" && this.#reads[entry] === registers) {
            const value = (found & kind.mask) >>> 0;
            if (value === found) {
              return value;
            }
          }
          return this.#finishRead(kind, gpa, registers, found);
        }
        if (registers.watched !== null) {
          return this.#readWatched(kind, address, registers, registers.watched);
        }
      }
    }
    return -1;
  }

  #readWatched<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    address: number,
    registers: Registers,
    { handlers, watchpoints }: WatchedRegisters,
  ): number {
    const handler = handlers[kind.log2]!;
    if (handler === null) {
      return -1;
    }
    const offset = registers.offset + ((address - registers.low) >>> 0);
    const found = callHandler(handler, registers.device, offset);
    // The handler may have changed the watchpoints, which changes the entry.
    if (typeof found === "number" && this.#reads[entryOf(address)] === registers) {
      const value = (found & kind.mask) >>> 0;
      if (value === found) {
        notifyEach(watchpoints, address, kind.bytes, "read", value);
        return value;
      }
    }
    return this.#finishRead(kind, address, registers, found);
  }

  #finishRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    { region }: Registers,
    found: unknown,
  ): number {
    const bus = this.#bus;
    const value = bus.rules.finishRead(this.#native, kind, gpa, region, found);
    return bus.outcome.result === OK ? (value as number) : -1 - bus.outcome.result;
  }

  /**
   * @param kind - A width of up to 32 bits.
   * @param value - A value of the width.
   * @returns The result code; -1 if no handler was called.
   */
  write<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult | -1 {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const registers = this.#writes[entryOf(address)]!;
      const at = (address - registers.low) >>> 0;
      const { bytes } = kind;
      if (
        at < registers.length &&
        at + bytes <= registers.length &&
        (address & (bytes - 1)) === 0 &&
        address === gpa
      ) {
        const handler = registers.handlers[kind.log2]!;
        if (handler !== null) {
          return callHandler(handler, registers.device, registers.offset + at, value) === BUS_ERROR
            ? this.#bus.rules.finishRefused(this.#native, kind, gpa, value, false)
            : OK;
        }
        if (registers.watched !== null) {
          return this.#writeWatched(kind, address, value, registers, registers.watched);
        }
      }
    }
    return -1;
  }

  #writeWatched<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    address: number,
    value: T,
    { low, offset, device }: Registers,
    { handlers, watchpoints }: WatchedRegisters,
  ): GuestMemAccessResult | -1 {
    const handler = handlers[kind.log2]!;
    if (handler === null) {
      return -1;
    }
    notifyEach(watchpoints, address, kind.bytes, "write", value);
    const at = offset + ((address - low) >>> 0);
    return callHandler(handler, device, at, value) === BUS_ERROR
      ? this.#bus.rules.finishRefused(this.#native, kind, address, value, true)
      : OK;
  }
}

/** The entry of a page of 4096 bytes. Devices often lie 64 KiB or 16 MiB apart. */
function entryOf(address: number): number {
  return ((address >>> 12) ^ (address >>> 18) ^ (address >>> 24)) & (ENTRIES - 1);
}
