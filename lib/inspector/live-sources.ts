import { PAGE_SIZE } from "../base/page.js";
import type { AddressSpace } from "../space/address-space.js";
import { type ByteSource, pageCount, type Place } from "./byte-source.js";
import type { LiveArea } from "./live-areas.js";
import { type Moment, readMoment } from "./moments.js";

/** The areas of a running machine as bytes of some moment. */
abstract class AreaSource implements ByteSource {
  constructor(readonly regions: readonly LiveArea[]) {}

  /** Every page may have bytes. */
  nextStored(region: number, from: number, direction: "up" | "down"): number | null {
    const page = direction === "up" ? from : from - 1;
    return page >= 0 && page < pageCount(this.regions[region]!) ? page : null;
  }

  read({ region, offset }: Place, length: number): Promise<Buffer> {
    return Promise.resolve(this.readAt(this.regions[region]!.gpa + BigInt(offset), length));
  }

  /** The bytes of a page. Those after the end of the area are zeros. */
  page(region: number, page: number): Promise<Uint8Array> {
    const { gpa, size } = this.regions[region]!;
    const offset = page * PAGE_SIZE;
    const bytes = Buffer.alloc(PAGE_SIZE);
    bytes.set(this.readAt(gpa + BigInt(offset), Math.min(PAGE_SIZE, Number(size) - offset)));
    return Promise.resolve(bytes);
  }

  protected abstract readAt(gpa: bigint, length: number): Buffer;
}

/** The bytes of a machine now. */
export class LiveBytes extends AreaSource {
  readonly #space: AddressSpace;

  constructor(space: AddressSpace, areas: readonly LiveArea[]) {
    super(areas);
    this.#space = space;
  }

  protected override readAt(gpa: bigint, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    this.#space.peek(gpa, bytes);
    return bytes;
  }
}

/** The bytes of a machine at an earlier moment. */
export class MomentBytes extends AreaSource {
  constructor(
    areas: readonly LiveArea[],
    private readonly moment: Moment,
  ) {
    super(areas);
  }

  protected override readAt(gpa: bigint, length: number): Buffer {
    return readMoment(this.moment, gpa, length);
  }
}
