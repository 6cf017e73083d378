import type { HeatInfo } from "../lib/inspector/protocol.js";
import { formatAddress, formatSize, PAGE, type Region } from "./addresses.mjs";
import { Palette, Surface } from "./surface.mjs";

/** Sides of a cell and the space between two, in CSS pixels. */
const CELL = 9;
const GAP = 1;

/** What a cell's colour says. */
export type HeatMode = "changes" | "recency" | "contents" | "difference";

/** Text of a mode, and of the ends of its scale. */
export const HEAT_MODES: Readonly<
  Record<HeatMode, readonly [label: string, low: string, high: string]>
> = {
  changes: ["how often changed", "never", "most"],
  recency: ["how lately changed", "long ago", "last"],
  contents: ["how full", "zero", "full"],
  difference: ["A against B", "equal", "all differ"],
};

/** What the map shows a region of. */
export interface HeatState {
  readonly region: Region;
  readonly mode: HeatMode;
  /** Bytes from the region's start. */
  readonly cursor: number;
  readonly generation: number;
}

/** A region's pages as a grid of cells, a cell for one page or for many. */
export class HeatMap {
  readonly #surface: Surface;
  #state: HeatState | null = null;
  #heat: HeatInfo | null = null;
  /** The cell that the keyboard is at; null to follow the cursor. */
  #selected: number | null = null;
  readonly #go: (offset: number) => void;
  readonly #tell: (text: string) => void;

  /**
   * @param go - Called when a cell is chosen.
   * @param tell - Called with what is to be known of the cell that is pointed at.
   * @param resized - Called when there is room for another number of cells.
   */
  constructor(
    canvas: HTMLCanvasElement,
    go: (offset: number) => void,
    tell: (text: string) => void,
    resized: () => void,
  ) {
    this.#surface = new Surface(canvas, resized);
    this.#go = go;
    this.#tell = tell;
    canvas.addEventListener("click", (event) => {
      const cell = this.#cellAt(event);
      if (cell !== null) {
        this.#choose(cell);
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const cell = this.#cellAt(event);
      if (cell !== null) {
        tell(this.#describe(cell));
      }
    });
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
    canvas.addEventListener("blur", () => {
      this.#selected = null;
      this.draw();
    });
  }

  /** How many cells there is room for. */
  get capacity(): number {
    return Math.max(1, this.#columns * Math.floor(this.#surface.height / (CELL + GAP)));
  }

  show(state: HeatState, heat: HeatInfo | null): void {
    const before = this.#state;
    const same =
      heat === this.#heat &&
      state.mode === before?.mode &&
      this.#cellOf(state.cursor) === this.#cellOf(before.cursor);
    this.#state = state;
    this.#heat = heat;
    if (!same) {
      this.draw();
    }
  }

  draw(): void {
    const [state, heat] = [this.#state, this.#heat];
    const context = this.#surface.clear();
    if (state === null || heat === null || context === null) {
      return;
    }
    const colors = Palette.get();
    const current = this.#selected ?? this.#cellOf(state.cursor);
    const mostChanges = Math.max(...heat.changes);
    heat.stored.forEach((_, cell) => {
      const [x, y] = this.#place(cell);
      context.fillStyle = colors.of(shade(heat, cell, state, mostChanges));
      context.fillRect(x, y, CELL, CELL);
    });
    const [x, y] = this.#place(current);
    context.strokeStyle = colors.cursor;
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, CELL + 2, CELL + 2);
    this.#surface.canvas.setAttribute("aria-valuemax", String(heat.stored.length - 1));
    this.#surface.canvas.setAttribute("aria-valuenow", String(current));
    this.#surface.canvas.setAttribute("aria-valuetext", this.#describe(current));
  }

  get #columns(): number {
    return Math.max(1, Math.floor((this.#surface.width - 2) / (CELL + GAP)));
  }

  #place(cell: number): [x: number, y: number] {
    const columns = this.#columns;
    return [1 + (cell % columns) * (CELL + GAP), 1 + Math.floor(cell / columns) * (CELL + GAP)];
  }

  #cellOf(offset: number): number {
    return Math.floor(offset / PAGE / (this.#heat?.bucketPages ?? 1));
  }

  #cellAt(event: MouseEvent): number | null {
    const column = Math.floor((event.offsetX - 1) / (CELL + GAP));
    const row = Math.floor((event.offsetY - 1) / (CELL + GAP));
    const cell = row * this.#columns + column;
    const exists = column >= 0 && column < this.#columns && cell < (this.#heat?.stored.length ?? 0);
    return exists && row >= 0 ? cell : null;
  }

  #onKey(event: KeyboardEvent): void {
    const heat = this.#heat;
    if (heat === null || this.#state === null) {
      return;
    }
    const current = this.#selected ?? this.#cellOf(this.#state.cursor);
    const moves: Readonly<Record<string, number>> = {
      ArrowLeft: current - 1,
      ArrowRight: current + 1,
      ArrowUp: current - this.#columns,
      ArrowDown: current + this.#columns,
      Home: 0,
      End: heat.stored.length - 1,
    };
    if (event.key === "Enter") {
      this.#choose(current);
    } else if (event.key in moves) {
      this.#selected = Math.max(0, Math.min(moves[event.key]!, heat.stored.length - 1));
      this.#tell(this.#describe(this.#selected));
      this.draw();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(cell: number): void {
    this.#selected = null;
    this.#go(cell * (this.#heat?.bucketPages ?? 1) * PAGE);
  }

  #describe(cell: number): string {
    const [state, heat] = [this.#state, this.#heat];
    if (state === null || heat === null) {
      return "";
    }
    const total = Math.ceil(Number(state.region.size) / PAGE);
    const first = cell * heat.bucketPages;
    const pages = Math.min(heat.bucketPages, total - first);
    const from = formatAddress(state.region.gpa + BigInt(first * PAGE));
    const parts = [
      pages === 1 ? `page ${from}` : `${formatSize(pages * PAGE)} from ${from}`,
      pages === 1
        ? heat.stored[cell] === 0
          ? "all zero"
          : "not zero"
        : `${heat.stored[cell] ?? 0} of ${pages} pages not zero`,
    ];
    const changes = heat.changes[cell] ?? 0;
    if (state.generation > 0) {
      parts.push(
        changes === 0
          ? "never changed"
          : `changed ${pages === 1 ? "" : "up to "}${changes}×, last in generation ${heat.changedIn[cell] ?? 0}`,
      );
    }
    const differing = heat.differing[cell] ?? 0;
    if (differing > 0) {
      parts.push(pages === 1 ? "differs" : `${differing} differ`);
    }
    return parts.join(" · ");
  }
}

/** Where on the scale of colours a cell is: -1 for zeros, 0 for cold, up to 1. */
function shade(
  heat: HeatInfo,
  cell: number,
  { mode, generation }: HeatState,
  mostChanges: number,
): number {
  const stored = heat.stored[cell] ?? 0;
  const cold = stored === 0 ? -1 : 0;
  const changes = heat.changes[cell] ?? 0;
  switch (mode) {
    case "contents":
      return stored === 0 ? -1 : Math.max(0.15, stored / heat.bucketPages);
    case "difference": {
      const differing = heat.differing[cell] ?? 0;
      return differing === 0 ? cold : 0.35 + 0.65 * (differing / heat.bucketPages);
    }
    case "recency":
      return changes === 0 ? cold : 0.1 + 0.9 * ((heat.changedIn[cell] ?? 0) / generation);
    case "changes": {
      // Logarithmic: a page that changes in each generation must not make all others look cold.
      return changes === 0
        ? cold
        : 0.2 + 0.8 * (Math.log2(1 + changes) / Math.log2(1 + mostChanges));
    }
  }
}

/** A narrow map along the rows, which is their scroll bar too. */
export class ScrollMap {
  readonly #surface: Surface;

  /**
   * @param scroll - Called with the part of the region, from 0 to 1, that is to be at the middle.
   * @param resized - Called when the map has to be drawn anew.
   */
  constructor(canvas: HTMLCanvasElement, scroll: (part: number) => void, resized: () => void) {
    this.#surface = new Surface(canvas, resized);
    const follow = (event: PointerEvent): void =>
      scroll(Math.max(0, Math.min(1, event.offsetY / this.#surface.height)));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      follow(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) {
        follow(event);
      }
    });
  }

  draw(heat: HeatInfo | null, state: HeatState, top: number, visible: number, total: number): void {
    const context = this.#surface.clear();
    if (context === null) {
      return;
    }
    const { width, height } = this.#surface;
    const colors = Palette.get();
    const cells = heat?.stored.length ?? 0;
    const mostChanges = Math.max(...(heat?.changes ?? []));
    for (let y = 0; heat !== null && y < height; y++) {
      // Of all cells that share a line of pixels, the hottest is seen.
      const first = Math.floor((y / height) * cells);
      const end = Math.max(first + 1, Math.floor(((y + 1) / height) * cells));
      let hottest = -1;
      for (let cell = first; cell < end; cell++) {
        hottest = Math.max(hottest, shade(heat, cell, state, mostChanges));
      }
      context.fillStyle = colors.of(hottest);
      context.fillRect(0, y, width, 1);
    }
    const thumb = Math.max(14, (visible / Math.max(1, total)) * height);
    const y = (top / Math.max(1, total - visible)) * (height - thumb);
    context.strokeStyle = colors.cursor;
    context.lineWidth = 2;
    context.strokeRect(1, Math.max(1, Math.min(y, height - thumb)), width - 2, thumb - 2);
    this.#surface.canvas.setAttribute("aria-valuemax", String(total));
    this.#surface.canvas.setAttribute("aria-valuenow", String(top));
  }
}
