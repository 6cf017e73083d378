/** Whether typed arrays have the byte order of the guest. */
export const HOST_IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The index of the low half of a 64-bit value in a Uint32Array over the same bytes. */
export const LOW_HALF: 0 | 1 = HOST_IS_LITTLE_ENDIAN ? 0 : 1;

/** The index of its high half. */
export const HIGH_HALF: 0 | 1 = HOST_IS_LITTLE_ENDIAN ? 1 : 0;

/** `process.arch`; "" in a runtime without it, such as a browser. */
export const ARCHITECTURE: string =
  (globalThis as { readonly process?: { readonly arch?: string } }).process?.arch ?? "";
