import type { RegionInfo } from "../lib/inspector/protocol.js";

/** Bytes of a page. */
export const PAGE = 4096;

/** A region of the snapshot. */
export interface Region {
  readonly index: number;
  readonly kind: RegionInfo["kind"];
  readonly name: string;
  readonly gpa: bigint;
  readonly size: bigint;
  readonly storedPages: number;
  readonly differingPages: number;
}

export function toRegion(info: RegionInfo, index: number): Region {
  return { ...info, index, gpa: BigInt(info.gpa), size: BigInt(info.size) };
}

/** Whether there are bytes to show. */
export function hasBytes(region: Region): boolean {
  return region.kind !== "mmio" && region.size > 0n;
}

/** The region with bytes that an address lies in. */
export function regionAt(regions: readonly Region[], gpa: bigint): Region | null {
  return (
    regions.find(
      (region) => hasBytes(region) && gpa >= region.gpa && gpa < region.gpa + region.size,
    ) ?? null
  );
}

/** How many digits the addresses of a snapshot have: 8, or more where it goes beyond 4 GiB. */
export function addressDigits(regions: readonly Region[]): number {
  const end = regions.reduce((most, { gpa, size }) => (gpa + size > most ? gpa + size : most), 0n);
  const digits = end === 0n ? 1 : (end - 1n).toString(16).length;
  return digits <= 8 ? 8 : digits <= 12 ? 12 : 16;
}

export function formatAddress(gpa: bigint, digits = 0): string {
  return `0x${gpa.toString(16).padStart(digits, "0")}`;
}

/**
 * What was typed to go somewhere: an address in hexadecimal, `#` and one in decimal, `+` or `-` and
 * a distance from the cursor, or a region's name, with a distance behind it or not.
 *
 * @returns null for anything else.
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

function parseNumber(text: string): bigint | null {
  if (/^#\d+$/.test(text)) {
    return BigInt(text.slice(1));
  }
  const digits = text.replace(/^0x/i, "").replaceAll("_", "");
  return /^[\da-f]{1,16}$/i.test(digits) ? BigInt(`0x${digits}`) : null;
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** A size for people: three digits and a unit. */
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
