import { HOST_IS_LITTLE_ENDIAN } from "../base/host.js";
import { Part } from "../base/part.js";
import { BranchingAccess } from "./branching-access.js";
import { SelectingAccess } from "./selecting-access.js";

/*
 * The accessors of `GuestMemory` exist in two forms with the same results. Both make only
 * number-addressed accesses to the first window; `GeneralAccess` makes all others, and repeats all
 * checks.
 *
 * `SelectingAccess` is up to twice as fast, as long as `GeneralAccess` has made no access. The
 * first one changes what V8 has learned of the accessors, and would make them slower than
 * `BranchingAccess` for ever. Therefore the process uses `BranchingAccess` from then on. V8
 * compiles the callers again then, as it would in any case.
 *
 * The code of both is generated for each width: closures of one factory would share the type
 * feedback of all four typed arrays, and V8 would inline none of them. The bytecode must be short,
 * because V8 inlines at most 920 bytes of bytecode into one function.
 *
 * On a big-endian host, neither of them can make an access: `BigEndianAccess` takes their place.
 *
 * - The result is the literal 0 instead of `OK`, which would take more bytes of bytecode.
 * - `instanceof` costs nothing after an access to an element of `out`, because V8 knows the type
 *   then. Before it, V8 would walk the prototype chain. `checkSlots` costs nothing after
 *   `instanceof`. The accessor catches what `checkSlots` or `out[0]` throws, and `general` throws
 *   the error with a code.
 */

const bigEndianAccess = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("./big-endian-access.js") as typeof import("./big-endian-access.js"),
  () => {
    throw new Error("bundles for browsers of pound-guest-memory need a little-endian host");
  },
);

/** The prototype that has the first form, or null once it has the second. */
let selecting: object | null = null;

/** Gives a prototype the accessors, which it inherits. V8 treats them as constants then. */
export function selectUntilRefusal(prototype: object): void {
  if (HOST_IS_LITTLE_ENDIAN) {
    Object.setPrototypeOf(prototype, SelectingAccess.prototype);
    selecting = prototype;
  } else {
    const accessors = bigEndianAccess.get().BigEndianAccess.prototype;
    Object.setPrototypeOf(accessors, SelectingAccess.prototype);
    Object.setPrototypeOf(prototype, accessors);
  }
}

/** Call it when an access is refused that the first form has refused too. */
export function branchFromNowOn(): void {
  if (selecting !== null) {
    const prototype = selecting;
    selecting = null;
    // Properties that hide the inherited ones. If `selecting` inherited others instead, V8 would
    // inline none of them.
    const forms = Object.getOwnPropertyDescriptors(BranchingAccess.prototype);
    for (const [name, form] of Object.entries(forms)) {
      if (name !== "constructor") {
        // Not `Object.defineProperty`, which throws if the user has frozen the prototype.
        Reflect.defineProperty(prototype, name, form);
      }
    }
  }
}
