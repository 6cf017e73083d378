import { basename } from "node:path";
import { PAGE_SIZE } from "../base/page.js";
import { hex } from "../base/printable.js";
import { mismatchError } from "../snapshot/errors.js";
import { checkSameLayout } from "../snapshot/layout.js";
import { openSnapshot, type SnapshotFile } from "../snapshot/file.js";
import { compareSnapshots, differingPages } from "./difference.js";
import { heatOf } from "./heat.js";
import type { Parameters } from "./parameters.js";
import type { FindInfo, HeatInfo, PageInfo, SnapshotInfo } from "./protocol.js";
import { RequestError } from "./request-error.js";
import { difference, heatRange, placeOf, readBytes, search } from "./requests.js";
import { SnapshotReader } from "./snapshot-reader.js";
import { areasOf } from "./snapshot-view.js";

/** Answers the requests of the page. */
export interface Api {
  /** Whether a request changes something. Then it must be a POST. */
  isWrite(path: string): boolean;
  /**
   * Answers a request.
   *
   * @param path - The path of the request below `/api/`.
   * @param signal - Aborted when the page has closed the request.
   * @returns Bytes, or an object to send as JSON.
   * @throws {@link RequestError}; SnapshotFormatError if a file is damaged.
   */
  answer(path: string, query: Parameters, signal: AbortSignal): Promise<Buffer | object>;
  close(): Promise<void>;
}

/** Answers the page's requests about a snapshot, or about two snapshots of the same regions. */
export class SnapshotApi implements Api {
  readonly #paths: readonly string[];
  readonly #readers: readonly SnapshotReader[];
  #info: SnapshotInfo | null = null;

  private constructor(paths: readonly string[], readers: readonly SnapshotReader[]) {
    this.#paths = paths;
    this.#readers = readers;
  }

  /**
   * @param paths - One or two snapshot files.
   * @throws SnapshotFormatError; Error `ERR_SNAPSHOT_MISMATCH` if the regions of the two differ, or
   * the kinds of their checksums; errors of the file system.
   */
  static async open(paths: readonly string[]): Promise<SnapshotApi> {
    const files: SnapshotFile[] = [];
    try {
      for (const path of paths) {
        files.push(await openSnapshot(path));
      }
      const [first, second] = files;
      if (first !== undefined && second !== undefined) {
        checkSameLayout(first, second);
        checkChecksums(first, second);
      }
      // Banks may show other bytes in the second snapshot. One memory is compared with itself.
      const areas = first === undefined ? [] : areasOf(first);
      return new SnapshotApi(
        paths,
        files.map((file) => new SnapshotReader(file, areas)),
      );
    } catch (error) {
      await closeAll(files);
      throw error;
    }
  }

  async close(): Promise<void> {
    await closeAll(this.#readers.map(({ file }) => file));
  }

  isWrite(): boolean {
    return false;
  }

  async answer(path: string, query: Parameters, signal: AbortSignal): Promise<Buffer | object> {
    switch (path) {
      case "snapshot":
        return this.#snapshot();
      case "bytes":
        return readBytes(query, this.#first.regions, () => this.#side(query));
      case "page":
        return this.#page(query);
      case "heat":
        return this.#heat(query);
      case "search":
        return search(query, () => this.#side(query), signal);
      case "difference":
        return this.#difference(query, signal);
      default:
        throw new RequestError(404, "ERR_NOT_FOUND", `there is no /api/${path}`);
    }
  }

  get #first(): SnapshotReader {
    return this.#readers[0]!;
  }

  #snapshot(): SnapshotInfo {
    const [first, second] = this.#readers.map(({ file }) => file);
    this.#info ??= {
      files: this.#readers.map(({ file: { file } }, i) => ({
        name: basename(this.#paths[i]!),
        size: file.size,
        generation: file.generation,
      })),
      regions: first!.regions.map(({ kind, name, gpa, size }, i) => ({
        kind,
        name,
        gpa: hex(gpa),
        size: hex(size),
        storedPages: first!.storedPages(i),
        differingPages: second === undefined ? 0 : countOf(differingPages(first!, second, i)),
      })),
      live: null,
    };
    return this.#info;
  }

  #page(query: Parameters): PageInfo {
    const { region, offset } = placeOf(query, this.#first.regions);
    return {
      sides: this.#readers.map(({ file }) => {
        const page = file.pageAt(region, Math.floor(offset / PAGE_SIZE));
        const { changes, changedIn } = page?.heat ?? { changes: 0, changedIn: 0 };
        const digest = page?.digest?.toString("hex") ?? null;
        return { stored: page?.stored ?? false, changes, changedIn, digest };
      }),
    };
  }

  #heat(query: Parameters): HeatInfo {
    const first = this.#first;
    const range = heatRange(query, first.regions.length, (region) => first.pageCount(region));
    return { ...heatOf(first.file, this.#readers[1]?.file ?? null, range), now: 0 };
  }

  async #difference(query: Parameters, signal: AbortSignal): Promise<FindInfo> {
    const [a, b] = this.#readers;
    if (b === undefined) {
      throw new RequestError(404, "ERR_ONE_SNAPSHOT", "there is no other snapshot to compare with");
    }
    return difference(query, compareSnapshots(a!, b), signal);
  }

  #side(query: Parameters): SnapshotReader {
    return this.#readers[query.integer("side", 0, this.#readers.length - 1)]!;
  }
}

function countOf(items: Iterable<unknown>): number {
  let count = 0;
  for (const iterator = items[Symbol.iterator](); iterator.next().done !== true;) {
    count++;
  }
  return count;
}

async function closeAll(files: readonly Pick<SnapshotFile, "close">[]): Promise<void> {
  await Promise.all(files.map((file) => file.close()));
}

/** Checks that the pages of two files can be compared by their checksums. */
function checkChecksums(a: SnapshotFile, b: SnapshotFile): void {
  if (a.checksum !== b.checksum) {
    throw mismatchError(
      `two snapshots are compared by the checksums of their pages: one has ${a.checksum}, the ` +
        `other ${b.checksum}; save both with the same`,
    );
  }
}
