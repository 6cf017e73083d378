import { PAGE_SIZE } from "../base/page.js";
import { typeError } from "../base/errors.js";
import { checkObject, isInstance } from "../base/arguments.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { takeMarks, rememberContents } from "./known-contents.js";
import { NO_HEAT } from "./page-heat.js";
import { PageStore } from "./page-store.js";
import {
  NO_PAGES,
  type Page,
  type PageTable,
  type PageTableEditor,
  samePage,
} from "./page-table.js";
import { RamPages } from "./ram-pages.js";
import { collectState } from "./state.js";
import { type SnapshotSubject, type Survey, surveyOf } from "./subject.js";
import { checkSameWindows } from "./layout.js";
import {
  contentsOf,
  makeSnapshot,
  type RegionContents,
  Snapshot,
  type SnapshotContents,
} from "./snapshot.js";

/** The maximum number of pages that are copied at once, so that they stay in the cache. */
const MAX_RUN = 64;

/** Options of {@link takeSnapshot}. */
export interface SnapshotOptions {
  /** An earlier snapshot of the same regions. */
  readonly parent?: Snapshot | undefined;
  /**
   * State beside memory, such as the registers of a CPU: bytes by name, which are copied. The
   * program gets them back from {@link Snapshot.state}.
   */
  readonly state?: Readonly<Record<string, ArrayBufferView>> | undefined;
}

const NOTHING: Omit<RegionContents, "layout"> = { pages: NO_PAGES, heat: NO_HEAT };

/**
 * Takes a snapshot of RAM and ROM.
 *
 * If RAM is tracked and the last snapshot taken of it or restored to it still exists, only the
 * pages written since then are read. Otherwise all pages are compared with `parent` and with zeros.
 * In both cases the new snapshot shares unchanged pages with the earlier one.
 *
 * Snapshots read the dirty marks through a cursor of their own, so they take no marks from
 * `DirtyBitmap.drain`, nor `drain` from them. Only a drain by another thread takes marks from both;
 * all pages are compared then.
 *
 * All bytes of each memory are saved once, also those that no region shows now, together with the
 * bytes that each region shows. Memory that no region shows any part of is not saved.
 *
 * The state of each device that has `save` and `load` is saved too, before memory.
 *
 * @param options - Options, or only `parent`: an earlier snapshot of the same regions. The new
 * snapshot continues its chain: its generation is 1 higher, and its page heat counts the pages that
 * differ from `parent`.
 * @throws TypeError; RangeError for a block of state whose buffer is detached; what `save` of a
 * device throws; Error `ERR_SNAPSHOT_MISMATCH` if `parent` has other regions, `ERR_DESTROYED`
 * if memory was destroyed or detached, `ERR_OUT_OF_MEMORY`.
 *
 * @example
 * ```js
 * import { GuestMemory } from "pound-guest-memory";
 * import { diffSnapshots, takeSnapshot } from "pound-guest-memory/snapshot";
 *
 * const memory = GuestMemory.allocate(1024 * 1024);
 * const before = takeSnapshot(memory);
 * memory.writel(0x2000, 0x0101_0101);
 * const after = takeSnapshot(memory, before);
 * console.log([...diffSnapshots(before, after)]); // [ { gpa: 8192n, length: 4 } ]
 * ```
 */
export function takeSnapshot(
  subject: SnapshotSubject,
  options?: Snapshot | SnapshotOptions,
): Snapshot {
  const { parent, state: blocks } = optionsOf(options);
  const survey = surveyOf(subject);
  const { regions, memories, windows, live } = survey;
  const before = parent === undefined ? null : contentsOf(parent);
  const generation = parent === undefined ? 0 : parent.generation + 1;
  if (parent !== undefined) {
    checkSameWindows(parent.windows, windows, "the memory");
  }
  // First, because a device may access memory while it saves its state.
  const state = collectState(live, blocks);
  const ram = memories.map((memory, i) =>
    memory === null ? null : new RamPages(memory, regions[i]!.name),
  );
  const parents = parentRegions(before, survey);
  const contents = memories.map((memory, i): RegionContents => {
    const layout = regions[i]!;
    if (memory === null) {
      return { layout, ...NOTHING };
    }
    const was = parents[i] ?? null;
    const { pages, changed } = readRegion(memory, ram[i]!, was?.pages ?? null);
    const heat = was?.heat.after(changed ?? was.pages.changedPages(pages), generation) ?? NO_HEAT;
    return { layout, pages, heat };
  });
  const origins = live.map((region, i) => {
    const index = windows[i]!.region;
    const memory = index === null ? null : memories[index]!;
    return memory === null ? null : { region: new WeakRef(region), memory: new WeakRef(memory) };
  });
  return makeSnapshot({ regions: contents, windows, origins, state }, generation);
}

function optionsOf(options: Snapshot | SnapshotOptions | undefined): SnapshotOptions {
  if (options === undefined) {
    return {};
  }
  if (isInstance(options, Snapshot)) {
    return { parent: options };
  }
  const { parent, state } = checkObject(options, "parent");
  const isEmpty = parent === undefined && state === undefined;
  if (isEmpty || (parent !== undefined && !isInstance(parent, Snapshot))) {
    throw typeError("parent must be a Snapshot, or options with parent or state");
  }
  return { parent, state };
}

/**
 * The contents of each memory in the parent: those of the same memory if it was there, otherwise
 * those that the first window of the memory showed, if the sizes are equal.
 */
function parentRegions(
  before: SnapshotContents | null,
  { regions, memories, windows }: Survey,
): (RegionContents | undefined)[] {
  const parents: (RegionContents | undefined)[] = [];
  if (before === null) {
    return parents;
  }
  const known = new Map<GuestMemory | undefined, number>();
  before.origins?.forEach((origin, i) => {
    known.set(origin?.memory.deref(), before.windows[i]!.region ?? -1);
  });
  windows.forEach(({ region }, i) => {
    if (region === null || region in parents) {
      return;
    }
    const index = known.get(memories[region]!) ?? before.windows[i]!.region;
    const parent = index === null ? undefined : before.regions[index];
    parents[region] = parent?.layout.size === regions[region]!.size ? parent : undefined;
  });
  return parents;
}

/** The pages of a region, and those that changed. */
interface ReadPages {
  readonly pages: PageTable;
  /** The pages whose bytes differ from the parent, ascending. Null if they are not known. */
  readonly changed: readonly number[] | null;
}

function readRegion(memory: GuestMemory, ram: RamPages, parent: PageTable | null): ReadPages {
  const { dirty } = memory;
  if (dirty === null) {
    const base = parent ?? NO_PAGES;
    return readPages(ram, base, ram.candidates(base), ram.count, parent);
  }
  const marks = takeMarks(memory, dirty);
  const base = marks.base ?? parent ?? NO_PAGES;
  const read =
    marks.base === null
      ? readPages(ram, base, ram.candidates(base), ram.count, parent)
      : readPages(ram, base, marks.pages, marks.pages.length, parent, marks.pages.length);
  rememberContents(memory, read.pages);
  return read;
}

/**
 * Reads RAM into a page table. All pages but those in `written` must have the bytes of `base`.
 *
 * @param atMost - The maximum number of pages in `written`.
 * @param parent - Pages that changed back to the bytes in this table are shared with it.
 * @param likely - The number of pages that probably have other bytes.
 */
function readPages(
  ram: RamPages,
  base: PageTable,
  written: Iterable<number>,
  atMost: number,
  parent: PageTable | null,
  likely = 0,
): ReadPages {
  const edit = base.edit();
  const store = new PageStore(atMost, likely);
  // All pages that the edit replaces differ from `base`.
  const changed: number[] | null = base === parent ? [] : null;
  const run = new NewPages(ram, edit, store, changed);
  let room: Page | null = null;
  for (const page of written) {
    const before = base.get(page);
    const old = parent?.get(page) ?? null;
    if (before === null && old === null) {
      run.add(page);
      continue;
    }
    run.flush();
    if (ram.holds(page, before)) {
      continue;
    }
    room ??= store.allocate();
    ram.read(page, room);
    const after = [null, old].find((known) => samePage(room, known));
    edit.set(page, after === undefined ? room : after);
    changed?.push(page);
    if (after === undefined) {
      room = null;
    }
  }
  run.flush();
  return { pages: edit.finish(), changed };
}

/** Reads pages that were zero before. Consecutive ones are copied at once. */
class NewPages {
  #first = 0;
  #count = 0;

  constructor(
    private readonly ram: RamPages,
    private readonly edit: PageTableEditor,
    private readonly store: PageStore,
    private readonly changed: number[] | null,
  ) {}

  /** Adds a page, with a higher number than all others. */
  add(page: number): void {
    if (this.#count === 0 || page !== this.#first + this.#count) {
      this.flush();
      this.#first = page;
    }
    this.#count++;
  }

  /** Reads the pages that were added. */
  flush(): void {
    while (this.#count > 0) {
      const room = this.store.room(Math.min(this.#count, MAX_RUN));
      this.ram.read(this.#first, room);
      this.store.use(this.#keep(room));
      const read = room.length / PAGE_SIZE;
      this.#first += read;
      this.#count -= read;
    }
  }

  /** Puts the pages that are not zero in the table, without gaps. Returns their number. */
  #keep(room: Uint8Array): number {
    const { buffer, byteOffset } = room;
    const pageAt = (at: number): Page => new Uint8Array(buffer, byteOffset + at, PAGE_SIZE);
    let kept = 0;
    for (let at = 0; at < room.length; at += PAGE_SIZE) {
      if (room[at] === 0 && samePage(pageAt(at), null)) {
        continue;
      }
      if (kept !== at) {
        room.copyWithin(kept, at, at + PAGE_SIZE);
      }
      const page = this.#first + at / PAGE_SIZE;
      this.edit.set(page, pageAt(kept));
      this.changed?.push(page);
      kept += PAGE_SIZE;
    }
    return kept / PAGE_SIZE;
  }
}
