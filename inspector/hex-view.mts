import { formatAddress, PAGE, type Region } from "./addresses.mjs";
import type { ByteCache, Missing } from "./client.mjs";
import { markMatches } from "./query.mjs";
import { printable, VIEW_TYPES, type ViewType } from "./values.mjs";

/** Bytes of a row. */
export const ROW = 16;

/** What to show. */
export interface ViewState {
  readonly region: Region;
  /** Bytes from the region's start. */
  readonly cursor: number;
  readonly type: ViewType;
  /** Which of the two snapshots is shown. */
  readonly side: number;
  /** The other one to compare with; null where there is one snapshot. */
  readonly otherSide: number | null;
  /** Bytes to mark wherever they are shown. */
  readonly pattern: Uint8Array | null;
  /** Digits of an address. */
  readonly digits: number;
}

/** An element that is drawn again and again, and touched only where that changes it. */
class Cell {
  readonly element: HTMLElement;
  readonly #base: string;
  #text = "";
  #look = "";
  #offset = -1;

  constructor(element: HTMLElement) {
    this.element = element;
    this.#base = element.className;
  }

  /** @param offset - Of its first byte, from the region's start. */
  draw(text: string, look: string, offset: number): void {
    if (text !== this.#text) {
      this.element.textContent = this.#text = text;
    }
    if (look !== this.#look) {
      this.#look = look;
      this.element.className = `${this.#base} ${look}`;
    }
    if (offset !== this.#offset) {
      this.#offset = offset;
      this.element.dataset["offset"] = String(offset);
      if (this.element.role !== null) {
        this.element.id = `byte-${offset}`;
      }
    }
  }
}

/** The elements of a row, made once and filled again and again. */
interface RowElements {
  readonly row: HTMLElement;
  readonly address: HTMLElement;
  readonly cells: Cell[];
  readonly characters: Cell[];
}

/**
 * The rows of bytes. Only those that fit on the screen exist, so a region may have any size. Nothing
 * scrolls but by {@link HexView.scrollTo}.
 */
export class HexView {
  readonly #grid: HTMLElement;
  readonly #cache: ByteCache;
  #rows: RowElements[] = [];
  #typeOfRows: ViewType | null = null;
  #state: ViewState | null = null;
  #top = 0;
  #visibleRows = 1;

  /**
   * @param pick - Called when a byte is clicked.
   * @param resized - Called when another number of rows fits.
   */
  constructor(
    grid: HTMLElement,
    cache: ByteCache,
    pick: (offset: number) => void,
    resized: () => void,
  ) {
    this.#grid = grid;
    this.#cache = cache;
    const height = parseFloat(getComputedStyle(grid).getPropertyValue("--row-height")) || 20;
    const measure = (): void => {
      this.#visibleRows = Math.max(1, Math.floor(grid.clientHeight / height));
    };
    measure();
    new ResizeObserver(() => {
      measure();
      resized();
    }).observe(grid);
    grid.addEventListener("pointerdown", (event) => {
      const offset =
        event.target instanceof HTMLElement ? event.target.dataset["offset"] : undefined;
      if (offset !== undefined) {
        pick(Number(offset));
      }
    });
  }

  /** The number of the first row that is shown. */
  get top(): number {
    return this.#top;
  }

  /** How many rows fit. */
  get visibleRows(): number {
    return this.#visibleRows;
  }

  /** How many rows the region has. */
  get totalRows(): number {
    return this.#state === null ? 0 : Math.ceil(Number(this.#state.region.size) / ROW);
  }

  /**
   * Shows a state.
   *
   * @param follow - Whether the cursor has to be on the screen.
   */
  show(state: ViewState, follow: boolean): void {
    const otherRegion = state.region !== this.#state?.region;
    this.#state = state;
    if (!follow) {
      this.scrollTo(this.#top);
      return;
    }
    const row = Math.floor(state.cursor / ROW);
    const visible = this.visibleRows;
    if (otherRegion || row < this.#top - visible || row >= this.#top + 2 * visible) {
      // A jump: not at the edge, so that what is around can be seen.
      this.#top = row - Math.floor(visible / 3);
    } else {
      this.#top = Math.min(Math.max(this.#top, row - visible + 1), row);
    }
    this.scrollTo(this.#top);
  }

  /** Shows other rows; the cursor may leave the screen. */
  scrollTo(top: number): void {
    this.#top = Math.max(0, Math.min(top, this.totalRows - this.visibleRows));
    this.draw();
  }

  /** Fills the rows with what is known now. */
  draw(): void {
    const state = this.#state;
    if (state === null) {
      return;
    }
    this.#makeRows(state);
    const marks = this.#marks(state);
    this.#rows.forEach((elements, i) => this.#drawRow(elements, this.#top + i, i, state, marks));
    this.#grid.setAttribute("aria-rowcount", String(this.totalRows));
    const element = state.cursor - (state.cursor % state.type.bytes);
    this.#grid.setAttribute("aria-activedescendant", `byte-${element}`);
  }

  #makeRows(state: ViewState): void {
    const count = Math.min(this.visibleRows, this.totalRows);
    if (this.#rows.length === count && this.#typeOfRows === state.type) {
      return;
    }
    this.#typeOfRows = state.type;
    this.#rows = Array.from({ length: count }, () => makeRow(state.type));
    this.#grid.replaceChildren(...this.#rows.map(({ row }) => row));
    this.#grid.style.setProperty("--cell", `${state.type.width}ch`);
    this.#grid.dataset["bytes"] = String(state.type.bytes);
  }

  /** Which of the bytes on the screen lie in a match. */
  #marks(state: ViewState): Uint8Array | null {
    const { pattern } = state;
    if (pattern === null) {
      return null;
    }
    const bytes = new Uint8Array(this.#rows.length * ROW);
    const known = new Uint8Array(bytes.length);
    for (let i = 0; i < this.#rows.length; i++) {
      const row = this.#bytes(state.side, (this.#top + i) * ROW, state);
      if (typeof row !== "string") {
        bytes.set(row, i * ROW);
        known.fill(1, i * ROW, i * ROW + row.length);
      }
    }
    return markMatches(bytes, pattern).map((mark, i) => mark & known[i]!);
  }

  #bytes(side: number, offset: number, { region }: ViewState): Uint8Array | Missing {
    const length = Math.min(ROW, Number(region.size) - offset);
    return this.#cache.get(side, region, offset, length);
  }

  #drawRow(
    elements: RowElements,
    number: number,
    onScreen: number,
    state: ViewState,
    marks: Uint8Array | null,
  ): void {
    const start = number * ROW;
    const bytes = this.#bytes(state.side, start, state);
    const others = state.otherSide === null ? null : this.#bytes(state.otherSide, start, state);
    const gpa = state.region.gpa + BigInt(start);
    elements.row.setAttribute("aria-rowindex", String(number + 1));
    elements.row.classList.toggle("page-start", start % PAGE === 0);
    elements.address.textContent = gpa.toString(16).padStart(state.digits, "0");
    elements.address.title = formatAddress(gpa);
    const look = (at: number): string =>
      lookOf(at, bytes, others, marks?.[onScreen * ROW + at] === 1, start + at === state.cursor);
    elements.cells.forEach((cell, i) => {
      const at = i * state.type.bytes;
      const looks = Array.from({ length: state.type.bytes }, (_, j) => look(at + j));
      cell.draw(textOf(bytes, at, state.type), mergeLooks(looks), start + at);
    });
    elements.characters.forEach((character, at) => {
      const byte = typeof bytes === "string" ? undefined : bytes[at];
      character.draw(byte === undefined ? " " : printable(byte), look(at), start + at);
    });
  }
}

function makeRow(type: ViewType): RowElements {
  const row = make("div", "row", "row");
  const address = make("span", "address", "rowheader");
  const cells = Array.from({ length: ROW / type.bytes }, () => make("span", "cell", "gridcell"));
  const characters = Array.from({ length: ROW }, () => make("span"));
  const text = make("span", "text");
  text.ariaHidden = "true";
  text.append(...characters);
  const values = make("span", "cells");
  values.role = "presentation";
  values.append(...cells);
  row.append(address, values, text);
  return {
    row,
    address,
    cells: cells.map((cell) => new Cell(cell)),
    characters: characters.map((character) => new Cell(character)),
  };
}

function make(tag: "div" | "span", className = "", role: string | null = null): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.role = role;
  return element;
}

function textOf(bytes: Uint8Array | Missing, at: number, type: ViewType): string {
  if (typeof bytes === "string") {
    return bytes === "damaged" ? "??" : "··";
  }
  // At the end of a region there may be too few bytes for an element.
  if (at + type.bytes > bytes.length) {
    return "";
  }
  return type.format(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at);
}

/** The classes of a byte. */
function lookOf(
  at: number,
  bytes: Uint8Array | Missing,
  others: Uint8Array | Missing | null,
  isMatch: boolean,
  isCursor: boolean,
): string {
  if (typeof bytes === "string") {
    return bytes;
  }
  const byte = bytes[at];
  if (byte === undefined) {
    return "beyond";
  }
  const differs = others !== null && typeof others !== "string" && others[at] !== byte;
  const kind = byte === 0 ? "zero" : byte >= 0x20 && byte < 0x7f ? "print" : "other";
  return [kind, differs && "differs", isMatch && "match", isCursor && "cursor"]
    .filter((name) => name !== false)
    .join(" ");
}

/** The classes of an element: what holds for one of its bytes, and zero only where all are. */
function mergeLooks(looks: readonly string[]): string {
  if (looks.length === 1) {
    return looks[0]!;
  }
  const all = new Set(looks.flatMap((look) => look.split(" ")));
  if (all.size > 1 && (all.has("print") || all.has("other"))) {
    all.delete("zero");
  }
  if (all.delete("print")) {
    all.add("other");
  }
  return [...all].join(" ");
}

/** The type of a name, or the first. */
export function viewType(name: string | null): ViewType {
  return VIEW_TYPES.find((type) => type.name === name) ?? VIEW_TYPES[0]!;
}
