import type { FaultReason } from "../base/errors.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { TranslationKind } from "./tlb.js";
import type { VirtualAddress } from "./virtual-address.js";

/** A translated access that did not complete. */
export interface MmuFault {
  /** Never `OK`. `FAULT_BOUNDARY` if the page tables refuse the access. */
  readonly result: GuestMemAccessResult;
  /** `"translation"` if the page tables refuse the access. */
  readonly reason: FaultReason;
  /**
   * The virtual address: a signed number, or a signed bigint if no number is exact. If the second
   * page of an access has no translation, it is the first address of that page.
   */
  readonly va: VirtualAddress;
  /** Bytes of the access: 1, 2, 4 or 8. */
  readonly width: number;
  readonly kind: TranslationKind;
  /**
   * What {@link Walk} returned as `fault`. Undefined if the page tables give an address that cannot
   * be accessed, or if `access` of the translation does not have the right.
   */
  readonly guestFault: unknown;
}
