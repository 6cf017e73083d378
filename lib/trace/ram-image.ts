import { createHash } from "node:crypto";
import type { GuestMemoryAccess } from "../base/access.js";
import { GuestMemoryFault } from "../base/errors.js";
import { mix, SCATTER } from "../base/mix.js";
import { GuestMemAccessResult } from "../base/result.js";
import { PAGE_SIZE } from "../base/page.js";

const { OK } = GuestMemAccessResult;

/** Fills the part of a page that lies in RAM with noise that depends only on the page's number. */
export function fillPage(memory: GuestMemoryAccess, page: number): void {
  const quad = new DataView(new ArrayBuffer(8));
  const start = page * PAGE_SIZE;
  const end = Math.min(start + PAGE_SIZE, Number(memory.size));
  let state = mix(page, SCATTER);
  for (let gpa = start; gpa < end; gpa += 8) {
    state = mix(state, SCATTER);
    quad.setUint32(0, state, true);
    state = mix(state, SCATTER);
    quad.setUint32(4, state, true);
    if (gpa + 8 <= end) {
      must(memory.tryWriteq(gpa, quad.getBigUint64(0, true)), gpa, 8, "write");
      continue;
    }
    for (let at = gpa; at < end; at++) {
      must(memory.tryWriteb(at, quad.getUint8(at - gpa)), at, 1, "write");
    }
  }
}

/**
 * SHA-256 over the bytes of pages of RAM, read through the path itself, and then over `numbers`.
 */
export function checksum(
  memory: GuestMemoryAccess,
  pages: Iterable<number>,
  numbers: readonly number[],
): string {
  const hash = createHash("sha256");
  const content = new PageReader(memory);
  for (const page of pages) {
    hash.update(content.read(page));
  }
  const bytes = new DataView(new ArrayBuffer(8 * numbers.length));
  numbers.forEach((number, i) => bytes.setFloat64(8 * i, number, true));
  return hash.update(bytes).digest("hex");
}

/** Reads pages of RAM by 64-bit accesses, and the last bytes of RAM by 8-bit accesses. */
class PageReader {
  readonly #quad = new BigUint64Array(1);
  readonly #byte = new Uint8Array(1);
  readonly #bytes = new Uint8Array(PAGE_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #memory: GuestMemoryAccess;
  readonly #end: number;

  constructor(memory: GuestMemoryAccess) {
    this.#memory = memory;
    this.#end = Number(memory.size);
  }

  /** The part of a page that lies in RAM. The bytes are valid until the next call. */
  read(page: number): Uint8Array {
    const start = page * PAGE_SIZE;
    const length = Math.min(PAGE_SIZE, this.#end - start);
    const whole = length - (length % 8);
    for (let offset = 0; offset < whole; offset += 8) {
      must(this.#memory.tryReadq(start + offset, this.#quad), start + offset, 8, "read");
      this.#view.setBigUint64(offset, this.#quad[0]!, true);
    }
    for (let offset = whole; offset < length; offset++) {
      must(this.#memory.tryReadb(start + offset, this.#byte), start + offset, 1, "read");
      this.#bytes[offset] = this.#byte[0]!;
    }
    return this.#bytes.subarray(0, length);
  }
}

/** Throws if an aligned access within RAM failed. */
function must(
  result: GuestMemAccessResult,
  gpa: number,
  width: number,
  operation: "read" | "write",
): void {
  if (result !== OK) {
    throw new GuestMemoryFault(result, gpa, width, operation);
  }
}
