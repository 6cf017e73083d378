/** Returns the element `step` places after `current`, and wraps around at both ends. */
export function next<T>(list: readonly T[], current: T, step: number): T {
  return list[(list.indexOf(current) + step + list.length) % list.length] ?? current;
}
