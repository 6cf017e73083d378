/**
 * A canvas with a pixel for each pixel of the screen. It keeps its size in fields, because reading
 * the size of the element may force a layout.
 */
export class Surface {
  readonly canvas: HTMLCanvasElement;
  /** Width in CSS pixels. */
  width = 0;
  /** Height in CSS pixels. */
  height = 0;

  /** @param resized - Called when the canvas has another size, and is empty. */
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

  /** Empties the canvas. The context that it returns measures in CSS pixels. */
  clear(): CanvasRenderingContext2D | null {
    const context = this.canvas.getContext("2d");
    if (context !== null) {
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, this.width, this.height);
    }
    return context;
  }
}
