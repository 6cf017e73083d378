import { PAGE_SIZE } from "../base/page.js";
import { Rewind } from "../snapshot/rewind.js";
import type { Snapshot } from "../snapshot/snapshot.js";
import type { AddressSpace } from "../space/address-space.js";
import type { Gpa } from "../base/gpa.js";
import type { MomentInfo } from "./protocol.js";
import { RequestError } from "./request-error.js";

/** A moment whose memory was kept. */
export interface Moment {
  readonly number: number;
  /** Milliseconds since the start of the inspector. */
  readonly time: number;
  readonly snapshot: Snapshot;
}

/** The moments that the page can compare with: snapshots in a ring, which loses the oldest. */
export class Moments {
  readonly #rewind: Rewind;
  readonly #known = new Map<Snapshot, Moment>();
  #last = 0;

  /**
   * @param budget - The most bytes that the snapshots may take.
   * @throws TypeError, RangeError for an invalid budget.
   */
  constructor(space: AddressSpace, budget: Gpa) {
    this.#rewind = new Rewind(space, { budget });
  }

  /** Takes a snapshot of the current moment. */
  take(time: number): MomentInfo {
    let snapshot: Snapshot;
    try {
      snapshot = this.#rewind.take();
    } catch {
      // The map has changed since the last snapshot.
      this.#rewind.clear();
      snapshot = this.#rewind.take();
    }
    this.#known.set(snapshot, { number: ++this.#last, time, snapshot });
    const kept = new Set(this.#rewind.snapshots);
    for (const known of this.#known.keys()) {
      if (!kept.has(known)) {
        this.#known.delete(known);
      }
    }
    return this.list().at(-1)!;
  }

  /** The moments that the ring still has, the oldest first. */
  list(): MomentInfo[] {
    return [...this.#known.values()].map(({ number, time }) => {
      return { number, seconds: time / 1000 };
    });
  }

  /** @throws {@link RequestError} if the ring has not, or no longer, this moment. */
  get(number: number): Moment {
    const found = [...this.#known.values()].find((moment) => moment.number === number);
    if (found === undefined) {
      throw new RequestError(404, "ERR_NO_MOMENT", `there is no snapshot ${number}`);
    }
    return found;
  }
}

/** Bytes of a snapshot, at the address that they had. Bytes that were not mapped are zeros. */
export function readMoment({ snapshot }: Moment, gpa: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  // Page by page, since a range may have been mapped in part.
  for (let done = 0; done < length;) {
    const at = gpa + BigInt(done);
    const count = Math.min(PAGE_SIZE - Number(at % BigInt(PAGE_SIZE)), length - done);
    try {
      bytes.set(snapshot.read(at, count), done);
    } catch {
      // This page was not mapped, or not by one window.
    }
    done += count;
  }
  return bytes;
}
