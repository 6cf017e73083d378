import { PAGE, type Region } from "../model/addresses.mjs";
import { messageOf } from "./errors.mjs";
import { requests } from "./requests.mjs";

/** Bytes in a request. The server refuses a damaged page, and one page at a time hides no other. */
const BLOCK = PAGE;

/** The most blocks that the cache keeps: 4 MiB. */
const BLOCKS = 1024;

/** Why bytes are not in the cache: they were requested, or the request failed. */
export type Missing = "loading" | "damaged";

/** Caches the bytes that were shown last, and requests those that it does not have. */
export class ByteCache {
  readonly #blocks = new Map<string, Uint8Array | Missing>();
  readonly #changed: (failure: string | null) => void;

  /** @param changed - Called after each request, with the message of the error if it failed. */
  constructor(changed: (failure: string | null) => void) {
    this.#changed = changed;
  }

  /**
   * Returns bytes of a region, or requests them.
   *
   * @param side - Which of the two snapshots: 0 or 1.
   * @param offset - Bytes from the region's start.
   * @param length - Number of bytes, which must not cross a multiple of 4096.
   */
  get(side: number, region: Region, offset: number, length: number): Uint8Array | Missing {
    const start = offset - (offset % BLOCK);
    const block = this.#block(side, region, start);
    return typeof block === "string"
      ? block
      : block.subarray(offset - start, offset - start + length);
  }

  #block(side: number, region: Region, start: number): Uint8Array | Missing {
    const key = `${side} ${region.index} ${start}`;
    const known = this.#blocks.get(key);
    if (known !== undefined) {
      // Map keeps the order of insertion, so the first block is the least recently used.
      this.#blocks.delete(key);
      this.#blocks.set(key, known);
      return known;
    }
    this.#keep(key, "loading");
    const length = Math.min(BLOCK, Number(region.size) - start);
    requests.bytes(side, region.gpa + BigInt(start), length).then(
      (bytes) => {
        this.#keep(key, bytes);
        this.#changed(null);
      },
      (error: unknown) => {
        this.#keep(key, "damaged");
        this.#changed(messageOf(error));
      },
    );
    return "loading";
  }

  #keep(key: string, block: Uint8Array | Missing): void {
    this.#blocks.set(key, block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= BLOCKS) {
        break;
      }
      this.#blocks.delete(oldest);
    }
  }
}
