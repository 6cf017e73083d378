import type { Gpa } from "../base/gpa.js";
import { CommandError, EFAULT } from "../debug/command-error.js";
import type { GdbCpu } from "../debug/cpu.js";
import { partsOf } from "../debug/translation.js";
import type { AddressSpace } from "../space/address-space.js";

/** The parts of the memory map that are neither adjacent nor of the same type. */
interface MapPart {
  readonly type: "ram" | "rom";
  readonly start: bigint;
  end: bigint;
}

/** The memory of the machine as the debugger accesses it. */
export class DebuggedMemory {
  readonly #space: AddressSpace;
  readonly #devices: boolean;

  /** @param devices - Whether the debugger may access devices. */
  constructor(space: AddressSpace, devices: boolean) {
    this.#space = space;
    this.#devices = devices;
  }

  /**
   * Reads up to `length` bytes at an address of a CPU: those before the first that is not
   * accessible.
   *
   * @throws CommandError if the first byte is not accessible.
   */
  async read(cpu: GdbCpu, address: bigint, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    let done = 0;
    for (const { offset, length: count, gpa } of await partsOf(cpu, address, length)) {
      done += gpa === null ? 0 : this.#read(gpa, bytes.subarray(offset, offset + count));
      if (done < offset + count) {
        break;
      }
    }
    if (done === 0 && length > 0) {
      throw new CommandError(EFAULT);
    }
    return bytes.subarray(0, done);
  }

  /** Returns the number of bytes before the first that is not accessible. */
  #read(gpa: bigint, bytes: Buffer): number {
    for (const { offset, length: count } of this.#space.peek(gpa, bytes)) {
      const done = this.#onDevice(
        gpa + BigInt(offset),
        bytes.subarray(offset, offset + count),
        (at, part) => readUnit(this.#space, at, part),
      );
      if (done < count) {
        return offset + done;
      }
    }
    return bytes.length;
  }

  /**
   * Writes bytes at an address of a CPU, also to ROM.
   *
   * @throws CommandError if some bytes are not accessible. Others have been written then.
   */
  async write(cpu: GdbCpu, address: bigint, bytes: Uint8Array): Promise<void> {
    for (const { offset, length, gpa } of await partsOf(cpu, address, bytes.length)) {
      if (gpa === null) {
        throw new CommandError(EFAULT);
      }
      this.#write(gpa, bytes.subarray(offset, offset + length));
    }
  }

  #write(gpa: bigint, bytes: Uint8Array): void {
    for (const { offset, length } of this.#space.poke(gpa, bytes)) {
      const done = this.#onDevice(
        gpa + BigInt(offset),
        bytes.subarray(offset, offset + length),
        (at, part) => writeUnit(this.#space, at, part),
      );
      if (done < length) {
        throw new CommandError(EFAULT);
      }
    }
  }

  /**
   * Accesses bytes of devices, each with the widest aligned access.
   *
   * @returns The bytes before the first that is not accessible.
   */
  #onDevice(
    gpa: bigint,
    bytes: Uint8Array,
    access: (gpa: bigint, part: DataView) => boolean,
  ): number {
    let done = 0;
    while (done < bytes.length) {
      const at = gpa + BigInt(done);
      if (!this.#devices || at >= 2n ** 64n || this.#space.regionAt(at)?.kind !== "mmio") {
        break;
      }
      const width = widestAt(at, bytes.length - done);
      const part = new DataView(bytes.buffer, bytes.byteOffset + done, width);
      if (!access(at, part)) {
        break;
      }
      done += width;
    }
    return done;
  }

  /** The document of the memory map, which tells gdb where it needs hardware breakpoints. */
  map(): string {
    const lines = mapParts(this.#space, this.#devices).map(
      ({ type, start, end }) =>
        `<memory type="${type}" start="0x${start.toString(16)}" length="0x${(end - start).toString(16)}"/>`,
    );
    return [
      '<?xml version="1.0"?>',
      '<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd">',
      "<memory-map>",
      ...lines,
      "</memory-map>",
      "",
    ].join("\n");
  }
}

/** The visible parts of the map. Regions may overlap. */
function mapParts(space: AddressSpace, devices: boolean): MapPart[] {
  const { regions } = space;
  const bounds = regions.flatMap(({ gpa, size }) => [gpa, gpa + size]);
  bounds.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const parts: MapPart[] = [];
  for (let i = 0; i + 1 < bounds.length; i++) {
    const start = bounds[i]!;
    const end = bounds[i + 1]!;
    const region = start < end ? space.regionAt(start) : null;
    if (region === null || (region.kind === "mmio" && !devices)) {
      continue;
    }
    const type = region.kind === "rom" ? "rom" : "ram";
    const last = parts.at(-1);
    if (last?.end === start && last.type === type) {
      last.end = end;
    } else {
      parts.push({ type, start, end });
    }
  }
  return parts;
}

type Width = 1 | 2 | 4 | 8;

/** The widest access at an address that is aligned and has at most `most` bytes. */
function widestAt(gpa: bigint, most: number): Width {
  const fits = (width: number): boolean => width <= most && gpa % BigInt(width) === 0n;
  return fits(8) ? 8 : fits(4) ? 4 : fits(2) ? 2 : 1;
}

/** Reads a device into as many bytes as `part` has. False if it refuses. */
function readUnit(space: AddressSpace, gpa: Gpa, part: DataView): boolean {
  const little = space.policy.endian !== "big";
  switch (part.byteLength) {
    case 8: {
      const out = new BigUint64Array(1);
      return space.tryReadq(gpa, out) === 0 && (part.setBigUint64(0, out[0]!, little), true);
    }
    case 4: {
      const out = new Uint32Array(1);
      return space.tryReadl(gpa, out) === 0 && (part.setUint32(0, out[0]!, little), true);
    }
    case 2: {
      const out = new Uint16Array(1);
      return space.tryReadw(gpa, out) === 0 && (part.setUint16(0, out[0]!, little), true);
    }
    default: {
      const out = new Uint8Array(1);
      return space.tryReadb(gpa, out) === 0 && (part.setUint8(0, out[0]!), true);
    }
  }
}

/** Writes the bytes of `part` to a device. False if it refuses. */
function writeUnit(space: AddressSpace, gpa: Gpa, part: DataView): boolean {
  const little = space.policy.endian !== "big";
  switch (part.byteLength) {
    case 8:
      return space.tryWriteq(gpa, part.getBigUint64(0, little)) === 0;
    case 4:
      return space.tryWritel(gpa, part.getUint32(0, little)) === 0;
    case 2:
      return space.tryWritew(gpa, part.getUint16(0, little)) === 0;
    default:
      return space.tryWriteb(gpa, part.getUint8(0)) === 0;
  }
}
