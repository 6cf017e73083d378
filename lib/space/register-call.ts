import { BYTE, LONG, QUAD, type Value, WORD } from "../base/widths.js";
import type { AccessWidth, AnyHandler } from "./mmio.js";

/**
 * How a device makes the accesses of one width and direction: by one call of a handler, as
 * {@link registerCall} describes it.
 *
 * The fields are also for accesses that are narrower than the register that the handler serves. Of
 * others, `inside` and `flip` are 0 and `times` is 1, so that the same expressions make both.
 */
export interface RegisterCall {
  readonly fn: AnyHandler;
  readonly device: unknown;
  /** Whether the handler takes the offset and the value of the access alone. */
  readonly plain: boolean;
  /**
   * Whether the handler takes the width as its last argument. Those of one width, such as `readl`,
   * do not: a device may use further parameters of its own.
   */
  readonly takesWidth: boolean;
  /** Bytes of the register. */
  readonly bytes: AccessWidth;
  /** The bits of a value of the register, as a signed 32-bit integer; 0 for 8 bytes. */
  readonly mask: number;
  /** The bits of an offset that are the offset in the register. */
  readonly inside: number;
  /** The bits of an offset that choose the byte lanes of the access. */
  readonly lanes: number;
  /** The bits of `lanes` that are inverted, because the first byte is the highest one. */
  readonly flip: number;
  /** The factor of a value that is written. */
  readonly times: number;
}

/** The bits of a value, as signed 32-bit integers; those of 8 bytes are not used. */
export const MASKS = { 1: 0xff, 2: 0xffff, 4: -1, 8: 0 } as const;
const TYPES = { 1: BYTE, 2: WORD, 4: LONG, 8: QUAD } as const;

/** A call of a handler whose registers have the width of the access. */
export function registerCall(
  fn: AnyHandler,
  device: unknown,
  bytes: AccessWidth,
  takesWidth: boolean,
): RegisterCall {
  const mask = MASKS[bytes];
  const whole = { inside: 0, lanes: 0, flip: 0, times: 1 };
  return { fn, device, plain: !takesWidth, takesWidth, bytes, mask, ...whole };
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
 * Calls the handler of a read.
 *
 * @param offset - Bytes from the start of the region.
 * @returns What the handler returns, for {@link valueOf}.
 */
export function readRegister(call: RegisterCall, offset: number): unknown {
  const { fn, device } = call;
  const start = offset - (offset & call.inside);
  return call.takesWidth
    ? callHandler(fn, device, start, call.bytes)
    : callHandler(fn, device, start);
}

/**
 * The value of a read.
 *
 * @param found - What the handler returned, if not `BUS_ERROR`.
 * @param width - Bytes of the access.
 * @param what - The name of `found` in error messages.
 * @throws TypeError, RangeError if it is not a value of the register.
 */
export function valueOf(
  call: RegisterCall,
  offset: number,
  width: AccessWidth,
  found: unknown,
  what: string,
): Value {
  const value = checkReturned(found, call.bytes, what);
  return typeof value === "number" ? extract(call, offset, MASKS[width], value) : value;
}

/** @param mask - The bits of the access, as a signed 32-bit integer. */
export function extract(
  { lanes, flip }: RegisterCall,
  offset: number,
  mask: number,
  value: number,
): number {
  return ((value >>> (((offset & lanes) ^ flip) << 3)) & mask) >>> 0;
}

/** Calls the handler of a write. */
export function writeRegister(call: RegisterCall, offset: number, value: Value): unknown {
  let start = offset;
  let whole = value;
  if (call.inside !== 0) {
    start -= offset & call.inside;
    const shift = ((offset & call.lanes) ^ call.flip) << 3;
    whole = ((Math.imul(value as number, call.times) << shift) & call.mask) >>> 0;
  }
  return call.takesWidth
    ? callHandler(call.fn, call.device, start, whole, call.bytes)
    : callHandler(call.fn, call.device, start, whole);
}

/**
 * Checks the value that a handler returned for a read.
 *
 * @param what - The name of the value in the error message.
 * @throws TypeError, RangeError if it is not a value of the width.
 */
export function checkReturned(found: unknown, width: AccessWidth, what: string): Value {
  return TYPES[width].checkValue(found, what);
}
