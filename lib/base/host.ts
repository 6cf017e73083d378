/** Whether typed arrays have the byte order of the guest. */
export const HOST_IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** `process.arch`; "" in a runtime without it, such as a browser. */
export const ARCHITECTURE: string =
  (globalThis as { readonly process?: { readonly arch?: string } }).process?.arch ?? "";
