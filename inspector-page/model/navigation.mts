import { hasBytes, type Region, regionAt } from "./addresses.mjs";
import { next } from "./lists.mjs";

/** The region and the cursor, and the way back from jumps. */
export class Navigation {
  readonly #regions: readonly Region[];
  readonly #moved: () => void;
  #region: Region;
  #cursor = 0;
  /** The addresses that jumps started from. */
  readonly #trail: bigint[] = [];

  /** @param moved - Called after each change of the region or the cursor. */
  constructor(regions: readonly Region[], first: Region, moved: () => void) {
    this.#regions = regions;
    this.#region = first;
    this.#moved = moved;
  }

  get region(): Region {
    return this.#region;
  }

  /** Bytes from the region's start. */
  get cursor(): number {
    return this.#cursor;
  }

  get gpa(): bigint {
    return this.#region.gpa + BigInt(this.#cursor);
  }

  /** Moves the cursor to an offset in the region, or to the region's nearest end. */
  moveTo(offset: number): void {
    this.#cursor = Math.max(0, Math.min(offset, Number(this.#region.size) - 1));
    this.#moved();
  }

  /** Moves the cursor by a number of bytes, unless it would leave the region. */
  moveBy(distance: number): void {
    const target = this.#cursor + distance;
    // The cursor stays in its column at the first and the last row, as in an editor.
    if (target >= 0 && target < Number(this.#region.size)) {
      this.moveTo(target);
    }
  }

  /**
   * Goes to an address in any region, and remembers where it came from.
   *
   * @returns false if no region with bytes contains the address.
   */
  jump(gpa: bigint): boolean {
    const from = this.gpa;
    const found = this.show(gpa);
    if (found) {
      this.#trail.push(from);
    }
    return found;
  }

  /** Goes to an address like {@link jump}, but leaves the way back as it is. */
  show(gpa: bigint): boolean {
    const region = regionAt(this.#regions, gpa);
    if (region === null) {
      return false;
    }
    this.#region = region;
    this.moveTo(Number(gpa - region.gpa));
    return true;
  }

  /** Returns to where the last jump came from. */
  back(): void {
    const gpa = this.#trail.pop();
    if (gpa !== undefined) {
      this.show(gpa);
    }
  }

  /** Jumps to the start of the next region with bytes, or of the one before it. */
  stepRegion(step: number): void {
    this.jump(next(this.#regions.filter(hasBytes), this.#region, step).gpa);
  }
}
