import { checkFunction, checkObject } from "../base/arguments.js";
import { typeError } from "../base/errors.js";

/** Number of pages read or written in one call of the file system. */
export const BATCH = 1024;

/** Options of functions that read or write many pages. */
export interface ProgressOptions {
  /** Called as the work proceeds, with the bytes of pages that are done and those of all pages. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Stops the work when it is aborted. The function throws its reason then. */
  readonly signal?: AbortSignal | undefined;
}

/** Reports the progress of work, and stops it. */
export class Progress {
  readonly #onProgress: ((done: number, total: number) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  #done = 0;
  #total = 0;

  /** @throws TypeError for invalid options; the reason of the signal if it is aborted already. */
  constructor(options: ProgressOptions) {
    const { onProgress, signal } = checkObject(options, "options");
    if (onProgress !== undefined) {
      checkFunction(onProgress, "onProgress");
    }
    // Not instanceof, because there are other implementations than that of Node.
    const { throwIfAborted } = Object(signal) as Partial<AbortSignal>;
    if (signal !== undefined && typeof throwIfAborted !== "function") {
      throw typeError("signal must be an AbortSignal");
    }
    this.#onProgress = onProgress;
    this.#signal = signal;
    signal?.throwIfAborted();
  }

  /** Starts the work, of which there are `total` bytes. It may start anew. */
  start(total: number): void {
    this.#done = 0;
    this.#total = total;
    this.add(0);
  }

  /** @throws The reason of the signal if it is aborted; what the listener throws. */
  add(bytes: number): void {
    this.#done += bytes;
    this.#onProgress?.(this.#done, this.#total);
    this.#signal?.throwIfAborted();
  }
}
