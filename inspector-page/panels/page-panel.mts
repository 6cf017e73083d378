import type { PageInfo } from "../../lib/inspector/protocol.js";
import { requests } from "../client/requests.mjs";
import { formatAddress, PAGE } from "../model/addresses.mjs";
import { cursorAddress, type State } from "../model/state.mjs";
import { sideNames, type Subject } from "../model/subject.mjs";
import { byId, make } from "./dom.mjs";

/** The facts about the page that contains the cursor. */
export class PagePanel {
  readonly #list = byId("page", HTMLElement);
  readonly #subject: Subject;
  /** The page that was requested last. */
  #key = "";
  #request: AbortController | null = null;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Requests the facts again when they are shown next. */
  refresh(): void {
    this.#key = "";
  }

  /** Requests the facts if the cursor is in another page than before. */
  async show(state: State): Promise<void> {
    const page = Math.floor(state.cursor / PAGE);
    const key = `${state.region.index} ${page}`;
    if (key === this.#key) {
      return;
    }
    this.#key = key;
    this.#request?.abort();
    this.#request = new AbortController();
    try {
      const info = await requests.page(cursorAddress(state), this.#request.signal);
      this.#fill(state, page, info);
    } catch {
      // The request was aborted for another page, or failed; the hex view reports failures.
    }
  }

  #fill({ region }: State, page: number, { sides }: PageInfo): void {
    const { digits, files, isLive } = this.#subject;
    const facts: [name: string, value: string][] = [
      ["number", `${page.toLocaleString("en")} of ${region.name}`],
      ["address", formatAddress(region.gpa + BigInt(page * PAGE), digits)],
    ];
    const names = sideNames(this.#subject);
    sides.forEach(({ stored, changes, changedIn, digest }, i) => {
      const side = names[i] === "" ? "" : `${names[i]!} `;
      facts.push([`${side}contents`, stored ? "bytes" : "all zero"]);
      if (isLive) {
        if (i === 0) {
          const times = `${changes.toLocaleString("en")}×, ${changedIn.toFixed(1)} s ago`;
          facts.push(["written", changes === 0 ? "never" : times]);
        }
        return;
      }
      if (files[i]!.generation > 0) {
        const times = `${changes.toLocaleString("en")}×, last in ${changedIn}`;
        facts.push([`${side}changed`, changes === 0 ? "never" : times]);
      }
      facts.push([`${side}checksum`, digest === null ? "–" : shorten(digest)]);
    });
    if (sides.length === 2 && !isLive) {
      facts.push(["A and B", sides[0]!.digest === sides[1]!.digest ? "equal" : "differ"]);
    }
    this.#list.replaceChildren(
      ...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]),
    );
  }
}

function shorten(digest: string): string {
  return digest.length > 16 ? `${digest.slice(0, 16)}…` : digest;
}
