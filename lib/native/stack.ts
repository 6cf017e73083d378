import { native } from "./addon.js";

const ARGUMENTS = new Array<number>(8192).fill(0);

/** Takes no parameters, but a call still pushes all arguments on the stack. */
const nothing = (): void => undefined;

/** Bytes, about the size of the engine's stack. A position further away may be on another stack. */
const NEAR = 2 ** 20;

/** The position of the stack at the last call that found 64 KiB free below it. */
let checked = Infinity;

/**
 * Checks that 64 KiB of stack are free. That is enough for shallow calls, even if the engine must
 * compile the functions first. A method that changes several fields calls this first: if the stack
 * overflows, it overflows before any change, so no object is left half changed.
 *
 * The check writes 64 KiB, which takes microseconds. It is only made if the stack is deeper than at
 * the last one, because a stack grows to lower addresses.
 *
 * @throws RangeError (the engine's stack overflow) if less stack is free.
 */
export function reserveStack(): void {
  const position = native.stackPosition();
  if (position >= checked && position - checked < NEAR) {
    return;
  }
  Reflect.apply(nothing, undefined, ARGUMENTS);
  checked = position;
}
