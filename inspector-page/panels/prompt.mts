import {
  describeAddress,
  formatAddress,
  parseGoTo,
  parseNumber,
  type Region,
} from "../model/addresses.mjs";
import type { Navigation } from "../model/navigation.mjs";
import { parseQuery, type Query } from "../model/query.mjs";
import { byId } from "./dom.mjs";
import type { StatusLine } from "./status-line.mjs";

/** What the prompt asks for: an address to go to, bytes to find or to write, or a value. */
export type PromptKind = "go" | "search" | "write" | "register";

/** A text that the prompt has understood. */
export type PromptAnswer =
  | { readonly gpa: bigint }
  | { readonly query: Query; readonly kind: PromptKind }
  | { readonly value: bigint };

const PROMPTS: Readonly<Record<PromptKind, readonly [label: string, placeholder: string]>> = {
  go: ["go to", "40001000 · +200 · #4096 · dram+1000"],
  search: ["search", 'de ad be ef · "text" · u32:1000 · 0x1234'],
  write: ["write", 'de ad be ef · "text" · u32:1000 · 0x1234'],
  register: ["value", "40001000 · #4096"],
};

/** The input field in place of the status line. A hint shows how it understands the text. */
export class Prompt {
  readonly #form = byId("prompt", HTMLFormElement);
  readonly #label = byId("prompt-label", HTMLElement);
  readonly #input = byId("prompt-input", HTMLInputElement);
  readonly #hint = byId("prompt-hint", HTMLElement);
  readonly #regions: readonly Region[];
  readonly #navigation: Navigation;
  readonly #status: StatusLine;
  #kind: PromptKind = "go";
  /** The last text of each kind, which the prompt opens with. */
  readonly #texts: Record<PromptKind, string> = { go: "", search: "", write: "", register: "" };

  /**
   * @param status - Hidden while the prompt is open.
   * @param answered - Called with the answer after Enter has closed the prompt.
   */
  constructor(
    regions: readonly Region[],
    navigation: Navigation,
    status: StatusLine,
    answered: (answer: PromptAnswer) => void,
  ) {
    this.#regions = regions;
    this.#navigation = navigation;
    this.#status = status;
    this.#input.addEventListener("input", () => this.#check());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = this.#check();
      if (answer !== null) {
        this.#texts[this.#kind] = this.#input.value;
        this.close();
        answered(answer);
      }
    });
  }

  /** @param text - The label, if it is not that of the kind. */
  open(kind: PromptKind, text?: string): void {
    const [label, placeholder] = PROMPTS[kind];
    this.#kind = kind;
    this.#label.textContent = text ?? label;
    this.#input.placeholder = placeholder;
    this.#input.value = this.#texts[kind];
    this.#form.hidden = false;
    this.#status.hidden = true;
    this.#input.focus();
    this.#input.select();
    this.#check();
  }

  close(): void {
    this.#form.hidden = true;
    this.#status.hidden = false;
  }

  /** Parses the text and shows the hint. Returns null if the text is not understood. */
  #check(): PromptAnswer | null {
    const { value } = this.#input;
    const [answer, hint] = this.#parse(value);
    this.#hint.textContent = value.trim() === "" ? "" : hint;
    this.#hint.classList.toggle("failed", answer === null);
    return answer;
  }

  #parse(text: string): [answer: PromptAnswer | null, hint: string] {
    switch (this.#kind) {
      case "go":
        return this.#parseGoTo(text);
      case "register": {
        const value = parseNumber(text.trim());
        return value === null ? [null, "no value"] : [{ value }, formatAddress(value)];
      }
      default:
        return parseBytes(text, this.#kind);
    }
  }

  #parseGoTo(text: string): [answer: PromptAnswer | null, hint: string] {
    const gpa = parseGoTo(text, this.#regions, this.#navigation.gpa);
    return gpa === null ? [null, "no address"] : [{ gpa }, describeAddress(gpa, this.#regions)];
  }
}

function parseBytes(text: string, kind: PromptKind): [answer: PromptAnswer | null, hint: string] {
  const query = parseQuery(text);
  return typeof query === "string" ? [null, query] : [{ query, kind }, query.meaning];
}
