import { formatAddress, formatSize, hasBytes, PAGE, type Region } from "./addresses.mjs";

/** The list of regions, with the holes between them. */
export class RegionList {
  readonly #list: HTMLElement;
  readonly #items = new Map<number, HTMLElement>();

  /** @param choose - Called when a region is chosen. */
  constructor(
    list: HTMLElement,
    regions: readonly Region[],
    compares: boolean,
    choose: (region: Region) => void,
  ) {
    this.#list = list;
    let end = 0n;
    for (const region of regions) {
      if (region.gpa > end) {
        list.append(makeHole(region.gpa - end));
      }
      const item = makeItem(region, compares);
      item.addEventListener("click", () => {
        if (hasBytes(region)) {
          choose(region);
        }
      });
      this.#items.set(region.index, item);
      list.append(item);
      end = region.gpa + region.size;
    }
    const chosen = (step: number): Region | undefined => {
      const shown = regions.filter(hasBytes);
      const at = shown.findIndex(
        (region) => this.#items.get(region.index)?.ariaSelected === "true",
      );
      return shown[Math.max(0, Math.min(shown.length - 1, at + step))];
    };
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      const region = step === undefined ? undefined : chosen(step);
      if (region !== undefined) {
        event.preventDefault();
        event.stopPropagation();
        choose(region);
      }
    });
  }

  select(region: Region): void {
    for (const [index, item] of this.#items) {
      item.ariaSelected = String(index === region.index);
      if (index === region.index) {
        this.#list.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    }
  }

  focus(): void {
    this.#list.focus();
  }
}

function makeItem(region: Region, compares: boolean): HTMLElement {
  const { kind, name, gpa, size, storedPages, differingPages } = region;
  const item = element("div", `region ${kind}`);
  item.id = `region-${region.index}`;
  item.role = "option";
  item.ariaSelected = "false";
  item.ariaDisabled = String(!hasBytes(region));
  const head = element("div", "region-head");
  head.append(element("span", "kind", kind), element("span", "name", name));
  head.append(element("span", "size", formatSize(size)));
  const last = size === 0n ? gpa : gpa + size - 1n;
  item.append(head, element("div", "range", `${formatAddress(gpa)} – ${formatAddress(last)}`));
  if (hasBytes(region)) {
    const pages = Math.ceil(Number(size) / PAGE);
    const differing = compares ? ` · ${differingPages.toLocaleString("en")} differ` : "";
    const text = `${storedPages.toLocaleString("en")} of ${pages.toLocaleString("en")} pages${differing}`;
    const bar = element("div", "bar");
    const fill = element("div", "fill");
    fill.style.width = `${storedPages === 0 ? 0 : Math.max(1, (100 * storedPages) / pages)}%`;
    bar.append(fill);
    item.append(bar, element("div", "pages", text));
    item.title = "pages that are not all zero, of how many";
  }
  return item;
}

function makeHole(size: bigint): HTMLElement {
  const hole = element("div", "hole", `${formatSize(size)} unmapped`);
  hole.role = "presentation";
  return hole;
}

function element(tag: "div" | "span", className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
