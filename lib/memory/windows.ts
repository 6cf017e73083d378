import { HOST_IS_LITTLE_ENDIAN } from "../base/host.js";

/**
 * Bytes per window. A typed array in Node 20 has at most 2^32 elements, so larger RAM is divided
 * into windows. Every window except the last has this size.
 */
export const WINDOW_SIZE = 2 ** 32;

/** A part of RAM with the typed arrays that the view path indexes. */
export interface Window {
  /** All bytes of the window. Its length becomes 0 when the buffer is detached. */
  readonly u8: Uint8Array;
  /** The whole elements of each width. {@link fastArrays} describes when they are empty. */
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  /**
   * The number of elements of `u64`, which is the bound of the fast paths of all widths. For V8
   * this field is a small integer, whereas `length` is not, because it can be 2^32 in Node 20.
   * Accesses to the bytes after the last whole element take the slow path.
   */
  readonly quads: number;
  /** All bytes, for the accesses that the typed arrays cannot make. */
  readonly data: DataView;
}

/**
 * Typed arrays of the wider elements over `bytes`.
 *
 * Typed arrays use the host's byte order and need aligned offsets. On a big-endian host, or over a
 * caller's buffer at an offset that is not a multiple of 8, they are empty. Every index is out of
 * bounds then, and every access takes the slow path, which supports these cases.
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

/** A window without bytes, for RAM of size 0 and for RAM that has ended. */
export const EMPTY_WINDOW = makeWindow(new Uint8Array(0));

/**
 * The windows of one memory. Each is made when it is first used: V8 collects garbage before it
 * returns an ArrayBuffer of gigabytes, and large RAM has thousands of windows.
 *
 * `napi_adjust_external_memory` cannot prevent the collection. V8 aborts the process if the sum
 * gets negative, and its limit follows the sum down.
 */
export class Windows {
  readonly #size: number;
  readonly #bytesAt: (start: number, length: number) => Uint8Array;
  readonly #onFirst: (first: Window) => void;
  #made: (Window | undefined)[] = [];
  #ended = false;

  /**
   * @param size - Bytes of RAM.
   * @param bytesAt - Returns the bytes of one window, given its first address and its length.
   * @param onFirst - Called when the window of address 0 is made.
   */
  constructor(
    size: number,
    bytesAt: (start: number, length: number) => Uint8Array,
    onFirst: (first: Window) => void,
  ) {
    this.#size = size;
    this.#bytesAt = bytesAt;
    this.#onFirst = onFirst;
  }

  /**
   * The window that contains `address`. It is empty if the address does not lie in RAM, and after
   * the RAM has ended.
   *
   * @throws Error `ERR_OUT_OF_MEMORY` if the runtime refuses an ArrayBuffer.
   */
  at(address: number): Window {
    return this.#made[Math.floor(address / WINDOW_SIZE)] ?? this.#make(address);
  }

  /** The window that contains `address`, or undefined if it is not made yet. */
  madeAt(address: number): Window | undefined {
    return this.#made[Math.floor(address / WINDOW_SIZE)];
  }

  /** All windows. Makes those that are not made yet. @throws as {@link Windows.at}. */
  all(): Window[] {
    const windows: Window[] = [];
    for (let start = 0; start < this.#size && !this.#ended; start += WINDOW_SIZE) {
      windows.push(this.at(start));
    }
    return windows;
  }

  /** The windows that are made. Every view of the RAM has the buffer of one of them. */
  made(): Window[] {
    return this.#made.filter((window) => window !== undefined);
  }

  /** Drops the windows when the RAM ends. */
  end(): void {
    this.#ended = true;
    this.#made = [];
  }

  #make(address: number): Window {
    if (this.#ended || !(address >= 0 && address < this.#size)) {
      return EMPTY_WINDOW;
    }
    const number = Math.floor(address / WINDOW_SIZE);
    const start = number * WINDOW_SIZE;
    const bytes = this.#bytesAt(start, Math.min(WINDOW_SIZE, this.#size - start));
    // The first call for a block that several memories share makes the windows of all of them.
    const made = this.#made[number];
    if (made !== undefined) {
      return made;
    }
    const window = makeWindow(bytes);
    this.#made[number] = window;
    if (number === 0) {
      this.#onFirst(window);
    }
    return window;
  }
}
