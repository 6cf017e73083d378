import type { RegionInfo } from "../../lib/inspector/protocol.js";

/** Bytes in a page of guest memory. */
export const PAGE = 4096;

/** A region of the guest's address space, with its addresses as numbers. */
export interface Region {
  /** Position in the server's list of regions. */
  readonly index: number;
  readonly kind: RegionInfo["kind"];
  readonly name: string;
  readonly gpa: bigint;
  /** Length in bytes. */
  readonly size: bigint;
  /** Number of pages that are not all zero. */
  readonly storedPages: number;
  /** Number of pages that differ between the two snapshots. */
  readonly differingPages: number;
}

/** Converts a region from the server's form. */
export function toRegion(info: RegionInfo, index: number): Region {
  return { ...info, index, gpa: BigInt(info.gpa), size: BigInt(info.size) };
}

/** Whether the region has bytes to show: a device has none. */
export function hasBytes(region: Region): boolean {
  return region.kind !== "mmio" && region.size > 0n;
}

/** Finds the RAM or ROM region that contains an address. */
export function regionAt(regions: readonly Region[], gpa: bigint): Region | null {
  return (
    regions.find(
      (region) => hasBytes(region) && gpa >= region.gpa && gpa < region.gpa + region.size,
    ) ?? null
  );
}

/** Counts the hexadecimal digits that the highest address of the regions needs: 8, 12 or more. */
export function addressDigits(regions: readonly Region[]): number {
  const end = regions.reduce((most, { gpa, size }) => (gpa + size > most ? gpa + size : most), 0n);
  const digits = end === 0n ? 1 : (end - 1n).toString(16).length;
  return digits <= 8 ? 8 : digits <= 12 ? 12 : Math.max(16, digits);
}

/** Formats an address in hexadecimal, padded with zeros to at least `digits` digits. */
export function formatAddress(gpa: bigint, digits = 0): string {
  return `0x${gpa.toString(16).padStart(digits, "0")}`;
}

/** Describes an address by the region that contains it and the offset in that region. */
export function describeAddress(gpa: bigint, regions: readonly Region[]): string {
  const region = regionAt(regions, gpa);
  const place =
    region === null ? "no RAM or ROM" : `${region.name}+${(gpa - region.gpa).toString(16)}`;
  return `${formatAddress(gpa)}: ${place}`;
}

/**
 * Parses the text of the "go to" prompt: an address in hexadecimal, `#` and an address in decimal,
 * `+` or `-` and a distance from the cursor, or the name of a region, optionally with a distance.
 *
 * @returns null if the text is none of these.
 */
export function parseGoTo(text: string, regions: readonly Region[], cursor: bigint): bigint | null {
  const typed = text.trim();
  const named = regions.find(({ name }) => typed === name || typed.startsWith(`${name}+`));
  if (named !== undefined) {
    const distance = typed.slice(named.name.length + 1);
    const offset = distance === "" ? 0n : parseNumber(distance);
    return offset === null ? null : named.gpa + offset;
  }
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/.exec(typed) ?? [];
  const number = parseNumber(rest);
  if (number === null) {
    return null;
  }
  if (sign === "") {
    return number;
  }
  const target = sign === "+" ? cursor + number : cursor - number;
  return target < 0n ? null : target;
}

/** Parses a number in hexadecimal, or in decimal after `#`; null if the text is neither. */
export function parseNumber(text: string): bigint | null {
  if (/^#\d+$/.test(text)) {
    return BigInt(text.slice(1));
  }
  const digits = text.replace(/^0x/i, "").replaceAll("_", "");
  return /^[\da-f]{1,18}$/i.test(digits) ? BigInt(`0x${digits}`) : null;
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** Formats a size with three significant digits and a unit. */
export function formatSize(bytes: bigint | number): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || Number.isInteger(value) ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}
