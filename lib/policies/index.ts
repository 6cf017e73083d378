/**
 * The access policies, for bundles for browsers: these have the code of `GuestMemory.withPolicy` and
 * of the options `alignment` and `endian` of an `AddressSpace` only if the program imports this
 * module. In Node.js, nothing needs it.
 *
 * @example
 *
 * ```ts
 * import "pound-guest-memory/policies";
 * ```
 *
 * @module
 */
export type { AccessPolicy, AlignmentPolicy, Endian } from "../base/policy.js";
export type { PolicyAccess } from "../memory/policy-access.js";
