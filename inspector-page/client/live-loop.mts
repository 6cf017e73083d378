import type { LiveInfo } from "../../lib/inspector/protocol.js";
import { messageOf } from "./errors.mjs";
import { requests } from "./requests.mjs";

/** Milliseconds between two questions, and after one that failed or while nobody looks. */
const INTERVAL = 250;
const SLOW_INTERVAL = 1000;

/** The calls that a loop makes. */
export interface LiveEvents {
  readonly answered: (info: LiveInfo) => void;
  readonly failed: (message: string) => void;
}

/** Asks the server again and again what the machine does. At most one question waits. */
export class LiveLoop {
  /** The index of the CPU whose registers are shown. */
  cpu = 0;
  readonly #events: LiveEvents;
  #timer = 0;
  #isAsking = false;
  #isUrgent = false;

  constructor(events: LiveEvents) {
    this.#events = events;
  }

  /** Asks now, and from then on regularly. */
  ask(): void {
    this.#isUrgent = true;
    if (!this.#isAsking) {
      void this.#ask();
    }
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isAsking = true;
    this.#isUrgent = false;
    let interval = INTERVAL;
    try {
      this.#events.answered(await requests.live(this.cpu));
    } catch (error) {
      interval = SLOW_INTERVAL;
      this.#events.failed(messageOf(error));
    }
    this.#isAsking = false;
    if (this.#isUrgent) {
      void this.#ask();
      return;
    }
    // Browsers slow the timers of hidden pages down.
    this.#timer = setTimeout(() => void this.#ask(), document.hidden ? SLOW_INTERVAL : interval);
  }
}
