import type { HeatInfo, PageInfo, SnapshotInfo } from "../lib/inspector/protocol.js";
import {
  addressDigits,
  formatAddress,
  formatSize,
  hasBytes,
  PAGE,
  parseGoTo,
  type Region,
  regionAt,
  toRegion,
} from "./addresses.mjs";
import { ByteCache, type Direction, server } from "./client.mjs";
import { HEAT_MODES, HeatMap, type HeatMode, ScrollMap } from "./heat-map.mjs";
import { HexView, ROW, viewType } from "./hex-view.mjs";
import { parseQuery, type Query } from "./query.mjs";
import { RegionList } from "./regions.mjs";
import { Palette } from "./surface.mjs";
import { VALUE_TYPES, VIEW_TYPES, type ViewType } from "./values.mjs";

/** Rows that a notch of the wheel scrolls. */
const WHEEL_ROWS = 3;

type PromptKind = "go" | "search";

const PROMPTS: Readonly<Record<PromptKind, readonly [label: string, placeholder: string]>> = {
  go: ["go to", "40001000 · +200 · #4096 · dram+1000"],
  search: ["search", 'de ad be ef · "text" · u32:1000 · 0x1234'],
};

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) {
    throw new Error(`the page has no ${id}`);
  }
  return element;
}

/** Ties the parts of the page together. */
class App {
  readonly #info: SnapshotInfo;
  readonly #regions: readonly Region[];
  readonly #digits: number;
  readonly #cache: ByteCache;
  readonly #hex: HexView;
  readonly #heatMap: HeatMap;
  readonly #scrollMap: ScrollMap;
  readonly #list: RegionList;

  readonly #bytes = byId("bytes", HTMLElement);
  readonly #status = byId("status", HTMLElement);
  readonly #prompt = byId("prompt", HTMLFormElement);
  readonly #input = byId("prompt-input", HTMLInputElement);
  readonly #hint = byId("prompt-hint", HTMLElement);
  readonly #help = byId("help", HTMLDialogElement);
  readonly #typeSelect = byId("type", HTMLSelectElement);

  #region: Region;
  #cursor = 0;
  #type: ViewType = VIEW_TYPES[0]!;
  #side = 0;
  #mode: HeatMode;
  #query: Query | null = null;
  #promptKind: PromptKind = "go";
  /** What was typed last, so that it need not be typed again. */
  readonly #typed: Record<PromptKind, string> = { go: "", search: "" };
  /** Where jumps came from. */
  readonly #trail: bigint[] = [];
  #heat: HeatInfo | null = null;
  #heatKey = "";
  #pageKey = "";
  #searching: AbortController | null = null;
  #pageRequest: AbortController | null = null;
  #drawing = false;
  /** Whether the cursor is kept on the screen: until one scrolls. */
  #follow = true;

  constructor(info: SnapshotInfo, regions: readonly Region[], first: Region) {
    this.#info = info;
    this.#regions = regions;
    this.#region = first;
    this.#digits = addressDigits(regions);
    this.#mode = this.#compares ? "difference" : this.#generation > 0 ? "changes" : "contents";
    this.#cache = new ByteCache((failure) => {
      if (failure !== null) {
        this.#tell(failure, true);
      }
      this.#update();
    });
    const update = (): void => this.#update();
    this.#hex = new HexView(this.#bytes, this.#cache, (offset) => this.#moveTo(offset), update);
    this.#heatMap = new HeatMap(
      byId("heat", HTMLCanvasElement),
      (offset) => this.#jump(this.#region.gpa + BigInt(offset)),
      (text) => this.#tell(text),
      () => {
        this.#heatMap.draw();
        this.#update();
      },
    );
    this.#scrollMap = new ScrollMap(
      byId("scroll", HTMLCanvasElement),
      (part) => {
        const { totalRows, visibleRows } = this.#hex;
        this.#scrollTo(Math.round(part * totalRows - visibleRows / 2));
      },
      update,
    );
    this.#list = new RegionList(byId("regions", HTMLElement), regions, this.#compares, (region) =>
      this.#jump(region.gpa),
    );
    this.#makeTools();
    this.#listen();
  }

  start(): void {
    this.#readHash();
    this.#bytes.focus();
    this.#update();
  }

  get #compares(): boolean {
    return this.#info.files.length === 2;
  }

  get #generation(): number {
    return this.#info.files[0]!.generation;
  }

  get #gpa(): bigint {
    return this.#region.gpa + BigInt(this.#cursor);
  }

  #makeTools(): void {
    document.body.classList.toggle("comparing", this.#compares);
    document.title = `${this.#info.files.map(({ name }) => name).join(" ↔ ")} – guest memory`;
    for (const { name, label } of VIEW_TYPES) {
      this.#typeSelect.add(new Option(label, name));
    }
    const modes = byId("heat-modes", HTMLElement);
    for (const mode of this.#modes) {
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = "heat-mode";
      radio.value = mode;
      radio.addEventListener("change", () => this.#setMode(mode));
      const label = document.createElement("label");
      label.append(radio, HEAT_MODES[mode][0]);
      modes.append(label);
    }
    const sides = this.#compares ? ["A", "B"] : [];
    byId("files", HTMLElement).replaceChildren(
      ...this.#info.files.map(({ name, size, generation }, i) => {
        const file = document.createElement("div");
        file.className = "file";
        const about = `${formatSize(size)} · generation ${generation}`;
        const parts = [
          ["side", sides[i] ?? ""],
          ["name", name],
          ["about", about],
        ] as const;
        for (const [className, text] of parts) {
          const part = document.createElement("span");
          part.className = className;
          part.textContent = text;
          file.append(part);
        }
        file.title = `${name}: ${about}`;
        return file;
      }),
    );
  }

  get #modes(): HeatMode[] {
    return [
      ...(this.#compares ? (["difference"] as const) : []),
      ...(this.#generation > 0 ? (["changes", "recency"] as const) : []),
      "contents",
    ];
  }

  #listen(): void {
    document.addEventListener("keydown", (event) => this.#onKey(event));
    this.#bytes.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const rows =
          event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / 100 : event.deltaY;
        this.#scrollTo(this.#hex.top + Math.trunc(rows * WHEEL_ROWS || Math.sign(rows)));
      },
      { passive: false },
    );
    this.#typeSelect.addEventListener("change", () => {
      this.#type = viewType(this.#typeSelect.value);
      this.#bytes.focus();
      this.#update();
    });
    this.#prompt.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#acceptPrompt();
    });
    this.#input.addEventListener("input", () => this.#checkPrompt());
    byId("help-button", HTMLElement).addEventListener("click", () => this.#help.showModal());
    this.#help.addEventListener("close", () => this.#bytes.focus());
    addEventListener("hashchange", () => {
      this.#readHash();
      this.#update();
    });
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
      Palette.forget();
      this.#heatMap.draw();
      this.#update();
    });
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      this.#escape(event);
      return;
    }
    const target = event.target;
    const typing =
      this.#help.open || target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    if (typing || event.altKey || event.metaKey) {
      return;
    }
    const action = event.ctrlKey ? this.#controlKeys[event.key] : this.#keys[event.key];
    if (action !== undefined) {
      event.preventDefault();
      action();
    }
  }

  readonly #keys: Readonly<Record<string, () => void>> = {
    ArrowLeft: () => this.#move(-this.#type.bytes),
    ArrowRight: () => this.#move(this.#type.bytes),
    ArrowUp: () => this.#move(-ROW),
    ArrowDown: () => this.#move(ROW),
    h: () => this.#move(-this.#type.bytes),
    l: () => this.#move(this.#type.bytes),
    k: () => this.#move(-ROW),
    j: () => this.#move(ROW),
    PageUp: () => this.#moveScreens(-1),
    PageDown: () => this.#moveScreens(1),
    " ": () => this.#moveScreens(1),
    "{": () => this.#move(-PAGE),
    "}": () => this.#move(PAGE),
    Home: () => this.#moveTo(this.#cursor - (this.#cursor % ROW)),
    End: () => this.#moveTo(this.#cursor - (this.#cursor % ROW) + ROW - this.#type.bytes),
    g: () => this.#openPrompt("go"),
    "/": () => this.#openPrompt("search"),
    n: () => void this.#searchOn("forward"),
    N: () => void this.#searchOn("backward"),
    d: () => void this.#differenceOn("forward"),
    D: () => void this.#differenceOn("backward"),
    x: () => this.#swapSides(),
    t: () => this.#stepType(1),
    T: () => this.#stepType(-1),
    r: () => this.#list.focus(),
    "[": () => this.#stepRegion(-1),
    "]": () => this.#stepRegion(1),
    m: () => byId("heat", HTMLElement).focus(),
    M: () => this.#setMode(next(this.#modes, this.#mode, 1)),
    "?": () => this.#help.showModal(),
    Backspace: () => this.#back(),
  };

  readonly #controlKeys: Readonly<Record<string, () => void>> = {
    Home: () => this.#moveTo(0),
    End: () => this.#moveTo(Infinity),
  };

  #escape(event: KeyboardEvent): void {
    if (this.#help.open) {
      return;
    }
    event.preventDefault();
    this.#searching?.abort();
    this.#closePrompt();
    this.#bytes.focus();
  }

  #move(distance: number): void {
    const target = this.#cursor + distance;
    // A step past an end stays in its column, as in any editor.
    if (target >= 0 && target < Number(this.#region.size)) {
      this.#moveTo(target);
    }
  }

  #moveScreens(count: number): void {
    this.#moveTo(this.#cursor + count * (this.#hex.visibleRows - 1) * ROW);
  }

  #moveTo(offset: number): void {
    this.#cursor = Math.max(0, Math.min(offset, Number(this.#region.size) - 1));
    this.#follow = true;
    this.#update();
  }

  #scrollTo(top: number): void {
    this.#follow = false;
    this.#hex.scrollTo(top);
    this.#drawScroll();
  }

  /** Goes to an address, in any region; Backspace comes back. */
  #jump(gpa: bigint): boolean {
    const region = regionAt(this.#regions, gpa);
    if (region === null) {
      this.#tell(`no RAM or ROM is at ${formatAddress(gpa)}`, true);
      return false;
    }
    this.#trail.push(this.#gpa);
    this.#region = region;
    this.#moveTo(Number(gpa - region.gpa));
    return true;
  }

  #back(): void {
    const gpa = this.#trail.pop();
    if (gpa !== undefined && this.#jump(gpa)) {
      this.#trail.pop();
    }
  }

  #stepType(step: number): void {
    this.#type = next(VIEW_TYPES, this.#type, step);
    this.#tell(this.#type.label);
    this.#update();
  }

  #stepRegion(step: number): void {
    this.#jump(next(this.#regions.filter(hasBytes), this.#region, step).gpa);
  }

  #setMode(mode: HeatMode): void {
    this.#mode = mode;
    this.#tell(HEAT_MODES[mode][0]);
    this.#update();
  }

  #swapSides(): void {
    if (this.#compares) {
      this.#side = 1 - this.#side;
      this.#tell(`showing ${this.#side === 0 ? "A" : "B"}: ${this.#info.files[this.#side]!.name}`);
      this.#update();
    }
  }

  #openPrompt(kind: PromptKind): void {
    const [label, placeholder] = PROMPTS[kind];
    this.#promptKind = kind;
    byId("prompt-label", HTMLElement).textContent = label;
    this.#input.placeholder = placeholder;
    this.#input.value = this.#typed[kind];
    this.#prompt.hidden = false;
    this.#status.hidden = true;
    this.#input.focus();
    this.#input.select();
    this.#checkPrompt();
  }

  #closePrompt(): void {
    this.#prompt.hidden = true;
    this.#status.hidden = false;
  }

  /** What the text in the prompt means; says so beside it. */
  #checkPrompt(): { gpa: bigint } | { query: Query } | null {
    const { value } = this.#input;
    let meaning: { gpa: bigint } | { query: Query } | null;
    let hint: string;
    if (this.#promptKind === "go") {
      const gpa = parseGoTo(value, this.#regions, this.#gpa);
      meaning = gpa === null ? null : { gpa };
      hint = gpa === null ? "no address" : describeGpa(gpa, this.#regions);
    } else {
      const query = parseQuery(value);
      meaning = typeof query === "string" ? null : { query };
      hint = typeof query === "string" ? query : query.meaning;
    }
    this.#hint.textContent = value.trim() === "" ? "" : hint;
    this.#hint.classList.toggle("failed", meaning === null);
    return meaning;
  }

  #acceptPrompt(): void {
    const meaning = this.#checkPrompt();
    if (meaning === null) {
      return;
    }
    this.#typed[this.#promptKind] = this.#input.value;
    this.#closePrompt();
    this.#bytes.focus();
    if ("gpa" in meaning) {
      this.#jump(meaning.gpa);
    } else {
      this.#query = meaning.query;
      // The byte under the cursor is a match to be found the first time.
      void this.#searchOn("forward", true);
    }
  }

  async #searchOn(direction: Direction, here = false): Promise<void> {
    const query = this.#query;
    if (query === null) {
      this.#openPrompt("search");
      return;
    }
    await this.#find(query.meaning, direction, here, (from, signal, progress) =>
      server.search(this.#side, query.bytes, from, direction, signal, progress),
    );
  }

  async #differenceOn(direction: Direction): Promise<void> {
    if (!this.#compares) {
      this.#tell("there is no other snapshot to compare with", true);
      return;
    }
    await this.#find("difference", direction, false, (from, signal, progress) =>
      server.difference(from, direction, signal, progress),
    );
  }

  /** Looks from the cursor to the end and, where nothing is there, from the start. */
  async #find(
    what: string,
    direction: Direction,
    here: boolean,
    ask: (
      from: bigint,
      signal: AbortSignal,
      progress: (at: bigint) => void,
    ) => Promise<bigint | null>,
  ): Promise<void> {
    this.#searching?.abort();
    const searching = (this.#searching = new AbortController());
    const { signal } = searching;
    const progress = (at: bigint): void =>
      this.#tell(`looking for ${what} at ${formatAddress(at)} … Esc gives up`);
    const step = here ? 0n : 1n;
    const forward = direction === "forward";
    const start = forward ? this.#gpa + step : this.#gpa - step;
    try {
      let found = start < 0n ? null : await ask(start, signal, progress);
      const wrapped = found === null;
      found ??= await ask(forward ? 0n : 2n ** 64n - 1n, signal, progress);
      if (found === null) {
        this.#tell(`no ${what}`, true);
        this.#update();
      } else if (this.#jump(found)) {
        const how = wrapped ? (forward ? ", from the start" : ", from the end") : "";
        this.#tell(`${what} at ${formatAddress(found)}${how}`);
      }
    } catch (error) {
      if (searching === this.#searching) {
        this.#tell(signal.aborted ? "given up" : messageOf(error), true);
      }
    }
  }

  #tell(text: string, failed = false): void {
    this.#status.textContent = text;
    this.#status.classList.toggle("failed", failed);
  }

  /** Has the state shown anew, once for all that changes before the next frame. */
  #update(): void {
    if (!this.#drawing) {
      this.#drawing = true;
      requestAnimationFrame(() => {
        this.#drawing = false;
        this.#draw();
      });
    }
  }

  #draw(): void {
    const { files } = this.#info;
    const state = {
      region: this.#region,
      cursor: this.#cursor,
      type: this.#type,
      side: this.#side,
      otherSide: this.#compares ? 1 - this.#side : null,
      pattern: this.#query?.bytes ?? null,
      digits: this.#digits,
    };
    this.#hex.show(state, this.#follow);
    this.#typeSelect.value = this.#type.name;
    this.#list.select(this.#region);
    document.querySelectorAll(".file").forEach((file, i) => {
      file.classList.toggle("shown", files.length === 2 && i === this.#side);
    });
    this.#showColumns();
    this.#showValues();
    void this.#showPage();
    void this.#showHeat();
    this.#writeHash();
  }

  #showColumns(): void {
    const columns = byId("columns", HTMLElement);
    columns.dataset["bytes"] = String(this.#type.bytes);
    columns.style.setProperty("--cell", `${this.#type.width}ch`);
    const address = document.createElement("span");
    address.className = "address";
    address.textContent = "address".padEnd(this.#digits);
    const cells = document.createElement("span");
    cells.className = "cells";
    for (let at = 0; at < ROW; at += this.#type.bytes) {
      const cell = document.createElement("span");
      cell.className = "cell";
      cell.textContent = `+${at.toString(16)}`.padStart(2);
      cells.append(cell);
    }
    columns.replaceChildren(address, cells);
  }

  #showValues(): void {
    byId("cursor-address", HTMLElement).textContent = formatAddress(this.#gpa, this.#digits);
    const sides = this.#compares ? [0, 1] : [0];
    const data = sides.map((side) => this.#bytesAtCursor(side));
    const head = document.createElement("tr");
    head.append(
      ...["type", ...(this.#compares ? ["A", "B"] : ["value"])].map((text) => cell("th", text)),
    );
    byId("values-head", HTMLElement).replaceChildren(head);
    byId("values", HTMLElement).replaceChildren(
      ...VALUE_TYPES.map((type) => {
        const row = document.createElement("tr");
        const texts = data.map((view) =>
          view === null ? "…" : view.byteLength < type.bytes ? "–" : type.format(view, 0),
        );
        const differs = texts.length === 2 && texts[0] !== texts[1];
        row.classList.toggle("current", type === this.#type);
        row.append(cell("th", type.name), ...texts.map((text) => cell("td", text, differs)));
        return row;
      }),
    );
  }

  /** Up to 8 bytes from the cursor, of one side; null while they are on their way. */
  #bytesAtCursor(side: number): DataView | null {
    const bytes: number[] = [];
    const end = Math.min(this.#cursor + 8, Number(this.#region.size));
    for (let at = this.#cursor; at < end; at++) {
      const found = this.#cache.get(side, this.#region, at, 1);
      if (typeof found === "string") {
        return null;
      }
      bytes.push(found[0]!);
    }
    return new DataView(Uint8Array.from(bytes).buffer);
  }

  async #showPage(): Promise<void> {
    const page = Math.floor(this.#cursor / PAGE);
    const key = `${this.#region.index} ${page}`;
    if (key === this.#pageKey) {
      return;
    }
    this.#pageKey = key;
    this.#pageRequest?.abort();
    this.#pageRequest = new AbortController();
    try {
      const info = await server.page(this.#gpa, this.#pageRequest.signal);
      this.#fillPage(page, info);
    } catch {
      // Another page is asked for, or the server is gone, which the bytes tell.
    }
  }

  #fillPage(page: number, { sides }: PageInfo): void {
    const names = this.#compares ? ["A", "B"] : [""];
    const facts: [string, string][] = [
      ["number", `${page.toLocaleString("en")} of ${this.#region.name}`],
      ["address", formatAddress(this.#region.gpa + BigInt(page * PAGE), this.#digits)],
    ];
    sides.forEach(({ stored, changes, changedIn, digest }, i) => {
      const side = names[i] === "" ? "" : `${names[i]!} `;
      facts.push([`${side}contents`, stored ? "bytes" : "all zero"]);
      if (this.#info.files[i]!.generation > 0) {
        const times = changes === 0 ? "never" : `${changes.toLocaleString("en")}×`;
        facts.push([`${side}changed`, changes === 0 ? times : `${times}, last in ${changedIn}`]);
      }
      facts.push([`${side}sha-256`, digest === null ? "–" : `${digest.slice(0, 16)}…`]);
    });
    if (sides.length === 2) {
      facts.push(["A and B", sides[0]!.digest === sides[1]!.digest ? "equal" : "differ"]);
    }
    byId("page", HTMLElement).replaceChildren(
      ...facts.flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]),
    );
  }

  async #showHeat(): Promise<void> {
    const region = this.#region;
    const pages = Math.ceil(Number(region.size) / PAGE);
    const buckets = Math.min(this.#heatMap.capacity, pages);
    const key = `${region.index} ${buckets}`;
    if (key !== this.#heatKey) {
      this.#heatKey = key;
      this.#heat = null;
      this.#drawHeat();
      try {
        const heat = await server.heat(region.index, 0, pages, buckets);
        if (this.#heatKey === key) {
          this.#heat = heat;
        }
      } catch (error) {
        this.#tell(messageOf(error), true);
      }
    }
    this.#drawHeat();
  }

  get #heatState() {
    return {
      region: this.#region,
      mode: this.#mode,
      cursor: this.#cursor,
      generation: Math.max(1, this.#generation),
    };
  }

  #drawHeat(): void {
    const [, low, high] = HEAT_MODES[this.#mode];
    byId("heat-low", HTMLElement).textContent = low;
    byId("heat-high", HTMLElement).textContent = high;
    const cellSize = (this.#heat?.bucketPages ?? 1) * PAGE;
    byId("heat-scale-text", HTMLElement).textContent =
      `${this.#region.name} · ${formatSize(this.#region.size)} · a cell is ${formatSize(cellSize)}`;
    for (const radio of document.querySelectorAll<HTMLInputElement>("#heat-modes input")) {
      radio.checked = radio.value === this.#mode;
    }
    this.#heatMap.show({ ...this.#heatState, generation: this.#generation }, this.#heat);
    this.#drawScroll();
  }

  #drawScroll(): void {
    const { top, visibleRows, totalRows } = this.#hex;
    this.#scrollMap.draw(this.#heat, this.#heatState, top, visibleRows, totalRows);
  }

  #readHash(): void {
    const hash = new URLSearchParams(location.hash.slice(1));
    const gpa = parseGoTo(hash.get("gpa") ?? "", this.#regions, 0n);
    const region = gpa === null ? null : regionAt(this.#regions, gpa);
    if (gpa !== null && region !== null) {
      this.#region = region;
      this.#cursor = Number(gpa - region.gpa);
    }
    this.#type = viewType(hash.get("view"));
  }

  #writeHash(): void {
    const hash = `#gpa=${formatAddress(this.#gpa)}&view=${this.#type.name}`;
    if (hash !== location.hash) {
      history.replaceState(null, "", hash);
    }
  }
}

/** The element `step` places on, round and round. */
function next<T>(list: readonly T[], current: T, step: number): T {
  return list[(list.indexOf(current) + step + list.length) % list.length] ?? current;
}

function cell(tag: "th" | "td" | "dt" | "dd", text: string, differs = false): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  element.classList.toggle("differs", differs);
  return element;
}

function describeGpa(gpa: bigint, regions: readonly Region[]): string {
  const region = regionAt(regions, gpa);
  const place =
    region === null ? "no RAM or ROM" : `${region.name}+${(gpa - region.gpa).toString(16)}`;
  return `${formatAddress(gpa)}: ${place}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  try {
    const info = await server.snapshot();
    const regions = info.regions.map(toRegion);
    const first = regions.find((region) => hasBytes(region) && region.storedPages > 0);
    const shown = first ?? regions.find(hasBytes);
    if (shown === undefined) {
      throw new Error("the snapshot has no RAM and no ROM");
    }
    new App(info, regions, shown).start();
  } catch (error) {
    byId("status", HTMLElement).textContent = messageOf(error);
  }
}

await main();
