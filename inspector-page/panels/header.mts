import type { FileInfo } from "../../lib/inspector/protocol.js";
import { formatSize } from "../model/addresses.mjs";
import type { State } from "../model/state.mjs";
import { sideNames, type Subject } from "../model/subject.mjs";
import { VIEW_TYPES, type ViewType, viewType } from "../model/values.mjs";
import { byId, make } from "./dom.mjs";

/** The top of the page: the snapshots' names, and the list of types to show bytes as. */
export class Header {
  readonly #types = byId("type", HTMLSelectElement);
  readonly #files: readonly HTMLElement[];
  readonly #compares: boolean;

  /** @param choose - Called when a type is chosen. */
  constructor(subject: Subject, choose: (type: ViewType) => void) {
    const { files, compares } = subject;
    this.#compares = compares;
    document.body.classList.toggle("comparing", compares);
    document.title = `${files.map(({ name }) => name).join(" ↔ ")} – guest memory`;
    this.#files = sideNames(subject).map((side, i) => makeFile(side, files[i]!));
    byId("files", HTMLElement).replaceChildren(...this.#files);
    for (const { name, label } of VIEW_TYPES) {
      this.#types.add(new Option(label, name));
    }
    this.#types.addEventListener("change", () => choose(viewType(this.#types.value)));
  }

  show({ type, side }: State): void {
    this.#types.value = type.name;
    this.#files.forEach((file, i) => {
      file.classList.toggle("shown", this.#compares && i === side);
    });
  }
}

function makeFile(side: string, { name, size, generation }: FileInfo): HTMLElement {
  const about = `${formatSize(size)} · generation ${generation}`;
  const file = make("div", "file");
  file.append(make("span", "side", side), make("span", "name", name), make("span", "about", about));
  file.title = `${name}: ${about}`;
  return file;
}
