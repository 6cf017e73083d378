import fc from "fast-check";

export const signed = (value: bigint, bits = 64) => BigInt.asIntN(bits, value);
export const unsigned = (value: bigint, bits = 64) => BigInt.asUintN(bits, value);

/** Operands that test carries, signs and the boundary of the halves, and any others. */
export const operand = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -70n, max: 70n }).map((value) => unsigned(value)),
  fc
    .tuple(fc.constantFrom(31n, 32n, 52n, 53n, 54n, 63n), fc.bigInt({ min: -2n, max: 2n }))
    .map(([bit, off]) => unsigned(2n ** bit + off)),
  fc
    .tuple(fc.constantFrom(31n, 32n, 52n, 53n, 54n, 63n), fc.bigInt({ min: -2n, max: 2n }))
    .map(([bit, off]) => unsigned(-(2n ** bit) + off)),
);

/** Any 32 bits, but usually with the opcode of an existing instruction. */
export const anyInstruction = fc
  .tuple(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    // Loads and stores twice, since the paths differ in them.
    fc.constantFrom(
      ...[0x37, 0x17, 0x6f, 0x67, 0x63, 0x13, 0x1b, 0x33, 0x3b, 0x0f, 0x73],
      ...[0x03, 0x23, 0x03, 0x23],
    ),
    fc.nat(15),
  )
  .map(([bits, opcode, one]) => (one === 0 ? bits : ((bits & ~0x7f) | opcode) >>> 0));
