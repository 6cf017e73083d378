/*
 * The protocol between the server and the page. Addresses are hexadecimal text, such as "0x1000",
 * since JSON has no 64-bit integers. Offsets and counts are numbers below 2^53.
 *
 * This is a declaration file because two compilations use it: the server's and the page's.
 */

/** GET /api/snapshot. */
export interface SnapshotInfo {
  /** The snapshot, and the other one if two are compared. Of a running machine, "now". */
  readonly files: readonly FileInfo[];
  readonly regions: readonly RegionInfo[];
  /** Null if the page shows snapshot files. */
  readonly live: {
    /** The number of the map, as in {@link LiveInfo}. */
    readonly map: number;
    /** Null if the page shows memory only. */
    readonly machine: MachineInfo | null;
  } | null;
}

/** A machine that the page controls. */
export interface MachineInfo {
  /** The names of the CPUs. */
  readonly cpus: readonly string[];
  readonly registers: readonly { readonly name: string; readonly bits: number }[];
  /** The number of the program counter's register. */
  readonly pc: number;
  /** Whether accesses are recorded. */
  readonly traces: boolean;
}

/** GET /api/live?cpu= */
export interface LiveInfo {
  /** Another number than before if the regions have changed. */
  readonly map: number;
  /** The snapshots to compare with, the oldest first. */
  readonly moments: readonly MomentInfo[];
  /** Null if the page shows memory only, or if the machine does not answer. */
  readonly machine: MachineState | null;
  /** Why the machine does not answer. */
  readonly failure: string | null;
}

/** A snapshot in the ring. POST /api/moment takes one. */
export interface MomentInfo {
  /** The number, from 1. The parameter `since` of requests has it, or 0 for none. */
  readonly number: number;
  /** Seconds since the start of the inspector. */
  readonly seconds: number;
}

/** GET /api/machine/state?cpu= */
export interface MachineState {
  readonly status: "running" | "stopped" | "ended";
  /** Why it has stopped; empty while it runs. */
  readonly reason: string;
  /** The index of the CPU that has stopped it; null if the guest has ended. */
  readonly cpu: number | null;
  /** The values of the registers of the CPU, in hexadecimal. */
  readonly registers: readonly string[];
  /** The guest physical address of the pc; null if the CPU's page tables do not map it. */
  readonly at: string | null;
  /** Instructions from the pc on. */
  readonly disassembly: readonly { readonly address: string; readonly text: string }[];
  readonly breakpoints: readonly string[];
  readonly watchpoints: readonly WatchInfo[];
}

/** A watchpoint: of writes (`watch`), of reads (`rwatch`) or of both (`awatch`). */
export interface WatchInfo {
  readonly word: "watch" | "rwatch" | "awatch";
  readonly gpa: string;
  readonly length: string;
}

/** GET /api/machine/trace?gpa=&length= */
export interface TraceInfo {
  /** The last recorded accesses to the range, the newest first. */
  readonly accesses: readonly {
    readonly gpa: string;
    readonly width: number;
    readonly kind: "read" | "write";
    readonly tag: string;
    /** Null for an access whose value is not recorded. */
    readonly value: string | null;
  }[];
}

export interface FileInfo {
  readonly name: string;
  /** Size of the file in bytes. */
  readonly size: number;
  readonly generation: number;
}

export interface RegionInfo {
  readonly kind: "ram" | "rom" | "mmio";
  readonly name: string;
  readonly gpa: string;
  /** Size in bytes, as hexadecimal text. */
  readonly size: string;
  /** Pages that the file stores, which are those with a byte other than zero. */
  readonly storedPages: number;
  /** Pages that differ between the two snapshots; 0 if there is only one. */
  readonly differingPages: number;
}

/** GET /api/heat?region=&from=&pages=&buckets=, and since= of a running machine. */
export interface HeatInfo {
  /** Pages per bucket. The last bucket may have fewer. */
  readonly bucketPages: number;
  /**
   * Pages that the file stores, per bucket, as for every array below. Of a running machine: pages
   * that were written.
   */
  readonly stored: readonly number[];
  /** The largest number of changes of any one page. */
  readonly changes: readonly number[];
  /** The last generation in which a page changed; of a running machine, the time as in `now`. */
  readonly changedIn: readonly number[];
  /** Pages that differ between the two snapshots, or that were written since the snapshot. */
  readonly differing: readonly number[];
  /** Milliseconds since the start of the inspector; 0 for snapshots. */
  readonly now: number;
}

/** GET /api/page?gpa=, and since= of a running machine. */
export interface PageInfo {
  /** One entry for each file; for now and the snapshot of a running machine. */
  readonly sides: readonly {
    readonly stored: boolean;
    readonly changes: number;
    /** The generation of the last change; of a running machine, the seconds since then. */
    readonly changedIn: number;
    /** The checksum of a stored page, in hexadecimal. */
    readonly digest: string | null;
  }[];
}

/**
 * GET /api/search?side=&pattern=&from=&direction= and GET /api/difference?from=&direction=, and
 * since= of a running machine.
 *
 * If a request reaches its limit before a match, `next` is the address to go on from.
 */
export interface FindInfo {
  readonly match: string | null;
  readonly next: string | null;
}

/** The response to every request that fails. */
export interface ErrorInfo {
  readonly error: { readonly code: string; readonly message: string };
}
