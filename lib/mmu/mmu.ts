import { INSPECT } from "../base/inspect.js";
import type { GuestAccessors, GuestHalvesAccessors } from "../base/access.js";
import { checkFunction, checkObject } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import { checkSlots } from "../base/widths.js";
import { refuseNative } from "../native/addon.js";
import { type AddressSpace, busOf } from "../space/address-space.js";
import type { Bus } from "../space/bus.js";
import type { MmuFault } from "./fault.js";
import { TranslatedAccess } from "./general-access.js";
import { MmuHalves } from "./halves.js";
import { NativeMmuAccess } from "./native-access.js";
import { ENTRY_BYTES } from "./tlb.js";
import { checkInteger, Translator } from "./translator.js";
import type { VirtualAddress } from "./virtual-address.js";
import type { Translation, Walk } from "./walk.js";

/** Options of the constructor of {@link Mmu}. */
export interface MmuOptions {
  /** log2 of the bytes of the smallest page, from 8 to 16; 12 by default. */
  readonly pageBits?: number;
  /**
   * Entries of each table: a power of two from 16 to 4096; 256 by default. There is a table for
   * reads, one for writes and one for fetches, in each set of tables.
   */
  readonly entries?: number;
  /** Walks the page tables of the guest. */
  readonly walk: Walk;
}

/**
 * A memory management unit: the accessors of an address space with virtual addresses, and a
 * software TLB.
 *
 * The format of the page tables is the caller's: `walk` finds the translation of an address, and
 * the MMU keeps it until a flush. Reads, writes and instruction fetches have tables of their own.
 * If a page lies in the home buffer of the space, V8 inlines the accesses to it.
 *
 * The accessors of this class are the view path. {@link Mmu.native} has them on the native path.
 *
 * An access is translated first, and then made as the space makes it. If the page tables refuse it,
 * the result is `FAULT_BOUNDARY` and `lastFault` has what `walk` returned. An access that touches
 * two pages translates both before a byte changes.
 *
 * The space refers to its MMUs, so they live as long as it does: make one for each processor.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 * import { Mmu } from "pound-guest-memory/mmu";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 1024 * 1024);
 * const mmu = new Mmu(space, {
 *   walk: (va, kind) =>
 *     va >= 0 && va < 0x10000
 *       ? { gpa: 0x8000_0000 + va - (va % 4096), size: 4096, access: "rw" }
 *       : { fault: `${kind} page fault` },
 * });
 * mmu.writel(0x1000, 7);
 * console.log(space.readl(0x8000_1000)); // 7
 * console.log(mmu.tryReadl(0x20000, new Uint32Array(1))); // 2: FAULT_BOUNDARY
 * console.log(mmu.lastFault.guestFault); // read page fault
 * ```
 */
export class Mmu implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The address space that the translated accesses are made in. */
  readonly space: AddressSpace;

  // Private to TypeScript only, as the fields of AddressSpace that its hot path uses.
  private readonly entryShift: number;
  private readonly entryBits: number;
  private readonly offsetBits: number;
  private readTlb!: DataView;
  private writeTlb!: DataView;
  private fetchTlb!: DataView;
  // The home buffer of the space. It is unset until there is RAM: no entry is direct until then.
  declare private view: DataView;
  private readonly general: TranslatedAccess;
  declare private checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
    refuseNative(this.prototype);
  }

  readonly #bus: Bus;
  readonly #translator: Translator;
  #native: NativeMmuAccess | undefined;
  #halves: GuestHalvesAccessors | undefined;

  /** @throws TypeError, RangeError for an invalid option. */
  constructor(space: AddressSpace, options: MmuOptions) {
    const bus = busOf(space);
    const { pageBits = 12, entries = 256, walk } = checkObject(options, "options");
    checkInteger(pageBits, 16, "pageBits");
    checkInteger(entries, 4096, "entries");
    if (pageBits < 8) {
      throw rangeError("pageBits must be from 8 to 16");
    }
    if (entries < 16 || !Number.isInteger(Math.log2(entries))) {
      throw rangeError("entries must be a power of two from 16 to 4096");
    }
    checkFunction(walk, "walk");
    this.space = space;
    this.entryShift = pageBits - Math.log2(ENTRY_BYTES);
    this.entryBits = (entries - 1) * ENTRY_BYTES;
    this.offsetBits = 2 ** pageBits - 1;
    this.#bus = bus;
    this.#translator = new Translator(bus, entries, pageBits, walk, {
      use: (set) => {
        this.readTlb = set.read.view;
        this.writeTlb = set.write.view;
        this.fetchTlb = set.fetch.view;
        if (this.#native !== undefined) {
          this.#native.tlb = set.number;
        }
      },
      move: (home, table) => {
        if (home !== null) {
          this.view = home;
        }
        if (this.#native !== undefined && table !== null) {
          this.#native.table = table.number;
        }
      },
    });
    this.general = new TranslatedAccess(bus, space, this.#translator, false);
  }

  /**
   * The same accessors on the native path: C++ translates the addresses and accesses RAM and ROM.
   * Both paths share the TLB, the walks and `lastFault`.
   *
   * @throws Error `ERR_NO_ADDON` without the addon.
   */
  get native(): NativeMmuAccess {
    if (this.#native === undefined) {
      const general = new TranslatedAccess(this.#bus, this.space, this.#translator, true);
      this.#native = new NativeMmuAccess(general);
      this.#native.tlb = this.#translator.set.number;
      this.#native.table = this.#bus.home.table?.number ?? this.#native.table;
    }
    return this.#native;
  }

  /** The mode that {@link Mmu.select} has set; 0 at first. */
  get mode(): number {
    return this.#translator.mode;
  }

  /** The address space identifier that {@link Mmu.select} has set; 0 at first. */
  get asid(): number {
    return this.#translator.asid;
  }

  /**
   * The last fault of an access that was returned or thrown; null before the first. A later access
   * that succeeds does not change it.
   */
  get lastFault(): MmuFault | null {
    return this.#translator.lastFault;
  }

  /** The accessors with addresses in two 32-bit halves, as {@link AddressSpace.halves}. */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= new MmuHalves(this));
  }

  /**
   * Selects the tables of a mode and an address space identifier. Each pair has a set of tables of
   * its own. The 16 sets that were selected last keep their translations.
   *
   * @param mode - From 0 to 255: all that decides about the rights of an access, such as the
   * privilege level. It is the third argument of `walk`.
   * @param asid - From 0 to 2^32 - 1; 0 by default.
   * @throws TypeError, RangeError.
   */
  select(mode: number, asid = 0): void {
    this.#translator.select(mode, asid);
  }

  /** Removes all translations. */
  flushAll(): void {
    this.#translator.flushAll();
  }

  /**
   * Removes the translations of an address space identifier, in all modes. The translations of
   * global pages are among them.
   *
   * @throws TypeError, RangeError.
   */
  flushAsid(asid: number): void {
    this.#translator.flushAsid(asid);
  }

  /**
   * Removes the translations of the page or superpage that contains an address, of all modes and
   * address space identifiers. It may remove others too.
   *
   * @throws TypeError, RangeError.
   */
  flushPage(va: VirtualAddress): void {
    this.#translator.flushPage(va);
  }

  /**
   * Finds the translation of an address for a debugger, by a walk with `isProbe`.
   *
   * It changes neither the guest nor the TLB nor `lastFault`, reads no device and reaches no
   * watchpoint, if `walk` obeys `isProbe`; those of this package do.
   *
   * @returns The page or superpage that contains the address, whatever the rights to it are; null
   * if the page tables do not map it.
   * @throws TypeError, RangeError if `va` is invalid; what `walk` throws.
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
   * // A superpage of 1 GiB that was never accessed: a load would be a page fault.
   * space.writeq(0x8000_0000, (0x8000_0000n >> 2n) | 7n);
   * tables.satp = (8n << 60n) | (0x8000_0000n >> 12n);
   * console.log(mmu.probe(0x1000)?.gpa); // 2147483648
   * console.log(mmu.probe(0x4000_0000)); // null
   * ```
   */
  probe(va: VirtualAddress): Translation | null {
    return this.#translator.probe(va);
  }

  /** Keeps `console.log(mmu)` from printing the tables. */
  [INSPECT](): string {
    return `Mmu { mode: ${this.mode}, asid: ${this.asid} }`;
  }

  /** Keeps `JSON.stringify` from writing out the RAM. */
  toJSON(): { type: "Mmu" } {
    return { type: "Mmu" };
  }

  // The hot path, written out per width and kept small, as in AddressSpace. An entry has the page
  // as a double, which is compared with the address without its offset in the page. The lowest bits
  // of an unaligned address stay, so that the same comparison checks the alignment.

  // #region generated: npm run generate

  tryReadb(va: VirtualAddress, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          out[0] = this.view.getUint8((address + tlb.getInt32(entry + 8, true)) >>> 0);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryRead(0, va, out);
  }

  tryReadw(va: VirtualAddress, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          out[0] = this.view.getUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryRead(1, va, out);
  }

  tryReadl(va: VirtualAddress, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          out[0] = this.view.getUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryRead(2, va, out);
  }

  tryReadq(va: VirtualAddress, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          out[0] = this.view.getBigUint64((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryRead(3, va, out);
  }

  tryWriteb(va: VirtualAddress, value: number): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          this.view.setUint8((address + tlb.getInt32(entry + 8, true)) >>> 0, value);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWrite(0, va, value);
  }

  tryWritew(va: VirtualAddress, value: number): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          this.view.setUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWrite(1, va, value);
  }

  tryWritel(va: VirtualAddress, value: number): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          this.view.setUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWrite(2, va, value);
  }

  tryWriteq(va: VirtualAddress, value: bigint): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          this.view.setBigUint64((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWrite(3, va, value);
  }

  tryWriteqFrom(va: VirtualAddress, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof va === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const address = va >>> 0;
          const tlb = this.writeTlb;
          const entry = (address >>> this.entryShift) & this.entryBits;
          if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
            this.view.setBigUint64((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqFrom(va, source);
  }

  readb(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          return this.view.getUint8((address + tlb.getInt32(entry + 8, true)) >>> 0);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.read(0, va);
  }

  readw(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          return this.view.getUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.read(1, va);
  }

  readl(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          return this.view.getUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.read(2, va);
  }

  readq(va: VirtualAddress): bigint {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          return this.view.getBigUint64((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readQuad(va);
  }

  writeb(va: VirtualAddress, value: number): void {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          this.view.setUint8((address + tlb.getInt32(entry + 8, true)) >>> 0, value);
          return;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.write(0, va, value);
  }

  writew(va: VirtualAddress, value: number): void {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          this.view.setUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.write(1, va, value);
  }

  writel(va: VirtualAddress, value: number): void {
    try {
      if (
        typeof va === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          this.view.setUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.write(2, va, value);
  }

  writeq(va: VirtualAddress, value: bigint): void {
    try {
      if (
        typeof va === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          this.view.setBigUint64((address + tlb.getInt32(entry + 8, true)) >>> 0, value, true);
          return;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.write(3, va, value);
  }

  tryReadqHalves(va: VirtualAddress, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.readTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          const view = this.view;
          const start = (address + tlb.getInt32(entry + 8, true)) >>> 0;
          const low = view.getUint32(start, true);
          out[at + 1] = view.getUint32(start + 4, true);
          out[at] = low;
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadqHalves(va, out, at);
  }

  tryWriteqHalves(va: VirtualAddress, low: number, high: number): GuestMemAccessResult {
    try {
      if (
        typeof va === "number" &&
        typeof low === "number" &&
        (low >>> 0 === low || (low | 0) === low) &&
        typeof high === "number" &&
        (high >>> 0 === high || (high | 0) === high)
      ) {
        const address = va >>> 0;
        const tlb = this.writeTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -8)) {
          const view = this.view;
          const start = (address + tlb.getInt32(entry + 8, true)) >>> 0;
          view.setUint32(start, low, true);
          view.setUint32(start + 4, high, true);

          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(va, low, high);
  }

  /** Fetches 8 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchb(va: VirtualAddress, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          out[0] = this.view.getUint8((address + tlb.getInt32(entry + 8, true)) >>> 0);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryFetch(0, va, out);
  }

  /** Fetches 16 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchw(va: VirtualAddress, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          out[0] = this.view.getUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryFetch(1, va, out);
  }

  /** Fetches 32 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchl(va: VirtualAddress, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof va === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          out[0] = this.view.getUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
          return 0;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryFetch(2, va, out);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchb(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits)) {
          return this.view.getUint8((address + tlb.getInt32(entry + 8, true)) >>> 0);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.fetch(0, va);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchw(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -2)) {
          return this.view.getUint16((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.fetch(1, va);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchl(va: VirtualAddress): number {
    try {
      if (typeof va === "number") {
        const address = va >>> 0;
        const tlb = this.fetchTlb;
        const entry = (address >>> this.entryShift) & this.entryBits;
        if (tlb.getFloat64(entry, true) === va - (address & this.offsetBits & -4)) {
          return this.view.getUint32((address + tlb.getInt32(entry + 8, true)) >>> 0, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.fetch(2, va);
  }

  // #endregion

  readqHalves(va: VirtualAddress, out: Uint32Array, at: number): void {
    this.general.check(this.tryReadqHalves(va, out, at), va);
  }

  writeqHalves(va: VirtualAddress, low: number, high: number): void {
    this.general.check(this.tryWriteqHalves(va, low, high), va);
  }
}
