import { type DirtyBitmap, PAGE_SIZE } from "./dirty-bitmap.js";
import { MAX_U64, type Gpa } from "./gpa.js";
import type { Stretch } from "./regions.js";
import { EMPTY_WINDOW } from "./windows.js";

/**
 * Writes to the stretch of tracked RAM that was written last, and marks its pages.
 *
 * The view path of an address space tries it where the write is not to the RAM that it has cached
 * for writes, so that RAM that is not tracked pays nothing. Written out per width, and private to
 * TypeScript only, for the reasons given in GuestMemory.
 */
export class TrackedWriter {
  /** Guest physical address of the stretch, as a signed 32-bit integer. */
  private base = 0;
  /** The page that the stretch begins with, from the start of the region. */
  private firstPage = 0;
  private u8 = EMPTY_WINDOW.u8;
  private u16 = EMPTY_WINDOW.u16;
  private u32 = EMPTY_WINDOW.u32;
  private u64 = EMPTY_WINDOW.u64;
  private dirty: DirtyBitmap | null = null;

  /** Forgets the stretch. */
  clear(): void {
    const { u8, u16, u32, u64 } = EMPTY_WINDOW;
    this.set({ u8, u16, u32, u64, base: 0, from: 0 }, null);
  }

  /** Makes a stretch below 4 GiB the one to write to, and a bitmap the one to mark pages in. */
  set(
    stretch: Pick<Stretch, "u8" | "u16" | "u32" | "u64" | "base" | "from">,
    dirty: DirtyBitmap | null,
  ): void {
    this.base = stretch.base;
    this.firstPage = Math.floor(stretch.from / PAGE_SIZE);
    this.u8 = stretch.u8;
    this.u16 = stretch.u16;
    this.u32 = stretch.u32;
    this.u64 = stretch.u64;
    this.dirty = dirty;
  }

  /** Whether the write was done. If not, nothing has been checked or changed. */
  writeb(gpa: Gpa, value: number): boolean {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xff)) {
      const address = gpa >>> 0;
      const offset = (address - this.base) >>> 0;
      if (address === gpa && offset < this.u8.length) {
        this.u8[offset] = value;
        this.dirty!.markPage(this.firstPage + (offset >>> 12));
        return true;
      }
    }
    return false;
  }

  writew(gpa: Gpa, value: number): boolean {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xffff)) {
      const address = gpa >>> 0;
      const offset = (address - this.base) >>> 0;
      const index = offset >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.u16.length) {
        this.u16[index] = value;
        this.dirty!.markPage(this.firstPage + (offset >>> 12));
        return true;
      }
    }
    return false;
  }

  writel(gpa: Gpa, value: number): boolean {
    if (typeof gpa === "number" && typeof value === "number" && value === value >>> 0) {
      const address = gpa >>> 0;
      const offset = (address - this.base) >>> 0;
      const index = offset >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.u32.length) {
        this.u32[index] = value;
        this.dirty!.markPage(this.firstPage + (offset >>> 12));
        return true;
      }
    }
    return false;
  }

  writeq(gpa: Gpa, value: bigint): boolean {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const address = gpa >>> 0;
      const offset = (address - this.base) >>> 0;
      const index = offset >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.u64.length) {
        this.u64[index] = value;
        this.dirty!.markPage(this.firstPage + (offset >>> 12));
        return true;
      }
    }
    return false;
  }
}
