import { inspect } from "node:util";
import { expect } from "chai";
import fc from "fast-check";
import {
  type AccessPolicy,
  AddressSpace,
  Arena,
  type Gpa,
  GuestMemAccessResult,
  GuestMemory,
  type GuestMemoryAccess,
  OpBuffer,
  OpKind,
} from "pound-guest-memory";
import { ByteMemory } from "../support/byte-memory.js";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { WIDTHS, type WidthCase } from "../support/widths.js";
import { POLICIES } from "../support/policies.js";
import { PATHS, pathsOf } from "../support/paths.js";
import { itWide } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const PATTERN = 0xf1e2_d3c4_b5a6_9788n;
const EDGE = 2 ** 32;

/** A memory and its model, with the same bytes. */
function withModel(size: number, policy: AccessPolicy): { memory: GuestMemory; model: ByteMemory } {
  const memory = GuestMemory.allocate(size);
  const model = new ByteMemory(size, policy);
  for (let i = 0; i < size; i++) {
    model.bytes[i] = (i * 37 + 11) & 0xff;
  }
  memory.write(0, model.bytes);
  return { memory, model };
}

function expectSameRead(
  access: GuestMemoryAccess,
  model: ByteMemory,
  width: WidthCase,
  gpa: Gpa,
): void {
  const [expected, out] = [width.out(0xa5n), width.out(0xa5n)];
  const result = width.tryRead(model, gpa, expected);
  expect(width.tryRead(access, gpa, out), `read${width.suffix} ${gpa}`).to.equal(result);
  expect(out[0], `read${width.suffix} ${gpa}`).to.equal(expected[0]);
  if (result === OK) {
    expect(width.read(access, gpa)).to.equal(expected[0]);
  } else {
    expect(thrown(() => width.read(access, gpa))).to.deep.equal(FAULT);
  }
}

function expectSameWrite(
  access: GuestMemoryAccess,
  model: ByteMemory,
  width: WidthCase,
  gpa: Gpa,
  value: bigint,
): void {
  const result = width.tryWrite(model, gpa, value);
  expect(width.tryWrite(access, gpa, value), `write${width.suffix} ${gpa}`).to.equal(result);
  if (result === OK) {
    width.write(access, gpa, value);
  } else {
    expect(thrown(() => width.write(access, gpa, value))).to.deep.equal(FAULT);
  }
}

/** A value of a width: positive, or the negative one with the same bytes. */
function valueOf(bytes: number, bits: bigint, signed: boolean): bigint {
  return signed ? BigInt.asIntN(8 * bytes, bits) : BigInt.asUintN(8 * bytes, bits);
}

const ADDRESSES: readonly Gpa[] = [2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64].flatMap((edge) =>
  [-8n, -3n, -1n, 0n, 1n, 8n]
    .map((delta) => BigInt(edge) + delta)
    .filter((gpa) => gpa < 2n ** 64n)
    .flatMap((gpa) => (gpa <= Number.MAX_SAFE_INTEGER ? [gpa, Number(gpa)] : [gpa])),
);

describe("access policies", () => {
  for (const policy of POLICIES) {
    for (const path of PATHS) {
      const accessTo = (memory: GuestMemory): GuestMemoryAccess =>
        path === "view" ? memory.withPolicy(policy) : memory.withPolicy(policy).native;

      describe(`${policy.alignment}, ${policy.endian}, ${path} path`, () => {
        it("agrees with the model at every address of RAM of 0 to 24 bytes", () => {
          for (let size = 0; size <= 24; size++) {
            const { memory, model } = withModel(size, policy);
            const access = accessTo(memory);
            expect(access.size).to.equal(BigInt(size));
            const near = Array.from({ length: size + 12 }, (_, i) => i);
            for (const width of WIDTHS) {
              for (const gpa of [...near, ...near.map(BigInt), ...ADDRESSES]) {
                const value = valueOf(width.bytes, PATTERN, typeof gpa === "bigint");
                expectSameRead(access, model, width, gpa);
                expectSameWrite(access, model, width, gpa, value);
                expectSameRead(access, model, width, gpa);
              }
            }
            expect(memory.buffer.equals(model.bytes)).to.equal(true);
            memory.destroy();
          }
        });

        it("agrees with the model on random operations", () => {
          const operation = fc.record({
            width: fc.constantFrom(...WIDTHS),
            write: fc.boolean(),
            gpa: fc.integer({ min: 0, max: 320 }),
            bits: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
            signed: fc.boolean(),
          });
          fc.assert(
            fc.property(
              fc.integer({ min: 0, max: 300 }),
              fc.array(operation, { maxLength: 60 }),
              (size, operations) => {
                const { memory, model } = withModel(size, policy);
                const access = accessTo(memory);
                for (const { width, write, gpa, bits, signed } of operations) {
                  if (write) {
                    const value = valueOf(width.bytes, bits, signed);
                    expectSameWrite(access, model, width, gpa, value);
                  } else {
                    expectSameRead(access, model, width, gpa);
                  }
                }
                expect(memory.buffer.equals(model.bytes)).to.equal(true);
                memory.destroy();
              },
            ),
          );
        });

        it("moves 64 bits from an array", () => {
          const { memory, model } = withModel(32, policy);
          const access = accessTo(memory);
          for (let gpa = 0; gpa < 32; gpa++) {
            const source = BigUint64Array.of(PATTERN + BigInt(gpa));
            expect(access.tryWriteqFrom(gpa, source)).to.equal(
              model.tryWriteq(gpa, PATTERN + BigInt(gpa)),
            );
          }
          expect(memory.buffer.equals(model.bytes)).to.equal(true);
          memory.destroy();
        });

        it("works over the caller's bytes, wherever they start", () => {
          for (let start = 0; start < 8; start++) {
            const bytes = new Uint8Array(128);
            const arena = Arena.over(bytes.subarray(start));
            const memory = GuestMemory.create(arena);
            const access = accessTo(memory);
            access.writel(16, 0x1122_3344);
            const expected = policy.endian === "big" ? 0x11 : 0x44;
            expect(memory.readb(16)).to.equal(expected);
            expect(access.readl(16)).to.equal(0x1122_3344);
            memory.destroy();
            arena.destroy();
          }
        });

        it("gives ERROR_INTERNAL after the RAM has ended, or its buffer is detached", () => {
          const memory = GuestMemory.allocate(64);
          const access = accessTo(memory);
          const buffer = new ArrayBuffer(256);
          const arena = Arena.over(new Uint8Array(buffer));
          const other = accessTo(GuestMemory.create(arena));
          const unused = GuestMemory.allocate(64);
          const lateBuffer = new ArrayBuffer(64);
          const late = GuestMemory.over(lateBuffer);
          access.writel(8, 1);
          other.writel(8, 1);
          memory.destroy();
          unused.destroy();
          structuredClone(buffer, { transfer: [buffer, lateBuffer] });
          // The last two objects are made when there are no bytes any more.
          for (const width of WIDTHS) {
            for (const ended of [access, other, accessTo(unused), accessTo(late)]) {
              for (const gpa of [8, 8n, 2 ** 40]) {
                const out = width.out(3n);
                expect(width.tryRead(ended, gpa, out)).to.equal(ERROR_INTERNAL);
                expect(BigInt(out[0]!)).to.equal(3n);
                expect(width.tryWrite(ended, gpa, 1n)).to.equal(ERROR_INTERNAL);
                expect(thrown(() => width.read(ended, gpa))).to.deep.equal(FAULT);
                expect(thrown(() => width.write(ended, gpa, 1n))).to.deep.equal(FAULT);
              }
              expect(ended.tryWriteqFrom(8, new BigUint64Array(1))).to.equal(ERROR_INTERNAL);
            }
          }
          arena.destroy();
        });

        it("marks every page that a write touches, and no other", () => {
          const memory = GuestMemory.allocate(0x8000);
          // Made before the tracking starts, so that it must notice.
          const access = accessTo(memory);
          access.writel(0x1000, 1);
          const region = new AddressSpace().addRam(0, memory);
          const dirty = region.startTracking();
          const allow = policy.alignment === "allow";
          for (const { bytes, tryWrite } of WIDTHS) {
            const gpa = 0x3000 - Math.floor(bytes / 2);
            expect(tryWrite(access, gpa, 1n)).to.equal(bytes === 1 || allow ? OK : FAULT_UNALIGNED);
            const pages = bytes === 1 ? [3] : allow ? [2, 3] : [];
            expect([...dirty.drain()], `${bytes} bytes`).to.deep.equal(pages);
            tryWrite(access, 0x5000, 1n);
            expect([...dirty.drain()]).to.deep.equal([5]);
            tryWrite(access, 0x8000 - bytes + 1, 1n);
            expect([...dirty.drain()]).to.deep.equal([]);
          }
          access.tryWriteqFrom(0x5ffc, BigUint64Array.of(1n));
          expect([...dirty.drain()]).to.deep.equal(allow ? [5, 6] : []);
          region.stopTracking();
          access.writel(0x1000, 1);
          expect([...dirty.drain()]).to.deep.equal([]);
          memory.destroy();
        });
      });
    }

    it(`runs a batch under ${policy.alignment}, ${policy.endian}`, () => {
      const { memory, model } = withModel(0x4000, policy);
      const dirty = new AddressSpace().addRam(0, memory).startTracking();
      const ops = new OpBuffer(3);
      ops.push(OpKind.WRITEL, 0x1ffe, 0x1122_3344);
      ops.push(OpKind.READW, 0x1fff);
      ops.push(OpKind.READQ, 0x3ffc);
      const out = new Uint16Array(1);
      const expected = [model.tryWritel(0x1ffe, 0x1122_3344), model.tryReadw(0x1fff, out)];
      const faults = memory.withPolicy(policy).native.run(ops);
      expect(faults).to.equal(policy.alignment === "allow" ? 1 : 3);
      expect([ops.result(0), ops.result(1), ops.result(2)]).to.deep.equal([
        ...expected,
        FAULT_BOUNDARY,
      ]);
      expect(ops.value(1)).to.equal(BigInt(out[0]!));
      expect(memory.buffer.equals(model.bytes)).to.equal(true);
      expect([...dirty.drain()]).to.deep.equal(policy.alignment === "allow" ? [1, 2] : []);
      memory.destroy();
    });
  }

  it("put the bytes of a big-endian value in their order", () => {
    const memory = GuestMemory.allocate(64);
    const big = memory.withPolicy({ endian: "big" });
    for (const access of pathsOf(big)) {
      memory.fill(0, 64, 0);
      access.writeq(8, 0x0102_0304_0506_0708n);
      expect([...memory.read(8, 8)]).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(access.readl(8)).to.equal(0x0102_0304);
      expect(access.readw(10)).to.equal(0x0304);
    }
    memory.destroy();
  });

  itWide("make an access across 4 GiB, and check all of its bytes", () => {
    const memory = GuestMemory.allocate(EDGE + 4096);
    const region = new AddressSpace().addRam(0, memory);
    for (const endian of ["little", "big"] as const) {
      const view = memory.withPolicy({ alignment: "allow", endian });
      for (const [writer, reader] of [
        [view, view.native],
        [view.native, view],
      ] as const) {
        for (const width of WIDTHS.slice(1)) {
          for (let gpa = EDGE - width.bytes; gpa <= EDGE + 1; gpa++) {
            const value = BigInt.asUintN(8 * width.bytes, PATTERN * BigInt(gpa));
            memory.fill(EDGE - 16, 32, 0x5a);
            width.write(writer, gpa, value);
            expect(BigInt(width.read(reader, gpa))).to.equal(value);
            expect(BigInt(width.read(writer, BigInt(gpa)))).to.equal(value);
            const bytes = memory.read(gpa, width.bytes);
            const first = BigInt((endian === "big" ? bytes : bytes.reverse())[0]!);
            expect(first).to.equal(value >> BigInt(8 * width.bytes - 8));
            expect(memory.readb(gpa - 1)).to.equal(0x5a);
            expect(memory.readb(gpa + width.bytes)).to.equal(0x5a);
          }
          const last = EDGE + 4096 - width.bytes;
          expect(width.tryWrite(writer, last, 1n)).to.equal(OK);
          expect(width.tryWrite(writer, last + 1, 1n)).to.equal(FAULT_BOUNDARY);
        }
      }
    }
    const dirty = region.startTracking();
    memory.withPolicy({ alignment: "allow" }).writel(EDGE - 1, 1);
    expect([...dirty.drain()]).to.deep.equal([EDGE / 4096 - 1, EDGE / 4096]);
    expect(memory.withPolicy({}).tryWritel(EDGE + 1, 1)).to.equal(FAULT_UNALIGNED);
    expect(memory.withPolicy({}).native.tryWritel(EDGE + 1, 1)).to.equal(FAULT_UNALIGNED);
    memory.destroy();
  });

  it("have defaults, and one object per policy and memory", () => {
    const memory = GuestMemory.allocate(64);
    const plain = memory.withPolicy({});
    expect(plain.policy).to.deep.equal({ alignment: "fault", endian: "little" });
    expect(plain.native.policy).to.deep.equal(plain.policy);
    expect(memory.withPolicy({ alignment: "fault", endian: "little" })).to.equal(plain);
    expect(memory.withPolicy({ endian: "big" })).to.not.equal(plain);
    expect(inspect(plain)).to.equal("PolicyAccess { size: 64, alignment: fault, endian: little }");
    expect(JSON.stringify([plain, plain.native])).to.equal(
      JSON.stringify([
        { type: "PolicyAccess", size: 64, alignment: "fault", endian: "little" },
        { type: "NativePolicyAccess", size: 64, alignment: "fault", endian: "little" },
      ]),
    );
    for (const object of pathsOf(plain)) {
      expect(() => structuredClone(object))
        .to.throw()
        .with.property("name", "DataCloneError");
    }
    memory.destroy();
    // A policy object can also be made after the RAM has ended.
    expect(memory.withPolicy({ endian: "big" }).tryReadb(0, new Uint8Array(1))).to.equal(
      ERROR_INTERNAL,
    );
  });

  it("refuse an unknown policy", () => {
    const memory = GuestMemory.allocate(64);
    const make = (policy: unknown): unknown => memory.withPolicy(policy as AccessPolicy);
    for (const bad of [undefined, null, "allow", 1]) {
      expect(thrown(() => make(bad))).to.deep.equal(WRONG_TYPE);
    }
    for (const bad of [null, 1, true, {}, ["allow"]]) {
      expect(thrown(() => make({ alignment: bad }))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => make({ endian: bad }))).to.deep.equal(WRONG_TYPE);
    }
    for (const bad of ["", "Allow", "middle", "__proto__"]) {
      expect(thrown(() => make({ alignment: bad }))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => make({ endian: bad }))).to.deep.equal(OUT_OF_RANGE);
    }
    memory.destroy();
  });

  it("leave atomic accesses as they are", () => {
    const memory = GuestMemory.allocate(64);
    memory.withPolicy({ alignment: "allow", endian: "big" }).writel(1, 1);
    expect(memory.atomics.tryLoadl(1, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
    memory.destroy();
  });
});
