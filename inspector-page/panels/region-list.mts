import { formatAddress, formatSize, hasBytes, PAGE, type Region } from "../model/addresses.mjs";
import type { State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import { make } from "./dom.mjs";

/** The list of regions by address, with the holes between them. */
export class RegionList {
  readonly #list: HTMLElement;
  readonly #items = new Map<Region, HTMLElement>();
  /** The regions that can be chosen. */
  readonly #choices: readonly Region[];
  #shown: Region | null = null;

  /** @param choose - Called when a region is chosen. */
  constructor(
    list: HTMLElement,
    { regions, compares, isLive }: Subject,
    choose: (region: Region) => void,
  ) {
    this.#list = list;
    this.#choices = regions.filter(hasBytes);
    let end = 0n;
    for (const region of regions) {
      if (region.gpa > end) {
        list.append(makeHole(region.gpa - end));
      }
      const item = makeItem(region, compares, isLive);
      item.addEventListener("click", () => {
        if (hasBytes(region)) {
          choose(region);
        }
      });
      this.#items.set(region, item);
      list.append(item);
      end = region.gpa + region.size;
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      const region = step === undefined ? undefined : this.#neighbour(step);
      if (region !== undefined) {
        event.preventDefault();
        event.stopPropagation();
        choose(region);
      }
    });
  }

  show({ region: shown }: State): void {
    this.#shown = shown;
    for (const [region, item] of this.#items) {
      item.ariaSelected = String(region === shown);
      if (region === shown) {
        this.#list.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    }
  }

  focus(): void {
    this.#list.focus();
  }

  /** Returns the region before or after the one that is shown, or that one itself at an end. */
  #neighbour(step: number): Region | undefined {
    const at = this.#choices.findIndex((region) => region === this.#shown);
    return this.#choices[Math.max(0, Math.min(this.#choices.length - 1, at + step))];
  }
}

function makeItem(region: Region, compares: boolean, isLive: boolean): HTMLElement {
  const { kind, name, gpa, size, storedPages, differingPages } = region;
  const item = make("div", `region ${kind}`);
  item.id = `region-${region.index}`;
  item.role = "option";
  item.ariaSelected = "false";
  item.ariaDisabled = String(!hasBytes(region));
  const head = make("div", "region-head");
  head.append(make("span", "kind", kind), make("span", "name", name));
  head.append(make("span", "size", formatSize(size)));
  const last = size === 0n ? gpa : gpa + size - 1n;
  item.append(head, make("div", "range", `${formatAddress(gpa)} – ${formatAddress(last)}`));
  // Pages that are zero are not counted while the machine runs.
  if (hasBytes(region) && !isLive) {
    const pages = Math.ceil(Number(size) / PAGE);
    const differing = compares ? ` · ${differingPages.toLocaleString("en")} differ` : "";
    const stored = `${storedPages.toLocaleString("en")} of ${pages.toLocaleString("en")} pages`;
    const bar = make("div", "bar");
    const fill = make("div", "fill");
    fill.style.width = `${storedPages === 0 ? 0 : Math.max(1, (100 * storedPages) / pages)}%`;
    bar.append(fill);
    item.append(bar, make("div", "pages", stored + differing));
    item.title = "pages that are not all zero, of how many";
  }
  return item;
}

function makeHole(size: bigint): HTMLElement {
  const hole = make("div", "hole", `${formatSize(size)} unmapped`);
  hole.role = "presentation";
  return hole;
}
