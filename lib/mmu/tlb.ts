import { newShared } from "../base/bytes.js";
import { type Handle, native } from "../native/addon.js";

/** The kinds of access that have tables of their own. */
export type TranslationKind = "read" | "write" | "fetch";

export const KINDS: readonly TranslationKind[] = ["read", "write", "fetch"];

/** Bytes of an entry. */
export const ENTRY_BYTES = 32;

// The elements of an entry.
const DIRECT = 0;
const DISTANCE = 1;
const PAGE = 2;
const TARGET = 3;
const DOUBLES = ENTRY_BYTES / 8;

/**
 * A direct-mapped table of translations for one kind of access.
 *
 * An entry has four elements of 8 bytes:
 *
 * 0. The virtual page as a double, if the fast path may access its bytes in the home buffer.
 * 1. In its low half, the distance in bytes from a virtual address of the page to its place in the
 *    home buffer, modulo 2^32.
 * 2. The virtual page as a double: the entry translates it.
 * 3. The guest physical address of the page as a double.
 *
 * A page is the signed address of its first byte. NaN means none: it equals no page.
 *
 * Elements 0 and 1 are little-endian, as the fast paths read them; the others, which C++ reads, are
 * in the byte order of the host. NaN equals no page in either order.
 *
 * Elements 0 and 1 depend on the map of the space and fall when it changes. Elements 2 and 3 are
 * the guest's translation, which only a flush removes. C++ uses these two (native/pound/kvm/tlb.h).
 */
export class Tlb {
  /** The entries, for the fast paths. */
  readonly view: DataView;
  /** The entries, for C++. */
  readonly doubles: Float64Array;
  /** Whether an entry was set since the last `clear`. */
  #used = true;
  /** Whether an entry became direct since the last time that none was. */
  #hasDirect = false;
  readonly #pageShift: number;
  readonly #pageSize: number;
  readonly #mask: number;

  constructor(entries: number, pageBits: number) {
    const buffer = newShared(entries * ENTRY_BYTES);
    this.view = new DataView(buffer);
    this.doubles = new Float64Array(buffer);
    this.#pageShift = pageBits;
    this.#pageSize = 2 ** pageBits;
    this.#mask = entries - 1;
    this.clear();
  }

  /** Removes all entries. */
  clear(): void {
    if (this.#used) {
      this.doubles.fill(NaN);
      this.#used = false;
      this.#hasDirect = false;
    }
  }

  /** The guest physical address of a virtual page; NaN if there is no entry. */
  find(page: number): number {
    const entry = this.#entryOf(page);
    return this.doubles[entry + PAGE] === page ? this.doubles[entry + TARGET]! : NaN;
  }

  /** Sets the translation of a virtual page. */
  set(page: number, target: number): void {
    const entry = this.#entryOf(page);
    const doubles = this.doubles;
    doubles[entry + DIRECT] = NaN;
    doubles[entry + PAGE] = page;
    doubles[entry + TARGET] = target;
    this.#used = true;
  }

  /** Whether the fast path accesses the bytes of a virtual page. */
  isDirect(page: number): boolean {
    return this.#direct(this.#entryOf(page)) === page;
  }

  /** Lets the fast path access the bytes of a virtual page that `find` finds. */
  open(page: number, distance: number): void {
    const entry = this.#entryOf(page);
    this.view.setInt32(8 * (entry + DISTANCE), distance, true);
    this.view.setFloat64(8 * (entry + DIRECT), page, true);
    this.#hasDirect = true;
  }

  /** Removes the entry of a virtual page, if there is one. */
  remove(page: number): void {
    const entry = this.#entryOf(page);
    if (this.doubles[entry + PAGE] === page) {
      this.doubles[entry + DIRECT] = NaN;
      this.doubles[entry + PAGE] = NaN;
    }
  }

  /** Takes the pages whose bytes touch a range of guest physical addresses off the fast path. */
  close(start: number, end: number): void {
    if (!this.#hasDirect) {
      return;
    }
    const doubles = this.doubles;
    let direct = false;
    for (let entry = 0; entry < doubles.length; entry += DOUBLES) {
      // False for NaN.
      if (this.#direct(entry) === doubles[entry + PAGE]!) {
        const target = doubles[entry + TARGET]!;
        if (target < end && target + this.#pageSize > start) {
          doubles[entry + DIRECT] = NaN;
        } else {
          direct = true;
        }
      }
    }
    this.#hasDirect = direct;
  }

  #direct(entry: number): number {
    return this.view.getFloat64(8 * (entry + DIRECT), true);
  }

  #entryOf(page: number): number {
    return (((page >>> 0) >>> this.#pageShift) & this.#mask) * DOUBLES;
  }
}

/** The translations of one mode and one address space identifier. */
export class TableSet {
  readonly read: Tlb;
  readonly write: Tlb;
  readonly fetch: Tlb;
  /** The number of the last flush of all sets that this one has seen. */
  generation: number;
  /** Whether the map may have changed since the set was in use. */
  isStale = false;
  #handle: Handle | undefined;
  #number = 0;
  // The virtual addresses around all superpages of which the set has entries.
  #superLow = Infinity;
  #superHigh = -Infinity;

  constructor(
    readonly mode: number,
    readonly asid: number,
    entries: number,
    private readonly pageBits: number,
    generation: number,
  ) {
    this.read = new Tlb(entries, pageBits);
    this.write = new Tlb(entries, pageBits);
    this.fetch = new Tlb(entries, pageBits);
    this.generation = generation;
  }

  /** The table of a kind of access. */
  of(kind: TranslationKind): Tlb {
    return kind === "read" ? this.read : kind === "write" ? this.write : this.fetch;
  }

  /** The number of the tables in the call block of the addon. */
  get number(): number {
    if (this.#handle === undefined) {
      const { read, write, fetch, pageBits } = this;
      this.#handle = native.tlbCreate(read.doubles, write.doubles, fetch.doubles, pageBits);
      this.#number = native.tlbNumber(this.#handle);
    }
    return this.#number;
  }

  clear(): void {
    for (const kind of KINDS) {
      this[kind].clear();
    }
    this.#superLow = Infinity;
    this.#superHigh = -Infinity;
  }

  /** Notes that the set has an entry of a superpage, whose other pages may have entries too. */
  addSuperpage(low: number, bytes: number): void {
    this.#superLow = Math.min(this.#superLow, low);
    this.#superHigh = Math.max(this.#superHigh, low + bytes);
  }

  /** Removes the translations of a virtual page, and of the superpage that contains it. */
  remove(page: number): void {
    if (page >= this.#superLow && page < this.#superHigh) {
      this.clear();
      return;
    }
    for (const kind of KINDS) {
      this[kind].remove(page);
    }
  }

  /** @param kind - With reads, this closes fetches too; undefined for all. */
  close(start: number, end: number, kind: "read" | "write" | undefined): void {
    if (kind !== "write") {
      this.read.close(start, end);
      this.fetch.close(start, end);
    }
    if (kind !== "read") {
      this.write.close(start, end);
    }
  }
}
