import { PAGE_SIZE } from "../base/page.js";
import type { SnapshotFile } from "../snapshot/file.js";

/** Pages that are kept once they were read. */
const CACHED_PAGES = 256;

/** Where an address lies. */
export interface Place {
  /** The index of the region. */
  readonly region: number;
  /** Bytes from the region's start. */
  readonly offset: number;
}

/** Reads a snapshot page by page, the last few from memory. */
export class SnapshotReader {
  readonly file: SnapshotFile;
  readonly #cache = new Map<string, Promise<Uint8Array>>();

  constructor(file: SnapshotFile) {
    this.file = file;
  }

  /** The place of an address in RAM or ROM; null for any other. */
  locate(gpa: bigint): Place | null {
    const region = this.file.regions.findIndex(
      ({ kind, gpa: base, size }) => kind !== "mmio" && gpa >= base && gpa < base + size,
    );
    return region < 0 ? null : { region, offset: Number(gpa - this.file.regions[region]!.gpa) };
  }

  /** How many pages a region has. */
  pageCount(region: number): number {
    return pagesOf(Number(this.file.regions[region]!.size));
  }

  /** Copies bytes of one region: the few of a screen, or the many that a search goes through. */
  async read({ region, offset }: Place, length: number): Promise<Buffer> {
    const first = Math.floor(offset / PAGE_SIZE);
    const count = Math.ceil((offset + length) / PAGE_SIZE) - first;
    const pages =
      count === 1
        ? await this.page(region, first)
        : await this.file.readPages(region, first, count);
    const start = offset - first * PAGE_SIZE;
    return Buffer.from(pages.buffer, pages.byteOffset + start, length);
  }

  /** The bytes of a page. */
  page(region: number, page: number): Promise<Uint8Array> {
    const key = `${region} ${page}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined) {
      // Entries of a Map stay in the order they came in: the last used goes to the end.
      this.#cache.delete(key);
      this.#cache.set(key, cached);
      return cached;
    }
    const read = this.file.readPages(region, page);
    // Damage is told every time, not kept.
    read.catch(() => this.#cache.delete(key));
    this.#cache.set(key, read);
    if (this.#cache.size > CACHED_PAGES) {
      this.#cache.delete(this.#cache.keys().next().value!);
    }
    return read;
  }
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}
