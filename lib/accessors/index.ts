/**
 * Accessors for bundles for browsers: these have the code of `GuestMemory.withPolicy`, of the
 * options `alignment` and `endian` of an `AddressSpace`, and of the property `halves` of both only
 * if the program imports this module. In Node.js, nothing needs it.
 *
 * @example
 *
 * ```ts
 * import "pound-guest-memory/accessors";
 * ```
 *
 * @module
 */
export type { GuestHalvesAccessors } from "../base/access.js";
export type { AccessPolicy, AlignmentPolicy, Endian } from "../base/policy.js";
export type { PolicyAccess } from "../memory/policy-access.js";
