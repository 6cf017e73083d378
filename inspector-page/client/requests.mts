import type {
  ErrorInfo,
  FindInfo,
  HeatInfo,
  PageInfo,
  SnapshotInfo,
} from "../../lib/inspector/protocol.js";
import { formatAddress } from "../model/addresses.mjs";
import { toHex } from "../model/query.mjs";

/** The direction of a search: to higher or to lower addresses. */
export type Direction = "forward" | "backward";

/** Called during a search with the address that it has reached. */
export type Progress = (at: bigint) => void;

/**
 * The requests that the server answers. A request that fails rejects with the server's message.
 */
export const requests = {
  snapshot: (): Promise<SnapshotInfo> => askJson("snapshot", {}),

  page: (gpa: bigint, signal: AbortSignal): Promise<PageInfo> =>
    askJson("page", { gpa: formatAddress(gpa) }, signal),

  heat: (region: number, from: number, pages: number, buckets: number): Promise<HeatInfo> =>
    askJson("heat", { region, from, pages, buckets }),

  async bytes(side: number, gpa: bigint, length: number): Promise<Uint8Array> {
    const response = await ask("bytes", { side, gpa: formatAddress(gpa), length });
    return new Uint8Array(await response.arrayBuffer());
  },

  /** Finds a pattern between an address and the end of the snapshot, or its start. */
  search: (
    side: number,
    pattern: Uint8Array,
    from: bigint,
    direction: Direction,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<bigint | null> =>
    findAll("search", { side, pattern: toHex(pattern), direction }, from, signal, progress),

  /** Finds a difference between an address and the end of the snapshots, or their start. */
  difference: (
    from: bigint,
    direction: Direction,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<bigint | null> => findAll("difference", { direction }, from, signal, progress),
};

type Parameters = Readonly<Record<string, string | number>>;

/** Repeats a search until it has an answer: one request of it covers a bounded part. */
async function findAll(
  path: string,
  parameters: Parameters,
  from: bigint,
  signal: AbortSignal,
  progress: Progress,
): Promise<bigint | null> {
  for (let at = from; ;) {
    const found = await askJson<FindInfo>(path, { ...parameters, from: formatAddress(at) }, signal);
    if (found.match !== null || found.next === null) {
      return found.match === null ? null : BigInt(found.match);
    }
    at = BigInt(found.next);
    progress(at);
  }
}

async function askJson<T>(path: string, parameters: Parameters, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, parameters, signal);
  return (await response.json()) as T;
}

async function ask(path: string, parameters: Parameters, signal?: AbortSignal): Promise<Response> {
  const entries = Object.entries(parameters).map(([name, value]) => [name, String(value)]);
  const url = `/api/${path}?${new URLSearchParams(entries).toString()}`;
  const response = await fetch(url, signal === undefined ? {} : { signal });
  if (!response.ok) {
    const { error } = (await response.json()) as ErrorInfo;
    throw new Error(error.message);
  }
  return response;
}
