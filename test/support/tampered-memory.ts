import type { GuestMemoryAccess } from "pound-guest-memory";

const TRY_METHODS = [
  "tryReadb",
  "tryReadw",
  "tryReadl",
  "tryReadq",
  "tryWriteb",
  "tryWritew",
  "tryWritel",
  "tryWriteq",
] as const;

/** The name of an accessor that returns a result code. */
export type TryMethod = (typeof TRY_METHODS)[number];

type AnyAccess = (gpa: number, argument: never) => number;

/**
 * Wraps a memory and replaces one accessor.
 *
 * @param tamper - Returns the new accessor, given the old one.
 */
export function tampered(
  memory: GuestMemoryAccess,
  method: TryMethod,
  tamper: (access: AnyAccess) => AnyAccess,
): GuestMemoryAccess {
  const accesses = TRY_METHODS.map((name) => {
    const access = memory[name].bind(memory) as AnyAccess;
    return [name, name === method ? tamper(access) : access];
  });
  return { size: memory.size, ...Object.fromEntries(accesses) } as GuestMemoryAccess;
}
