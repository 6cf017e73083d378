import { checkObject, toAddress } from "../base/arguments.js";
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
 */
export type Walk = (
  va: VirtualAddress,
  kind: TranslationKind,
  mode: number,
) => Translation | GuestFault;

/** A checked translation. */
export interface CheckedTranslation {
  readonly gpa: Gpa;
  readonly size: number;
  readonly access: Access;
}

const ACCESSES: ReadonlySet<unknown> = new Set(["", "r", "w", "x", "rw", "rx", "wx", "rwx"]);
const MAX_SIZE = 2 ** 52;

/** The letter of `access` that a kind of access needs. */
export const RIGHT: Readonly<Record<TranslationKind, string>> = {
  read: "r",
  write: "w",
  fetch: "x",
};

/** @throws TypeError, RangeError if a walk has returned anything but a translation. */
export function checkTranslation(found: unknown, pageSize: number): CheckedTranslation {
  const { gpa, size, access } = checkObject(found as Translation, "the result of walk");
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
  if (!ACCESSES.has(access)) {
    throw typeError('the access of a translation must be letters of "rwx", in this order');
  }
  return { gpa, size, access };
}
