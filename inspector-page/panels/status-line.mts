import { byId } from "./dom.mjs";

/** The line at the bottom of the page, which reports the result of what was done last. */
export class StatusLine {
  readonly #element = byId("status", HTMLElement);

  /** Shows a message. */
  tell(text: string): void {
    this.#show(text, false);
  }

  /** Shows the message of a failure. */
  fail(text: string): void {
    this.#show(text, true);
  }

  set hidden(hidden: boolean) {
    this.#element.hidden = hidden;
  }

  #show(text: string, failed: boolean): void {
    this.#element.textContent = text;
    this.#element.classList.toggle("failed", failed);
  }
}
