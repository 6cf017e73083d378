import { checkObject } from "./arguments.js";
import { rangeError, typeError } from "./errors.js";

/** What an access does at an address that is not a multiple of its width. */
export type AlignmentPolicy = "fault" | "allow";

/** The order of the bytes of a value in RAM. */
export type Endian = "little" | "big";

/** How accesses treat unaligned addresses and the order of bytes. */
export interface AccessPolicy {
  /**
   * `"fault"`, the default: the result of an unaligned access is `FAULT_UNALIGNED`. `"allow"`: the
   * access is made if all of its bytes are accessible.
   */
  readonly alignment?: AlignmentPolicy;
  /** The byte order of values; `"little"` by default. */
  readonly endian?: Endian;
}

// The bits of the number of a policy. native/addon/policy.h has the same.
const ALLOW_UNALIGNED = 1;
const BIG_ENDIAN = 2;

/**
 * Checks an access policy and fills in the defaults.
 *
 * @throws TypeError if `policy` is not an object, or a field of it is not a string; RangeError for
 * an unknown word.
 */
export function checkPolicy(policy: AccessPolicy): Required<AccessPolicy> {
  const { alignment = "fault", endian = "little" } = checkObject(policy, "policy");
  checkWord(alignment, ["fault", "allow"], "alignment");
  checkWord(endian, ["little", "big"], "endian");
  return { alignment, endian };
}

function checkWord(value: string, known: readonly string[], what: string): void {
  if (typeof value !== "string") {
    throw typeError(`${what} must be a string`);
  }
  if (!known.includes(value)) {
    throw rangeError(`${what} must be "${known.join('" or "')}"`);
  }
}

/** The number of a policy, from 0 to 3. 0 is the policy of the accessors of Pound's header. */
export function policyNumber({ alignment, endian }: Required<AccessPolicy>): number {
  return (alignment === "allow" ? ALLOW_UNALIGNED : 0) | (endian === "big" ? BIG_ENDIAN : 0);
}

/** The policy with a number from 0 to 3. */
export function policyOf(number: number): Required<AccessPolicy> {
  return {
    alignment: (number & ALLOW_UNALIGNED) === 0 ? "fault" : "allow",
    endian: (number & BIG_ENDIAN) === 0 ? "little" : "big",
  };
}
