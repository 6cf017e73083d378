const SMALL = new Array<number>(1024).fill(0);
const LARGE = new Array<number>(8192).fill(0);

/** Takes no parameters, but a call still pushes all arguments on the stack. */
const nothing = (): void => undefined;

/**
 * Checks that 64 KiB of stack are free. That is enough for shallow calls, even if the engine must
 * compile the functions first. A method that changes several fields calls this first: if the stack
 * overflows, it overflows before any change, so no object is left half changed.
 *
 * @throws RangeError (the engine's stack overflow) if less stack is free.
 */
export function reserveStack(): void {
  Reflect.apply(nothing, undefined, LARGE);
}

/** As `reserveStack` for 8 KiB: an eighth of the cost, and enough for calls of built-ins only. */
export function reserveLittleStack(): void {
  Reflect.apply(nothing, undefined, SMALL);
}
