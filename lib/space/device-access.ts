import type { Bus } from "./bus.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import { BUS_ERROR } from "./mmio.js";
import type { Registers } from "./reaches.js";
import {
  callHandler,
  extract,
  readRegister,
  registerCall,
  writeRegister,
} from "./register-call.js";
import { notifyEach } from "./watch-table.js";
import type { MmioRegion } from "./regions.js";
import type { SpaceWidth } from "./widths.js";

const WIDTHS = 3;
const ENTRIES = WIDTHS * 64;

// Of the same shape as any other, so that V8 compiles the accesses for one shape.
const NONE: Registers = {
  ...registerCall(() => undefined, null, 1, false),
  low: 0,
  starts: 0,
  offset: 0,
  region: null as unknown as MmioRegion,
  watchpoints: null,
};

/**
 * The accesses of up to 32 bits to devices, with number addresses below 4 GiB: a direct-mapped
 * cache leads from the page of an address and the width to the handler. Programs poll device
 * registers, often those of several devices by turns.
 */
export class DeviceAccess {
  readonly #bus: Bus;
  readonly #native: boolean;
  readonly #reads = new Array<Registers>(ENTRIES).fill(NONE);
  readonly #writes = new Array<Registers>(ENTRIES).fill(NONE);
  /** The indexes of entries that are cached for reads or writes. */
  #cached: number[] = [];

  /** @param native - The path of the access that repeats a refused one. */
  constructor(bus: Bus, native: boolean) {
    this.#bus = bus;
    this.#native = native;
  }

  /** Invalidates the cache. */
  clear(): void {
    if (this.#cached.length > 0) {
      for (const entry of this.#cached) {
        this.#reads[entry] = NONE;
        this.#writes[entry] = NONE;
      }
      this.#cached = [];
    }
  }

  /** Caches the registers around the address that `bus.find` has just looked up. */
  cache(region: MmioRegion, kind: "read" | "write", gpa: Gpa, log2: number): void {
    if (typeof gpa === "number" && log2 < WIDTHS) {
      const registers = this.#bus.reaches.registers(region, kind, log2);
      if (registers !== null) {
        const entry = entryOf(gpa, log2);
        if (this.#reads[entry] === NONE && this.#writes[entry] === NONE) {
          this.#cached.push(entry);
        }
        (kind === "read" ? this.#reads : this.#writes)[entry] = registers;
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
      const entry = entryOf(address, kind.log2);
      const registers = this.#reads[entry]!;
      const at = (address - registers.low) >>> 0;
      if (at < registers.starts && !(address & (kind.bytes - 1)) && address === gpa) {
        const offset = registers.offset + at;
        const found = registers.plain
          ? callHandler(registers.fn, registers.device, offset)
          : readRegister(registers, offset);
        // The handler may have added a watchpoint, which changes the entry.
        if (typeof found === "number" && this.#reads[entry] === registers) {
          const whole = (found & registers.mask) >>> 0;
          if (whole === found) {
            const value = registers.plain ? whole : extract(registers, offset, kind.mask, whole);
            const { watchpoints } = registers;
            if (watchpoints !== null) {
              notifyEach(watchpoints, address, kind.bytes, "read", value);
            }
            return value;
          }
        }
        return this.#finishRead(kind, gpa, registers, found);
      }
    }
    return -1;
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
      const registers = this.#writes[entryOf(address, kind.log2)]!;
      const at = (address - registers.low) >>> 0;
      if (at < registers.starts && !(address & (kind.bytes - 1)) && address === gpa) {
        if (registers.watchpoints !== null) {
          notifyEach(registers.watchpoints, address, kind.bytes, "write", value);
        }
        const offset = registers.offset + at;
        const answer = registers.plain
          ? callHandler(registers.fn, registers.device, offset, value)
          : writeRegister(registers, offset, value);
        return answer === BUS_ERROR ? this.#refuse(kind, gpa, value, registers) : OK;
      }
    }
    return -1;
  }

  #refuse<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    { watchpoints }: Registers,
  ): GuestMemAccessResult {
    const { rules } = this.#bus;
    return rules.finishRefused(this.#native, kind, gpa, value, watchpoints !== null);
  }
}

/**
 * The entry of a page of 4096 bytes: one of 64 for each width. Devices often lie 64 KiB or 16 MiB
 * apart. Numbers take fewer bytes of bytecode than constants of the module.
 */
function entryOf(address: number, log2: number): number {
  return (((address >>> 12) ^ (address >>> 18) ^ (address >>> 24)) & 63) | (log2 << 6);
}
