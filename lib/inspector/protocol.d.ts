/*
 * What the server and the page say to each other. Addresses are hexadecimal text, such as "0x1000",
 * since JSON has no 64-bit integers; offsets and counts are numbers, below 2^53.
 *
 * A declaration file, since it belongs to two compilations: the server's, and the page's.
 */

/** GET /api/snapshot. */
export interface SnapshotInfo {
  /** The snapshot and, where two are compared, the other one. */
  readonly files: readonly FileInfo[];
  readonly regions: readonly RegionInfo[];
}

export interface FileInfo {
  readonly name: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly generation: number;
}

export interface RegionInfo {
  readonly kind: "ram" | "rom" | "mmio";
  readonly name: string;
  readonly gpa: string;
  /** Bytes, as hexadecimal text. */
  readonly size: string;
  /** Pages that are not all zero. */
  readonly storedPages: number;
  /** Pages that differ between the two snapshots; 0 where there is one. */
  readonly differingPages: number;
}

/** GET /api/heat?region=&from=&pages=&buckets= */
export interface HeatInfo {
  /** Pages of a bucket. The last one may have fewer. */
  readonly bucketPages: number;
  /** One entry for each bucket. */
  readonly stored: readonly number[];
  /** The most changes of a page. */
  readonly changes: readonly number[];
  /** The last generation in which a page changed. */
  readonly changedIn: readonly number[];
  /** Pages that differ between the two snapshots. */
  readonly differing: readonly number[];
}

/** GET /api/page?gpa= */
export interface PageInfo {
  /** One for each file. */
  readonly sides: readonly {
    readonly stored: boolean;
    readonly changes: number;
    readonly changedIn: number;
    /** The checksum of a stored page, in hexadecimal. */
    readonly digest: string | null;
  }[];
}

/**
 * GET /api/search?side=&pattern=&from=&direction= and GET /api/difference?from=&direction=
 *
 * Where the bound of one request was reached before a match, `next` is where to go on.
 */
export interface FindInfo {
  readonly match: string | null;
  readonly next: string | null;
}

/** What every request that fails answers. */
export interface ErrorInfo {
  readonly error: { readonly code: string; readonly message: string };
}
