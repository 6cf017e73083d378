import { deserialize, serialize } from "node:v8";
import type { AddressSpace, MmioDevice } from "pound-guest-memory";
import {
  BrokenQueueError,
  type Chain,
  cut,
  gather,
  lengthOf,
  scatter,
  VirtQueue,
} from "./virtio-queue.js";

const SECTOR = 512;
const MAX_QUEUE = 128;

// Registers.
const MAGIC = 0x000;
const VERSION = 0x004;
const DEVICE_ID = 0x008;
const VENDOR_ID = 0x00c;
const DEVICE_FEATURES = 0x010;
const DEVICE_FEATURES_SELECT = 0x014;
const QUEUE_SELECT = 0x030;
const QUEUE_MAX = 0x034;
const QUEUE_SIZE = 0x038;
const QUEUE_READY = 0x044;
const QUEUE_NOTIFY = 0x050;
const INTERRUPT_STATUS = 0x060;
const INTERRUPT_ACKNOWLEDGE = 0x064;
const STATUS = 0x070;
const QUEUE_DESCRIPTORS = 0x080;
const QUEUE_DRIVER = 0x090;
const QUEUE_DEVICE = 0x0a0;
const CONFIGURATION = 0x100;

/** The state of a disk: its registers, its queue and its bytes. */
type SavedBlock = [object, ReturnType<VirtQueue["save"]>, Uint8Array];

/** The features: `VIRTIO_BLK_F_FLUSH`, and `VIRTIO_F_VERSION_1` in the second word. */
const FEATURES = [1 << 9, 1];

const USED_RING = 1;
const CONFIGURATION_CHANGE = 2;
const DRIVER_OK = 4;
const NEEDS_RESET = 64;

// Types of requests.
const READ = 0;
const WRITE = 1;
const FLUSH = 4;
const GET_ID = 8;
const HEADER = 16;
const ID_SIZE = 20;

// The status of a request.
const SUCCESS = 0;
const FAILURE = 1;
const UNSUPPORTED = 2;

/** A block device of virtio 1 with the MMIO transport. Its disk is a view of bytes of the host. */
export class VirtioBlock implements MmioDevice {
  private readonly queue: VirtQueue;
  private readonly configuration = Buffer.alloc(8);
  private status = 0;
  private interrupts = 0;
  private featuresSelect = 0;
  private queueSelect = 0;

  /**
   * @param disk - The bytes after its last whole sector are not accessible.
   * @param onInterrupt - Called with the level of the interrupt when it may have changed.
   */
  constructor(
    private readonly space: AddressSpace,
    private readonly disk: Uint8Array,
    private readonly onInterrupt: (level: boolean) => void,
  ) {
    this.queue = new VirtQueue(space);
    this.configuration.writeBigUInt64LE(BigInt(Math.floor(disk.length / SECTOR)));
  }

  readb(offset: number): number {
    return this.configuration[offset - CONFIGURATION] ?? 0;
  }

  readl(offset: number): number {
    switch (offset) {
      case MAGIC:
        return 0x7472_6976;
      case VERSION:
        return 2;
      case DEVICE_ID:
        return 2;
      case VENDOR_ID:
        return 0x554d_4551;
      case DEVICE_FEATURES:
        return FEATURES[this.featuresSelect] ?? 0;
      case QUEUE_MAX:
        return this.queueSelect === 0 ? MAX_QUEUE : 0;
      case QUEUE_READY:
        return this.queueSelect === 0 && this.queue.ready ? 1 : 0;
      case INTERRUPT_STATUS:
        return this.interrupts;
      case STATUS:
        return this.status;
      default: {
        const at = offset - CONFIGURATION;
        const isConfiguration = at >= 0 && at < this.configuration.length;
        return isConfiguration ? this.configuration.readUInt32LE(at) : 0;
      }
    }
  }

  writel(offset: number, value: number): void {
    switch (offset) {
      case DEVICE_FEATURES_SELECT:
        this.featuresSelect = value;
        break;
      case QUEUE_SELECT:
        this.queueSelect = value;
        break;
      case QUEUE_NOTIFY:
        if (value === 0) {
          this.serve();
        }
        break;
      case INTERRUPT_ACKNOWLEDGE:
        this.setInterrupts(this.interrupts & ~value);
        break;
      case STATUS:
        if (value === 0) {
          this.reset();
        } else {
          this.status = (value & 0xff) | (this.status & NEEDS_RESET);
        }
        break;
      default:
        if (this.queueSelect === 0) {
          this.configureQueue(offset, value);
        }
    }
  }

  save(): Uint8Array {
    const { status, interrupts, featuresSelect, queueSelect } = this;
    const own = { status, interrupts, featuresSelect, queueSelect };
    return serialize([own, this.queue.save(), this.disk]);
  }

  load(state: Uint8Array): void {
    const [own, queue, disk] = deserialize(state) as SavedBlock;
    Object.assign(this, own);
    this.queue.restore(queue);
    this.disk.set(disk);
  }

  private configureQueue(offset: number, value: number): void {
    const { queue } = this;
    switch (offset) {
      case QUEUE_SIZE:
        // A power of two; other values are no sizes.
        queue.size = value <= MAX_QUEUE && (value & (value - 1)) === 0 ? value : 0;
        break;
      case QUEUE_READY:
        queue.ready = value === 1 && queue.size > 0;
        break;
      case QUEUE_DESCRIPTORS:
      case QUEUE_DESCRIPTORS + 4:
        queue.descriptors = withHalf(queue.descriptors, offset - QUEUE_DESCRIPTORS, value);
        break;
      case QUEUE_DRIVER:
      case QUEUE_DRIVER + 4:
        queue.driver = withHalf(queue.driver, offset - QUEUE_DRIVER, value);
        break;
      case QUEUE_DEVICE:
      case QUEUE_DEVICE + 4:
        queue.device = withHalf(queue.device, offset - QUEUE_DEVICE, value);
        break;
      default:
    }
  }

  private reset(): void {
    this.status = 0;
    this.featuresSelect = 0;
    this.queueSelect = 0;
    this.queue.reset();
    this.setInterrupts(0);
  }

  /** Executes all requests in the queue. */
  private serve(): void {
    const { queue } = this;
    if (!queue.ready || (this.status & (DRIVER_OK | NEEDS_RESET)) !== DRIVER_OK) {
      return;
    }
    try {
      for (let chain = queue.take(); chain !== null; chain = queue.take()) {
        queue.giveBack(chain, this.execute(chain));
        this.setInterrupts(this.interrupts | USED_RING);
      }
    } catch (error) {
      if (!(error instanceof BrokenQueueError)) {
        throw error;
      }
      this.status |= NEEDS_RESET;
      this.setInterrupts(this.interrupts | CONFIGURATION_CHANGE);
    }
  }

  /**
   * Executes a request. The last byte that the device can write is its status.
   *
   * @returns The number of bytes written.
   */
  private execute(chain: Chain): number {
    const { space } = this;
    const { readable, writable } = chain;
    const room = lengthOf(writable) - 1;
    const header = Buffer.alloc(HEADER);
    if (room < 0 || lengthOf(readable) < HEADER) {
      throw new BrokenQueueError("a request without a header or a status");
    }
    const target = cut(writable, 0, room);
    const source = cut(readable, HEADER, lengthOf(readable));
    let written = 0;
    let status = FAILURE;
    if (gather(space, cut(readable, 0, HEADER), header)) {
      const sector = header.readBigUInt64LE(8);
      switch (header.readUInt32LE(0)) {
        case READ: {
          const part = this.partOf(sector, room);
          if (part !== null && scatter(space, target, part)) {
            written = room;
            status = SUCCESS;
          }
          break;
        }
        case WRITE: {
          const part = this.partOf(sector, lengthOf(source));
          status = part !== null && gather(space, source, part) ? SUCCESS : FAILURE;
          break;
        }
        case FLUSH:
          status = SUCCESS;
          break;
        case GET_ID: {
          const id = Buffer.alloc(ID_SIZE, "pound-disk\0", "latin1").subarray(0, room);
          if (scatter(space, cut(writable, 0, id.length), id)) {
            written = id.length;
            status = SUCCESS;
          }
          break;
        }
        default:
          status = UNSUPPORTED;
      }
    }
    if (!scatter(space, cut(writable, room, room + 1), Buffer.of(status))) {
      throw new BrokenQueueError("the status of a request is outside RAM");
    }
    return written + 1;
  }

  /** A part of the disk; null if it is none. */
  private partOf(sector: bigint, length: number): Uint8Array | null {
    const end = SECTOR * Math.floor(this.disk.length / SECTOR);
    const start = Number(sector) * SECTOR;
    return length % SECTOR === 0 && start + length <= end
      ? this.disk.subarray(start, start + length)
      : null;
  }

  private setInterrupts(value: number): void {
    this.interrupts = value;
    this.onInterrupt(value !== 0);
  }
}

/** A 64-bit value with another half, at the offset 0 or 4. */
function withHalf(value: bigint, offset: number, half: number): bigint {
  const shift = BigInt(8 * offset);
  return (value & ~(0xffff_ffffn << shift)) | (BigInt(half) << shift);
}
