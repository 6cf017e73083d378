/*
 * The protocol between the server and the page. Addresses are hexadecimal text, such as "0x1000",
 * since JSON has no 64-bit integers. Offsets and counts are numbers below 2^53.
 *
 * This is a declaration file because two compilations use it: the server's and the page's.
 */

/** GET /api/snapshot. */
export interface SnapshotInfo {
  /** The snapshot, and the other one if two are compared. */
  readonly files: readonly FileInfo[];
  readonly regions: readonly RegionInfo[];
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

/** GET /api/heat?region=&from=&pages=&buckets= */
export interface HeatInfo {
  /** Pages per bucket. The last bucket may have fewer. */
  readonly bucketPages: number;
  /** Pages that the file stores, per bucket, as for every array below. */
  readonly stored: readonly number[];
  /** The largest number of changes of any one page. */
  readonly changes: readonly number[];
  /** The last generation in which a page changed. */
  readonly changedIn: readonly number[];
  /** Pages that differ between the two snapshots. */
  readonly differing: readonly number[];
}

/** GET /api/page?gpa= */
export interface PageInfo {
  /** One entry for each file. */
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
