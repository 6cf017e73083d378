/** Whether typed arrays on this host have the byte order of RAM. */
export const HOST_IS_LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The index of the low half of a 64-bit value in a Uint32Array over the same bytes. */
export const LOW_HALF: 0 | 1 = HOST_IS_LITTLE_ENDIAN ? 0 : 1;

/** The index of its high half. */
export const HIGH_HALF: 0 | 1 = HOST_IS_LITTLE_ENDIAN ? 1 : 0;
