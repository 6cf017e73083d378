import type { FileInfo } from "../../lib/inspector/protocol.js";
import { formatSize } from "../model/addresses.mjs";
import type { State } from "../model/state.mjs";
import { sideNames, type Subject } from "../model/subject.mjs";
import { VIEW_TYPES, type ViewType, viewType } from "../model/values.mjs";
import { byId, make } from "./dom.mjs";

/** The top of the page: the snapshots' names, and the list of types to show bytes as. */
export class Header {
  readonly #types = byId("type", HTMLSelectElement);
  readonly #subject: Subject;
  #shown: readonly FileInfo[] = [];
  #files: readonly HTMLElement[] = [];

  /** @param choose - Called when a type is chosen. */
  constructor(subject: Subject, choose: (type: ViewType) => void) {
    this.#subject = subject;
    document.body.classList.toggle("live", subject.isLive);
    for (const { name, label } of VIEW_TYPES) {
      this.#types.add(new Option(label, name));
    }
    this.#types.addEventListener("change", () => choose(viewType(this.#types.value)));
  }

  show({ type, side }: State): void {
    this.#types.value = type.name;
    const { files, compares, isLive } = this.#subject;
    if (files !== this.#shown) {
      this.#shown = files;
      document.body.classList.toggle("comparing", compares);
      document.title = `${files.map(({ name }) => name).join(" ↔ ")} – guest memory`;
      this.#files = sideNames(this.#subject).map((name, i) => makeFile(name, files[i]!, isLive));
      byId("files", HTMLElement).replaceChildren(...this.#files);
    }
    this.#files.forEach((file, i) => {
      file.classList.toggle("shown", compares && i === side);
    });
  }
}

function makeFile(side: string, info: FileInfo, isLive: boolean): HTMLElement {
  const { name, size, generation } = info;
  const about = formatSize(size) + (isLive ? "" : ` · generation ${generation}`);
  const file = make("div", "file");
  file.append(make("span", "side", side), make("span", "name", name), make("span", "about", about));
  file.title = `${name}: ${about}`;
  return file;
}
