import type { AccessPolicy } from "pound-guest-memory";

/** All access policies, the default first. */
export const POLICIES: readonly Required<AccessPolicy>[] = (["fault", "allow"] as const).flatMap(
  (alignment) => (["little", "big"] as const).map((endian) => ({ alignment, endian })),
);

/** For titles of tests. */
export function nameOf({ alignment, endian }: Required<AccessPolicy>): string {
  return `${alignment}, ${endian}`;
}
