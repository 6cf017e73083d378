import { gpaAt } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import type { Bus } from "../space/bus.js";
import type { PageTable } from "../space/page-table.js";
import { TableSet, type TranslationKind } from "./tlb.js";
import type { MmuFault } from "./fault.js";
import { offsetIn, toVirtual, type VirtualAddress, virtualAt } from "./virtual-address.js";
import { checkTranslation, READS, rightFor, type Translation, type Walk, WRITES } from "./walk.js";

/** The most sets of tables. The one that was selected longest ago makes room for another. */
const MAX_SETS = 16;

/** One more than the largest mode. */
const MODES = 256;

/** Receives what the fast paths use. */
export interface TranslatedPaths {
  /** Called when the fast paths must use the tables of another set. */
  readonly use: (set: TableSet) => void;
  /** Called when the fast paths must access another home buffer, or use another page table. */
  readonly move: (home: DataView | null, table: PageTable | null) => void;
}

/** The software TLB of an MMU: its sets of tables, and the walks that fill them. */
export class Translator {
  readonly pageSize: number;
  /** What the last walk that refused an access returned as `fault`; undefined without one. */
  guestFault: unknown = undefined;
  /** The last fault that was returned or thrown on either path; null before the first. */
  lastFault: MmuFault | null = null;
  #set: TableSet;
  readonly #sets = new Map<number, TableSet>();
  /** Incremented by each flush of all sets. */
  #generation = 0;

  constructor(
    private readonly bus: Bus,
    private readonly entries: number,
    private readonly pageBits: number,
    private readonly walk: Walk,
    private readonly paths: TranslatedPaths,
  ) {
    this.pageSize = 2 ** pageBits;
    this.#set = this.#make(0, 0);
    paths.use(this.#set);
    this.#moved();
    bus.home.followers.push({
      closing: (start, end, kind) => {
        for (const set of this.#sets.values()) {
          set.isStale ||= set !== this.#set;
        }
        this.#set.close(start, end, kind);
      },
      moved: () => this.#moved(),
    });
  }

  /** The selected set of tables. */
  get set(): TableSet {
    return this.#set;
  }

  get mode(): number {
    return this.#set.mode;
  }

  get asid(): number {
    return this.#set.asid;
  }

  /** @throws TypeError, RangeError. */
  select(mode: number, asid: number): void {
    checkInteger(mode, MODES - 1, "mode");
    checkInteger(asid, 2 ** 32 - 1, "asid");
    if (mode === this.#set.mode && asid === this.#set.asid) {
      return;
    }
    const key = asid * MODES + mode;
    const found = this.#sets.get(key);
    if (found === undefined) {
      this.#set = this.#make(mode, asid);
    } else {
      this.#sets.delete(key);
      this.#sets.set(key, found);
      this.#set = this.#refresh(found);
    }
    this.paths.use(this.#set);
  }

  /** Removes all translations of all sets. */
  flushAll(): void {
    this.#generation++;
    this.#refresh(this.#set);
  }

  /** @throws TypeError, RangeError. */
  flushAsid(asid: number): void {
    checkInteger(asid, 2 ** 32 - 1, "asid");
    for (const set of this.#sets.values()) {
      if (set.asid === asid) {
        set.generation = -1;
      }
    }
    this.#refresh(this.#set);
  }

  /** @throws TypeError, RangeError. */
  flushPage(va: VirtualAddress): void {
    const address = toVirtual(va);
    if (typeof address === "number") {
      const page = address - offsetIn(address, this.pageSize);
      for (const set of this.#sets.values()) {
        set.remove(page);
      }
    }
  }

  /**
   * The guest physical address of a virtual one; undefined if the page tables refuse the access.
   *
   * @param va - A result of `toVirtual`.
   */
  translate(kind: TranslationKind, va: VirtualAddress): Gpa | undefined {
    const { pageSize } = this;
    const offset = offsetIn(va, pageSize);
    const set = this.#set;
    if (typeof va === "number") {
      const target = set.of(kind).find(va - offset);
      if (!Number.isNaN(target)) {
        return target + offset;
      }
    }
    const found = checkWalk(this.walk(va, kind, set.mode));
    const { fault } = found as { fault?: unknown };
    if (fault !== undefined) {
      this.guestFault = fault;
      return undefined;
    }
    const { gpa, size, access } = found as Translation;
    const rights = checkTranslation(gpa, size, access, pageSize);
    if ((rights & rightFor(kind)) === 0) {
      this.guestFault = undefined;
      return undefined;
    }
    const inBlock = size === pageSize ? offset : offsetInBlock(va, size);
    if (typeof va !== "number" || typeof gpa !== "number") {
      return gpaAt(gpa, inBlock);
    }
    const page = va - offset;
    const target = gpa + inBlock - offset;
    if (!Number.isSafeInteger(page) || !Number.isSafeInteger(gpa + size)) {
      return gpaAt(gpa, inBlock);
    }
    // A page that the guest executes and reads is rare, and its entries would replace others.
    if (kind === "fetch") {
      set.fetch.set(page, target);
    } else {
      if ((rights & READS) !== 0) {
        set.read.set(page, target);
      }
      if ((rights & WRITES) !== 0) {
        set.write.set(page, target);
      }
    }
    if (size > pageSize) {
      set.addSuperpage(va - inBlock, size);
    }
    return target + offset;
  }

  /**
   * What the page tables say about an address, without an effect on them and on the TLB. Null if
   * they do not map it.
   *
   * @throws TypeError, RangeError if `va` or what the walk returns is invalid.
   */
  probe(va: VirtualAddress): Translation | null {
    const found = checkWalk(this.walk(toVirtual(va), "read", this.mode, true));
    if ((found as { fault?: unknown }).fault !== undefined) {
      return null;
    }
    const { gpa, size, access } = found as Translation;
    checkTranslation(gpa, size, access, this.pageSize);
    return { gpa, size, access };
  }

  /**
   * Lets the fast path make accesses of a kind to the page of an address, after one that was made
   * there, if all its bytes lie in the home buffer.
   *
   * @param gpa - What `translate` returned for `va`.
   */
  open(kind: TranslationKind, va: VirtualAddress, gpa: Gpa): void {
    const { home, policy, lookup, reaches } = this.bus;
    if (typeof va !== "number" || typeof gpa !== "number" || policy.policy.endian === "big") {
      return;
    }
    const { pageSize } = this;
    const offset = offsetIn(va, pageSize);
    const page = va - offset;
    const start = gpa - offset;
    const tlb = this.#set.of(kind);
    // The handler of a device may have changed the set or flushed it.
    if (tlb.find(page) !== start || tlb.isDirect(page)) {
      return;
    }
    if (kind === "fetch") {
      const region = lookup.find(gpa);
      if (region === null || region.kind === "mmio" || !region.executable) {
        return;
      }
      reaches.openFetches(region);
    }
    const { table } = home;
    if (table === null || start + pageSize > table.end || (kind === "write" && home.marksPages)) {
      return;
    }
    const entries = kind === "read" ? table.reads : kind === "write" ? table.writes : table.fetches;
    const first = start >>> table.shift;
    const last = (start + pageSize - 1) >>> table.shift;
    const entry = entries[first]!;
    for (let at = first; at <= last; at++) {
      if (entries[at] === 0 || entries[at] !== entry) {
        return;
      }
    }
    tlb.open(page, (start - page + ~entry) | 0);
  }

  /** Makes an empty set, and discards the one that was selected longest ago if there are many. */
  #make(mode: number, asid: number): TableSet {
    if (this.#sets.size >= MAX_SETS) {
      const [oldest] = this.#sets.keys();
      this.#sets.delete(oldest!);
    }
    const set = new TableSet(mode, asid, this.entries, this.pageBits, this.#generation);
    this.#sets.set(asid * MODES + mode, set);
    return set;
  }

  /** Makes up for the flushes and changes of the map that a set has missed. */
  #refresh(set: TableSet): TableSet {
    if (set.generation !== this.#generation) {
      set.clear();
      set.generation = this.#generation;
    }
    if (set.isStale) {
      set.close(-Infinity, Infinity, undefined);
      set.isStale = false;
    }
    return set;
  }

  #moved(): void {
    for (const set of this.#sets.values()) {
      set.close(-Infinity, Infinity, undefined);
    }
    const { view, table } = this.bus.home;
    this.paths.move(view, table);
  }
}

/** @throws TypeError if the result of a walk is not an object. */
function checkWalk(found: unknown): object {
  if (typeof found !== "object" || found === null) {
    throw typeError("the result of walk must be an object");
  }
  return found;
}

/** The offset of an address in an aligned block of `size` bytes, a power of two. */
function offsetInBlock(va: VirtualAddress, size: number): number {
  if (typeof va === "bigint") {
    return Number(BigInt.asUintN(Math.log2(size), va));
  }
  const rest = va % size;
  return rest < 0 ? rest + size : rest;
}

/** @throws TypeError, RangeError if a value is not an integer from 0 to `max`. */
export function checkInteger(value: unknown, max: number, what: string): void {
  if (typeof value !== "number") {
    throw typeError(`${what} must be a number`);
  }
  if (!(Number.isInteger(value) && value >= 0 && value <= max)) {
    throw rangeError(`${what} must be an integer from 0 to ${max}`);
  }
}

/** The address of the page above the one of an address. */
export function nextPage(va: VirtualAddress, pageSize: number): VirtualAddress {
  return virtualAt(va, pageSize - offsetIn(va, pageSize));
}
