import { checkBooleans, checkFunction, checkObject } from "../base/arguments.js";
import { type Gpa, toBigInt } from "../base/gpa.js";
import { type AddressSpace, busOf } from "../space/address-space.js";
import { checkRegister, PageTableEntries, quad } from "./page-tables.js";
import type { TranslationKind } from "./tlb.js";
import { virtualAt, type VirtualAddress } from "./virtual-address.js";
import {
  ACCESS,
  FETCHES,
  type GuestFault,
  READS,
  rightFor,
  type Translation,
  type Walk,
  WRITES,
} from "./walk.js";

// The bits of a page table entry. Its page number starts at bit 10.
const VALID = 1 << 0;
const READ = 1 << 1;
const WRITE = 1 << 2;
const EXECUTE = 1 << 3;
const USER = 1 << 4;
const ACCESSED = 1 << 6;
const DIRTY = 1 << 7;

// The bits of a mode.
const MODE_USER = 1;
const MODE_SUM = 2;
const MODE_MXR = 4;

const PAGE = 4096;
const ENTRIES = 512;
const PAGE_FAULT: Readonly<Record<TranslationKind, GuestFault>> = {
  fetch: { fault: 12 },
  read: { fault: 13 },
  write: { fault: 15 },
};
const ACCESS_FAULT: Readonly<Record<TranslationKind, GuestFault>> = {
  fetch: { fault: 1 },
  read: { fault: 5 },
  write: { fault: 7 },
};

/** Options of {@link RiscvPageTables}. */
export interface RiscvPageTableOptions {
  /**
   * Whether a walk sets the accessed and dirty bits, as with the extension Svadu. If not, which is
   * the default, an access that has to set one is a page fault, as with Svade.
   */
  readonly updatesBits?: boolean;
  /**
   * Decides whether a walk may access an entry of 8 bytes at a guest physical address, as the
   * physical memory protection of a hart does; by default it may. The access is an access fault if
   * not. Walks for {@link Mmu.probe} do not ask. After a change of the answers, the MMU has to be
   * flushed.
   */
  readonly permits?: (gpa: Gpa, kind: "read" | "write") => boolean;
}

/** What decides about the rights of an access, besides the page tables. */
export interface RiscvPrivilege {
  /** Whether the access is one of U mode; otherwise, it is one of S mode. */
  readonly user: boolean;
  /** `sstatus.SUM`: S mode may read and write pages of U mode. */
  readonly sum: boolean;
  /** `sstatus.MXR`: pages that can be executed can be read. */
  readonly mxr: boolean;
}

/**
 * The page tables of RISC-V with 64 bits: Sv39, Sv48, and no translation (Bare).
 *
 * The mode of the MMU is that of {@link RiscvPageTables.modeOf}. The `fault` of a refused access is
 * the cause of the exception: 12, 13 and 15 for page faults of fetches, loads and stores, and 1, 5
 * and 7 if the page tables cannot be accessed.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 * import { Mmu, RiscvPageTables } from "pound-guest-memory/mmu";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 1024 * 1024);
 * const tables = new RiscvPageTables(space);
 * const mmu = new Mmu(space, { walk: tables.walk });
 *
 * // A root table at 0x8000_0000, in which one entry maps the lowest GiB to 0x8000_0000.
 * space.writeq(0x8000_0000, (0x8000_0000n >> 2n) | 0xcfn);
 * tables.satp = (8n << 60n) | (0x8000_0000n >> 12n);
 * mmu.flushAll();
 * mmu.writel(0x1000, 5);
 * console.log(space.readl(0x8000_1000)); // 5
 * ```
 */
export class RiscvPageTables {
  /** The function for {@link MmuOptions.walk}. */
  readonly walk: Walk;
  readonly #entries: PageTableEntries;
  readonly #updatesBits: boolean;
  readonly #permits: RiscvPageTableOptions["permits"];
  #satp = 0n;
  /** Page number of the root table. */
  #root = 0;
  /** 0 without translation. */
  #levels = 0;

  /** @throws TypeError if `space` is not an address space, or for an invalid option. */
  constructor(space: AddressSpace, options: RiscvPageTableOptions = {}) {
    busOf(space);
    const { updatesBits = false, permits } = checkObject(options, "options");
    checkBooleans({ updatesBits });
    this.#entries = new PageTableEntries(space);
    this.#updatesBits = updatesBits;
    this.#permits = permits === undefined ? permits : checkFunction(permits, "permits");
    this.walk = (va, kind, mode, isProbe = false) => this.#walk(va, kind, mode, isProbe);
  }

  /** The number for {@link Mmu.select} of a privilege. */
  static modeOf({ user, sum, mxr }: RiscvPrivilege): number {
    return (user ? MODE_USER : 0) | (sum ? MODE_SUM : 0) | (mxr ? MODE_MXR : 0);
  }

  /** The register `satp`; 0n at first. The guest selects and flushes, as after any change of it. */
  get satp(): bigint {
    return this.#satp;
  }

  /**
   * A write with a mode other than 0 (Bare), 8 (Sv39) and 9 (Sv48) has no effect, as the
   * architecture has it.
   *
   * @throws TypeError; RangeError if the value is not from 0 to 2^64 - 1.
   */
  set satp(value: bigint) {
    checkRegister(value, "satp");
    const levels = new Map([
      [0n, 0],
      [8n, 3],
      [9n, 4],
    ]).get(value >> 60n);
    if (levels !== undefined) {
      this.#satp = value;
      this.#levels = levels;
      this.#root = Number(BigInt.asUintN(44, value));
    }
  }

  /** The address space identifier in `satp`, from 0 to 65535. */
  get asid(): number {
    return Number(BigInt.asUintN(16, this.#satp >> 44n));
  }

  #walk(
    va: VirtualAddress,
    kind: TranslationKind,
    mode: number,
    isProbe: boolean,
  ): Translation | GuestFault {
    const levels = this.#levels;
    if (levels === 0) {
      return identity(va);
    }
    const limit = 2 ** (11 + 9 * levels);
    if (typeof va === "bigint" || va >= limit || va < -limit) {
      return PAGE_FAULT[kind];
    }
    // Repeated if another thread changes an entry between its read and the update of its bits.
    for (;;) {
      const found = this.#descend(va, kind, mode, isProbe);
      if (found !== null) {
        return found;
      }
    }
  }

  /** Returns null if the walk has to be repeated. */
  #descend(
    va: number,
    kind: TranslationKind,
    mode: number,
    isProbe: boolean,
  ): Translation | GuestFault | null {
    const { halves } = this.#entries;
    let table = this.#root;
    for (let level = this.#levels - 1; level >= 0; level--) {
      const size = PAGE * ENTRIES ** level;
      const index = ((Math.floor(va / size) % ENTRIES) + ENTRIES) % ENTRIES;
      const at = addressOf(table, 8 * index);
      if (!this.#read(at, isProbe)) {
        return ACCESS_FAULT[kind];
      }
      const low = halves[0]!;
      const high = halves[1]!;
      // The bits above the page number are reserved, and so is "writable, not readable".
      if ((low & VALID) === 0 || (low & (READ | WRITE)) === WRITE || high >>> 22 !== 0) {
        return PAGE_FAULT[kind];
      }
      const number = high * 2 ** 22 + (low >>> 10);
      if ((low & (READ | EXECUTE)) !== 0) {
        const gpa = addressOf(number, 0);
        const rights = rightsOf(low, mode);
        if (number % (size / PAGE) !== 0 || (!isProbe && (rights & rightFor(kind)) === 0)) {
          return PAGE_FAULT[kind];
        }
        return isProbe
          ? { gpa, size, access: ACCESS[rights]! }
          : this.#leaf(at, low, high, kind, mode, gpa, size);
      }
      if ((low & (USER | ACCESSED | DIRTY)) !== 0) {
        return PAGE_FAULT[kind];
      }
      table = number;
    }
    return PAGE_FAULT[kind];
  }

  /** Reads an entry, if it can be read and the walk may do so. */
  #read(at: Gpa, isProbe: boolean): boolean {
    const permitted = isProbe || this.#permits === undefined || this.#permits(at, "read");
    return permitted && this.#entries.read(at, isProbe);
  }

  /** The translation of a page whose entry permits the access. */
  #leaf(
    at: Gpa,
    low: number,
    high: number,
    kind: TranslationKind,
    mode: number,
    gpa: Gpa,
    size: number,
  ): Translation | GuestFault | null {
    const needed = (low | ACCESSED | (kind === "write" ? DIRTY : 0)) >>> 0;
    if (needed !== low) {
      if (!this.#updatesBits) {
        return PAGE_FAULT[kind];
      }
      if (this.#permits?.(at, "write") === false) {
        return ACCESS_FAULT[kind];
      }
      const update = this.#entries.update(at, quad(low, high), quad(needed, high));
      if (update !== "made") {
        return update === "lost" ? null : ACCESS_FAULT[kind];
      }
    }
    // The first write of a clean page has to set the dirty bit.
    const rights = rightsOf(needed, mode) & ((needed & DIRTY) === 0 ? ~WRITES : -1);
    return { gpa, size, access: ACCESS[rights]! };
  }
}

/** The rights that a mode has by an entry. */
function rightsOf(entry: number, mode: number): number {
  const isUserMode = (mode & MODE_USER) !== 0;
  const isUserPage = (entry & USER) !== 0;
  const readable = (entry & READ) !== 0 || ((mode & MODE_MXR) !== 0 && (entry & EXECUTE) !== 0);
  const accessible = isUserMode === isUserPage || (isUserPage && (mode & MODE_SUM) !== 0);
  return (
    (accessible && readable ? READS : 0) |
    (accessible && (entry & WRITE) !== 0 ? WRITES : 0) |
    (isUserMode === isUserPage && (entry & EXECUTE) !== 0 ? FETCHES : 0)
  );
}

/** The address of a byte in a page, by the number of the page: up to 2^56. */
function addressOf(number: number, offset: number): Gpa {
  return number < 2 ** 41
    ? number * PAGE + offset
    : toBigInt(number) * BigInt(PAGE) + BigInt(offset);
}

function identity(va: VirtualAddress): Translation {
  const page = BigInt.asUintN(64, BigInt(virtualAt(va, 0))) & -BigInt(PAGE);
  const gpa = Number(page);
  return { gpa: Number.isSafeInteger(gpa) ? gpa : page, size: PAGE, access: "rwx" };
}
