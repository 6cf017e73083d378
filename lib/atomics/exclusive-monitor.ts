import type { GuestAtomicAccess } from "./access.js";
import { AtomicAccess } from "./forms.js";
import { type FaultReason, GuestMemoryFault, typeError } from "../base/errors.js";
import { checkObject, toAddress } from "../base/arguments.js";
import { type Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import {
  BYTE,
  checkOut,
  LONG,
  type Out,
  QUAD,
  type Value,
  type Width,
  WORD,
} from "../base/widths.js";

const { OK } = GuestMemAccessResult;

const STORED = 0;
const NOT_STORED = 1;
/** Receives the status in the form that throws. */
const STATUS = new Uint32Array(1);

/** The operations of one width that the monitor uses. */
interface Exclusive<T extends Value, A extends Out & { [index: number]: T }> {
  readonly width: Width<T, A>;
  /** Receives values that the caller does not need. */
  readonly scratch: A;
  tryLoad(memory: GuestAtomicAccess, gpa: Gpa, out: A): GuestMemAccessResult;
  /** The result that a store would have. It may overwrite `scratch`. */
  checkStore(memory: GuestAtomicAccess, gpa: Gpa, scratch: A): GuestMemAccessResult;
  tryCompareExchange(
    memory: GuestAtomicAccess,
    gpa: Gpa,
    expected: T,
    replacement: T,
    out: A,
  ): GuestMemAccessResult;
}

const BYTES: Exclusive<number, Uint8Array> = {
  width: BYTE,
  scratch: new Uint8Array(1),
  tryLoad: (memory, gpa, out) => memory.tryLoadb(gpa, out),
  checkStore: (memory, gpa, scratch) =>
    memory instanceof AtomicAccess ? memory.lanes.b.checkStore(gpa) : memory.tryLoadb(gpa, scratch),
  tryCompareExchange: (memory, gpa, expected, replacement, out) =>
    memory.tryCompareExchangeb(gpa, expected, replacement, out),
};

const WORDS: Exclusive<number, Uint16Array> = {
  width: WORD,
  scratch: new Uint16Array(1),
  tryLoad: (memory, gpa, out) => memory.tryLoadw(gpa, out),
  checkStore: (memory, gpa, scratch) =>
    memory instanceof AtomicAccess ? memory.lanes.w.checkStore(gpa) : memory.tryLoadw(gpa, scratch),
  tryCompareExchange: (memory, gpa, expected, replacement, out) =>
    memory.tryCompareExchangew(gpa, expected, replacement, out),
};

const LONGS: Exclusive<number, Uint32Array> = {
  width: LONG,
  scratch: new Uint32Array(1),
  tryLoad: (memory, gpa, out) => memory.tryLoadl(gpa, out),
  checkStore: (memory, gpa, scratch) =>
    memory instanceof AtomicAccess ? memory.lanes.l.checkStore(gpa) : memory.tryLoadl(gpa, scratch),
  tryCompareExchange: (memory, gpa, expected, replacement, out) =>
    memory.tryCompareExchangel(gpa, expected, replacement, out),
};

const QUADS: Exclusive<bigint, BigUint64Array> = {
  width: QUAD,
  scratch: new BigUint64Array(1),
  tryLoad: (memory, gpa, out) => memory.tryLoadq(gpa, out),
  checkStore: (memory, gpa, scratch) =>
    memory instanceof AtomicAccess ? memory.lanes.q.checkStore(gpa) : memory.tryLoadq(gpa, scratch),
  tryCompareExchange: (memory, gpa, expected, replacement, out) =>
    memory.tryCompareExchangeq(gpa, expected, replacement, out),
};

/**
 * The exclusive monitor of one vCPU, for ARM's LDXR, STXR and CLREX, and for the load-reserved and
 * store-conditional instructions of other architectures. Each vCPU needs its own monitor.
 *
 * A load-exclusive records the address, the width and the value. A store-exclusive to the same
 * address with the same width compares RAM with that value, and stores if they are equal, in one
 * atomic operation. The monitor is clear afterwards in both cases. The store fails if another vCPU
 * has changed the value since the load, on either path and with any method.
 *
 * Unlike ARM's monitor, it does not detect a change that was reverted before the store (A, B, A);
 * `docs/shared-memory.md` explains the effect on guests.
 *
 * Faults are those of the atomic accesses, even if the store would fail anyway. A load that faults
 * leaves the monitor clear.
 *
 * @example
 *
 * ```ts
 * const memory = GuestMemory.allocateShared(4096);
 * const monitor = new ExclusiveMonitor(memory.atomics);
 * // An atomic increment, as a guest would write it with LDXR and STXR.
 * let stored = false;
 * while (!stored) {
 *   const value = monitor.loadExclusivel(0x100);
 *   stored = monitor.storeExclusivel(0x100, (value + 1) >>> 0);
 * }
 * ```
 */
export class ExclusiveMonitor {
  readonly #memory: GuestAtomicAccess;
  /** The width of the recorded load in bytes, or 0 if the monitor is clear. */
  #bytes = 0;
  #gpa = 0;
  #loaded: Value = 0;

  /**
   * @param memory - The `atomics` of a guest memory or of an address space, of either path.
   * @throws TypeError for any other value.
   */
  constructor(memory: GuestAtomicAccess) {
    if (typeof checkObject(memory, "memory").tryLoadb !== "function") {
      throw typeError("memory must be the atomics of a guest memory");
    }
    this.#memory = memory;
  }

  /** Clears the monitor, so that the next store-exclusive fails. For CLREX and for exceptions. */
  clear(): void {
    this.#bytes = 0;
  }

  /** Load-exclusive of 8 bits. The result and `out` are those of an atomic load. */
  tryLoadExclusiveb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return this.#tryLoad(BYTES, gpa, out);
  }

  /** Load-exclusive of 16 bits. The result and `out` are those of an atomic load. */
  tryLoadExclusivew(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return this.#tryLoad(WORDS, gpa, out);
  }

  /** Load-exclusive of 32 bits. The result and `out` are those of an atomic load. */
  tryLoadExclusivel(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return this.#tryLoad(LONGS, gpa, out);
  }

  /** Load-exclusive of 64 bits. The result and `out` are those of an atomic load. */
  tryLoadExclusiveq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return this.#tryLoad(QUADS, gpa, out);
  }

  /** Store-exclusive of 8 bits. On `OK`, `status[0]` is 0 if it stored, else 1. */
  tryStoreExclusiveb(gpa: Gpa, value: number, status: Uint32Array): GuestMemAccessResult {
    return this.#tryStore(BYTES, gpa, value, status);
  }

  /** Store-exclusive of 16 bits. On `OK`, `status[0]` is 0 if it stored, else 1. */
  tryStoreExclusivew(gpa: Gpa, value: number, status: Uint32Array): GuestMemAccessResult {
    return this.#tryStore(WORDS, gpa, value, status);
  }

  /** Store-exclusive of 32 bits. On `OK`, `status[0]` is 0 if it stored, else 1. */
  tryStoreExclusivel(gpa: Gpa, value: number, status: Uint32Array): GuestMemAccessResult {
    return this.#tryStore(LONGS, gpa, value, status);
  }

  /** Store-exclusive of 64 bits. On `OK`, `status[0]` is 0 if it stored, else 1. */
  tryStoreExclusiveq(gpa: Gpa, value: bigint, status: Uint32Array): GuestMemAccessResult {
    return this.#tryStore(QUADS, gpa, value, status);
  }

  /** Load-exclusive of 8 bits. @throws `GuestMemoryFault` */
  loadExclusiveb(gpa: Gpa): number {
    return this.#load(BYTES, gpa);
  }

  /** Load-exclusive of 16 bits. @throws `GuestMemoryFault` */
  loadExclusivew(gpa: Gpa): number {
    return this.#load(WORDS, gpa);
  }

  /** Load-exclusive of 32 bits. @throws `GuestMemoryFault` */
  loadExclusivel(gpa: Gpa): number {
    return this.#load(LONGS, gpa);
  }

  /** Load-exclusive of 64 bits. @throws `GuestMemoryFault` */
  loadExclusiveq(gpa: Gpa): bigint {
    return this.#load(QUADS, gpa);
  }

  /** Store-exclusive of 8 bits. @returns Whether it stored. @throws `GuestMemoryFault` */
  storeExclusiveb(gpa: Gpa, value: number): boolean {
    return this.#store(BYTES, gpa, value);
  }

  /** Store-exclusive of 16 bits. @returns Whether it stored. @throws `GuestMemoryFault` */
  storeExclusivew(gpa: Gpa, value: number): boolean {
    return this.#store(WORDS, gpa, value);
  }

  /** Store-exclusive of 32 bits. @returns Whether it stored. @throws `GuestMemoryFault` */
  storeExclusivel(gpa: Gpa, value: number): boolean {
    return this.#store(LONGS, gpa, value);
  }

  /** Store-exclusive of 64 bits. @returns Whether it stored. @throws `GuestMemoryFault` */
  storeExclusiveq(gpa: Gpa, value: bigint): boolean {
    return this.#store(QUADS, gpa, value);
  }

  #tryLoad<T extends Value, A extends Out & { [index: number]: T }>(
    { width, tryLoad }: Exclusive<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    const result = tryLoad(this.#memory, gpa, out);
    this.#bytes = 0;
    if (result === OK) {
      this.#bytes = width.bytes;
      this.#gpa = toAddress(gpa);
      this.#loaded = out[0] as T;
    }
    return result;
  }

  #tryStore<T extends Value, A extends Out & { [index: number]: T }>(
    { width, scratch, checkStore, tryCompareExchange }: Exclusive<T, A>,
    gpa: Gpa,
    value: T,
    status: Uint32Array,
  ): GuestMemAccessResult {
    checkOut(LONG, status, "status");
    const checked = width.checkValue(value);
    const matches = toAddress(gpa) === this.#gpa && width.bytes === this.#bytes;
    this.#bytes = 0;
    const loaded = this.#loaded as T;
    const result = matches
      ? tryCompareExchange(this.#memory, gpa, loaded, checked, scratch)
      : checkStore(this.#memory, gpa, scratch);
    if (result === OK) {
      status[0] = matches && scratch[0] === loaded ? STORED : NOT_STORED;
    }
    return result;
  }

  #load<T extends Value, A extends Out & { [index: number]: T }>(
    exclusive: Exclusive<T, A>,
    gpa: Gpa,
  ): T {
    const { width, scratch } = exclusive;
    const result = this.#tryLoad(exclusive, gpa, scratch);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, "read", this.#reason());
    }
    return scratch[0] as T;
  }

  #store<T extends Value, A extends Out & { [index: number]: T }>(
    exclusive: Exclusive<T, A>,
    gpa: Gpa,
    value: T,
  ): boolean {
    const result = this.#tryStore(exclusive, gpa, value, STATUS);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, exclusive.width.bytes, "write", this.#reason());
    }
    return STATUS[0] === STORED;
  }

  /** The reason of the last fault, if its result code does not determine it. */
  #reason(): FaultReason | undefined {
    return this.#memory instanceof AtomicAccess ? this.#memory.lanes.b.reason : undefined;
  }
}
