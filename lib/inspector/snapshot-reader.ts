import { PAGE_SIZE } from "../base/page.js";
import type { SnapshotFile } from "../snapshot/file.js";
import type { RegionLayout } from "../snapshot/layout.js";
import type { ByteSource, Place } from "./byte-source.js";
import { type Area, areasOf, SnapshotView } from "./snapshot-view.js";

/** The number of cached pages. */
const CACHED_PAGES = 256;

/** Reads a snapshot page by page, and caches the last pages used. */
export class SnapshotReader implements ByteSource {
  readonly file: SnapshotView;
  readonly #cache = new Map<string, Promise<Uint8Array>>();

  /** @param areas - The areas to show the snapshot by. */
  constructor(file: SnapshotFile, areas: readonly Area[] = areasOf(file)) {
    this.file = new SnapshotView(file, areas);
  }

  get regions(): readonly RegionLayout[] {
    return this.file.regions;
  }

  nextStored(region: number, from: number, direction: "up" | "down"): number | null {
    return this.file.nextStored(region, from, direction);
  }

  /** The number of pages of a region. */
  pageCount(region: number): number {
    return pagesOf(Number(this.file.regions[region]!.size));
  }

  /** Reads bytes of one region. */
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
      // A Map keeps the order of insertion, so the page used last moves to the end.
      this.#cache.delete(key);
      this.#cache.set(key, cached);
      return cached;
    }
    const read = this.file.readPages(region, page);
    // Failed reads are not cached, so that each request for a damaged page reports the damage.
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
