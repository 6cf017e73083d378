import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { shading } from "../model/heat.mjs";
import type { State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import type { Palette } from "./palette.mjs";
import { Surface } from "./surface.mjs";

/** Least height of the scroll bar's thumb, in CSS pixels. */
const MIN_THUMB = 14;

/** The rows that are on the screen, of all rows of the region. */
export interface ScrollPosition {
  readonly top: number;
  readonly visibleRows: number;
  readonly totalRows: number;
}

/** The scroll bar of the hex view, which is a narrow heat map of the region too. */
export class ScrollMap {
  readonly #surface: Surface;
  readonly #palette: Palette;
  readonly #subject: Subject;

  /**
   * @param scroll - Called with the part of the region, from 0 to 1, to show in the middle.
   * @param resized - Called when the canvas has another size, and is empty.
   */
  constructor(
    canvas: HTMLCanvasElement,
    subject: Subject,
    palette: Palette,
    scroll: (part: number) => void,
    resized: () => void,
  ) {
    this.#surface = new Surface(canvas, resized);
    this.#palette = palette;
    this.#subject = subject;
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

  show({ mode }: State, heat: HeatInfo | null, position: ScrollPosition): void {
    const context = this.#surface.clear();
    if (context === null) {
      return;
    }
    if (heat !== null) {
      const shade = shading(heat, mode, this.#subject);
      this.#drawHeat(context, heat.stored.length, shade);
    }
    this.#drawThumb(context, position);
    this.#surface.canvas.setAttribute("aria-valuemax", String(position.totalRows));
    this.#surface.canvas.setAttribute("aria-valuenow", String(position.top));
  }

  #drawHeat(
    context: CanvasRenderingContext2D,
    cells: number,
    shade: (cell: number) => number,
  ): void {
    const { width, height } = this.#surface;
    for (let y = 0; y < height; y++) {
      // A line of pixels has the colour of the hottest of its cells.
      const first = Math.floor((y / height) * cells);
      const end = Math.max(first + 1, Math.floor(((y + 1) / height) * cells));
      let hottest = -1;
      for (let cell = first; cell < end; cell++) {
        hottest = Math.max(hottest, shade(cell));
      }
      context.fillStyle = this.#palette.of(hottest);
      context.fillRect(0, y, width, 1);
    }
  }

  #drawThumb(context: CanvasRenderingContext2D, position: ScrollPosition): void {
    const { width, height } = this.#surface;
    const { top, visibleRows, totalRows } = position;
    const thumb = Math.max(MIN_THUMB, (visibleRows / Math.max(1, totalRows)) * height);
    const y = (top / Math.max(1, totalRows - visibleRows)) * (height - thumb);
    context.strokeStyle = this.#palette.cursor;
    context.lineWidth = 2;
    context.strokeRect(1, Math.max(1, Math.min(y, height - thumb)), width - 2, thumb - 2);
  }
}
