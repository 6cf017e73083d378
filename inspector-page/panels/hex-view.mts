import type { ByteCache } from "../client/byte-cache.mjs";
import { markMatches } from "../model/query.mjs";
import { ROW, type State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import type { ViewType } from "../model/values.mjs";
import type { RowBytes } from "./byte-look.mjs";
import { HexRow } from "./hex-row.mjs";
import type { ScrollPosition } from "./scroll-map.mjs";

/**
 * The rows of bytes. Elements exist only for the rows that fit on the screen, so a region may have
 * any size, and the browser does not scroll: {@link HexView.scrollTo} fills the rows anew.
 */
export class HexView implements ScrollPosition {
  readonly #grid: HTMLElement;
  readonly #subject: Subject;
  readonly #cache: ByteCache;
  #rows: HexRow[] = [];
  #typeOfRows: ViewType | null = null;
  #state: State | null = null;
  #top = 0;
  #visibleRows = 1;
  /** Whether the cursor has to be on the screen. */
  #follows = true;

  /**
   * @param picked - Called with the offset of a byte that was clicked.
   * @param resized - Called when another number of rows fits.
   */
  constructor(
    grid: HTMLElement,
    subject: Subject,
    cache: ByteCache,
    picked: (offset: number) => void,
    resized: () => void,
  ) {
    this.#grid = grid;
    this.#subject = subject;
    this.#cache = cache;
    const height = parseFloat(getComputedStyle(grid).getPropertyValue("--row-height")) || 20;
    const measure = (): void => {
      this.#visibleRows = Math.max(1, Math.floor(grid.clientHeight / height));
    };
    measure();
    new ResizeObserver(() => {
      measure();
      resized();
    }).observe(grid);
    grid.addEventListener("pointerdown", (event) => {
      const offset =
        event.target instanceof HTMLElement ? event.target.dataset["offset"] : undefined;
      if (offset !== undefined) {
        picked(Number(offset));
      }
    });
  }

  /** The number of the first row on the screen. */
  get top(): number {
    return this.#top;
  }

  /** The number of rows that fit on the screen. */
  get visibleRows(): number {
    return this.#visibleRows;
  }

  /** The number of rows in the region. */
  get totalRows(): number {
    return this.#state === null ? 0 : Math.ceil(Number(this.#state.region.size) / ROW);
  }

  /** Keeps the cursor on the screen from now on, until {@link scrollTo}. */
  followCursor(): void {
    this.#follows = true;
  }

  show(state: State): void {
    const otherRegion = state.region !== this.#state?.region;
    this.#state = state;
    if (this.#follows) {
      const row = Math.floor(state.cursor / ROW);
      const visible = this.#visibleRows;
      if (otherRegion || row < this.#top - visible || row >= this.#top + 2 * visible) {
        // After a jump, rows on both sides of the cursor are shown.
        this.#top = row - Math.floor(visible / 3);
      } else {
        this.#top = Math.min(Math.max(this.#top, row - visible + 1), row);
      }
    }
    this.#draw(state);
  }

  /** Shows the rows from `top` on. The cursor may leave the screen. */
  scrollTo(top: number): void {
    this.#follows = false;
    this.#top = top;
    if (this.#state !== null) {
      this.#draw(this.#state);
    }
  }

  #draw(state: State): void {
    this.#top = Math.max(0, Math.min(this.#top, this.totalRows - this.#visibleRows));
    this.#makeRows(state.type);
    const marks = this.#marks(state);
    this.#rows.forEach((row, i) => {
      const start = (this.#top + i) * ROW;
      row.draw(state.region.gpa + BigInt(start), start, this.#subject.digits, {
        bytes: this.#bytes(state, state.side, start),
        others: this.#subject.compares ? this.#bytes(state, 1 - state.side, start) : null,
        marks: marks?.subarray(i * ROW, (i + 1) * ROW) ?? null,
        fresh: this.#subject.isLive && state.side === 0 ? this.#fresh(state, start) : null,
        cursor: state.cursor - start,
      });
    });
    this.#grid.setAttribute("aria-rowcount", String(this.totalRows));
    const element = state.cursor - (state.cursor % state.type.bytes);
    this.#grid.setAttribute("aria-activedescendant", `byte-${element}`);
  }

  #makeRows(type: ViewType): void {
    const count = Math.min(this.#visibleRows, this.totalRows);
    if (this.#rows.length === count && this.#typeOfRows === type) {
      return;
    }
    this.#typeOfRows = type;
    this.#rows = Array.from({ length: count }, () => new HexRow(type));
    this.#grid.replaceChildren(...this.#rows.map(({ element }) => element));
    this.#grid.style.setProperty("--cell", `${type.width}ch`);
    this.#grid.dataset["bytes"] = String(type.bytes);
  }

  /** Returns a 1 for each byte on the screen that is part of a match. */
  #marks(state: State): Uint8Array | null {
    const { pattern, side } = state;
    if (pattern === null) {
      return null;
    }
    const bytes = new Uint8Array(this.#rows.length * ROW);
    const known = new Uint8Array(bytes.length);
    for (let i = 0; i < this.#rows.length; i++) {
      const row = this.#bytes(state, side, (this.#top + i) * ROW);
      if (typeof row !== "string") {
        bytes.set(row, i * ROW);
        known.fill(1, i * ROW, i * ROW + row.length);
      }
    }
    return markMatches(bytes, pattern).map((mark, i) => mark & known[i]!);
  }

  #fresh({ region }: State, start: number): Uint8Array {
    const length = Math.min(ROW, Number(region.size) - start);
    return this.#cache.fresh(0, region, start, length);
  }

  #bytes({ region }: State, side: number, start: number): RowBytes {
    const length = Math.min(ROW, Number(region.size) - start);
    return this.#cache.get(side, region, start, length);
  }
}
