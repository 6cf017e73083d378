import { toAddress } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import type { Access } from "../space/regions.js";
import type { TranslationKind } from "./tlb.js";
import type { VirtualAddress } from "./virtual-address.js";

/** What the page tables of the guest say about an address: the page or superpage that has it. */
export interface Translation {
  /** Guest physical address of the first byte of the page or superpage: a multiple of `size`. */
  readonly gpa: Gpa;
  /** Bytes of the page or superpage: a power of two from 2^`pageBits` to 2^52. */
  readonly size: number;
  /**
   * What the guest may do with the page: letters of `"rwx"`, in this order. An access of a kind
   * that the letters do not have faults. Later accesses of the kinds that they have may be made
   * without a walk, so leave out `w` as long as a write has to set a dirty bit.
   */
  readonly access: Access;
}

/** The page tables of the guest refuse an access. */
export interface GuestFault {
  /** What the emulator makes of it, such as the cause of an exception. Not undefined. */
  readonly fault: unknown;
}

/**
 * Walks the page tables of the guest for an access that the TLB cannot translate.
 *
 * It may access the space. If it throws, the access throws the same error.
 *
 * @param va - The address of the access in its page: a signed number, or a signed bigint if no
 * number is exact.
 * @param kind - `"read"`, `"write"` or `"fetch"`.
 * @param mode - The argument of {@link Mmu.select}.
 * @param isProbe - True for {@link Mmu.probe}: the walk must not change the guest, such as the
 * accessed and dirty bits, and finds also a page that the access has no right to.
 */
export type Walk = (
  va: VirtualAddress,
  kind: TranslationKind,
  mode: number,
  isProbe?: boolean,
) => Translation | GuestFault;

const MAX_SIZE = 2 ** 52;

/** The rights of a translation as bits. */
export const READS = 1;
export const WRITES = 2;
export const FETCHES = 4;

/** `access`, by the bits of the rights. */
export const ACCESS: readonly Access[] = ["", "r", "w", "rw", "x", "rx", "wx", "rwx"];

/** The bit of the right that a kind of access needs. */
export function rightFor(kind: TranslationKind): number {
  return kind === "read" ? READS : kind === "write" ? WRITES : FETCHES;
}

/**
 * Checks what a walk has returned, and returns the rights as bits. It is on the way of each miss,
 * so it takes the time of the common case only: a page of the smallest size at a number.
 *
 * @throws TypeError, RangeError if a walk has returned anything but a translation.
 */
export function checkTranslation(
  gpa: unknown,
  size: unknown,
  access: unknown,
  pageSize: number,
): number {
  if (
    size !== pageSize ||
    typeof gpa !== "number" ||
    !(gpa >= 0 && Number.isSafeInteger(gpa)) ||
    (gpa & (pageSize - 1)) !== 0
  ) {
    checkPlace(gpa as Gpa, size, pageSize);
  }
  return rightsOf(access);
}

function checkPlace(gpa: Gpa, size: unknown, pageSize: number): void {
  toAddress(gpa, "the gpa of a translation");
  if (typeof size !== "number") {
    throw typeError("the size of a translation must be a number");
  }
  if (!(size >= pageSize && size <= MAX_SIZE && Number.isInteger(Math.log2(size)))) {
    throw rangeError(`the size of a translation must be a power of two from ${pageSize} to 2^52`);
  }
  const rest = typeof gpa === "number" ? gpa % size : Number(gpa % BigInt(size));
  if (rest !== 0) {
    throw rangeError("the gpa of a translation must be a multiple of its size");
  }
}

function rightsOf(access: unknown): number {
  switch (access) {
    case "rwx":
      return READS | WRITES | FETCHES;
    case "rw":
      return READS | WRITES;
    case "rx":
      return READS | FETCHES;
    case "r":
      return READS;
    case "x":
      return FETCHES;
    case "wx":
      return WRITES | FETCHES;
    case "w":
      return WRITES;
    case "":
      return 0;
    default:
      throw typeError('the access of a translation must be letters of "rwx", in this order');
  }
}
