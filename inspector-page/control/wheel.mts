/** Rows that one notch of the mouse wheel scrolls. */
const WHEEL_ROWS = 3;

/** Pixels that browsers report for one notch. */
const WHEEL_PIXELS = 100;

/** @param scroll - Called with the number of rows to scroll: down, or up if negative. */
export function listenToWheel(element: HTMLElement, scroll: (rows: number) => void): void {
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const inPixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL;
      const notches = inPixels ? event.deltaY / WHEEL_PIXELS : event.deltaY;
      scroll(Math.trunc(notches * WHEEL_ROWS || Math.sign(notches)));
    },
    { passive: false },
  );
}
