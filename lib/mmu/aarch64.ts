import { type AddressSpace, busOf } from "../space/address-space.js";
import { checkRegister, PageTableEntries, quad } from "./page-tables.js";
import type { TranslationKind } from "./tlb.js";
import type { VirtualAddress } from "./virtual-address.js";
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

// The bits of a descriptor in its low half.
const VALID = 1 << 0;
const TABLE_OR_PAGE = 1 << 1;
const EL0 = 1 << 6;
const READ_ONLY = 1 << 7;
const ACCESSED = 1 << 10;
// Those in its high half.
const DIRTY_MANAGED = 1 << (51 - 32);
const PXN = 1 << (53 - 32);
const UXN = 1 << (54 - 32);
const PXN_TABLE = 1 << (59 - 32);
const UXN_TABLE = 1 << (60 - 32);
const NO_EL0_TABLE = 1 << (61 - 32);
const NO_WRITE_TABLE = 1 << (62 - 32);

// The bits of a mode.
const MODE_USER = 1;
const MODE_PAN = 2;

// The fault status codes, without the level in their lowest two bits.
const ADDRESS_SIZE = 0b000000;
const TRANSLATION = 0b000100;
const ACCESS_FLAG = 0b001000;
const PERMISSION = 0b001100;
const EXTERNAL_ABORT = 0b010100;

const PAGE = 4096;
const ENTRIES = 512;
const LAST_LEVEL = 3;
/** Bits of an output address, by `TCR_EL1.IPS`. */
const OUTPUT_BITS = [32, 36, 40, 42, 44, 48, 48, 48];
const MAX_OUTPUT = 2 ** 48;

/** What decides about the rights of an access, besides the page tables and the registers. */
export interface Aarch64Privilege {
  /** Whether the access has the rights of EL0, as those of `LDTR` have too; otherwise, of EL1. */
  readonly user: boolean;
  /** `PSTATE.PAN`: EL1 must not read and write pages of EL0. */
  readonly pan: boolean;
}

/** One of the two halves of the virtual addresses. */
interface Half {
  /** Guest physical address of the first table. */
  readonly root: number;
  /** The level of the first table: 0 to 3. */
  readonly level: number;
  /** Bytes of virtual addresses. */
  readonly bytes: number;
  readonly ignoresTop: boolean;
  readonly ignoresTables: boolean;
}

/**
 * Stage 1 of AArch64's EL1&0 translation regime with the 4 KiB granule, and addresses of up to 48
 * bits.
 *
 * The mode of the MMU is that of {@link Aarch64PageTables.modeOf}. The `fault` of a refused access
 * is the fault status code of `ESR_EL1`, with the level in its lowest two bits: 0x00 for an address
 * that is too large, 0x04 for a translation fault, 0x08 for an access flag fault, 0x0c for a
 * permission fault, and 0x14 if a table cannot be accessed.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 * import { Aarch64PageTables, Mmu } from "pound-guest-memory/mmu";
 *
 * const space = new AddressSpace();
 * space.addRam(0x4000_0000, 1024 * 1024);
 * const tables = new Aarch64PageTables(space);
 * const mmu = new Mmu(space, { walk: tables.walk });
 *
 * // 39 bits: the table of level 1 at 0x4000_0000 maps the lowest GiB to 0x4000_0000.
 * space.writeq(0x4000_0000, 0x4000_0000n | 0x401n);
 * tables.tcr = 25n | (25n << 16n) | (2n << 30n) | (5n << 32n);
 * tables.ttbr0 = 0x4000_0000n;
 * tables.sctlr = 1n;
 * mmu.flushAll();
 * mmu.writel(0x1000, 5);
 * console.log(space.readl(0x4000_1000)); // 5
 * ```
 */
export class Aarch64PageTables {
  /** The function for {@link MmuOptions.walk}. */
  readonly walk: Walk;
  readonly #entries: PageTableEntries;
  #ttbr0 = 0n;
  #ttbr1 = 0n;
  #tcr = 0n;
  #sctlr = 0n;
  #low: Half | null = null;
  #high: Half | null = null;
  #outputs = MAX_OUTPUT;
  #isOn = false;
  #neverExecutesWritable = false;
  #setsAccessed = false;
  #setsDirty = false;

  /** @throws TypeError if `space` is not an address space. */
  constructor(space: AddressSpace) {
    busOf(space);
    this.#entries = new PageTableEntries(space);
    this.walk = (va, kind, mode, isProbe = false) => this.#walk(va, kind, mode, isProbe);
  }

  /** The number for {@link Mmu.select} of a privilege. */
  static modeOf({ user, pan }: Aarch64Privilege): number {
    return (user ? MODE_USER : 0) | (pan ? MODE_PAN : 0);
  }

  /** `TTBR0_EL1`; 0n at first. After a change of a register, the guest selects and flushes. */
  get ttbr0(): bigint {
    return this.#ttbr0;
  }

  /** @throws TypeError; RangeError if the value is not from 0 to 2^64 - 1. */
  set ttbr0(value: bigint) {
    this.#ttbr0 = checkRegister(value, "ttbr0");
    this.#settle();
  }

  /** `TTBR1_EL1`; 0n at first. */
  get ttbr1(): bigint {
    return this.#ttbr1;
  }

  /** @throws TypeError; RangeError if the value is not from 0 to 2^64 - 1. */
  set ttbr1(value: bigint) {
    this.#ttbr1 = checkRegister(value, "ttbr1");
    this.#settle();
  }

  /**
   * `TCR_EL1`; 0n at first. These fields count: `TnSZ` (16 to 39; a number out of this range is the
   * nearest of them), `EPDn`, `A1`, `IPS`, `AS`, `TBIn`, `HA`, `HD` and `HPDn`. The granule is 4
   * KiB whatever `TGn` is.
   */
  get tcr(): bigint {
    return this.#tcr;
  }

  /** @throws TypeError; RangeError if the value is not from 0 to 2^64 - 1. */
  set tcr(value: bigint) {
    this.#tcr = checkRegister(value, "tcr");
    this.#settle();
  }

  /** `SCTLR_EL1`, of which `M` and `WXN` count; 0n, and so no translation, at first. */
  get sctlr(): bigint {
    return this.#sctlr;
  }

  /** @throws TypeError; RangeError if the value is not from 0 to 2^64 - 1. */
  set sctlr(value: bigint) {
    this.#sctlr = checkRegister(value, "sctlr");
    this.#isOn = bit(value, 0n);
    this.#neverExecutesWritable = bit(value, 19n);
  }

  /** The address space identifier of the register that `TCR_EL1.A1` names: 8 bits or 16. */
  get asid(): number {
    const ttbr = bit(this.#tcr, 22n) ? this.#ttbr1 : this.#ttbr0;
    return Number(BigInt.asUintN(bit(this.#tcr, 36n) ? 16 : 8, ttbr >> 48n));
  }

  /** Reads the fields of the registers. */
  #settle(): void {
    const tcr = this.#tcr;
    this.#outputs = 2 ** OUTPUT_BITS[Number((tcr >> 32n) & 7n)]!;
    this.#setsAccessed = bit(tcr, 39n);
    this.#setsDirty = this.#setsAccessed && bit(tcr, 40n);
    this.#low = bit(tcr, 7n) ? null : halfOf(this.#ttbr0, tcr, 0n, 37n, 41n);
    this.#high = bit(tcr, 23n) ? null : halfOf(this.#ttbr1, tcr, 16n, 38n, 42n);
  }

  #walk(
    passed: VirtualAddress,
    kind: TranslationKind,
    mode: number,
    isProbe: boolean,
  ): Translation | GuestFault {
    if (!this.#isOn) {
      const inRange = typeof passed === "number" && passed >= 0 && passed < MAX_OUTPUT;
      return inRange
        ? { gpa: passed - (passed % PAGE), size: PAGE, access: "rwx" }
        : fault(ADDRESS_SIZE, 0);
    }
    // The selecting bit is 55 if the top byte is ignored. If not, the bits above it are equal to
    // it.
    const untagged =
      typeof passed === "number" ? passed : Number(BigInt.asIntN(56, BigInt.asUintN(64, passed)));
    const half = untagged < 0 ? this.#high : this.#low;
    if (half === null || (typeof passed === "bigint" && !half.ignoresTop)) {
      return fault(TRANSLATION, 0);
    }
    const va = untagged < 0 ? untagged + half.bytes : untagged;
    if (va < 0 || va >= half.bytes) {
      return fault(TRANSLATION, 0);
    }
    if (half.root >= this.#outputs) {
      return fault(ADDRESS_SIZE, 0);
    }
    // Repeated if another thread changes a descriptor between its read and its update.
    for (;;) {
      const found = this.#descend(half, va, kind, mode, isProbe);
      if (found !== null) {
        return found;
      }
    }
  }

  /** Returns null if the walk has to be repeated. */
  #descend(
    half: Half,
    va: number,
    kind: TranslationKind,
    mode: number,
    isProbe: boolean,
  ): Translation | GuestFault | null {
    const { halves } = this.#entries;
    let table = half.root;
    /** The limits of the tables above, in the bits of the high half. */
    let limits = 0;
    for (let { level } = half; ; level++) {
      const size = PAGE * ENTRIES ** (LAST_LEVEL - level);
      const at = table + 8 * (Math.floor(va / size) % ENTRIES);
      if (!this.#entries.read(at, isProbe)) {
        return fault(EXTERNAL_ABORT, level);
      }
      const low = halves[0]!;
      const high = halves[1]!;
      const isTableOrPage = (low & TABLE_OR_PAGE) !== 0;
      // There are blocks at the levels 1 and 2 only.
      if ((low & VALID) === 0 || (!isTableOrPage && (level === 0 || level === LAST_LEVEL))) {
        return fault(TRANSLATION, level);
      }
      const output = (high & 0xffff) * 2 ** 32 + ((low & -PAGE) >>> 0);
      if (output >= this.#outputs) {
        return fault(ADDRESS_SIZE, level);
      }
      if (!isTableOrPage || level === LAST_LEVEL) {
        const gpa = output - (output % size);
        return isProbe
          ? { gpa, size, access: ACCESS[this.#rights(low, high, limits, mode)]! }
          : this.#leaf(at, low, high, limits, kind, mode, { gpa, size, level });
      }
      if (!half.ignoresTables) {
        limits |= high;
      }
      table = output;
    }
  }

  /** The translation of a block or page. */
  #leaf(
    at: number,
    low: number,
    high: number,
    limits: number,
    kind: TranslationKind,
    mode: number,
    { gpa, size, level }: { gpa: number; size: number; level: number },
  ): Translation | GuestFault | null {
    let after = low;
    if ((low & ACCESSED) === 0) {
      if (!this.#setsAccessed) {
        return fault(ACCESS_FLAG, level);
      }
      after = (after | ACCESSED) >>> 0;
    }
    if (kind === "write" && this.#setsDirty && (high & DIRTY_MANAGED) !== 0) {
      after = (after & ~READ_ONLY) >>> 0;
    }
    const rights = this.#rights(after, high, limits, mode);
    if ((rights & rightFor(kind)) === 0) {
      return fault(PERMISSION, level);
    }
    if (after !== low) {
      const update = this.#entries.update(at, quad(low, high), quad(after, high));
      if (update !== "made") {
        return update === "lost" ? null : fault(EXTERNAL_ABORT, level);
      }
    }
    return { gpa, size, access: ACCESS[rights]! };
  }

  /** The rights that a mode has to a block or page. */
  #rights(low: number, high: number, limits: number, mode: number): number {
    const isUser = (mode & MODE_USER) !== 0;
    const hasEl0 = (low & EL0) !== 0 && (limits & NO_EL0_TABLE) === 0;
    const isWritable = (low & READ_ONLY) === 0 && (limits & NO_WRITE_TABLE) === 0;
    const readable = isUser ? hasEl0 : !(hasEl0 && (mode & MODE_PAN) !== 0);
    const writable = readable && isWritable;
    const isNeverExecuted = isUser
      ? (high & UXN) !== 0 || (limits & UXN_TABLE) !== 0
      : (high & PXN) !== 0 || (limits & PXN_TABLE) !== 0 || (hasEl0 && isWritable);
    const executable = !isNeverExecuted && !(writable && this.#neverExecutesWritable);
    return (readable ? READS : 0) | (writable ? WRITES : 0) | (executable ? FETCHES : 0);
  }
}

function bit(register: bigint, number: bigint): boolean {
  return ((register >> number) & 1n) === 1n;
}

function halfOf(ttbr: bigint, tcr: bigint, sizeAt: bigint, tbi: bigint, hpd: bigint): Half {
  const bits = 64 - Math.min(39, Math.max(16, Number((tcr >> sizeAt) & 63n)));
  const level = 4 - Math.ceil((bits - 12) / 9);
  const indexes = 2 ** (bits - 12 - 9 * (LAST_LEVEL - level));
  const address = Number(BigInt.asUintN(48, ttbr));
  return {
    // The first table is aligned to its size, but at least to 64 bytes.
    root: address - (address % Math.max(64, 8 * indexes)),
    level,
    bytes: 2 ** bits,
    ignoresTop: bit(tcr, tbi),
    ignoresTables: bit(tcr, hpd),
  };
}

function fault(code: number, level: number): GuestFault {
  return { fault: code | level };
}
