import { GuestMemAccessResult } from "pound-guest-memory";
import type { AddressRules } from "./address-rules.js";
import { CODE_PAGE, type CodeCache, NO_SLOT } from "./code-cache.js";
import { expand } from "./compressed.js";
import { decode } from "./decode.js";
import { AccessKind } from "./access-kind.js";
import type { Mode } from "./mode.js";
import { address, type Port } from "./port.js";
import { RecentPages } from "./recent-pages.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** The code at the program counter of a hart: the page that it is in, and its instructions. */
export class Fetcher {
  /** The address of the current page, in halves, and its slot in the cache. */
  pageLow = 0;
  pageHigh = 0;
  slot = NO_SLOT;
  /** The result of a fetch that failed, and the address that it failed at. */
  result: GuestMemAccessResult = OK;
  failedAt = 0n;
  /** Whether a fetch has failed because of a breakpoint. The user sets it to false. */
  atBreakpoint = false;
  private breakpoints: ReadonlySet<bigint> = new Set();
  /** By mode. */
  private readonly recent = [0, 1, 2, 3].map(() => new RecentPages());

  /**
   * @param rules - null if every address is physical and allowed.
   * @param compressed - Whether the hart has compressed instructions.
   */
  constructor(
    private readonly port: Port,
    readonly cache: CodeCache,
    private readonly rules: AddressRules | null,
    private readonly compressed: boolean,
  ) {}

  /** Sets the addresses of the instructions whose fetch fails. */
  setBreakpoints(addresses: ReadonlySet<bigint>): void {
    if (addresses !== this.breakpoints) {
      this.breakpoints = addresses;
      this.cache.forget();
    }
  }

  /** Takes a change of the rules. */
  changeRules(): void {
    this.recent.forEach((pages) => pages.clear());
  }

  /** Makes the page of an address the current page. @returns the offset in it. */
  turnTo(low: number, high: number, mode: Mode): number {
    const at = low & (CODE_PAGE - 1);
    this.pageLow = low - at;
    this.pageHigh = high;
    const recent = this.recent[mode]!;
    this.slot = recent.slotOf(low - at, high);
    if (this.slot === NO_SLOT) {
      this.slot = this.lookUp(mode);
      recent.add(low - at, high, this.slot);
    }
    return at;
  }

  /** The address at an offset from the current page. */
  addressAt(at: number): bigint {
    return BigInt.asUintN(64, address(this.pageLow, this.pageHigh) + BigInt(at));
  }

  /**
   * Decodes the instruction at an offset in the current page. Instructions that are not kept are
   * decoded each time they run.
   *
   * @returns The index in the code; -1 if the fetch failed: {@link Fetcher.result}, or
   *   {@link Fetcher.atBreakpoint}.
   */
  fetch(at: number, mode: Mode): number {
    const { port, cache } = this;
    const pc = this.addressAt(at);
    if (this.breakpoints.has(pc)) {
      this.atBreakpoint = true;
      return -1;
    }
    // Only an instruction that is not aligned can cross the end of the page.
    const isWhole = (at & 3) === 0;
    if (!this.read(pc, isWhole ? 4 : 2, mode)) {
      return -1;
    }
    let bits = isWhole ? port.long[0]! : port.word[0]!;
    const isKept = this.slot !== NO_SLOT && (at !== CODE_PAGE - 2 || (bits & 3) !== 3);
    const index = isKept ? this.slot + at : cache.scratch;
    if (isKept) {
      cache.guard(this.slot);
    }
    if (this.compressed && (bits & 3) !== 3) {
      const half = bits & 0xffff;
      decode(expand(half), cache.code, index, half);
      return index;
    }
    if (!isWhole) {
      if (!this.read(BigInt.asUintN(64, pc + 2n), 2, mode)) {
        return -1;
      }
      bits |= port.word[0]! << 16;
    }
    decode(bits | 0, cache.code, index);
    return index;
  }

  /** Reads 2 or 4 bytes of code into the port. Returns whether it could. */
  private read(pc: bigint, bytes: number, mode: Mode): boolean {
    const gpa = this.placeOf(pc, bytes, mode);
    if (gpa === null) {
      this.result = FAULT_BOUNDARY;
    } else {
      const place = gpa <= MAX_SAFE ? Number(gpa) : gpa;
      this.result = bytes === 4 ? this.port.fetchl(place) : this.port.fetchw(place);
    }
    this.failedAt = pc;
    return this.result === OK;
  }

  /** The slot of the current page; {@link NO_SLOT} if it has none. */
  private lookUp(mode: Mode): number {
    const gpa = this.placeOf(this.addressAt(0), CODE_PAGE, mode);
    // If only a part of the page may be fetched, each fetch looks at the rules.
    if (gpa === null || gpa > MAX_SAFE) {
      return NO_SLOT;
    }
    const { cache } = this;
    if (cache.isFull) {
      cache.clear();
      this.changeRules();
    }
    return cache.slotOf(Number(gpa));
  }

  /** The physical address of code; null if it may not be fetched. */
  private placeOf(pc: bigint, bytes: number, mode: Mode): bigint | null {
    const { rules } = this;
    if (rules === null) {
      return pc;
    }
    const gpa = rules.resolve(pc, bytes, AccessKind.FETCH, mode);
    return gpa !== null && (bytes <= 4 || rules.covers(gpa, bytes)) ? gpa : null;
  }
}
