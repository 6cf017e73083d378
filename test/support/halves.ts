import {
  type Gpa,
  type GuestAccessors,
  type GuestHalvesAccessors,
  GuestMemoryFault,
} from "pound-guest-memory";

/** The low 32 bits of an address or a value. */
export function lowOf(value: Gpa): number {
  return Number(BigInt(value) & 0xffff_ffffn);
}

/** The bits of an address or a value above the low 32. */
export function highOf(value: Gpa): number {
  return Number(BigInt(value) >> 32n);
}

/** The halves of the first element of an array, low half first. */
export function halvesIn(array: BigUint64Array): Uint32Array {
  return Uint32Array.of(lowOf(array[0]!), highOf(array[0]!));
}

/** Calls `access` with an array of the halves of `out[0]`, and then stores their value there. */
export function throughHalves<R>(out: BigUint64Array, access: (halves: Uint32Array) => R): R {
  const halves = halvesIn(out);
  const result = access(halves);
  out[0] = (BigInt(halves[1]!) << 32n) | BigInt(halves[0]!);
  return result;
}

/** Accessors with whole addresses that split them and call the accessors with halves. */
export function splitting(halves: GuestHalvesAccessors): GuestAccessors {
  const split = <T extends unknown[], R>(
    access: (low: number, high: number, ...rest: T) => R,
  ): ((gpa: Gpa, ...rest: T) => R) => {
    return (gpa, ...rest) => {
      try {
        return access.call(halves, lowOf(gpa), highOf(gpa), ...rest);
      } catch (error) {
        throw error instanceof GuestMemoryFault ? withGpa(error, gpa) : error;
      }
    };
  };
  const tryReadqHalves = split(halves.tryReadq);
  const tryWriteqHalves = split(halves.tryWriteq);
  const readqHalves = split(halves.readq);
  const writeqHalves = split(halves.writeq);
  return {
    tryReadb: split(halves.tryReadb),
    tryReadw: split(halves.tryReadw),
    tryReadl: split(halves.tryReadl),
    tryReadq: (gpa, out) => throughHalves(out, (pair) => tryReadqHalves(gpa, pair, 0)),
    tryWriteb: split(halves.tryWriteb),
    tryWritew: split(halves.tryWritew),
    tryWritel: split(halves.tryWritel),
    tryWriteq: (gpa, value) => tryWriteqHalves(gpa, lowOf(value), highOf(value)),
    tryWriteqFrom: (gpa, source) => tryWriteqHalves(gpa, lowOf(source[0]!), highOf(source[0]!)),
    tryReadqHalves,
    tryWriteqHalves,
    readb: split(halves.readb),
    readw: split(halves.readw),
    readl: split(halves.readl),
    readq: (gpa) => {
      const out = new BigUint64Array(1);
      throughHalves(out, (pair) => readqHalves(gpa, pair, 0));
      return out[0]!;
    },
    writeb: split(halves.writeb),
    writew: split(halves.writew),
    writel: split(halves.writel),
    writeq: (gpa, value) => writeqHalves(gpa, lowOf(value), highOf(value)),
    readqHalves,
    writeqHalves,
  };
}

/** The fault with the address in the type that the caller passed, after a check of its type. */
function withGpa({ result, gpa, width, operation, reason }: GuestMemoryFault, passed: Gpa): Error {
  const exact = BigInt(passed) <= Number.MAX_SAFE_INTEGER ? Number(passed) : BigInt(passed);
  return gpa === exact
    ? new GuestMemoryFault(result, passed, width, operation, reason)
    : new Error(`a fault at ${gpa} instead of ${exact}`);
}
