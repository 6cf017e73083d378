import { outOfMemoryError } from "./errors.js";
import { isSharedArrayBuffer } from "./type-checks.js";

/**
 * A Buffer in Node.js, and a Uint8Array where the runtime has no Buffer, such as in a browser. For
 * TypeScript, it is a Buffer if the types of Node are loaded.
 */
export type Bytes = typeof globalThis extends {
  readonly Buffer: { isBuffer(value: unknown): value is infer NodeBuffer };
}
  ? NodeBuffer
  : Uint8Array;

/** Null where the runtime has no Buffer. */
const NodeBuffer = (globalThis as { readonly Buffer?: typeof Buffer }).Buffer ?? null;

/** Bytes of any value in Node.js, and zeros elsewhere. The caller must write all of them. */
export function allocateUnsafe(length: number): Bytes {
  return NodeBuffer?.allocUnsafe(length) ?? (new Uint8Array(length) as Bytes);
}

/** As {@link allocateUnsafe}, with a buffer of its own, so that nothing else keeps its bytes. */
export function allocateBlock(length: number): Bytes {
  return NodeBuffer?.allocUnsafeSlow(length) ?? (new Uint8Array(length) as Bytes);
}

export function copyOf(bytes: Uint8Array): Bytes {
  const copy = allocateUnsafe(bytes.length);
  copy.set(bytes);
  return copy;
}

/** A view of bytes of a buffer. */
export function bytesIn(buffer: ArrayBufferLike, offset: number, length: number): Bytes {
  return (
    NodeBuffer?.from(buffer as ArrayBuffer, offset, length) ??
    (new Uint8Array(buffer, offset, length) as Bytes)
  );
}

/** Compares as `Buffer.compare`: the first byte that differs decides, and then the length. */
export function compareBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  if (NodeBuffer !== null) {
    return NodeBuffer.compare(a, b);
  }
  const common = Math.min(a.length, b.length);
  let at = 0;
  while (at < common && a[at] === b[at]) {
    at++;
  }
  const [left, right] = at < common ? [a[at]!, b[at]!] : [a.length, b.length];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The index of the first `needle`, which has at least 1 byte; -1 if there is none. */
export function indexOfBytes(bytes: Uint8Array, needle: Uint8Array): number {
  if (NodeBuffer !== null) {
    return bytesIn(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(needle);
  }
  const last = bytes.length - needle.length;
  for (let at = bytes.indexOf(needle[0]!); at >= 0 && at <= last;) {
    let matched = 1;
    while (matched < needle.length && bytes[at + matched] === needle[matched]) {
      matched++;
    }
    if (matched === needle.length) {
      return at;
    }
    at = bytes.indexOf(needle[0]!, at + 1);
  }
  return -1;
}

/**
 * Shared memory, which JavaScript can neither detach nor resize. Where the runtime hides
 * SharedArrayBuffer, as browsers do without cross-origin isolation, it is an ArrayBuffer, which
 * stays inside this package.
 */
export function newShared(length: number): SharedArrayBuffer {
  return typeof SharedArrayBuffer === "undefined"
    ? (new ArrayBuffer(length) as unknown as SharedArrayBuffer)
    : new SharedArrayBuffer(length);
}

/**
 * A buffer of {@link newShared} for code outside this package.
 *
 * @throws Error `ERR_OUT_OF_MEMORY` if it is not shared.
 */
export function requireShared(buffer: unknown): SharedArrayBuffer {
  if (!isSharedArrayBuffer(buffer)) {
    throw outOfMemoryError(
      "this runtime has no SharedArrayBuffer: in a browser, the page must be cross-origin isolated",
    );
  }
  return buffer;
}
