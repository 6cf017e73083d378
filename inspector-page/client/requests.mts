import type {
  ErrorInfo,
  FindInfo,
  HeatInfo,
  LiveInfo,
  MomentInfo,
  PageInfo,
  SnapshotInfo,
  TraceInfo,
  WatchInfo,
} from "../../lib/inspector/protocol.js";
import { formatAddress } from "../model/addresses.mjs";
import { toHex } from "../model/query.mjs";

/** The direction of a search: to higher or to lower addresses. */
export type Direction = "forward" | "backward";

/** Called during a search with the address that it has reached. */
export type Progress = (at: bigint) => void;

/** What all requests about a running machine have in common. */
export const session = {
  /** Proves that the user has the whole address of the page. */
  token: new URLSearchParams(location.search).get("token"),
  /** The number of the snapshot that side 1 is; 0 for none. */
  since: 0,
};

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

  live: (cpu: number): Promise<LiveInfo> => askJson("live", { cpu }),

  /** The last accesses to some bytes that were recorded. */
  trace: (gpa: bigint, length: number): Promise<TraceInfo> =>
    askJson("machine/trace", { gpa: formatAddress(gpa), length }),
};

/** The requests that change the machine. They resolve when they are done. */
export const orders = {
  pause: (): Promise<object> => order("machine/pause", {}),
  continue: (): Promise<object> => order("machine/continue", {}),
  step: (cpu: number): Promise<object> => order("machine/step", { cpu }),

  write: (gpa: bigint, bytes: Uint8Array): Promise<object> =>
    order("write", { gpa: formatAddress(gpa), bytes: toHex(bytes) }),

  setRegister: (cpu: number, number: number, value: bigint): Promise<object> =>
    order("machine/register", { cpu, number, value: formatAddress(value) }),

  setBreakpoint: (address: bigint, on: boolean): Promise<object> =>
    order("machine/breakpoint", { address: formatAddress(address), set: on ? "on" : "off" }),

  setWatchpoint: ({ word, gpa, length }: WatchInfo, on: boolean): Promise<object> =>
    order("machine/watchpoint", { word, gpa, length, set: on ? "on" : "off" }),

  takeMoment: (): Promise<MomentInfo> => order("moment", {}),
};

async function order<T>(path: string, parameters: Parameters): Promise<T> {
  const response = await ask(path, parameters, { method: "POST" });
  return (await response.json()) as T;
}

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
  const response = await ask(path, parameters, signal === undefined ? {} : { signal });
  return (await response.json()) as T;
}

async function ask(
  path: string,
  parameters: Parameters,
  options: RequestInit = {},
): Promise<Response> {
  const { token, since } = session;
  const all = token === null ? parameters : { since, ...parameters };
  const entries = Object.entries(all).map(([name, value]) => [name, String(value)]);
  const url = `/api/${path}?${new URLSearchParams(entries).toString()}`;
  const headers: HeadersInit = token === null ? {} : { "X-Inspector-Token": token };
  const response = await fetch(url, { ...options, headers });
  if (!response.ok) {
    const { error } = (await response.json()) as ErrorInfo;
    throw new Error(error.message);
  }
  return response;
}
