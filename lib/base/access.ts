import type { Gpa } from "./gpa.js";
import type { GuestMemAccessResult } from "./result.js";

/**
 * The accessors of Pound's header, in two forms.
 *
 * The `try…` form mirrors the C++ functions: it returns the result code and allocates nothing. A
 * read stores the value in the first element of `out`, and leaves `out` unchanged on a fault. The
 * other form returns the value, and throws {@link GuestMemoryFault} instead of returning a code.
 *
 * The suffixes `b`, `w`, `l` and `q` mean 8, 16, 32 and 64 bits. A write takes a signed or an
 * unsigned value; a read returns an unsigned one. Values are little-endian in RAM, and a `gpa` must
 * be a multiple of the width. The boundary is checked before the alignment.
 *
 * Every method throws a TypeError (`ERR_INVALID_ARG_TYPE`) for an argument of the wrong JavaScript
 * type, and a RangeError (`ERR_OUT_OF_RANGE`) for a `gpa` outside the range of {@link Gpa}, a value
 * wider than the access, or an empty `out`. RAM is unchanged after such an error.
 */
export interface GuestAccessors {
  /** `guest_mem_readb`. */
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_readw`. */
  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_readl`. */
  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_readq`. */
  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult;
  /** `guest_mem_writeb`; `value` from -2^7 to 2^8 - 1. */
  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_writew`; `value` from -2^15 to 2^16 - 1. */
  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_writel`; `value` from -2^31 to 2^32 - 1. */
  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult;
  /** `guest_mem_writeq`; `value` from -2^63 to 2^64 - 1. */
  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult;
  /**
   * `guest_mem_writeq` of the first element of `source`. It is the counterpart of
   * {@link GuestMemoryAccess.tryReadq}: 64 bits go from an array to RAM, and V8 allocates no
   * bigint.
   */
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult;
  /**
   * `guest_mem_readq`, for emulators that hold 64 bits as two 32-bit halves. It stores the low half
   * in `out[at]` and the high half in `out[at + 1]`, and allocates nothing. `out` can be the
   * register file itself.
   *
   * On the view path, this is two 32-bit accesses: another thread that writes at the same time can
   * change one half between them. {@link GuestAtomicAccess} has indivisible accesses.
   *
   * @param at - The index of the low half in `out`.
   * @throws RangeError if `out` has no two elements at `at`.
   */
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult;
  /**
   * `guest_mem_writeq` of a value in two halves, each from -2^31 to 2^32 - 1. On the view path,
   * this is two 32-bit accesses, as for {@link GuestAccessors.tryReadqHalves}.
   */
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult;

  /** `guest_mem_readb`. @throws {@link GuestMemoryFault} */
  readb(gpa: Gpa): number;
  /** `guest_mem_readw`. @throws {@link GuestMemoryFault} */
  readw(gpa: Gpa): number;
  /** `guest_mem_readl`. @throws {@link GuestMemoryFault} */
  readl(gpa: Gpa): number;
  /** `guest_mem_readq`. @throws {@link GuestMemoryFault} */
  readq(gpa: Gpa): bigint;
  /** `guest_mem_writeb`. @throws {@link GuestMemoryFault} */
  writeb(gpa: Gpa, value: number): void;
  /** `guest_mem_writew`. @throws {@link GuestMemoryFault} */
  writew(gpa: Gpa, value: number): void;
  /** `guest_mem_writel`. @throws {@link GuestMemoryFault} */
  writel(gpa: Gpa, value: number): void;
  /** `guest_mem_writeq`. @throws {@link GuestMemoryFault} */
  writeq(gpa: Gpa, value: bigint): void;
  /**
   * As {@link GuestAccessors.tryReadqHalves}, but a fault is thrown.
   *
   * @throws {@link GuestMemoryFault}
   */
  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void;
  /**
   * As {@link GuestAccessors.tryWriteqHalves}, but a fault is thrown.
   *
   * @throws {@link GuestMemoryFault}
   */
  writeqHalves(gpa: Gpa, low: number, high: number): void;
}

/** The accessors of one block of RAM, with addresses from 0 to its size. */
export interface GuestMemoryAccess extends GuestAccessors {
  /** Bytes of RAM. */
  readonly size: bigint;
}

/**
 * The accessors for guests whose 64-bit addresses are two 32-bit halves in the emulator, such as
 * RISC-V 64 and AArch64. They need no bigint, also for addresses above 2^53 - 1.
 *
 * They are those of {@link GuestAccessors}, with two changes: an address is two arguments,
 * `gpaLow` and `gpaHigh`, and a 64-bit value is two halves, as for
 * {@link GuestAccessors.tryReadqHalves}. Each half is a number from 0 to 2^32 - 1; another number
 * is a RangeError (`ERR_OUT_OF_RANGE`), another type a TypeError (`ERR_INVALID_ARG_TYPE`). The
 * `gpa` of a {@link GuestMemoryFault} is the whole address: a number up to 2^53 - 1, a bigint
 * above.
 */
export interface GuestHalvesAccessors {
  /** `guest_mem_readb`. */
  tryReadb(gpaLow: number, gpaHigh: number, out: Uint8Array): GuestMemAccessResult;
  /** `guest_mem_readw`. */
  tryReadw(gpaLow: number, gpaHigh: number, out: Uint16Array): GuestMemAccessResult;
  /** `guest_mem_readl`. */
  tryReadl(gpaLow: number, gpaHigh: number, out: Uint32Array): GuestMemAccessResult;
  /** `guest_mem_readq`: the low half to `out[at]`, the high half to `out[at + 1]`. */
  tryReadq(gpaLow: number, gpaHigh: number, out: Uint32Array, at: number): GuestMemAccessResult;
  /** `guest_mem_writeb`; `value` from 0 to 2^8 - 1. */
  tryWriteb(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult;
  /** `guest_mem_writew`; `value` from 0 to 2^16 - 1. */
  tryWritew(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult;
  /** `guest_mem_writel`; `value` from 0 to 2^32 - 1. */
  tryWritel(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult;
  /** `guest_mem_writeq`; `low` and `high` from 0 to 2^32 - 1. */
  tryWriteq(gpaLow: number, gpaHigh: number, low: number, high: number): GuestMemAccessResult;

  /** `guest_mem_readb`. @throws {@link GuestMemoryFault} */
  readb(gpaLow: number, gpaHigh: number): number;
  /** `guest_mem_readw`. @throws {@link GuestMemoryFault} */
  readw(gpaLow: number, gpaHigh: number): number;
  /** `guest_mem_readl`. @throws {@link GuestMemoryFault} */
  readl(gpaLow: number, gpaHigh: number): number;
  /** `guest_mem_readq`. @throws {@link GuestMemoryFault} */
  readq(gpaLow: number, gpaHigh: number, out: Uint32Array, at: number): void;
  /** `guest_mem_writeb`. @throws {@link GuestMemoryFault} */
  writeb(gpaLow: number, gpaHigh: number, value: number): void;
  /** `guest_mem_writew`. @throws {@link GuestMemoryFault} */
  writew(gpaLow: number, gpaHigh: number, value: number): void;
  /** `guest_mem_writel`. @throws {@link GuestMemoryFault} */
  writel(gpaLow: number, gpaHigh: number, value: number): void;
  /** `guest_mem_writeq`. @throws {@link GuestMemoryFault} */
  writeq(gpaLow: number, gpaHigh: number, low: number, high: number): void;
}
