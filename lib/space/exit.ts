import { isBigUint64Array } from "node:util/types";
import type { GuestAccessors } from "../base/access.js";
import { rangeError, typeError } from "../base/errors.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";

// The elements of a guest_exit_t (native/pound/kvm/guest_space.h).
const GPA = 0;
const VALUE = 1;
const WIDTH = 2;
const REASON = 3;
const STATE = 4;

/** The length of an exit. C++ keeps accesses of the instruction in the other elements. */
const LENGTH = 32;

const READ = 1n;
const WRITE = 2n;
const PENDING = 1n;
const COMPLETED = 2n;

// The slots of reads. A device handler that completes another exit overwrites no value, because the
// accessors write the slot after the handler has returned.
const quads = new BigUint64Array(1);
const bytes = new Uint8Array(1);
const words = new Uint16Array(1);
const longs = new Uint32Array(1);

/**
 * Makes the access of an exit through the view path, and stores its result in the exit.
 *
 * @throws TypeError, RangeError for an invalid exit; what a handler of a device throws. The exit
 * stays pending then.
 */
export function completeExit(space: GuestAccessors, exit: BigUint64Array): GuestMemAccessResult {
  if (!isBigUint64Array(exit)) {
    throw typeError("exit must be a BigUint64Array");
  }
  if (exit.length < LENGTH || exit[STATE] !== PENDING) {
    throw rangeError(`exit must have ${LENGTH} elements and must be pending`);
  }
  const result = access(space, exit);
  exit[STATE] = COMPLETED + BigInt(result);
  return result;
}

function access(space: GuestAccessors, exit: BigUint64Array): GuestMemAccessResult {
  switch (exit[REASON]) {
    case READ:
      return read(space, exit);
    case WRITE:
      return write(space, exit);
    default:
      throw rangeError("the reason of the exit must be 1 (read) or 2 (write)");
  }
}

function read(space: GuestAccessors, exit: BigUint64Array): GuestMemAccessResult {
  const gpa = exit[GPA]!;
  let result: GuestMemAccessResult;
  let value: bigint;
  switch (exit[WIDTH]) {
    case 1n:
      result = space.tryReadb(gpa, bytes);
      value = BigInt(bytes[0]!);
      break;
    case 2n:
      result = space.tryReadw(gpa, words);
      value = BigInt(words[0]!);
      break;
    case 4n:
      result = space.tryReadl(gpa, longs);
      value = BigInt(longs[0]!);
      break;
    case 8n:
      result = space.tryReadq(gpa, quads);
      value = quads[0]!;
      break;
    default:
      throw widthError();
  }
  if (result === OK) {
    exit[VALUE] = value;
  }
  return result;
}

function write(space: GuestAccessors, exit: BigUint64Array): GuestMemAccessResult {
  const gpa = exit[GPA]!;
  const value = exit[VALUE]!;
  switch (exit[WIDTH]) {
    case 1n:
      return space.tryWriteb(gpa, Number(value & 0xffn));
    case 2n:
      return space.tryWritew(gpa, Number(value & 0xffffn));
    case 4n:
      return space.tryWritel(gpa, Number(value & 0xffff_ffffn));
    case 8n:
      return space.tryWriteq(gpa, value);
    default:
      throw widthError();
  }
}

function widthError(): RangeError {
  return rangeError("the width of the exit must be 1, 2, 4 or 8");
}
