import { endianness } from "node:os";

/**
 * Bytes per window: typed arrays of Node 20 end at 2^32 elements, so larger RAM is a list of
 * windows, of which each but the last has this size.
 */
export const WINDOW_SIZE = 2 ** 32;

const HOST_IS_LITTLE_ENDIAN = endianness() === "LE";

/** One stretch of RAM, as the typed arrays that the view path indexes. */
export interface Window {
  /** Every byte of the window. Its length turns 0 when the buffer under it is detached. */
  readonly u8: Uint8Array;
  /** The whole elements of each width; empty where {@link fastArrays} says so. */
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  /**
   * Elements of `u64`, which bound the fast paths of every width: as a plain small integer, which
   * `length` is not to V8, since it can be 2^32 in Node 20. What lies behind them takes the slow
   * path.
   */
  readonly quads: number;
  /** Every byte again, for the accesses that the typed arrays cannot make. */
  readonly data: DataView;
}

/**
 * Typed arrays of the wider elements over `bytes`.
 *
 * They are in the host's byte order and need aligned offsets. On a big-endian host, or over a
 * caller's buffer at an odd offset, they are left empty: an index into them is then always past
 * the end, and the access takes the slow path, which is right everywhere.
 */
function fastArrays(bytes: Uint8Array): Pick<Window, "u16" | "u32" | "u64"> {
  const { buffer, byteOffset } = bytes;
  const length = HOST_IS_LITTLE_ENDIAN && byteOffset % 8 === 0 ? bytes.length : 0;
  const offset = length === 0 ? 0 : byteOffset;
  return {
    u16: new Uint16Array(buffer, offset, Math.floor(length / 2)),
    u32: new Uint32Array(buffer, offset, Math.floor(length / 4)),
    u64: new BigUint64Array(buffer, offset, Math.floor(length / 8)),
  };
}

/** A window over `bytes`, at most {@link WINDOW_SIZE} of them. */
export function makeWindow(bytes: Uint8Array): Window {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const arrays = fastArrays(bytes);
  return { u8: bytes, data, ...arrays, quads: arrays.u64.length };
}

/** A window without bytes: what RAM of size 0 and destroyed RAM have. */
export const EMPTY_WINDOW = makeWindow(new Uint8Array(0));

/**
 * Cuts `size` bytes of RAM into windows.
 *
 * @param bytesAt - Gives the bytes of one window, from its first address and length.
 */
export function cutWindows(
  size: number,
  bytesAt: (start: number, length: number) => Uint8Array,
): Window[] {
  const windows: Window[] = [];
  for (let start = 0; start < size; start += WINDOW_SIZE) {
    windows.push(makeWindow(bytesAt(start, Math.min(WINDOW_SIZE, size - start))));
  }
  return windows;
}
