import { formatAddress, PAGE } from "../model/addresses.mjs";
import { ROW } from "../model/state.mjs";
import { printable, type ViewType } from "../model/values.mjs";
import { byteLook, elementText, mergeLooks, type RowContent } from "./byte-look.mjs";
import { make } from "./dom.mjs";

/** Writes the attributes of an element only if they change: most cells stay as they are. */
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

  /**
   * @param look - CSS classes, besides those that the element was made with.
   * @param offset - Of the first byte, from the region's start.
   */
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

/** A row of the hex view: its address, its elements and its characters. */
export class HexRow {
  readonly element = make("div", "row");
  readonly #address = make("span", "address");
  readonly #type: ViewType;
  readonly #elements: readonly Cell[];
  readonly #characters: readonly Cell[];

  constructor(type: ViewType) {
    this.#type = type;
    this.#elements = Array.from({ length: ROW / type.bytes }, () => {
      const cell = make("span", "cell");
      cell.role = "gridcell";
      return new Cell(cell);
    });
    this.#characters = Array.from({ length: ROW }, () => new Cell(make("span")));
    this.element.role = "row";
    this.#address.role = "rowheader";
    const cells = make("span", "cells");
    cells.role = "presentation";
    cells.append(...this.#elements.map(({ element }) => element));
    const text = make("span", "text");
    text.ariaHidden = "true";
    text.append(...this.#characters.map(({ element }) => element));
    this.element.append(this.#address, cells, text);
  }

  /**
   * Shows the row's content.
   *
   * @param gpa - The address of the first byte.
   * @param start - The first byte, from the region's start.
   * @param digits - Hexadecimal digits of the address.
   */
  draw(gpa: bigint, start: number, digits: number, content: RowContent): void {
    const { bytes } = content;
    const size = this.#type.bytes;
    this.element.setAttribute("aria-rowindex", String(start / ROW + 1));
    this.element.classList.toggle("page-start", start % PAGE === 0);
    this.#address.textContent = gpa.toString(16).padStart(digits, "0");
    this.#address.title = formatAddress(gpa);
    const looks = Array.from({ length: ROW }, (_, at) => byteLook(at, content));
    this.#elements.forEach((cell, i) => {
      const at = i * size;
      const look = mergeLooks(looks.slice(at, at + size));
      cell.draw(elementText(bytes, at, this.#type), look, start + at);
    });
    this.#characters.forEach((character, at) => {
      const byte = typeof bytes === "string" ? undefined : bytes[at];
      character.draw(byte === undefined ? " " : printable(byte), looks[at]!, start + at);
    });
  }
}
