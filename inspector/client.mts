import type {
  ErrorInfo,
  FindInfo,
  HeatInfo,
  PageInfo,
  SnapshotInfo,
} from "../lib/inspector/protocol.js";
import { formatAddress, PAGE, type Region } from "./addresses.mjs";
import { toHex } from "./query.mjs";

export type Direction = "forward" | "backward";

/** Where a search that is under way has got to. */
export type Progress = (at: bigint) => void;

/** Asks the server. */
export const server = {
  snapshot: (): Promise<SnapshotInfo> => askJson("snapshot", {}),

  page: (gpa: bigint, signal: AbortSignal): Promise<PageInfo> =>
    askJson("page", { gpa: formatAddress(gpa) }, signal),

  heat: (region: number, from: number, pages: number, buckets: number): Promise<HeatInfo> =>
    askJson("heat", { region, from, pages, buckets }),

  async bytes(side: number, gpa: bigint, length: number): Promise<Uint8Array> {
    const response = await ask("bytes", { side, gpa: formatAddress(gpa), length });
    return new Uint8Array(await response.arrayBuffer());
  },

  /** Searches from an address to the end of the snapshot, or to its start. */
  search: (
    side: number,
    pattern: Uint8Array,
    from: bigint,
    direction: Direction,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<bigint | null> =>
    findAll("search", { side, pattern: toHex(pattern), direction }, from, signal, progress),

  difference: (
    from: bigint,
    direction: Direction,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<bigint | null> => findAll("difference", { direction }, from, signal, progress),
};

type Query = Readonly<Record<string, string | number>>;

async function findAll(
  path: string,
  query: Query,
  from: bigint,
  signal: AbortSignal,
  progress: Progress,
): Promise<bigint | null> {
  for (let at = from; ;) {
    const found = await askJson<FindInfo>(path, { ...query, from: formatAddress(at) }, signal);
    if (found.match !== null || found.next === null) {
      return found.match === null ? null : BigInt(found.match);
    }
    at = BigInt(found.next);
    progress(at);
  }
}

async function askJson<T>(path: string, query: Query, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, query, signal);
  return (await response.json()) as T;
}

async function ask(path: string, query: Query, signal?: AbortSignal): Promise<Response> {
  const entries = Object.entries(query).map(([name, value]) => [name, String(value)]);
  const url = `/api/${path}?${new URLSearchParams(entries).toString()}`;
  const response = await fetch(url, signal === undefined ? {} : { signal });
  if (!response.ok) {
    const { error } = (await response.json()) as ErrorInfo;
    throw new Error(error.message);
  }
  return response;
}

/** Bytes that are asked for at once: a page, so that damage hides no other page. */
const BLOCK = PAGE;
/** Blocks that are kept: 4 MiB, however large the snapshot. */
const BLOCKS = 1024;

/** Bytes that are on their way, or cannot be had. */
export type Missing = "loading" | "damaged";

/** The bytes that were looked at last. */
export class ByteCache {
  readonly #blocks = new Map<string, Uint8Array | Missing>();
  readonly #changed: (failure: string | null) => void;

  /** @param changed - Called when bytes have come, or with the reason why they have not. */
  constructor(changed: (failure: string | null) => void) {
    this.#changed = changed;
  }

  /** A few bytes of a region, none across a multiple of 4096. */
  get(side: number, region: Region, offset: number, length: number): Uint8Array | Missing {
    const start = offset - (offset % BLOCK);
    const block = this.#block(side, region, start);
    return typeof block === "string"
      ? block
      : block.subarray(offset - start, offset - start + length);
  }

  #block(side: number, region: Region, start: number): Uint8Array | Missing {
    const key = `${side} ${region.index} ${start}`;
    const known = this.#blocks.get(key);
    if (known !== undefined) {
      this.#blocks.delete(key);
      this.#blocks.set(key, known);
      return known;
    }
    this.#keep(key, "loading");
    const length = Math.min(BLOCK, Number(region.size) - start);
    server.bytes(side, region.gpa + BigInt(start), length).then(
      (bytes) => {
        this.#keep(key, bytes);
        this.#changed(null);
      },
      (error: unknown) => {
        this.#keep(key, "damaged");
        this.#changed(error instanceof Error ? error.message : String(error));
      },
    );
    return "loading";
  }

  #keep(key: string, block: Uint8Array | Missing): void {
    this.#blocks.set(key, block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= BLOCKS) {
        break;
      }
      this.#blocks.delete(oldest);
    }
  }
}
