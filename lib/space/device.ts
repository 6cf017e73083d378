import {
  type AccessWidth,
  type AnyHandler,
  BUS_ERROR,
  type BusError,
  checkImplementation,
  type DeviceHandlers,
  type Implementation,
  type MmioDevice,
  readHandlers,
} from "./mmio.js";
import { HIGH_HALF, LOW_HALF } from "../base/host.js";
import type { Endian } from "../base/policy.js";
import type { Value } from "../base/widths.js";
import {
  checkReturned,
  MASKS,
  readRegister,
  type RegisterCall,
  registerCall,
  writeRegister,
} from "./register-call.js";

/**
 * How a device makes the accesses of one direction, by the binary logarithm of the width: null if
 * there is no handler.
 */
export type Handlers = readonly (RegisterCall | null)[];

const WIDTHS = [1, 2, 4, 8] as const;
const SUFFIXES = { 1: "b", 2: "w", 4: "l", 8: "q" } as const;

/** A value of 8 bytes in transit, and its halves. */
const quad = new BigUint64Array(1);
const halves = new Uint32Array(quad.buffer);

type Read = (offset: number) => Value | BusError;
type Write = (offset: number, value: Value) => unknown;

/**
 * Chooses or makes the handler for each width and direction, once for each region, so that an
 * access only calls it.
 *
 * @param what - The name of a handler's return value in error messages.
 * @returns The handlers, and the number of bytes of which the address and the size of the region
 * must be multiples.
 * @throws TypeError, RangeError if `device` is not an `MmioDevice`.
 */
export function handlersOf(
  device: MmioDevice,
  what: string,
  endian: Endian,
): { reads: Handlers; writes: Handlers; alignment: number } {
  const handlers = readHandlers(device);
  const impl = checkImplementation(device.impl);
  const maker = new HandlerMaker(device, handlers, impl, what, endian);
  return {
    reads: WIDTHS.map((width) => maker.reader(width)),
    writes: WIDTHS.map((width) => maker.writer(width)),
    alignment: impl.min,
  };
}

class HandlerMaker {
  constructor(
    private readonly device: MmioDevice,
    private readonly handlers: DeviceHandlers,
    private readonly impl: Implementation,
    private readonly what: string,
    private readonly endian: Endian,
  ) {}

  reader(width: AccessWidth): RegisterCall | null {
    const register = this.#clamp(width);
    const own = this.#own("read", register);
    if (own === null || register === width) {
      return own;
    }
    if (width < register && register < 8) {
      return { ...own, ...this.#lanes(width, register) };
    }
    const read = this.#readOf(own, register);
    return composed(
      register < width
        ? width === 8
          ? this.#readQuadInParts(read, register)
          : this.#readInParts(read, width, register)
        : this.#extract(read, width, register),
      width,
    );
  }

  writer(width: AccessWidth): RegisterCall | null {
    const register = this.#clamp(width);
    const own = this.#own("write", register);
    if (own === null || register === width) {
      return own;
    }
    const { narrowWrites } = this.impl;
    if (width < register && register < 8 && narrowWrites === "shift") {
      return { ...own, ...this.#lanes(width, register) };
    }
    if (width < register && register < 8 && narrowWrites === "replicate") {
      const times = width === 1 ? 0x0101_0101 : 0x1_0001;
      return { ...own, plain: false, inside: register - 1, times };
    }
    const write = this.#writeOf(own);
    if (register < width) {
      return composed(this.#writeInParts(write, width, register), width);
    }
    const widen = this.#widen(width, register);
    return widen === null
      ? null
      : composed((offset: number, value: Value) => {
          const base = offset - (offset % register);
          const whole = widen(base, offset - base, value as number);
          return isBusError(whole) ? BUS_ERROR : write(base, whole);
        }, width);
  }

  /** The width of the call that makes an access, or a part of it. */
  #clamp(width: AccessWidth): AccessWidth {
    const { min, max } = this.impl;
    return width < min ? min : width > max ? max : width;
  }

  /** The device's own handler for a width. */
  #own(operation: "read" | "write", width: AccessWidth): RegisterCall | null {
    const one = this.handlers[`${operation}${SUFFIXES[width]}`];
    const any = this.handlers[operation];
    if (one !== undefined) {
      return registerCall(one, this.device, width, false);
    }
    return any === undefined ? null : registerCall(any, this.device, width, true);
  }

  /** Where in a register of up to 4 bytes a narrower access lies. */
  #lanes(
    width: AccessWidth,
    register: AccessWidth,
  ): Pick<RegisterCall, "plain" | "inside" | "lanes" | "flip"> {
    const inside = register - 1;
    return {
      plain: false,
      inside,
      lanes: inside,
      flip: this.endian === "little" ? 0 : register - width,
    };
  }

  /** Calls a handler for reads and checks its return value. */
  #readOf(call: RegisterCall, width: AccessWidth): Read {
    const { what } = this;
    const { mask } = call;
    return (offset) => {
      const found = readRegister(call, offset);
      if (typeof found === "number" && width !== 8 && (found & mask) >>> 0 === found) {
        return found;
      }
      return found === BUS_ERROR ? BUS_ERROR : checkReturned(found, width, what);
    };
  }

  #writeOf(call: RegisterCall): Write {
    return (offset, value) => writeRegister(call, offset, value);
  }

  /** The number of bits below a part of an access in the value of the access. */
  #shiftOf(at: number, width: number, whole: number): number {
    return 8 * (this.endian === "little" ? at : whole - width - at);
  }

  #readInParts(read: Read, width: number, part: AccessWidth): Read {
    const half = width / 2;
    const readHalf = half === part ? read : this.#readInParts(read, half, part);
    const first = this.#shiftOf(0, half, width);
    const second = this.#shiftOf(half, half, width);
    return (offset) => {
      const a = readHalf(offset);
      const b = a === BUS_ERROR ? BUS_ERROR : readHalf(offset + half);
      return b === BUS_ERROR
        ? BUS_ERROR
        : (((a as number) << first) | ((b as number) << second)) >>> 0;
    };
  }

  #readQuadInParts(read: Read, part: AccessWidth): Read {
    const half = part === 4 ? read : this.#readInParts(read, 4, part);
    return (offset) => {
      const first = half(offset);
      const second = first === BUS_ERROR ? BUS_ERROR : half(offset + 4);
      if (second === BUS_ERROR) {
        return BUS_ERROR;
      }
      const isLittle = this.endian === "little";
      halves[LOW_HALF] = (isLittle ? first : second) as number;
      halves[HIGH_HALF] = (isLittle ? second : first) as number;
      return quad[0]!;
    };
  }

  #extract(read: Read, width: AccessWidth, register: AccessWidth): Read {
    const mask = MASKS[width];
    return (offset) => {
      const at = offset % register;
      const found = read(offset - at);
      if (isBusError(found)) {
        return BUS_ERROR;
      }
      const shift = this.#shiftOf(at, width, register);
      return ((lowHalf(found, shift) >>> (shift % 32)) & mask) >>> 0;
    };
  }

  #writeInParts(write: Write, width: number, part: AccessWidth): Write {
    const half = width / 2;
    const writeHalf = half === part ? write : this.#writeInParts(write, half, part);
    const first = this.#shiftOf(0, half, width);
    const second = this.#shiftOf(half, half, width);
    const mask = half === 4 ? -1 : 2 ** (8 * half) - 1;
    const bitsAt = (value: Value, shift: number): number =>
      width === 8 ? lowHalf(value, shift) : (((value as number) >>> shift) & mask) >>> 0;
    return (offset, value) =>
      writeHalf(offset, bitsAt(value, first)) === BUS_ERROR
        ? BUS_ERROR
        : writeHalf(offset + half, bitsAt(value, second));
  }

  /**
   * A function that makes the value of a whole register from the value of a narrower write; null if
   * narrow writes fault. Its arguments are the offset of the register, the offset of the access in
   * the register, and the value.
   */
  #widen(
    width: AccessWidth,
    register: AccessWidth,
  ): ((base: number, at: number, value: number) => Value | BusError) | null {
    const { narrowWrites } = this.impl;
    if (narrowWrites === "replicate") {
      return (_base, _at, value) => {
        let half = value;
        for (let bits = 8 * width; bits < 32; bits *= 2) {
          half |= half << bits;
        }
        return fromHalves(register, half, half);
      };
    }
    const place = (at: number, value: number, rest: Value): Value => {
      const shift = this.#shiftOf(at, width, register);
      const mask = MASKS[width] << (shift % 32);
      const bits = value << (shift % 32);
      const [low, high] = [lowHalf(rest, 0), lowHalf(rest, 32)];
      return shift < 32
        ? fromHalves(register, (low & ~mask) | bits, high)
        : fromHalves(register, low, (high & ~mask) | bits);
    };
    if (narrowWrites === "shift") {
      const nothing = register === 8 ? 0n : 0;
      return (_base, at, value) => place(at, value, nothing);
    }
    const own = narrowWrites === "merge" ? this.#own("read", register) : null;
    if (own === null) {
      return null;
    }
    const read = this.#readOf(own, register);
    return (base, at, value) => {
      const found = read(base);
      return isBusError(found) ? BUS_ERROR : place(at, value, found);
    };
  }
}

function isBusError(answer: unknown): answer is BusError {
  return answer === BUS_ERROR;
}

/** The call of a handler that this module made. It needs no width. */
function composed(fn: Read | Write, width: AccessWidth): RegisterCall {
  return registerCall(fn as AnyHandler, null, width, false);
}

/** The 32 bits of a value that contain bit number `shift`; 0 above the bits of a number. */
function lowHalf(value: Value, shift: number): number {
  if (typeof value === "number") {
    return shift < 32 ? value : 0;
  }
  quad[0] = value;
  return halves[shift < 32 ? LOW_HALF : HIGH_HALF]!;
}

/** A value of up to 32 bits from `low`, or of 64 bits from both halves. */
function fromHalves(width: AccessWidth, low: number, high: number): Value {
  if (width !== 8) {
    return (low & MASKS[width]) >>> 0;
  }
  halves[LOW_HALF] = low;
  halves[HIGH_HALF] = high;
  return quad[0]!;
}
