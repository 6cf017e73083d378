import { checkObject, toAddress } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import { toBigInt } from "../base/gpa.js";
import type { GdbCpu, GdbTranslation } from "./cpu.js";

const MIN_SIZE = 256;
const MAX_SIZE = 2 ** 52;
const END = 2n ** 64n;

/** A part of a range of addresses, and where it is in guest physical memory. */
export interface Part {
  /** Bytes from the start of the range. */
  readonly offset: number;
  readonly length: number;
  /** Null if the part is not mapped. */
  readonly gpa: bigint | null;
}

/**
 * The parts of a range of addresses of a CPU, one for each page. Addresses above 2^64 - 1 are not
 * mapped.
 *
 * @returns A promise only if `translate` of the CPU returns one.
 */
export function partsOf(
  cpu: GdbCpu,
  address: bigint,
  length: number,
): readonly Part[] | Promise<readonly Part[]> {
  return cpu.translate === undefined
    ? [{ offset: 0, length, gpa: address }]
    : translated(cpu, address, length, []);
}

function translated(
  cpu: GdbCpu,
  address: bigint,
  length: number,
  parts: Part[],
): readonly Part[] | Promise<readonly Part[]> {
  for (;;) {
    const last = parts.at(-1);
    const offset = last === undefined ? 0 : last.offset + last.length;
    if (offset >= length) {
      return parts;
    }
    const va = address + BigInt(offset);
    if (va >= END) {
      parts.push({ offset, length: length - offset, gpa: null });
      return parts;
    }
    const add = (found: unknown): void => {
      parts.push(toPart(found, va, offset, length - offset));
    };
    const found = cpu.translate!(va);
    if (found instanceof Promise) {
      return found.then((later) => {
        add(later);
        return translated(cpu, address, length, parts);
      });
    }
    add(found);
  }
}

/** @throws TypeError, RangeError if `found` is not a result of `translate`. */
function toPart(found: unknown, va: bigint, offset: number, most: number): Part {
  if (found === null) {
    // The next page may be mapped. No page is smaller.
    const rest = MIN_SIZE - Number(va % BigInt(MIN_SIZE));
    return { offset, length: Math.min(rest, most), gpa: null };
  }
  const { gpa, size } = checkObject(found as GdbTranslation, "the result of translate");
  toAddress(gpa, "the gpa of a translation");
  if (!(size >= MIN_SIZE && size <= MAX_SIZE && Number.isInteger(Math.log2(size)))) {
    throw rangeError(`the size of a translation must be a power of two from ${MIN_SIZE} to 2^52`);
  }
  const page = toBigInt(gpa);
  if (page % BigInt(size) !== 0n) {
    throw rangeError("the gpa of a translation must be a multiple of its size");
  }
  const inPage = va % BigInt(size);
  return {
    offset,
    length: Math.min(Number(BigInt(size) - inPage), most),
    gpa: page + inPage,
  };
}
