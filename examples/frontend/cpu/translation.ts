import type { Mode } from "./mode.js";

/** What an access does. The values are the rights in an entry of the physical memory protection. */
export const enum AccessKind {
  READ = 1,
  WRITE = 2,
  FETCH = 4,
}

/** Address translation, as `satp` and the page tables of the guest define it. */
export interface Translation {
  /**
   * Takes a value that the guest writes to `satp`.
   *
   * @returns The value that `satp` has then: the old one, if the mode is not supported.
   */
  setSatp(value: bigint): bigint;
  /**
   * Translates a virtual address.
   *
   * @param mode - Never machine mode.
   * @returns The physical address; null for a page fault.
   */
  translate(va: bigint, kind: AccessKind, mode: Mode): bigint | null;
  /** `sfence.vma`: page tables that the guest has changed take effect. */
  flush(): void;
}

/** The translation of a hart without page tables: `satp` has only the mode Bare. */
export const BARE: Translation = {
  setSatp: () => 0n,
  translate: (va) => va,
  flush: () => undefined,
};
