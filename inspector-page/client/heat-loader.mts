import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { PAGE, type Region } from "../model/addresses.mjs";
import { messageOf } from "./errors.mjs";
import { requests } from "./requests.mjs";

/** Keeps the heat of one region, and requests it when another region is shown. */
export class HeatLoader {
  #key = "";
  #heat: HeatInfo | null = null;
  #isLoading = false;
  #isStale = false;
  readonly #changed: (failure: string | null) => void;

  /** @param changed - Called after each request, with the message of the error if it failed. */
  constructor(changed: (failure: string | null) => void) {
    this.#changed = changed;
  }

  /**
   * Returns the heat of a region, or requests it and returns null.
   *
   * @param capacity - The most cells that there is room for.
   */
  get(region: Region, capacity: number): HeatInfo | null {
    const pages = Math.ceil(Number(region.size) / PAGE);
    const buckets = Math.min(capacity, pages);
    const key = `${region.index} ${buckets}`;
    if (key !== this.#key) {
      this.#key = key;
      this.#heat = null;
      void this.#load(key, region, pages, buckets);
    } else if (this.#isStale && !this.#isLoading) {
      void this.#load(key, region, pages, buckets);
    }
    return this.#heat;
  }

  /** Requests the heat again when it is shown next. */
  refresh(): void {
    this.#isStale = true;
  }

  async #load(key: string, region: Region, pages: number, buckets: number): Promise<void> {
    let failure: string | null = null;
    this.#isLoading = true;
    this.#isStale = false;
    try {
      const heat = await requests.heat(region.index, 0, pages, buckets);
      if (this.#key === key) {
        this.#heat = heat;
      }
    } catch (error) {
      failure = messageOf(error);
    }
    this.#isLoading = false;
    this.#changed(failure);
  }
}
