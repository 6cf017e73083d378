import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";

/**
 * Atomic access to guest RAM that several threads use at the same time.
 *
 * Each operation is indivisible and sequentially consistent among all threads that share the RAM,
 * whichever path each of them uses. The RAM does not have to be shared.
 *
 * Names, forms, checks and errors are those of {@link GuestMemoryAccess}. In the `try…` form, a
 * load stores its value in `out[0]`, and each other operation with an `out` stores the value before
 * the operation there. On a fault `out` is unchanged. In the other form, these values are returned.
 * The `operation` of a {@link GuestMemoryFault} is `"read"` for a load and `"write"` for all
 * others.
 *
 * The names with `Halves` are 64-bit operations on values in two halves, each from -2^31 to
 * 2^32 - 1. Both of their forms store the value before the operation in `out[at]` (low) and
 * `out[at + 1]` (high). Both paths run them in C++, because JavaScript's `Atomics` take and return
 * 64 bits only as bigints.
 */
export interface GuestAtomicAccess {
  /** `guest_mem_atomic_loadb`. */
  tryLoadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_loadw`. */
  tryLoadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_loadl`. */
  tryLoadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_loadq`. */
  tryLoadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult;

  /** `guest_mem_atomic_storeb`. */
  tryStoreb(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_atomic_storew`. */
  tryStorew(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_atomic_storel`. */
  tryStorel(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_atomic_storeq`. */
  tryStoreq(gpa: Gpa, value: bigint): GuestMemAccessResult;

  /** `guest_mem_atomic_exchangeb`. Writes `value`. */
  tryExchangeb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_exchangew`. */
  tryExchangew(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_exchangel`. */
  tryExchangel(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_exchangeq`. */
  tryExchangeq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult;

  /**
   * `guest_mem_atomic_cmpxchgb`. Writes `replacement` if RAM holds `expected`. The value before
   * equals `expected` if and only if `replacement` was written.
   */
  tryCompareExchangeb(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint8Array,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_cmpxchgw`. */
  tryCompareExchangew(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint16Array,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_cmpxchgl`. */
  tryCompareExchangel(
    gpa: Gpa,
    expected: number,
    replacement: number,
    out: Uint32Array,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_cmpxchgq`. */
  tryCompareExchangeq(
    gpa: Gpa,
    expected: bigint,
    replacement: bigint,
    out: BigUint64Array,
  ): GuestMemAccessResult;

  /** `guest_mem_atomic_addb`. Adds `value`, modulo 2^8. */
  tryAddb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_addw`. */
  tryAddw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_addl`. */
  tryAddl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_addq`. */
  tryAddq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult;

  /** `guest_mem_atomic_andb`. ANDs RAM with `value`. */
  tryAndb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_andw`. */
  tryAndw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_andl`. */
  tryAndl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_andq`. */
  tryAndq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult;

  /** `guest_mem_atomic_orb`. ORs RAM with `value`. */
  tryOrb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_orw`. */
  tryOrw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_orl`. */
  tryOrl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_orq`. */
  tryOrq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult;

  /** `guest_mem_atomic_xorb`. XORs RAM with `value`. */
  tryXorb(gpa: Gpa, value: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_atomic_xorw`. */
  tryXorw(gpa: Gpa, value: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_atomic_xorl`. */
  tryXorl(gpa: Gpa, value: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_atomic_xorq`. */
  tryXorq(gpa: Gpa, value: bigint, out: BigUint64Array): GuestMemAccessResult;

  /** `guest_mem_atomic_loadb`. @throws {@link GuestMemoryFault} */
  loadb(gpa: Gpa): number;
  /** `guest_mem_atomic_loadw`. @throws {@link GuestMemoryFault} */
  loadw(gpa: Gpa): number;
  /** `guest_mem_atomic_loadl`. @throws {@link GuestMemoryFault} */
  loadl(gpa: Gpa): number;
  /** `guest_mem_atomic_loadq`. @throws {@link GuestMemoryFault} */
  loadq(gpa: Gpa): bigint;

  /** `guest_mem_atomic_storeb`. @throws {@link GuestMemoryFault} */
  storeb(gpa: Gpa, value: number): void;
  /** `guest_mem_atomic_storew`. @throws {@link GuestMemoryFault} */
  storew(gpa: Gpa, value: number): void;
  /** `guest_mem_atomic_storel`. @throws {@link GuestMemoryFault} */
  storel(gpa: Gpa, value: number): void;
  /** `guest_mem_atomic_storeq`. @throws {@link GuestMemoryFault} */
  storeq(gpa: Gpa, value: bigint): void;

  /** `guest_mem_atomic_exchangeb`. @throws {@link GuestMemoryFault} */
  exchangeb(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_exchangew`. @throws {@link GuestMemoryFault} */
  exchangew(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_exchangel`. @throws {@link GuestMemoryFault} */
  exchangel(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_exchangeq`. @throws {@link GuestMemoryFault} */
  exchangeq(gpa: Gpa, value: bigint): bigint;

  /** `guest_mem_atomic_cmpxchgb`. @throws {@link GuestMemoryFault} */
  compareExchangeb(gpa: Gpa, expected: number, replacement: number): number;
  /** `guest_mem_atomic_cmpxchgw`. @throws {@link GuestMemoryFault} */
  compareExchangew(gpa: Gpa, expected: number, replacement: number): number;
  /** `guest_mem_atomic_cmpxchgl`. @throws {@link GuestMemoryFault} */
  compareExchangel(gpa: Gpa, expected: number, replacement: number): number;
  /** `guest_mem_atomic_cmpxchgq`. @throws {@link GuestMemoryFault} */
  compareExchangeq(gpa: Gpa, expected: bigint, replacement: bigint): bigint;

  /** `guest_mem_atomic_addb`. @throws {@link GuestMemoryFault} */
  addb(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_addw`. @throws {@link GuestMemoryFault} */
  addw(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_addl`. @throws {@link GuestMemoryFault} */
  addl(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_addq`. @throws {@link GuestMemoryFault} */
  addq(gpa: Gpa, value: bigint): bigint;

  /** `guest_mem_atomic_andb`. @throws {@link GuestMemoryFault} */
  andb(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_andw`. @throws {@link GuestMemoryFault} */
  andw(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_andl`. @throws {@link GuestMemoryFault} */
  andl(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_andq`. @throws {@link GuestMemoryFault} */
  andq(gpa: Gpa, value: bigint): bigint;

  /** `guest_mem_atomic_orb`. @throws {@link GuestMemoryFault} */
  orb(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_orw`. @throws {@link GuestMemoryFault} */
  orw(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_orl`. @throws {@link GuestMemoryFault} */
  orl(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_orq`. @throws {@link GuestMemoryFault} */
  orq(gpa: Gpa, value: bigint): bigint;

  /** `guest_mem_atomic_xorb`. @throws {@link GuestMemoryFault} */
  xorb(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_xorw`. @throws {@link GuestMemoryFault} */
  xorw(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_xorl`. @throws {@link GuestMemoryFault} */
  xorl(gpa: Gpa, value: number): number;
  /** `guest_mem_atomic_xorq`. @throws {@link GuestMemoryFault} */
  xorq(gpa: Gpa, value: bigint): bigint;

  /** `guest_mem_atomic_loadq`. */
  tryLoadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult;
  /** `guest_mem_atomic_storeq`. */
  tryStoreqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult;
  /** `guest_mem_atomic_exchangeq`. */
  tryExchangeqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_cmpxchgq`. */
  tryCompareExchangeqHalves(
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    replacementLow: number,
    replacementHigh: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_addq`. */
  tryAddqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_andq`. */
  tryAndqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_orq`. */
  tryOrqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;
  /** `guest_mem_atomic_xorq`. */
  tryXorqHalves(
    gpa: Gpa,
    low: number,
    high: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult;

  /** `guest_mem_atomic_loadq`. @throws {@link GuestMemoryFault} */
  loadqHalves(gpa: Gpa, out: Uint32Array, at: number): void;
  /** `guest_mem_atomic_storeq`. @throws {@link GuestMemoryFault} */
  storeqHalves(gpa: Gpa, low: number, high: number): void;
  /** `guest_mem_atomic_exchangeq`. @throws {@link GuestMemoryFault} */
  exchangeqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void;
  /** `guest_mem_atomic_cmpxchgq`. @throws {@link GuestMemoryFault} */
  compareExchangeqHalves(
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    replacementLow: number,
    replacementHigh: number,
    out: Uint32Array,
    at: number,
  ): void;
  /** `guest_mem_atomic_addq`. @throws {@link GuestMemoryFault} */
  addqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void;
  /** `guest_mem_atomic_andq`. @throws {@link GuestMemoryFault} */
  andqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void;
  /** `guest_mem_atomic_orq`. @throws {@link GuestMemoryFault} */
  orqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void;
  /** `guest_mem_atomic_xorq`. @throws {@link GuestMemoryFault} */
  xorqHalves(gpa: Gpa, low: number, high: number, out: Uint32Array, at: number): void;
}
