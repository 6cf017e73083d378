import { Mode } from "./mode.js";
import type { Pmp } from "./pmp.js";
import type { AccessKind, Translation } from "./translation.js";

const PAGE_SHIFT = 12n;

/** A range of addresses that a hart may access without a further check: `start` to `end - 1`. */
export interface Window {
  readonly start: bigint;
  readonly end: bigint;
}

/** Translates and checks the addresses that a hart accesses. */
export class AddressRules {
  /** Whether the last access that was refused is a page fault, and not an access fault. */
  pageFault = false;
  /**
   * The addresses around the last access that was allowed, which are physical and have the same
   * rights; null if the address was translated.
   */
  window: Window | null = null;

  constructor(
    private readonly pmp: Pmp,
    private readonly translation: Translation,
  ) {}

  /**
   * The physical address of an access; null if it faults.
   *
   * @param width - Bytes.
   * @param mode - The mode with whose rights the access is made.
   */
  resolve(va: bigint, width: number, kind: AccessKind, mode: Mode): bigint | null {
    this.pageFault = false;
    const gpa = this.translate(va, kind, mode);
    const last = va + BigInt(width) - 1n;
    if (gpa === null) {
      this.pageFault = true;
      return null;
    }
    if (va >> PAGE_SHIFT !== last >> PAGE_SHIFT) {
      const other = this.translate(last, kind, mode);
      if (other !== gpa + last - va) {
        // Pages that are not adjacent in memory: this hart makes no such access.
        this.pageFault = other === null;
        return null;
      }
    }
    const range = this.pmp.rangeAt(gpa, mode === Mode.MACHINE);
    const lastGpa = gpa + BigInt(width) - 1n;
    const lastRange =
      lastGpa < range.end ? range : this.pmp.rangeAt(lastGpa, mode === Mode.MACHINE);
    if ((range.rights & lastRange.rights & kind) === 0) {
      return null;
    }
    this.window = gpa === va ? range : null;
    return gpa;
  }

  /** Whether all bytes from an address on have the same rights. */
  covers(gpa: bigint, bytes: number): boolean {
    // The ranges do not depend on the mode.
    return gpa + BigInt(bytes) <= this.pmp.rangeAt(gpa, true).end;
  }

  private translate(va: bigint, kind: AccessKind, mode: Mode): bigint | null {
    return mode === Mode.MACHINE ? va : this.translation.translate(va, kind, mode);
  }
}
