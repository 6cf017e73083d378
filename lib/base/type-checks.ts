/*
 * Checks of internal slots, as `node:util/types` has them, for any runtime. Objects of other realms
 * pass them, and objects that only inherit from a prototype do not.
 */

/** The original getter of a property, as a function of the object. */
function getter(prototype: object, name: string | symbol): (object: unknown) => unknown {
  const { get } = Object.getOwnPropertyDescriptor(prototype, name)!;
  return Function.prototype.call.bind(get!) as (object: unknown) => unknown;
}

/** The name of the class of a typed array; undefined for any other value. */
const typedArrayName = getter(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
);

export function isUint8Array(value: unknown): value is Uint8Array {
  return typedArrayName(value) === "Uint8Array";
}

export function isUint16Array(value: unknown): value is Uint16Array {
  return typedArrayName(value) === "Uint16Array";
}

export function isUint32Array(value: unknown): value is Uint32Array {
  return typedArrayName(value) === "Uint32Array";
}

export function isBigUint64Array(value: unknown): value is BigUint64Array {
  return typedArrayName(value) === "BigUint64Array";
}

export function isDataView(value: unknown): value is DataView {
  return ArrayBuffer.isView(value) && typedArrayName(value) === undefined;
}

const arrayBufferLength = getter(ArrayBuffer.prototype, "byteLength");

/** Null where the runtime hides the class, as browsers do without cross-origin isolation. */
const sharedBufferLength =
  typeof SharedArrayBuffer === "undefined"
    ? null
    : getter(SharedArrayBuffer.prototype, "byteLength");

function passes(check: ((object: unknown) => unknown) | null, value: unknown): boolean {
  try {
    return check !== null && check(value) !== undefined;
  } catch {
    return false;
  }
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return passes(arrayBufferLength, value);
}

export function isSharedArrayBuffer(value: unknown): value is SharedArrayBuffer {
  return passes(sharedBufferLength, value);
}

export function isAnyArrayBuffer(value: unknown): value is ArrayBufferLike {
  return isArrayBuffer(value) || isSharedArrayBuffer(value);
}
