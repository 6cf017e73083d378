import { PAGE, type Region } from "../model/addresses.mjs";
import { messageOf } from "./errors.mjs";
import { requests, session } from "./requests.mjs";

/** Bytes in a request. The server refuses a damaged page, and one page at a time hides no other. */
const BLOCK = PAGE;

/** The most blocks that the cache keeps: 4 MiB. */
const BLOCKS = 1024;

/** The number of refreshes for which a byte that has changed is marked. */
const FRESH = 4;

/** Why bytes are not in the cache: they were requested, or the request failed. */
export type Missing = "loading" | "damaged";

interface Block {
  bytes: Uint8Array | Missing;
  /** For each byte, the number of refreshes for which it is still marked as changed. */
  readonly fresh: Uint8Array;
  isRequested: boolean;
  /** Whether the bytes may be others now. */
  isStale: boolean;
}

/** Caches the bytes that were shown last, and requests those that it does not have. */
export class ByteCache {
  readonly #blocks = new Map<string, Block>();
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
    const { bytes } = this.#block(side, region, start);
    return typeof bytes === "string"
      ? bytes
      : bytes.subarray(offset - start, offset - start + length);
  }

  /** As {@link ByteCache.get}: a number above 0 for each byte that has changed lately. */
  fresh(side: number, region: Region, offset: number, length: number): Uint8Array {
    const start = offset - (offset % BLOCK);
    return this.#block(side, region, start).fresh.subarray(offset - start, offset - start + length);
  }

  /** Requests the bytes of side 0 again when they are shown next. */
  refresh(): void {
    for (const [key, block] of this.#blocks) {
      block.isStale ||= key.startsWith("0 ");
    }
  }

  #block(side: number, region: Region, start: number): Block {
    const key = `${side} ${side === 0 ? 0 : session.since} ${region.index} ${start}`;
    const length = Math.min(BLOCK, Number(region.size) - start);
    const known = this.#blocks.get(key);
    const block = known ?? {
      bytes: "loading",
      fresh: new Uint8Array(length),
      isRequested: false,
      isStale: true,
    };
    // Map keeps the order of insertion, so the first block is the least recently used.
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    if (block.isStale && !block.isRequested) {
      void this.#request(block, side, region.gpa + BigInt(start), length);
    }
    this.#drop();
    return block;
  }

  async #request(block: Block, side: number, gpa: bigint, length: number): Promise<void> {
    block.isRequested = true;
    block.isStale = false;
    let failure: string | null = null;
    try {
      const bytes = await requests.bytes(side, gpa, length);
      markChanges(block, bytes);
      block.bytes = bytes;
    } catch (error) {
      block.bytes = "damaged";
      failure = messageOf(error);
    }
    block.isRequested = false;
    this.#changed(failure);
  }

  #drop(): void {
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= BLOCKS) {
        break;
      }
      this.#blocks.delete(oldest);
    }
  }
}

function markChanges({ bytes: before, fresh }: Block, bytes: Uint8Array): void {
  if (typeof before !== "string") {
    for (let i = 0; i < bytes.length; i++) {
      fresh[i] = bytes[i] === before[i] ? Math.max(0, fresh[i]! - 1) : FRESH;
    }
  }
}
