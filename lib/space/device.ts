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
import { BYTE, LONG, QUAD, type Value, WORD } from "../base/widths.js";

/**
 * The handlers of a device for one direction, by the binary logarithm of the width: null if there
 * is no handler. They are called with the device as `this`. The arguments are the offset and the
 * value of a write.
 */
export type Handlers = readonly (AnyHandler | null)[];

/** A handler of one width. */
interface Handler {
  readonly fn: AnyHandler;
  /**
   * Whether the handler takes the width as its last argument. Those of one width, such as `readl`,
   * do not: a device may use further parameters of its own.
   */
  readonly takesWidth: boolean;
}

const WIDTHS = [1, 2, 4, 8] as const;
const SUFFIXES = { 1: "b", 2: "w", 4: "l", 8: "q" } as const;
/** The bits of a value, as signed 32-bit integers; those of 8 bytes are not used. */
const MASKS = { 1: 0xff, 2: 0xffff, 4: -1, 8: 0 } as const;
const TYPES = { 1: BYTE, 2: WORD, 4: LONG, 8: QUAD } as const;

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
    reads: WIDTHS.map((width) => {
      const handler = maker.reader(width);
      return handler?.takesWidth === true
        ? (offset: number) => callHandler(handler.fn, device, offset, width)
        : (handler?.fn ?? null);
    }),
    writes: WIDTHS.map((width) => {
      const handler = maker.writer(width);
      return handler?.takesWidth === true
        ? (offset: number, value: unknown) => callHandler(handler.fn, device, offset, value, width)
        : (handler?.fn ?? null);
    }),
    alignment: impl.min,
  };
}

/**
 * `fn.call(device, ...args)`, which V8 compiles to the same code, without the look-up of `call`.
 * `Reflect.apply` would make an array of the arguments.
 */
export const callHandler = Function.prototype.call.bind(Function.prototype.call) as (
  fn: AnyHandler,
  device: unknown,
  ...args: unknown[]
) => unknown;

/**
 * Checks the value that a handler returned for a read.
 *
 * @param what - The name of the value in the error message.
 * @throws TypeError, RangeError if it is not a value of the width.
 */
export function checkReturned(found: unknown, width: AccessWidth, what: string): Value {
  return TYPES[width].checkValue(found, what);
}

class HandlerMaker {
  constructor(
    private readonly device: MmioDevice,
    private readonly handlers: DeviceHandlers,
    private readonly impl: Implementation,
    private readonly what: string,
    private readonly endian: Endian,
  ) {}

  reader(width: AccessWidth): Handler | null {
    const register = this.#clamp(width);
    const own = this.#own("read", register);
    if (own === null || register === width) {
      return own;
    }
    const read = this.#readOf(own, register);
    return composed(
      register < width
        ? width === 8
          ? this.#readQuadInParts(read, register)
          : this.#readInParts(read, width, register)
        : this.#extract(read, width, register),
    );
  }

  writer(width: AccessWidth): Handler | null {
    const register = this.#clamp(width);
    const own = this.#own("write", register);
    if (own === null || register === width) {
      return own;
    }
    const write = this.#writeOf(own, register);
    if (register < width) {
      return composed(this.#writeInParts(write, width, register));
    }
    const widen = this.#widen(width, register);
    return widen === null
      ? null
      : composed((offset: number, value: Value) => {
          const base = offset - (offset % register);
          const whole = widen(base, offset - base, value as number);
          return isBusError(whole) ? BUS_ERROR : write(base, whole);
        });
  }

  /** The width of the call that makes an access, or a part of it. */
  #clamp(width: AccessWidth): AccessWidth {
    const { min, max } = this.impl;
    return width < min ? min : width > max ? max : width;
  }

  /** The device's own handler for a width. */
  #own(operation: "read" | "write", width: AccessWidth): Handler | null {
    const one = this.handlers[`${operation}${SUFFIXES[width]}`];
    const any = this.handlers[operation];
    if (one !== undefined) {
      return { fn: one, takesWidth: false };
    }
    return any === undefined ? null : { fn: any, takesWidth: true };
  }

  /** Calls a handler for reads and checks its return value. */
  #readOf({ fn, takesWidth }: Handler, width: AccessWidth): Read {
    const { device, what } = this;
    const mask = MASKS[width];
    return (offset) => {
      const found = takesWidth
        ? Reflect.apply(fn, device, [offset, width])
        : Reflect.apply(fn, device, [offset]);
      if (typeof found === "number" && width !== 8 && (found & mask) >>> 0 === found) {
        return found;
      }
      return found === BUS_ERROR ? BUS_ERROR : checkReturned(found, width, what);
    };
  }

  #writeOf({ fn, takesWidth }: Handler, width: AccessWidth): Write {
    const { device } = this;
    return takesWidth
      ? (offset, value) => Reflect.apply(fn, device, [offset, value, width])
      : (offset, value) => Reflect.apply(fn, device, [offset, value]);
  }

  /** The number of bits below a part of an access in the value of the access. */
  #shiftOf(at: number, width: number, whole: number): number {
    return 8 * (this.endian === "little" ? at : whole - width - at);
  }

  #readInParts(read: Read, width: number, part: AccessWidth): Read {
    return (offset) => {
      let value = 0;
      for (let at = 0; at < width; at += part) {
        const found = read(offset + at);
        if (found === BUS_ERROR) {
          return BUS_ERROR;
        }
        value |= (found as number) << this.#shiftOf(at, part, width);
      }
      return value >>> 0;
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
    const mask = MASKS[part];
    return (offset, value) => {
      for (let at = 0; at < width; at += part) {
        const shift = this.#shiftOf(at, part, width);
        const bits = (lowHalf(value, shift) >>> (shift % 32)) & mask;
        if (write(offset + at, bits >>> 0) === BUS_ERROR) {
          return BUS_ERROR;
        }
      }
      return undefined;
    };
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

/** A handler that this module made. It needs no width. */
function composed(fn: Read | Write): Handler {
  return { fn: fn as AnyHandler, takesWidth: false };
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
