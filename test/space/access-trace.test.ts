import { inspect } from "node:util";
import { expect } from "chai";
import {
  type AccessTrace,
  AddressSpace,
  BUS_ERROR,
  GuestMemAccessResult,
  GuestMemory,
  OpKind,
  type TraceOptions,
} from "pound-guest-memory";
import { crosscheck, decodeOpLog, encodeOpLog } from "pound-guest-memory/crosscheck";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nameOf, POLICIES } from "../support/policies.js";
import { WIDTHS, WIDTHS_AND_HALVES } from "../support/widths.js";

const HIGH = 2n ** 63n;

for (const [path, policy] of POLICIES.flatMap((one) => [
  ["view", one] as const,
  ["native", one] as const,
])) {
  describe(`traces of accesses on the ${path} path, under ${nameOf(policy)}`, () => {
    let space: AddressSpace;
    let access: AddressSpace | AddressSpace["native"];
    let pc: number | bigint;

    beforeEach(() => {
      space = new AddressSpace(policy);
      access = path === "view" ? space : space.native;
      pc = 0;
      space.addRam(0x1000, 0x3000);
    });

    const trace = (options: Partial<TraceOptions> = {}): AccessTrace =>
      space.trace({ range: { gpa: 0x1000, length: 0x3000 }, tag: () => pc, ...options });

    it("record accesses of every width, with values and tags", () => {
      const one = trace();
      for (const { bytes, tryWrite, read } of WIDTHS_AND_HALVES) {
        const value = bytes === 8 ? 200n : 200;
        pc = 2 ** 53 - 1;
        tryWrite(access, 0x1010, 200n);
        pc = 2n ** 64n - 1n;
        read(access, 0x1010n);
        expect(one.accesses().slice(-2)).to.deep.equal([
          { gpa: 0x1010n, width: bytes, kind: "write", tag: 2n ** 53n - 1n, value },
          { gpa: 0x1010n, width: bytes, kind: "read", tag: 2n ** 64n - 1n, value },
        ]);
      }
      const plain = space.trace({ range: { gpa: 0x1010, length: 1 } });
      access.readb(0x1010);
      expect(plain.accesses().map(({ tag }) => tag)).to.deep.equal([0n]);
    });

    it("record the bits that a write stores", () => {
      const one = trace({ kinds: "write" });
      access.writel(0x1000, 0xffff_fffe);
      access.writeq(0x1008, 2n ** 64n - 2n);
      access.tryWriteb(0x1010, 0xff);
      expect(one.accesses().map(({ value }) => value)).to.deep.equal([
        0xffff_fffe,
        2n ** 64n - 2n,
        0xff,
      ]);
    });

    it("record the accesses of their kind that touch a byte of the range", () => {
      const reads = trace({ range: { gpa: 0x2004, length: 4n }, kinds: "read" });
      const writes = trace({ range: { gpa: 0x2004, length: 4 }, kinds: "write" });
      access.readq(0x2000);
      access.readl(0x2000);
      access.readb(0x2007);
      access.readb(0x2008);
      access.writew(0x2006, 1);
      access.writeb(0x2003, 1);
      expect(reads.accesses().map(({ gpa }) => gpa)).to.deep.equal([0x2000n, 0x2007n]);
      expect(writes.accesses().map(({ gpa }) => gpa)).to.deep.equal([0x2006n]);
      expect([reads.gpa, reads.length, reads.kinds]).to.deep.equal([0x2004n, 4n, "read"]);
    });

    it("do not record accesses that fault, and those after stop", () => {
      const one = trace({ range: { gpa: 0, length: 0x10000 } });
      access.tryReadl(0x8000, new Uint32Array(1));
      access.tryWriteb(0xfff, 1);
      expect(one.recorded).to.equal(0);
      access.writeb(0x1000, 1);
      expect(one.stopped).to.equal(false);
      one.stop();
      one.stop();
      expect(one.stopped).to.equal(true);
      access.writeb(0x1001, 1);
      expect(one.accesses().map(({ gpa }) => gpa)).to.deep.equal([0x1000n]);
    });

    it("keep the last accesses of the ring", () => {
      const one = trace({ capacity: 3 });
      for (let i = 0; i < 7; i++) {
        expect(one.recorded).to.equal(i);
        access.writeb(0x1000 + i, i);
        const kept = Array.from({ length: Math.min(i + 1, 3) }, (_, j) => i - j).reverse();
        expect(one.accesses().map(({ value }) => value)).to.deep.equal(kept);
      }
      expect(one.capacity).to.equal(3);
    });

    it("record devices, holes and high addresses", () => {
      space.addMmio(HIGH, 0x1000, { readl: () => 7, writel: () => BUS_ERROR });
      const one = trace({ range: { gpa: HIGH, length: 8 } });
      for (let i = 0; i < 3; i++) {
        access.readl(HIGH + 4n);
      }
      const read = { gpa: HIGH + 4n, width: 4, kind: "read", tag: 0n, value: 7 } as const;
      expect(access.tryWritel(HIGH, 1)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
      const write = { gpa: HIGH, width: 4, kind: "write", tag: 0n, value: 1 } as const;
      expect(one.accesses()).to.deep.equal([read, read, read, write]);
      expect(one.log()).to.include({ base: HIGH, size: 4096 });
    });

    it("record bulk accesses and atomic operations", () => {
      const one = trace();
      space.read(0x1000, 20);
      space.write(0x1100, new Uint8Array(5));
      space.fill(0x1200, 0, 1);
      access.atomics.addl(0x1300, 5);
      access.atomics.storeq(0x1308, 9n);
      const plain = one.accesses().map(({ gpa, width, kind, value }) => [gpa, width, kind, value]);
      expect(plain).to.deep.equal([
        [0x1000n, 20, "read", undefined],
        [0x1100n, 5, "write", undefined],
        [0x1300n, 4, "write", undefined],
        [0x1300n, 4, "read", 0],
        [0x1308n, 8, "write", 9n],
      ]);
      expect(one.log()).to.include({ omitted: 3, base: 0x1000n, size: 4096 });
      expect(one.log().ops.length).to.equal(2);
    });

    it("are empty logs if nothing is recorded", () => {
      const { base, size, ops, omitted } = trace({ range: { gpa: 0x2345, length: 1 } }).log();
      expect([base, size, ops.length, omitted]).to.deep.equal([0x2000n, 4096, 0, 0]);
    });

    it("throw the error of a tag out of the access, before a write", () => {
      let result: unknown = null;
      const one = trace({
        tag: () => {
          if (result === null) {
            throw new Error("no tag");
          }
          return result as number;
        },
      });
      expect(() => access.writeb(0x1000, 1)).to.throw("no tag");
      for (const [value, expected] of [
        ["1", WRONG_TYPE],
        [undefined, WRONG_TYPE],
        [-1, OUT_OF_RANGE],
        [0.5, OUT_OF_RANGE],
        [NaN, OUT_OF_RANGE],
        [2n ** 64n, OUT_OF_RANGE],
      ] as const) {
        result = value;
        expect(thrown(() => access.writeb(0x1000, 1))).to.include(expected);
      }
      expect(one.recorded).to.equal(0);
      one.stop();
      expect(access.readb(0x1000)).to.equal(0);
    });

    it("allow a tag that accesses the space and stops the trace", () => {
      const one: AccessTrace = trace({
        tag: () => {
          one.stop();
          return access.readb(0x1005);
        },
      });
      access.writeb(0x1005, 3);
      expect(one.accesses()).to.deep.equal([
        { gpa: 0x1005n, width: 1, kind: "write", tag: 0n, value: 3 },
      ]);
    });

    it("are replayed by crosscheck on both paths, with the same results", async () => {
      const one = trace({ range: { gpa: 0x2000, length: 0x1000 } });
      let seed = 1;
      const next = (below: number): number => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return Math.floor((seed / 2 ** 32) * below);
      };
      for (let i = 0; i < 500; i++) {
        const { bytes, tryWrite, read } = WIDTHS_AND_HALVES[next(WIDTHS_AND_HALVES.length)]!;
        const gpa = 0x2000 + (next(0x1000) & -bytes);
        if (next(2) === 0) {
          tryWrite(access, gpa, BigInt(next(2 ** 32)) & ((1n << BigInt(8 * bytes)) - 1n));
        } else {
          read(access, gpa);
        }
      }
      const { size, ops, policy: logged } = decodeOpLog(encodeOpLog(one.log()));
      expect([size, ops.length, logged]).to.deep.equal([4096, 500, space.policy]);
      // In a replay, the reads return what they have returned, and the bytes are the same.
      const memory = GuestMemory.allocate(size);
      const replayed = memory.withPolicy(logged);
      for (let i = 0; i < ops.length; i++) {
        const { kind, gpa, value } = ops.op(i);
        const { read, write } = WIDTHS[kind & 3]!;
        if (kind >= OpKind.WRITEB) {
          write(replayed, gpa, value);
        } else {
          expect(BigInt(read(replayed, gpa))).to.equal(value);
        }
      }
      expect(memory.read(0, size).equals(space.read(0x2000, size))).to.equal(true);
      const { difference, operations } = await crosscheck(
        (bytes, of) => GuestMemory.allocate(bytes).withPolicy(of),
        () => [ops],
        { size, policy: logged },
      );
      expect([operations, difference]).to.deep.equal([500, null]);
    });
  });
}

it("traces record the accesses that native cores leave to JavaScript", () => {
  const space = new AddressSpace();
  space.addRam(0x1000, 0x1000);
  const trace = space.trace({ range: { gpa: 0x1000, length: 0x1000 }, tag: () => 9 });
  const exit = new BigUint64Array(32);
  for (const [gpa, value, width, reason] of [
    [0x1008n, 0x1234n, 2n, 2n],
    [0x1008n, 0n, 4n, 1n],
  ] as const) {
    exit.set([gpa, value, width, reason, 1n]);
    expect(space.complete(exit)).to.equal(GuestMemAccessResult.OK);
  }
  expect(trace.accesses()).to.deep.equal([
    { gpa: 0x1008n, width: 2, kind: "write", tag: 9n, value: 0x1234 },
    { gpa: 0x1008n, width: 4, kind: "read", tag: 9n, value: 0x1234 },
  ]);
});

describe("the options of a trace", () => {
  const space = new AddressSpace();
  const range = { gpa: 0, length: 1 };

  for (const [options, expected] of [
    [undefined, WRONG_TYPE],
    [{}, WRONG_TYPE],
    [{ range: null }, WRONG_TYPE],
    [{ range: { gpa: 0 } }, WRONG_TYPE],
    [{ range: { gpa: 0, length: 0 } }, OUT_OF_RANGE],
    [{ range: { gpa: 2n ** 64n - 1n, length: 2 } }, OUT_OF_RANGE],
    [{ range, kinds: "execute" }, WRONG_TYPE],
    [{ range, tag: 5 }, WRONG_TYPE],
    [{ range, capacity: "9" }, WRONG_TYPE],
    [{ range, capacity: 0 }, OUT_OF_RANGE],
    [{ range, capacity: 1.5 }, OUT_OF_RANGE],
    [{ range, capacity: 2 ** 24 + 1 }, OUT_OF_RANGE],
  ] as const) {
    it(`are checked: ${inspect(options)}`, () => {
      expect(thrown(() => space.trace(options as never))).to.deep.equal(expected);
    });
  }

  it("make no log of accesses more than 2^40 bytes apart", () => {
    const far = new AddressSpace();
    far.addRam(0, 4096);
    far.addRam(2n ** 40n, 4096);
    const trace = far.trace({ range: { gpa: 0, length: 2n ** 64n - 1n } });
    far.readb(0);
    far.readb(2n ** 40n);
    expect(thrown(() => trace.log())).to.deep.equal(OUT_OF_RANGE);
    expect(trace.accesses()).to.have.length(2);
  });
});
