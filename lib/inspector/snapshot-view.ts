import { PAGE_SIZE } from "../base/page.js";
import type { FilePage, SnapshotFile } from "../snapshot/file.js";
import {
  areMemories,
  type Piece,
  piecesOf,
  type RegionKind,
  type RegionLayout,
  visibleParts,
} from "../snapshot/layout.js";
import { pageCount } from "./byte-source.js";

/** Pages of a region of a snapshot that have adjacent addresses. */
export interface Area extends RegionLayout {
  /** The index of the region. */
  readonly region: number;
  /** The number of the first page in the region. */
  readonly firstPage: number;
}

/**
 * Divides a snapshot into areas, sorted by address: its regions or, if these are memories, the
 * pages that windows show, at the address of the first window that shows all of a page. The other
 * pages have the addresses of their memories, 2^64 and above.
 */
export function areasOf(file: SnapshotFile): Area[] {
  const { regions, windows } = file;
  if (!areMemories(file)) {
    return regions.map(({ kind, name, gpa, size }, region) => {
      return { kind, name, gpa, size, region, firstPage: 0 };
    });
  }
  const areas = piecesOf(file).flatMap((pieces, i) => areasOfMemory(regions[i]!, i, pieces));
  for (const { window, from, to } of visibleParts(windows)) {
    const { kind, name } = window;
    if (kind === "mmio") {
      areas.push({ kind, name, gpa: from, size: to - from, region: 0, firstPage: 0 });
    }
  }
  return areas.sort((a, b) => (a.gpa < b.gpa ? -1 : 1));
}

function areasOfMemory(memory: RegionLayout, region: number, pieces: readonly Piece[]): Area[] {
  const areas: Area[] = [];
  const size = Number(memory.size);
  let done = 0;
  const add = (kind: RegionKind, name: string, end: number, address: bigint): void => {
    if (end > done) {
      const length = BigInt(Math.min(size, end * PAGE_SIZE) - done * PAGE_SIZE);
      areas.push({ kind, name, gpa: address, size: length, region, firstPage: done });
      done = end;
    }
  };
  const addHidden = (end: number): void => {
    add(memory.kind, memory.name, end, memory.gpa + BigInt(done * PAGE_SIZE));
  };
  for (const { window, start, length, gpa } of pieces) {
    if (window !== null) {
      const first = Math.ceil(start / PAGE_SIZE);
      const end = (start + length) / PAGE_SIZE;
      const last = start + length === size ? Math.ceil(end) : Math.floor(end);
      if (last > first) {
        addHidden(first);
        add(window.kind, window.name, last, gpa + BigInt(first * PAGE_SIZE - start));
      }
    }
  }
  addHidden(Math.ceil(size / PAGE_SIZE));
  return areas;
}

/** A snapshot file by areas: `region` in its methods is the index of an area. */
export class SnapshotView {
  readonly file: SnapshotFile;
  readonly regions: readonly Area[];

  constructor(file: SnapshotFile, areas: readonly Area[]) {
    this.file = file;
    this.regions = areas;
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.file.close();
  }

  /** The number of stored pages of an area. */
  storedPages(index: number): number {
    const { region, size } = this.regions[index]!;
    const whole = this.file.regions[region];
    if (whole?.size === size) {
      return whole.storedPages;
    }
    let count = 0;
    for (const { stored } of this.pagesFrom(index, 0)) {
      count += Number(stored);
    }
    return count;
  }

  /** As {@link SnapshotFile.pagesFrom}. */
  *pagesFrom(index: number, from: number): Generator<FilePage> {
    const { region, firstPage } = this.regions[index]!;
    const count = pageCount(this.regions[index]!);
    if (count === 0) {
      return;
    }
    for (const found of this.file.pagesFrom(region, from + firstPage)) {
      if (found.page >= firstPage + count) {
        return;
      }
      yield moved(found, firstPage);
    }
  }

  /** As {@link SnapshotFile.pagesBelow}. */
  *pagesBelow(index: number, from: number): Generator<FilePage> {
    const { region, firstPage } = this.regions[index]!;
    const end = Math.min(from, pageCount(this.regions[index]!));
    if (end === 0) {
      return;
    }
    for (const found of this.file.pagesBelow(region, end + firstPage)) {
      if (found.page < firstPage) {
        return;
      }
      yield moved(found, firstPage);
    }
  }

  /** As {@link SnapshotFile.nextStored}. */
  nextStored(index: number, from: number, direction: "up" | "down"): number | null {
    const { region, firstPage } = this.regions[index]!;
    const found = this.file.nextStored(region, from + firstPage, direction);
    const page = found === null ? -1 : found - firstPage;
    return page >= 0 && page < pageCount(this.regions[index]!) ? page : null;
  }

  /** As {@link SnapshotFile.pageAt}. */
  pageAt(index: number, page: number): FilePage | null {
    const { region, firstPage } = this.regions[index]!;
    const found = this.file.pageAt(region, page + firstPage);
    return found === null ? null : moved(found, firstPage);
  }

  /** As {@link SnapshotFile.readPages}. */
  readPages(index: number, page: number, count = 1): Promise<Buffer> {
    const { region, firstPage } = this.regions[index]!;
    return this.file.readPages(region, page + firstPage, count);
  }
}

/** A record with the number of its page in an area. Keeps the getter of the digest. */
function moved(found: FilePage, firstPage: number): FilePage {
  return firstPage === 0
    ? found
    : {
        page: found.page - firstPage,
        heat: found.heat,
        stored: found.stored,
        get digest() {
          return found.digest;
        },
      };
}
