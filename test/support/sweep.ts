import { expect } from "chai";
import { type Gpa, type GuestAccessors, GuestMemAccessResult } from "pound-guest-memory";
import { WIDTHS_AND_HALVES } from "./widths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;

/** RAM to sweep: one path into it, and its bytes as another view shows them. */
export interface Swept {
  readonly access: GuestAccessors;
  readonly bytes: Uint8Array;
}

/** Every address in and around small RAM, and addresses at which arithmetic may overflow. */
export const ADDRESSES: readonly Gpa[] = [
  ...Array.from({ length: 25 }, (_, gpa) => [gpa, BigInt(gpa)]).flat(),
  ...[2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 8, 2 ** 53 - 1].flatMap((gpa) => [gpa, BigInt(gpa)]),
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 8n,
  2n ** 64n - 1n,
];

/** The result code of an access: the boundary is checked first, without wrapping around. */
function expectedResult(size: number, gpa: Gpa, width: number): GuestMemAccessResult {
  const last = BigInt(gpa) + BigInt(width) - 1n;
  if (last >= BigInt(size)) {
    return FAULT_BOUNDARY;
  }
  return BigInt(gpa) % BigInt(width) === 0n ? OK : FAULT_UNALIGNED;
}

/** A little-endian value, assembled byte by byte. */
function load(bytes: Uint8Array, gpa: number, width: number): bigint {
  return [...bytes.subarray(gpa, gpa + width)].reduceRight(
    (value, byte) => value * 256n + BigInt(byte),
    0n,
  );
}

function store(bytes: Uint8Array, gpa: number, width: number, value: bigint): void {
  for (let i = 0; i < width; i++) {
    bytes[gpa + i] = Number((value >> BigInt(8 * i)) % 256n);
  }
}

/** The outcome of a throwing form: its value, or the fields of its fault. */
function outcome(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    const { name, code, result, gpa, width, operation } = error as Record<string, unknown>;
    return { name, code, result, gpa, width, operation };
  }
}

/**
 * Makes every access at every address, in both forms, and checks each value, each result code and
 * all bytes of RAM after each access.
 */
export function sweep({ access, bytes }: Swept, context: string): void {
  const size = bytes.length;
  const model = Uint8Array.from({ length: size }, (_, i) => (i * 37 + 129) & 0xff);
  bytes.set(model);
  let seed = 0x9e37_79b9_7f4a_7c15n;
  for (const { suffix, bytes: width, ...run } of WIDTHS_AND_HALVES) {
    const mask = 2n ** BigInt(8 * width) - 1n;
    for (const gpa of ADDRESSES) {
      const at = `${context}: ${suffix} at ${typeof gpa} ${gpa}`;
      const result = expectedResult(size, gpa, width);
      const fault = (operation: string): unknown => ({
        name: "GuestMemoryFault",
        code: "ERR_GUEST_MEMORY_FAULT",
        result,
        gpa,
        width,
        operation,
      });

      const before = result === OK ? load(model, Number(gpa), width) : 0n;
      const untouched = ~before & mask;
      const out = run.out(untouched);
      expect(run.tryRead(access, gpa, out), `${at}, tryRead`).to.equal(result);
      expect(BigInt(out[0]!), `${at}, out`).to.equal(result === OK ? before : untouched);
      const read = outcome(() => run.read(access, gpa));
      if (result === OK) {
        expect(read, `${at}, read`).to.equal(width === 8 ? before : Number(before));
      } else {
        expect(read, `${at}, read`).to.deep.equal(fault("read"));
      }

      // Each write has another value, so that a lost write shows.
      for (const form of ["tryWrite", "write"] as const) {
        seed = (seed * 6364136223846793005n + 1442695040888963407n) & (2n ** 64n - 1n);
        const value = seed & mask;
        const written = outcome(() => run[form](access, gpa, value));
        if (result === OK) {
          store(model, Number(gpa), width, value);
          expect(written, `${at}, ${form}`).to.equal(form === "write" ? undefined : OK);
        } else {
          expect(written, `${at}, ${form}`).to.deep.equal(
            form === "write" ? fault("write") : result,
          );
        }
        expect(Buffer.compare(bytes, model), `${at}, bytes after ${form}`).to.equal(0);
      }
    }
  }
}
