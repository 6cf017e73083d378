import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { PAGE } from "../model/addresses.mjs";
import { describeCell, shading } from "../model/heat.mjs";
import type { State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import type { Palette } from "./palette.mjs";
import { Surface } from "./surface.mjs";

/** Side of a cell, and distance between two cells, in CSS pixels. */
const CELL = 9;
const GAP = 1;

/** The calls that a heat map makes. */
export interface HeatMapEvents {
  /** A cell was chosen, which starts at this offset in the region. */
  readonly chosen: (offset: number) => void;
  /** A cell was pointed at, which this text describes. */
  readonly pointed: (text: string) => void;
  /** The canvas has another size, and is empty. */
  readonly resized: () => void;
}

/** The pages of a region as a grid of cells. A cell is one page, or several in a large region. */
export class HeatMap {
  readonly #surface: Surface;
  readonly #palette: Palette;
  readonly #subject: Subject;
  readonly #events: HeatMapEvents;
  #state: State | null = null;
  #heat: HeatInfo | null = null;
  /** The cell that the keyboard has selected; null if it is the cell of the cursor. */
  #selected: number | null = null;

  constructor(
    canvas: HTMLCanvasElement,
    subject: Subject,
    palette: Palette,
    events: HeatMapEvents,
  ) {
    this.#surface = new Surface(canvas, events.resized);
    this.#palette = palette;
    this.#subject = subject;
    this.#events = events;
    canvas.addEventListener("click", (event) => {
      const cell = this.#cellAt(event);
      if (cell !== null) {
        this.#choose(cell);
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const cell = this.#cellAt(event);
      if (cell !== null) {
        events.pointed(this.#describe(cell));
      }
    });
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
    canvas.addEventListener("blur", () => {
      this.#selected = null;
      this.draw();
    });
  }

  /** The number of cells that there is room for. */
  get capacity(): number {
    return Math.max(1, this.#columns * Math.floor(this.#surface.height / (CELL + GAP)));
  }

  show(state: State, heat: HeatInfo | null): void {
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

  /** Draws all cells. The map is empty until the heat arrives. */
  draw(): void {
    const [state, heat] = [this.#state, this.#heat];
    const context = this.#surface.clear();
    if (state === null || heat === null || context === null) {
      return;
    }
    const current = this.#selected ?? this.#cellOf(state.cursor);
    const shade = shading(heat, state.mode, this.#subject);
    heat.stored.forEach((_, cell) => {
      const [x, y] = this.#place(cell);
      context.fillStyle = this.#palette.of(shade(cell));
      context.fillRect(x, y, CELL, CELL);
    });
    const [x, y] = this.#place(current);
    context.strokeStyle = this.#palette.cursor;
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
      this.#events.pointed(this.#describe(this.#selected));
      this.draw();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(cell: number): void {
    this.#selected = null;
    this.#events.chosen(cell * (this.#heat?.bucketPages ?? 1) * PAGE);
  }

  #describe(cell: number): string {
    const [state, heat] = [this.#state, this.#heat];
    return state === null || heat === null
      ? ""
      : describeCell(heat, cell, state.region, this.#subject);
  }
}
