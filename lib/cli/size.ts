import { InvalidArgumentError } from "commander";

const UNITS = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 } as const;

/**
 * Parses a number of bytes: `4096`, `64K`, `64M` or `2G`, in units of 1024.
 *
 * @throws InvalidArgumentError for any other text, or a number of 2^53 or more.
 */
export function parseSize(text: string): number {
  const [, digits, unit = ""] = /^(\d+)([KMG]?)$/i.exec(text) ?? [];
  const size = Number(digits) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
  if (!Number.isSafeInteger(size)) {
    throw new InvalidArgumentError("It must be a number of bytes, such as 4096, 64K, 64M or 2G.");
  }
  return size;
}

/** Formats a number of bytes in the largest unit that divides it. */
export function formatSize(size: number): string {
  for (const unit of ["G", "M", "K"] as const) {
    if (size !== 0 && size % UNITS[unit] === 0) {
      return `${size / UNITS[unit]} ${unit}iB`;
    }
  }
  return `${size} bytes`;
}
