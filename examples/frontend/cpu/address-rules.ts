import type { AddressSpace } from "pound-guest-memory";
import {
  type GuestFault,
  Mmu,
  RiscvPageTables,
  type Translation,
  type TranslationKind,
  type VirtualAddress,
} from "pound-guest-memory/mmu";
import { AccessKind } from "./access-kind.js";
import { Mode } from "./mode.js";
import type { Pmp } from "./pmp.js";

const PAGE = 4096n;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);
/** The causes of access faults, by the kind of access. */
const ACCESS_FAULT: Readonly<Record<TranslationKind, number>> = { fetch: 1, read: 5, write: 7 };
const NAMES: Readonly<Record<AccessKind, TranslationKind>> = {
  [AccessKind.READ]: "read",
  [AccessKind.WRITE]: "write",
  [AccessKind.FETCH]: "fetch",
};
const ALL = AccessKind.READ | AccessKind.WRITE | AccessKind.FETCH;
const LETTERS = [
  ["r", AccessKind.READ],
  ["w", AccessKind.WRITE],
  ["x", AccessKind.FETCH],
] as const;

/** A range of addresses that a hart may access without a further check: `start` to `end - 1`. */
export interface Window {
  readonly start: bigint;
  readonly end: bigint;
}

/** An exception that an access causes, and the address that it is for. */
export interface Refusal {
  readonly cause: number;
  readonly va: bigint;
}

/**
 * Translates and checks the addresses that a hart accesses: by the page tables of the guest, which
 * are those of Sv39 and Sv48, and by the physical memory protection.
 *
 * For translated addresses, a page has the rights that the protection gives to all of its bytes.
 */
export class AddressRules {
  /** Makes the loads and stores at translated addresses, with the rights of {@link select}. */
  readonly mmu: Mmu;
  /**
   * The addresses around the last access that was allowed, which are physical and have the same
   * rights; null if the address was translated.
   */
  window: Window | null = null;
  private readonly tables: RiscvPageTables;
  private refusal: Refusal | null = null;
  /** The range of the last entry of a page table that a walk was allowed to read. */
  private readableStart = 0;
  private readableEnd = 0;
  private sum = false;
  private mxr = false;

  constructor(
    space: AddressSpace,
    private readonly pmp: Pmp,
  ) {
    this.tables = new RiscvPageTables(space, {
      updatesBits: true,
      permits: (gpa, kind) => this.permitsWalk(gpa, kind),
    });
    const { tables } = this;
    this.mmu = new Mmu(space, {
      walk: (va, kind, mode, isProbe) =>
        isProbe === true ? tables.walk(va, kind, mode, true) : this.walk(va, kind, mode),
    });
  }

  get satp(): bigint {
    return this.tables.satp;
  }

  /** A value with a mode that does not exist changes nothing. */
  set satp(value: bigint) {
    this.tables.satp = value;
  }

  /** Whether the accesses of a mode are translated. */
  translates(mode: Mode): boolean {
    return mode !== Mode.MACHINE && this.tables.satp >> 60n !== 0n;
  }

  /** Sets the mode of loads and stores, and the fields SUM and MXR of mstatus. */
  select(mode: Mode, sum: boolean, mxr: boolean): void {
    this.sum = sum;
    this.mxr = mxr;
    if (this.translates(mode)) {
      this.mmu.select(this.privilegeOf(mode), this.tables.asid);
    }
  }

  /**
   * `sfence.vma`.
   *
   * @param va - The address whose page is meant; undefined for all.
   * @param asid - The address space identifier that is meant; undefined for all.
   */
  flush(va?: bigint, asid?: bigint): void {
    if (va !== undefined) {
      this.mmu.flushPage(va);
    } else if (asid !== undefined) {
      this.mmu.flushAsid(Number(BigInt.asUintN(16, asid)));
    } else {
      this.mmu.flushAll();
    }
  }

  /** Takes a change of the physical memory protection. */
  changeProtection(): void {
    this.readableEnd = 0;
    this.mmu.flushAll();
  }

  /** The exception of the last access that a page table or the protection of a page refused. */
  takeRefusal(): Refusal | null {
    const { refusal } = this;
    this.refusal = null;
    return refusal;
  }

  /**
   * The physical address of an access; null if it faults. A translated access must not touch two
   * pages.
   *
   * @param width - Bytes.
   * @param mode - The mode with whose rights the access is made.
   */
  resolve(va: bigint, width: number, kind: AccessKind, mode: Mode): bigint | null {
    this.window = null;
    if (this.translates(mode)) {
      return this.translate(BigInt.asIntN(64, va), kind, mode);
    }
    const range = this.pmp.rangeAt(va, mode === Mode.MACHINE);
    const last = va + BigInt(width) - 1n;
    const lastRange = last < range.end ? range : this.pmp.rangeAt(last, mode === Mode.MACHINE);
    if ((range.rights & lastRange.rights & kind) === 0) {
      return null;
    }
    this.window = range;
    return va;
  }

  /** The page of an address in a mode, for a debugger; null if it is not mapped. */
  probe(va: bigint, mode: Mode): Pick<Translation, "gpa" | "size"> | null {
    return this.translates(mode) ? this.mmu.probe(va) : { gpa: va & -PAGE, size: Number(PAGE) };
  }

  /** Whether all bytes from an address on have the same rights. */
  covers(gpa: bigint, bytes: number): boolean {
    // The ranges do not depend on the mode.
    return gpa + BigInt(bytes) <= this.pmp.rangeAt(gpa, true).end;
  }

  private translate(va: bigint, kind: AccessKind, mode: Mode): bigint | null {
    const number = Number(va);
    const address = Number.isSafeInteger(number) ? number : va;
    const found = this.walk(address, NAMES[kind], this.privilegeOf(mode));
    return "fault" in found
      ? null
      : BigInt(found.gpa) + (BigInt.asUintN(64, va) % BigInt(found.size));
  }

  /** Whether a walk, which has the rights of supervisor mode, may access an entry. */
  private permitsWalk(gpa: number | bigint, kind: "read" | "write"): boolean {
    if (kind === "read" && gpa >= this.readableStart && gpa < this.readableEnd) {
      return true;
    }
    // Entries are aligned, but a range of the protection can end within one.
    const first = BigInt(gpa);
    const { start, end, rights } = this.pmp.rangeAt(first, false);
    const rest = this.pmp.rangeAt(first + 7n, false).rights;
    const needed = kind === "read" ? AccessKind.READ : AccessKind.WRITE;
    if ((rights & rest & needed) === 0) {
      return false;
    }
    if (kind === "read") {
      // Numbers, which are compared faster. Rounding of large ones only makes the range smaller.
      this.readableStart = start < SAFE ? Number(start) : Infinity;
      this.readableEnd = Number((end < SAFE ? end : SAFE) - 7n);
    }
    return true;
  }

  private privilegeOf(mode: Mode): number {
    return RiscvPageTables.modeOf({ user: mode === Mode.USER, sum: this.sum, mxr: this.mxr });
  }

  private walk(va: VirtualAddress, kind: TranslationKind, privilege: number) {
    const found = this.tables.walk(va, kind, privilege);
    const allowed = "fault" in found ? found : this.protect(found, va, kind);
    if ("fault" in allowed) {
      const address = BigInt.asUintN(64, BigInt(va));
      this.refusal = { cause: allowed.fault as number, va: address };
    }
    return allowed;
  }

  /** Takes the rights from a translation that the protection does not give. */
  private protect(
    found: Translation,
    va: VirtualAddress,
    kind: TranslationKind,
  ): Translation | GuestFault {
    const first = BigInt(found.gpa);
    const { rights: all, end } = this.pmp.rangeAt(first, false);
    const whole = first + BigInt(found.size) <= end;
    if (whole && all === ALL) {
      return found;
    }
    const offset = BigInt.asUintN(64, BigInt(va)) % BigInt(found.size);
    const gpa = whole ? first : first + (offset & -PAGE);
    const size = whole ? found.size : Number(PAGE);
    let rights: number = ALL;
    for (let at = gpa; at < gpa + BigInt(size);) {
      const range = this.pmp.rangeAt(at, false);
      rights &= range.rights;
      at = range.end;
    }
    const access = LETTERS.map(([letter, right]) =>
      found.access.includes(letter) && (rights & right) !== 0 ? letter : "",
    ).join("") as Translation["access"];
    const needed = LETTERS.find(([, right]) => NAMES[right] === kind)!;
    return access.includes(needed[0])
      ? { gpa: gpa < PAGE << 32n ? Number(gpa) : gpa, size, access }
      : { fault: ACCESS_FAULT[kind] };
  }
}
