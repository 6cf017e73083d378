/** Also a constant by itself, which the bundler writes into the hot paths as a number. */
export const OK = 0;

/**
 * What became of a guest access: `guest_mem_access_result_t` of Pound's header, with its values.
 *
 * - `OK` (0): done.
 * - `FAULT_UNALIGNED` (1): not done; the address is not a multiple of the width.
 * - `FAULT_BOUNDARY` (2): not done; some byte of the access lies outside RAM.
 * - `ERROR_INTERNAL` (3): not done; the host is at fault, for instance the RAM is destroyed.
 */
export const GuestMemAccessResult = {
  OK,
  FAULT_UNALIGNED: 1,
  FAULT_BOUNDARY: 2,
  ERROR_INTERNAL: 3,
} as const;

/** One of the values of {@link GuestMemAccessResult}. */
export type GuestMemAccessResult = (typeof GuestMemAccessResult)[keyof typeof GuestMemAccessResult];

/** The name of a result code, as in the header without its `GUEST_MEM_ACCESS_` prefix. */
export function resultName(result: GuestMemAccessResult): keyof typeof GuestMemAccessResult {
  return RESULT_NAMES[result];
}

const RESULT_NAMES = ["OK", "FAULT_UNALIGNED", "FAULT_BOUNDARY", "ERROR_INTERNAL"] as const;
