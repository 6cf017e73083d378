import type { ByteCache } from "../client/byte-cache.mjs";
import { formatAddress } from "../model/addresses.mjs";
import { cursorAddress, type State } from "../model/state.mjs";
import { sideNames, type Subject } from "../model/subject.mjs";
import { VALUE_TYPES, type ViewType } from "../model/values.mjs";
import { byId, make } from "./dom.mjs";

/** Bytes in the widest type. */
const WIDEST = 8;

/** The table of the bytes at the cursor as each type, on each side. */
export class ValuesPanel {
  readonly #address = byId("cursor-address", HTMLElement);
  readonly #rows = byId("values", HTMLElement);
  readonly #subject: Subject;
  readonly #cache: ByteCache;

  constructor(subject: Subject, cache: ByteCache) {
    this.#subject = subject;
    this.#cache = cache;
  }

  show(state: State): void {
    this.#address.textContent = formatAddress(cursorAddress(state), this.#subject.digits);
    const head = make("tr");
    const names = this.#subject.compares ? sideNames(this.#subject) : ["value"];
    head.append(...["type", ...names].map((text) => make("th", "", text)));
    byId("values-head", HTMLElement).replaceChildren(head);
    const sides = this.#subject.files.map((_, side) => this.#bytesAtCursor(state, side));
    this.#rows.replaceChildren(...VALUE_TYPES.map((type) => makeRow(type, sides, state)));
  }

  /** Returns the bytes from the cursor that the widest type needs; null until they arrive. */
  #bytesAtCursor({ region, cursor }: State, side: number): DataView | null {
    const bytes: number[] = [];
    const end = Math.min(cursor + WIDEST, Number(region.size));
    // Byte by byte, since the cache returns no bytes across a page's end.
    for (let at = cursor; at < end; at++) {
      const found = this.#cache.get(side, region, at, 1);
      if (typeof found === "string") {
        return null;
      }
      bytes.push(found[0]!);
    }
    return new DataView(Uint8Array.from(bytes).buffer);
  }
}

function makeRow(type: ViewType, sides: readonly (DataView | null)[], state: State): HTMLElement {
  const texts = sides.map((data) => textOf(data, type));
  const differs = texts.length === 2 && texts[0] !== texts[1];
  const row = make("tr");
  row.classList.toggle("current", type === state.type);
  row.append(make("th", "", type.name));
  row.append(...texts.map((text) => make("td", differs ? "differs" : "", text)));
  return row;
}

function textOf(data: DataView | null, type: ViewType): string {
  if (data === null) {
    return "…";
  }
  return data.byteLength < type.bytes ? "–" : type.format(data, 0);
}
