import { type AddressSpace, GuestMemAccessResult } from "pound-guest-memory";

const { OK } = GuestMemAccessResult;

const DESCRIPTOR_SIZE = 16;
const DESCRIPTOR_NEXT = 1;
const DESCRIPTOR_WRITE = 2;
const RING_HEADER = 4;
const USED_ENTRY = 8;

/** A range of guest memory. */
export interface Range {
  readonly gpa: bigint;
  readonly length: number;
}

/** A chain of descriptors: a request of the driver. */
export interface Chain {
  readonly head: number;
  /** What the device reads, and where it writes. */
  readonly readable: readonly Range[];
  readonly writable: readonly Range[];
}

/** The driver has broken the rules of a queue, which only a reset of the device ends. */
export class BrokenQueueError extends Error {}

/** A split virtqueue of virtio 1, in guest memory. */
export class VirtQueue {
  /** The number of descriptors, a power of two. */
  size = 0;
  ready = false;
  /** The addresses of the descriptor table, the ring of the driver and that of the device. */
  descriptors = 0n;
  driver = 0n;
  device = 0n;
  /** The number of chains that were taken, and of those that were returned, modulo 65536. */
  private taken = 0;
  private returned = 0;

  constructor(private readonly space: AddressSpace) {}

  /**
   * Takes the next chain; null if there is none.
   *
   * @throws BrokenQueueError
   */
  take(): Chain | null {
    const available = this.read(this.driver + 2n, 2).readUInt16LE(0);
    if (available === this.taken) {
      return null;
    }
    if (((available - this.taken) & 0xffff) > this.size) {
      throw new BrokenQueueError("more chains than descriptors");
    }
    const slot = BigInt(RING_HEADER + 2 * (this.taken % this.size));
    const head = this.read(this.driver + slot, 2).readUInt16LE(0);
    this.taken = (this.taken + 1) & 0xffff;
    return this.follow(head);
  }

  /**
   * Returns a chain to the driver.
   *
   * @param written - Bytes that the device has written to it.
   * @throws BrokenQueueError
   */
  giveBack({ head }: Chain, written: number): void {
    const entry = Buffer.alloc(USED_ENTRY);
    entry.writeUInt32LE(head, 0);
    entry.writeUInt32LE(written, 4);
    const slot = BigInt(RING_HEADER + USED_ENTRY * (this.returned % this.size));
    this.write(this.device + slot, entry);
    this.returned = (this.returned + 1) & 0xffff;
    const index = Buffer.alloc(2);
    index.writeUInt16LE(this.returned, 0);
    this.write(this.device + 2n, index);
  }

  reset(): void {
    this.restore({ ...new VirtQueue(this.space).save() });
  }

  save() {
    const { size, ready, descriptors, driver, device, taken, returned } = this;
    return { size, ready, descriptors, driver, device, taken, returned };
  }

  restore(saved: ReturnType<VirtQueue["save"]>): void {
    Object.assign(this, saved);
  }

  private follow(head: number): Chain {
    const readable: Range[] = [];
    const writable: Range[] = [];
    let index = head;
    for (let count = 0; ; count++) {
      // A chain that is longer than the table is a loop.
      if (index >= this.size || count >= this.size) {
        throw new BrokenQueueError("a chain leaves the table, or has no end");
      }
      const at = this.descriptors + BigInt(DESCRIPTOR_SIZE * index);
      const descriptor = this.read(at, DESCRIPTOR_SIZE);
      const flags = descriptor.readUInt16LE(12);
      const list = (flags & DESCRIPTOR_WRITE) === 0 ? readable : writable;
      list.push({ gpa: descriptor.readBigUInt64LE(0), length: descriptor.readUInt32LE(8) });
      if ((flags & DESCRIPTOR_NEXT) === 0) {
        return { head, readable, writable };
      }
      index = descriptor.readUInt16LE(14);
    }
  }

  private read(gpa: bigint, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (!gather(this.space, [{ gpa, length }], bytes)) {
      throw new BrokenQueueError("a part of the queue is outside RAM");
    }
    return bytes;
  }

  private write(gpa: bigint, bytes: Buffer): void {
    if (!scatter(this.space, [{ gpa, length: bytes.length }], bytes)) {
      throw new BrokenQueueError("a part of the queue is outside RAM");
    }
  }
}

/** Bytes of some ranges. */
export function lengthOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}

/** A part of some ranges, as ranges: the bytes from `start` to `end - 1`. */
export function cut(ranges: readonly Range[], start: number, end: number): Range[] {
  const parts: Range[] = [];
  let at = 0;
  for (const { gpa, length } of ranges) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, length);
    if (from < to) {
      parts.push({ gpa: gpa + BigInt(from), length: to - from });
    }
    at += length;
  }
  return parts;
}

/** Reads ranges of RAM. Returns false if a part is no RAM. */
export function gather(space: AddressSpace, ranges: readonly Range[], target: Uint8Array): boolean {
  return areAddresses(ranges) && space.tryReadVector(ranges, target) === OK;
}

/** Writes to ranges of RAM. Returns false, without a change, if a part is no RAM. */
export function scatter(
  space: AddressSpace,
  ranges: readonly Range[],
  source: Uint8Array,
): boolean {
  return areAddresses(ranges) && space.tryWriteVector(ranges, source) === OK;
}

function areAddresses(ranges: readonly Range[]): boolean {
  return ranges.every(({ gpa, length }) => gpa + BigInt(length) <= 2n ** 64n);
}
