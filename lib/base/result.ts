/** A separate constant, which the bundler replaces by its number in the hot paths. */
export const OK = 0;

/**
 * The result of a guest access: `guest_mem_access_result_t` of Pound's header, with the same
 * values.
 *
 * - `OK` (0): the access was made.
 * - `FAULT_UNALIGNED` (1): not made, because the address is not a multiple of the width.
 * - `FAULT_BOUNDARY` (2): not made, because some byte of the access lies outside RAM.
 * - `ERROR_INTERNAL` (3): not made, because of the host; for instance, the RAM is destroyed.
 */
export const GuestMemAccessResult = {
  OK,
  FAULT_UNALIGNED: 1,
  FAULT_BOUNDARY: 2,
  ERROR_INTERNAL: 3,
} as const;

/** A value of {@link GuestMemAccessResult}. */
export type GuestMemAccessResult = (typeof GuestMemAccessResult)[keyof typeof GuestMemAccessResult];

/** The name of a result code in the header, without the prefix `GUEST_MEM_ACCESS_`. */
export function resultName(result: GuestMemAccessResult): keyof typeof GuestMemAccessResult {
  return RESULT_NAMES[result];
}

const RESULT_NAMES = ["OK", "FAULT_UNALIGNED", "FAULT_BOUNDARY", "ERROR_INTERNAL"] as const;
