const ROOM = new Array<number>(1024).fill(0);

/** The parameters that are not named are pushed all the same. */
function nothing(this: void): void {}

/**
 * Makes sure of 8 KiB of stack, which shallow calls cannot use up. Whoever calls it first and then
 * changes several things changes all of them or, where the stack ends, none.
 *
 * @throws RangeError of the engine's where the stack ends sooner.
 */
export function reserveStack(): void {
  Reflect.apply(nothing, undefined, ROOM);
}
