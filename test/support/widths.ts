import type { Gpa, GuestMemAccessResult, GuestAccessors } from "pound-guest-memory";
import { throughHalves, highOf, lowOf } from "./halves.js";

/** Any array that receives the value of a read. */
export type Out = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** An access width, for tests that iterate over them. All values are bigints. */
export interface WidthCase {
  readonly suffix: "b" | "w" | "l" | "q" | "qHalves";
  readonly bytes: 1 | 2 | 4 | 8;
  /** A new `out` array that holds `value`. */
  out(value: bigint): Out;
  tryRead(memory: GuestAccessors, gpa: Gpa, out: Out): GuestMemAccessResult;
  tryWrite(memory: GuestAccessors, gpa: Gpa, value: bigint): GuestMemAccessResult;
  read(memory: GuestAccessors, gpa: Gpa): number | bigint;
  write(memory: GuestAccessors, gpa: Gpa, value: bigint): void;
}

export const WIDTHS: readonly WidthCase[] = [
  {
    suffix: "b",
    bytes: 1,
    out: (value) => Uint8Array.of(Number(value)),
    tryRead: (memory, gpa, out) => memory.tryReadb(gpa, out as Uint8Array),
    tryWrite: (memory, gpa, value) => memory.tryWriteb(gpa, Number(value)),
    read: (memory, gpa) => memory.readb(gpa),
    write: (memory, gpa, value) => memory.writeb(gpa, Number(value)),
  },
  {
    suffix: "w",
    bytes: 2,
    out: (value) => Uint16Array.of(Number(value)),
    tryRead: (memory, gpa, out) => memory.tryReadw(gpa, out as Uint16Array),
    tryWrite: (memory, gpa, value) => memory.tryWritew(gpa, Number(value)),
    read: (memory, gpa) => memory.readw(gpa),
    write: (memory, gpa, value) => memory.writew(gpa, Number(value)),
  },
  {
    suffix: "l",
    bytes: 4,
    out: (value) => Uint32Array.of(Number(value)),
    tryRead: (memory, gpa, out) => memory.tryReadl(gpa, out as Uint32Array),
    tryWrite: (memory, gpa, value) => memory.tryWritel(gpa, Number(value)),
    read: (memory, gpa) => memory.readl(gpa),
    write: (memory, gpa, value) => memory.writel(gpa, Number(value)),
  },
  {
    suffix: "q",
    bytes: 8,
    out: (value) => BigUint64Array.of(value),
    tryRead: (memory, gpa, out) => memory.tryReadq(gpa, out as BigUint64Array),
    tryWrite: (memory, gpa, value) => memory.tryWriteq(gpa, value),
    read: (memory, gpa) => memory.readq(gpa),
    write: (memory, gpa, value) => memory.writeq(gpa, value),
  },
];

/** The 64-bit accessors with values in halves, in a register file with other registers around. */
export const HALVES: WidthCase = {
  suffix: "qHalves",
  bytes: 8,
  out: (value) => BigUint64Array.of(value),
  tryRead: (memory, gpa, out) => {
    return throughHalves(out as BigUint64Array, (pair) => {
      const registers = Uint32Array.of(1, 2, ...pair, 3);
      const result = memory.tryReadqHalves(gpa, registers, 2);
      pair.set(registers.subarray(2, 4));
      return registers[0] === 1 && registers[1] === 2 && registers[4] === 3
        ? result
        : (NaN as GuestMemAccessResult);
    });
  },
  tryWrite: (memory, gpa, value) => memory.tryWriteqHalves(gpa, lowOf(value), highOf(value)),
  read: (memory, gpa) => {
    const out = new BigUint64Array(1);
    throughHalves(out, (pair) => memory.readqHalves(gpa, pair, 0));
    return out[0]!;
  },
  write: (memory, gpa, value) => memory.writeqHalves(gpa, lowOf(value), highOf(value)),
};

/** All forms of access, for tests of everything that an accessor does. */
export const WIDTHS_AND_HALVES: readonly WidthCase[] = [...WIDTHS, HALVES];
