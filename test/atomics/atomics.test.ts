import { expect } from "chai";
import fc from "fast-check";
import {
  Arena,
  type Gpa,
  GuestMemAccessResult,
  type GuestAtomicAccess,
  GuestMemory,
} from "pound-guest-memory";
import { ATOMIC_XOR } from "../../lib/atomics/operations.js";
import { native } from "../../lib/native/addon.js";
import { OPERATION32, RESULT32 } from "../../lib/native/call-block.js";
import {
  ATOMICS,
  ATOMICS_AND_ALL_WIDTHS,
  ATOMICS_AND_WIDTHS,
  callMethod,
  methodName,
  modelAtomic,
  runAtomic,
  valueOf,
} from "../support/atomic-ops.js";
import { DESTROYED, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { ADDRESSES } from "../support/sweep.js";
import { WIDTHS } from "../support/widths.js";
import { PATHS } from "../support/paths.js";
import { itWide, RAM_ALIGNMENT } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;
const GIB = 2 ** 30;
const FORMS = ["try", "value"] as const;

function atomicsOf(memory: GuestMemory, path: (typeof PATHS)[number]): GuestAtomicAccess {
  return path === "view" ? memory.atomics : memory.native.atomics;
}

/** Values that a random choice would seldom hit upon: an equal one, and one that wraps. */
function valuesFor(bytes: number, seed: number): readonly bigint[] {
  const max = 2n ** BigInt(8 * bytes) - 1n;
  const mixed = (0x9e37_79b9_7f4a_7c15n * BigInt(seed + 1)) & max;
  return [max, mixed, max ^ mixed, 0n];
}

/** RAM over pages at an odd host address: the arrays of the view path cannot lie over those. */
function atOddAddress(size: number): GuestMemory {
  const pages = native.arenaCreate(size + 64);
  native.arenaAllocate(pages, size + 64, 1);
  return GuestMemory.create(Arena.over(native.arenaExpose(pages, 1, size + 15 + RAM_ALIGNMENT)));
}

/** RAM of a size in memory of every kind there is, filled alike. */
function eachRam(size: number, visit: (memory: GuestMemory, kind: string) => void): void {
  const kinds = {
    pages: GuestMemory.allocate(size),
    shared: GuestMemory.allocateShared(size),
    "a caller's": GuestMemory.create(Arena.over(new ArrayBuffer(size + 16))),
    ...(GuestMemory.hasNative && { "an odd address": atOddAddress(size) }),
  };
  for (const [kind, memory] of Object.entries(kinds)) {
    expect(memory.size, kind).to.equal(BigInt(size));
    memory.write(
      0,
      Uint8Array.from({ length: size }, (_, i) => (i * 37 + 129) & 0xff),
    );
    visit(memory, kind);
    memory.destroy();
  }
}

for (const path of PATHS) {
  describe(`atomic access on the ${path} path`, () => {
    it("does at every address what a plain model does, in both forms", () => {
      for (const size of [0, 3, 8, 17]) {
        eachRam(size, (memory, kind) => {
          const access = atomicsOf(memory, path);
          const bytes = memory.buffer;
          const model = Uint8Array.from(bytes);
          const wrong: string[] = [];
          let seed = 0;
          for (const one of ATOMICS_AND_ALL_WIDTHS) {
            for (const gpa of ADDRESSES) {
              for (const form of FORMS) {
                const [a, b, c] = valuesFor(one.width.bytes, seed++) as [bigint, bigint, bigint];
                const values = seed % 3 === 0 ? [a, b] : [b, c];
                const expected = modelAtomic(model, one, gpa, values);
                const actual = runAtomic(access, one, form, gpa, values);
                const same = actual.result === expected.result && actual.old === expected.old;
                if (!same || !bytes.equals(model)) {
                  const name = methodName(one.op, one.width, form);
                  wrong.push(`${kind} of ${size} bytes: ${name} at ${typeof gpa} ${gpa}`);
                }
              }
            }
          }
          expect(wrong).to.deep.equal([]);
        });
      }
    });

    it("exchanges where the value is the expected one, and only there", () => {
      const memory = GuestMemory.allocate(16);
      for (const width of WIDTHS) {
        const name = `compareExchange${width.suffix}`;
        const [max, mixed] = valuesFor(width.bytes, 3) as [bigint, bigint];
        width.write(memory, 8, max);
        const args = [max ^ 1n, mixed].map((value) => valueOf(width, value));
        const found = callMethod(atomicsOf(memory, path), name, 8, ...args);
        expect(BigInt(found as number)).to.equal(max);
        expect(BigInt(width.read(memory, 8))).to.equal(max);
        args[0] = valueOf(width, max);
        expect(callMethod(atomicsOf(memory, path), name, 8, ...args)).to.equal(found);
        expect(BigInt(width.read(memory, 8))).to.equal(mixed);
      }
    });

    itWide("reaches RAM above 4 GiB, and nothing below it", () => {
      const memory = GuestMemory.allocateShared(6 * GIB + 8);
      const access = atomicsOf(memory, path);
      for (const gpa of [4 * GIB - 8, 4 * GIB, 4 * GIB + 8, 6 * GIB]) {
        for (const address of [gpa, BigInt(gpa)]) {
          for (const one of ATOMICS_AND_ALL_WIDTHS) {
            const model = Uint8Array.from(memory.slice(gpa, 8));
            const values = valuesFor(one.width.bytes, gpa % 1000).slice(1);
            const expected = modelAtomic(model, one, 0, values);
            const actual = runAtomic(access, one, "try", address, values);
            expect(actual, methodName(one.op, one.width, "try")).to.deep.equal(expected);
            expect(Buffer.compare(memory.slice(gpa, 8), model)).to.equal(0);
          }
        }
      }
      for (const low of [0, 8, 2 * GIB]) {
        expect(memory.readq(low)).to.equal(0n);
      }
      expect(access.tryAddl(6 * GIB + 8, 1, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      memory.destroy();
    });

    it("names the access in its faults", () => {
      const memory = GuestMemory.allocate(8);
      const access = atomicsOf(memory, path);
      expect(() => access.loadw(8n)).to.throw("FAULT_BOUNDARY: read of 2 byte(s) at gpa 0x8");
      expect(() => access.addl(2, 1)).to.throw("FAULT_UNALIGNED: write of 4 byte(s) at gpa 0x2");
      expect(() => access.storeq(1, 1n)).to.throw("FAULT_BOUNDARY: write of 8 byte(s) at gpa 0x1");
    });

    it("answers ERROR_INTERNAL when the RAM is gone, however it went", () => {
      const buffer = new ArrayBuffer(64);
      const arena = Arena.create(64);
      const ends: [GuestMemory, (memory: GuestMemory) => void][] = [
        [GuestMemory.allocate(48), (memory) => memory.destroy()],
        [GuestMemory.allocateShared(48), (memory) => memory.destroy()],
        [GuestMemory.create(arena), () => arena.reset()],
        [
          GuestMemory.create(Arena.over(buffer)),
          () => structuredClone(buffer, { transfer: [buffer] }),
        ],
      ];
      for (const [memory, end] of ends) {
        const early = atomicsOf(memory, path);
        expect(early.addl(8, 1)).to.equal(0);
        end(memory);
        for (const access of [early, atomicsOf(memory, path)]) {
          for (const one of ATOMICS_AND_ALL_WIDTHS) {
            for (const gpa of [8, 8n, 2 ** 40, 3]) {
              for (const form of FORMS) {
                const outcome = runAtomic(access, one, form, gpa, [1n, 2n]);
                const expected = { result: ERROR_INTERNAL, old: null };
                expect(outcome, methodName(one.op, one.width, form)).to.deep.equal(expected);
              }
            }
          }
        }
      }
    });

    it("is made once, and costs nothing before", () => {
      const memory = GuestMemory.allocate(8);
      expect(atomicsOf(memory, path)).to.equal(atomicsOf(memory, path));
    });
  });

  describe(`bad input to atomic access on the ${path} path`, () => {
    let memory: GuestMemory;
    let access: GuestAtomicAccess;

    beforeEach(() => {
      memory = GuestMemory.allocate(64);
      memory.fill(0, 64, 0xa5);
      access = atomicsOf(memory, path);
    });

    afterEach(() => {
      expect(memory.read(0, 64).every((byte) => byte === 0xa5)).to.equal(true);
      memory.destroy();
    });

    /** Calls every operation of both forms, with the arguments that the function makes. */
    function eachCall(
      makeArgs: (good: number | bigint, bytes: number) => readonly unknown[] | null,
      check: (outcome: { name: string; code: unknown }, name: string) => void,
    ): void {
      for (const { op, width } of ATOMICS_AND_WIDTHS) {
        for (const form of FORMS) {
          const good = valueOf(width, 1n);
          const args = makeArgs(good, width.bytes);
          if (args === null) {
            continue;
          }
          const [gpa, ...values] = args;
          const out = form === "try" && op.name !== "Store" ? [width.out(0n)] : [];
          const name = methodName(op, width, form);
          const all = [gpa, ...values.slice(0, op.values), ...out];
          check(
            thrown(() => callMethod(access, name, ...all)),
            `${name}(${all.map(String).join()})`,
          );
          expect(out.every((array) => BigInt(array[0]!) === 0n)).to.equal(true);
        }
      }
    }

    it("refuses an address that is no u64", () => {
      for (const gpa of [undefined, null, "4", true, {}, [4], { valueOf: () => 4 }]) {
        eachCall(
          (good) => [gpa, good, good],
          (outcome, name) => expect(outcome, name).to.deep.equal(WRONG_TYPE),
        );
      }
      for (const gpa of [NaN, -1, 0.5, 2 ** 32 + 0.5, Infinity, 2 ** 53, -1n, 2n ** 64n]) {
        eachCall(
          (good) => [gpa, good, good],
          (outcome, name) => expect(outcome, name).to.deep.equal(OUT_OF_RANGE),
        );
      }
    });

    it("refuses a value that the access cannot hold, wherever the guest aims it", () => {
      for (const op of ATOMICS.filter(({ values }) => values > 0)) {
        for (const width of WIDTHS) {
          const good = valueOf(width, 1n);
          const wide =
            width.bytes === 8
              ? [2n ** 64n, -(2n ** 63n) - 1n]
              : [2 ** (8 * width.bytes), -(2 ** (8 * width.bytes - 1)) - 1, 0.5, NaN];
          const wrong = width.bytes === 8 ? [1, "1", null] : [1n, "1", null, undefined];
          for (const gpa of [0, 1, 2 ** 40]) {
            for (const [bads, code] of [
              [wide, OUT_OF_RANGE],
              [wrong, WRONG_TYPE],
            ] as const) {
              for (const bad of bads) {
                for (let place = 0; place < op.values; place++) {
                  const values: unknown[] = op.values === 2 ? [good, good] : [good];
                  values[place] = bad;
                  for (const form of FORMS) {
                    const out = form === "try" && op.name !== "Store" ? [width.out(0n)] : [];
                    const name = methodName(op, width, form);
                    const outcome = thrown(() => callMethod(access, name, gpa, ...values, ...out));
                    expect(outcome, `${name}, ${String(bad)}`).to.deep.equal(code);
                  }
                }
              }
            }
          }
        }
      }
    });

    it("refuses an out of the wrong type, an empty and a detached one", () => {
      const detached = new Uint32Array(1);
      structuredClone(detached.buffer, { transfer: [detached.buffer] });
      for (const { op, width } of ATOMICS_AND_WIDTHS.filter(({ op }) => op.name !== "Store")) {
        const name = methodName(op, width, "try");
        const good = valueOf(width, 1n);
        const values = [good, good].slice(0, op.values);
        const Type = width.out(0n).constructor as new (length: number) => object;
        for (const bad of [new Float64Array(1), undefined, null, [0], {}, new ArrayBuffer(8)]) {
          expect(
            thrown(() => callMethod(access, name, 0, ...values, bad)),
            name,
          ).to.deep.equal(WRONG_TYPE);
        }
        expect(thrown(() => callMethod(access, name, 0, ...values, new Type(0)))).to.deep.equal(
          OUT_OF_RANGE,
        );
      }
      expect(thrown(() => access.tryAddl(0, 1, detached))).to.deep.equal(OUT_OF_RANGE);
    });

    it("takes minus zero for zero", () => {
      expect(access.loadb(-0)).to.equal(0xa5);
      expect(access.addb(-0, -0)).to.equal(0xa5);
    });
  });
}

describe("atomic access on the two paths", () => {
  it("agrees with a plain model on random operations, in RAM that both paths use by turns", () => {
    const operation = fc.record({
      one: fc.constantFrom(...ATOMICS_AND_ALL_WIDTHS),
      path: fc.constantFrom(...PATHS),
      form: fc.constantFrom(...FORMS),
      gpa: fc.oneof<fc.Arbitrary<Gpa>[]>(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 0, max: 4 }).map((n) => 8 * n),
        fc.bigInt({ min: 0n, max: 40n }),
        fc.maxSafeNat(),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      ),
      values: fc.tuple(
        fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 1n)),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      ),
      expectRight: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 33 }),
        fc.boolean(),
        fc.array(operation, { maxLength: 40 }),
        (size, shared, operations) => {
          const memory = shared ? GuestMemory.allocateShared(size) : GuestMemory.allocate(size);
          const model = new Uint8Array(size);
          for (const { one, path, form, gpa, values, expectRight } of operations) {
            const mask = 2n ** BigInt(8 * one.width.bytes) - 1n;
            const [first, second] = values.map((value) => value & mask) as [bigint, bigint];
            const load = { op: ATOMICS[0]!, width: one.width };
            const held = modelAtomic(Uint8Array.from(model), load, gpa, []).old;
            // A random guess at what a compare-and-exchange will find is never right.
            const guess = one.op.name === "CompareExchange" && expectRight ? held : null;
            const given = [guess ?? first, second];
            const expected = modelAtomic(model, one, gpa, given);
            const actual = runAtomic(atomicsOf(memory, path), one, form, gpa, given);
            expect(actual).to.deep.equal(expected);
            expect(Buffer.compare(memory.buffer, model)).to.equal(0);
          }
          memory.destroy();
        },
      ),
      { numRuns: 300 },
    );
  });

  it("is refused by the addon where the call block names no operation", () => {
    const memory = GuestMemory.allocate(16);
    memory.native.atomics.addl(8, 1);
    const block = new Uint32Array(native.callBlock);
    block[OPERATION32] = ATOMIC_XOR + 4;
    native.atomic();
    expect(block[RESULT32]).to.equal(ERROR_INTERNAL);
    block[OPERATION32] = 2 ** 32 - 1;
    native.atomic();
    expect(block[RESULT32]).to.equal(ERROR_INTERNAL);
    expect(memory.readl(8)).to.equal(1);
    expect(memory.native.atomics.tryStoreb(0, 1)).to.equal(OK);
  });

  it("shows what the plain accessors stored, and the other way round", () => {
    const memory = GuestMemory.allocateShared(16);
    memory.writel(8, 0xffff_fffe);
    expect(memory.atomics.addl(8, 3)).to.equal(0xffff_fffe);
    expect(memory.native.readl(8)).to.equal(1);
    memory.native.atomics.orb(11, 0x80);
    expect(memory.readl(8)).to.equal(0x8000_0001);
    memory.destroy();
    expect(thrown(() => GuestMemory.create(memory.arena))).to.deep.equal(DESTROYED);
  });
});
