import { createHash } from "node:crypto";
import type { GuestMemoryAccess } from "../base/access.js";
import { GuestMemoryFault } from "../base/errors.js";
import { mix, SCATTER } from "../base/mix.js";
import { GuestMemAccessResult } from "../base/result.js";
import { PAGE_SIZE } from "../base/page.js";

const { OK } = GuestMemAccessResult;

/** Fills the part of a page that lies in RAM with noise that depends only on the page's number. */
export function fillPage(memory: GuestMemoryAccess, page: number): void {
  const quad = new BigUint64Array(1);
  const halves = new Uint32Array(quad.buffer);
  const start = page * PAGE_SIZE;
  const end = Math.min(start + PAGE_SIZE, Number(memory.size));
  let state = mix(page, SCATTER);
  for (let gpa = start; gpa < end; gpa += 8) {
    halves[0] = state = mix(state, SCATTER);
    halves[1] = state = mix(state, SCATTER);
    if (gpa + 8 <= end) {
      must(memory.tryWriteq(gpa, quad[0]!), gpa, 8, "write");
      continue;
    }
    const bytes = new Uint8Array(quad.buffer);
    for (let at = gpa; at < end; at++) {
      must(memory.tryWriteb(at, bytes[at - gpa]!), at, 1, "write");
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
  return hash.update(Float64Array.from(numbers)).digest("hex");
}

/** Reads pages of RAM by 64-bit accesses, and the last bytes of RAM by 8-bit accesses. */
class PageReader {
  readonly #quad = new BigUint64Array(1);
  readonly #halves = new Uint32Array(this.#quad.buffer);
  readonly #byte = new Uint8Array(1);
  readonly #content = new Uint32Array(PAGE_SIZE / 4);
  readonly #bytes = new Uint8Array(this.#content.buffer);
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
      this.#content[offset >> 2] = this.#halves[0]!;
      this.#content[(offset >> 2) + 1] = this.#halves[1]!;
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
