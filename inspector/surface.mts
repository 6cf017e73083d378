/** A canvas as sharp as the screen, which knows its size without asking for a layout. */
export class Surface {
  readonly canvas: HTMLCanvasElement;
  /** In CSS pixels. */
  width = 0;
  height = 0;

  /** @param resized - Called when the size has changed; what was drawn is gone then. */
  constructor(canvas: HTMLCanvasElement, resized: () => void) {
    this.canvas = canvas;
    const fit = (): void => {
      this.width = canvas.clientWidth;
      this.height = canvas.clientHeight;
      canvas.width = Math.round(this.width * devicePixelRatio);
      canvas.height = Math.round(this.height * devicePixelRatio);
    };
    fit();
    new ResizeObserver(() => {
      if (this.width !== canvas.clientWidth || this.height !== canvas.clientHeight) {
        fit();
        resized();
      }
    }).observe(canvas);
  }

  /** Empties the canvas, to draw on in CSS pixels. */
  clear(): CanvasRenderingContext2D | null {
    const context = this.canvas.getContext("2d");
    if (context !== null) {
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, this.width, this.height);
    }
    return context;
  }
}

/** The colours of the style sheet, mixed. */
export class Palette {
  static #current: Palette | null = null;

  readonly cursor: string;
  readonly #zero: string;
  readonly #cold: string;
  readonly #stops: readonly (readonly [number, number, number])[];

  private constructor() {
    const style = getComputedStyle(document.documentElement);
    const value = (name: string): string => style.getPropertyValue(name).trim();
    this.cursor = value("--text");
    this.#zero = value("--heat-zero");
    this.#cold = value("--heat-cold");
    this.#stops = [1, 2, 3, 4].map((i) => parseColor(value(`--heat-${i}`)));
  }

  /** The colours as they are now. */
  static get(): Palette {
    Palette.#current ??= new Palette();
    return Palette.#current;
  }

  /** Has the colours read anew: the system went from dark to light, or back. */
  static forget(): void {
    Palette.#current = null;
  }

  /** The colour of a shade from 0 to 1; below 0 is what holds zeros alone. */
  of(shade: number): string {
    if (shade <= 0) {
      return shade < 0 ? this.#zero : this.#cold;
    }
    const at = Math.min(shade, 1) * (this.#stops.length - 1);
    const low = Math.min(Math.floor(at), this.#stops.length - 2);
    const [from, to] = [this.#stops[low]!, this.#stops[low + 1]!];
    const mixed = from.map((channel, i) => Math.round(channel + (to[i]! - channel) * (at - low)));
    return `rgb(${mixed.join(" ")})`;
  }
}

function parseColor(hex: string): [number, number, number] {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 0xff, value & 0xff];
}
