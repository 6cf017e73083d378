import { AccessKind } from "./lackey.js";
import { type Batch } from "./workload.js";
import { PAGE_SIZE } from "../base/page.js";

/** The operations and the bytes that a trace covers, whatever path carries it out. */
export class Survey {
  /** Operations by {@link AccessKind}, then by log2 of the width in bytes. A modify counts once. */
  readonly accesses = Object.values(AccessKind).map(() => [0, 0, 0, 0]);
  // One bit for each byte of a touched page.
  readonly #touched = new Map<number, Uint8Array>();
  #lastPage = -1;
  #lastBits: Uint8Array = new Uint8Array(0);

  /** @param ramSize - The size of RAM in bytes. */
  constructor(readonly ramSize: number) {}

  /** Counts a batch's accesses. Returns the numbers of the pages of RAM that it touches first. */
  add(batch: Batch): number[] {
    const operations = new Float64Array(16);
    const newPages: number[] = [];
    for (let i = 0; i < batch.length; i++) {
      const code = batch.codes[i]!;
      const gpa = batch.gpas[i]!;
      const width = 1 << (code & 3);
      operations[code] = operations[code]! + 1;
      if (gpa % width === 0 && gpa + width <= this.ramSize) {
        this.#touch(gpa, width, newPages);
      }
    }
    operations.forEach((count, code) => this.#count(code, count));
    return newPages;
  }

  /** The number of guest accesses. A modify counts twice. */
  total(): number {
    return guestAccesses(this.accesses.map((row) => row.reduce((sum, count) => sum + count)));
  }

  /** The numbers of the pages touched, in ascending order. */
  pages(): number[] {
    return [...this.#touched.keys()].sort((a, b) => a - b);
  }

  /** The number of distinct bytes of RAM that accesses cover. */
  bytesTouched(): number {
    let bytes = 0;
    for (const bits of this.#touched.values()) {
      bits.forEach((octet) => (bytes += bitCount(octet)));
    }
    return bytes;
  }

  #count(code: number, operations: number): void {
    const row = this.accesses[code >> 2]!;
    row[code & 3] = row[code & 3]! + operations;
  }

  /** Marks the bytes of an aligned access. Their bits lie in one byte of the bitmap. */
  #touch(gpa: number, width: number, newPages: number[]): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    if (page !== this.#lastPage) {
      this.#lastPage = page;
      this.#lastBits = this.#touched.get(page) ?? this.#addPage(page, newPages);
    }
    const offset = gpa % PAGE_SIZE;
    const octet = offset >> 3;
    this.#lastBits[octet] = this.#lastBits[octet]! | (((1 << width) - 1) << (offset & 7));
  }

  #addPage(page: number, newPages: number[]): Uint8Array {
    const bits = new Uint8Array(PAGE_SIZE / 8);
    this.#touched.set(page, bits);
    newPages.push(page);
    return bits;
  }
}

/** The guest accesses of these operations by {@link AccessKind}: a modify is a load and a store. */
export function guestAccesses(operations: readonly number[]): number {
  return operations.reduce((sum, count) => sum + count) + operations[AccessKind.MODIFY]!;
}

function bitCount(octet: number): number {
  let count = 0;
  for (let rest = octet; rest !== 0; rest &= rest - 1) {
    count++;
  }
  return count;
}
