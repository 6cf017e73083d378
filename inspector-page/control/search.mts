import { messageOf } from "../client/errors.mjs";
import { type Direction, type Progress, requests } from "../client/requests.mjs";
import { formatAddress } from "../model/addresses.mjs";
import type { Navigation } from "../model/navigation.mjs";
import type { Query } from "../model/query.mjs";
import type { StatusLine } from "../panels/status-line.mjs";

/** An address above all bytes. Those that no window shows have addresses above 2^64. */
const MAX_GPA = 2n ** 72n - 1n;

type Ask = (from: bigint, signal: AbortSignal, progress: Progress) => Promise<bigint | null>;

/** Moves the cursor to matches and differences. A new search ends the one before it. */
export class Search {
  readonly #navigation: Navigation;
  readonly #status: StatusLine;
  #running: AbortController | null = null;

  constructor(navigation: Navigation, status: StatusLine) {
    this.#navigation = navigation;
    this.#status = status;
  }

  /**
   * Goes to the next match.
   *
   * @param side - The snapshot to search in.
   * @param here - Whether a match at the cursor counts.
   */
  findMatch(query: Query, side: number, direction: Direction, here = false): Promise<void> {
    return this.#find(query.meaning, direction, here, (from, signal, progress) =>
      requests.search(side, query.bytes, from, direction, signal, progress),
    );
  }

  /** Goes to the next difference between the two snapshots. */
  findDifference(direction: Direction): Promise<void> {
    return this.#find("difference", direction, false, (from, signal, progress) =>
      requests.difference(from, direction, signal, progress),
    );
  }

  /** Ends the search that is running. */
  cancel(): void {
    this.#running?.abort();
  }

  /** Searches from the cursor to the end, and then from the start; or the other way around. */
  async #find(what: string, direction: Direction, here: boolean, ask: Ask): Promise<void> {
    this.cancel();
    const running = (this.#running = new AbortController());
    const { signal } = running;
    const progress = (at: bigint): void =>
      this.#status.tell(`looking for ${what} at ${formatAddress(at)} … Esc gives up`);
    const forward = direction === "forward";
    const step = here ? 0n : 1n;
    const start = this.#navigation.gpa + (forward ? step : -step);
    try {
      let found = start < 0n ? null : await ask(start, signal, progress);
      const wrapped = found === null;
      found ??= await ask(forward ? 0n : MAX_GPA, signal, progress);
      if (found === null) {
        this.#status.fail(`no ${what}`);
        return;
      }
      this.#navigation.jump(found);
      const how = wrapped ? (forward ? ", from the start" : ", from the end") : "";
      this.#status.tell(`${what} at ${formatAddress(found)}${how}`);
    } catch (error) {
      // The message of a search that a new one has ended would hide that one's.
      if (running === this.#running) {
        this.#status.fail(signal.aborted ? "given up" : messageOf(error));
      }
    }
  }
}
