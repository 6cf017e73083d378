import { expect } from "chai";
import {
  AddressSpace,
  type GuestAccessors,
  type GuestAtomicAccess,
  type GuestHalvesAccessors,
  GuestMemAccessResult,
  GuestMemory,
} from "pound-guest-memory";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { itWide } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const SIZE = 4096;
/** Calls after which V8 has compiled an accessor. */
const MANY = 1000;

type Path = GuestAccessors & { atomics: GuestAtomicAccess; halves: GuestHalvesAccessors };

const PATHS: Readonly<Record<string, () => { path: Path; memory: GuestMemory }>> = {
  "the view path": () => {
    const memory = GuestMemory.allocate(SIZE);
    return { path: memory, memory };
  },
  "the native path": () => {
    const memory = GuestMemory.allocate(SIZE);
    return { path: memory.native, memory };
  },
  "the view path of a space": () => {
    const space = new AddressSpace();
    return { path: space, memory: space.addRam(0, SIZE).memory };
  },
  "the native path of a space": () => {
    const space = new AddressSpace();
    return { path: space.native, memory: space.addRam(0, SIZE).memory };
  },
};

const NOT_NUMBERS: readonly unknown[] = [
  "0",
  null,
  0n,
  Symbol("x"),
  {},
  [0],
  { valueOf: () => 0 },
  true,
];

function forged(own: object): object {
  return Object.setPrototypeOf(own, Uint32Array.prototype) as object;
}

function detached(): Uint32Array {
  const array = new Uint32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

for (const [name, make] of Object.entries(PATHS)) {
  describe(`halves on ${name}`, () => {
    let path: Path;
    let memory: GuestMemory;

    beforeEach(() => {
      ({ path, memory } = make());
    });

    it("are the low and the high 32 bits of the value in RAM", () => {
      expect(path.tryWriteqHalves(8, 0x89ab_cdef, 0xfedc_ba98)).to.equal(OK);
      expect(memory.readq(8)).to.equal(0xfedc_ba98_89ab_cdefn);
      const registers = new Uint32Array(6);
      expect(path.tryReadqHalves(8, registers, 3)).to.equal(OK);
      expect([...registers]).to.deep.equal([0, 0, 0, 0x89ab_cdef, 0xfedc_ba98, 0]);
      path.writeqHalves(16n, 1, 2);
      path.readqHalves(16n, registers, 0);
      expect([...registers].slice(0, 2)).to.deep.equal([1, 2]);
      expect(path.readq(16)).to.equal(0x2_0000_0001n);
    });

    it("stay as they were on a fault, which names the access", () => {
      const out = Uint32Array.of(7, 8);
      expect(path.tryReadqHalves(4, out, 0)).to.equal(FAULT_UNALIGNED);
      expect(path.tryReadqHalves(SIZE - 4, out, 0)).to.equal(FAULT_BOUNDARY);
      expect(path.tryReadqHalves(2n ** 64n - 8n, out, 0)).to.equal(FAULT_BOUNDARY);
      expect(path.tryWriteqHalves(4, 1, 1)).to.equal(FAULT_UNALIGNED);
      expect(path.tryWriteqHalves(SIZE, 1, 1)).to.equal(FAULT_BOUNDARY);
      expect(() => path.readqHalves(SIZE, out, 0)).to.throw(
        "FAULT_BOUNDARY: read of 8 byte(s) at gpa 0x1000",
      );
      expect(() => path.writeqHalves(1, 1, 1)).to.throw(
        "FAULT_UNALIGNED: write of 8 byte(s) at gpa 0x1",
      );
      expect(() => path.halves.readw(1, 0x8000_0000)).to.throw(
        "FAULT_BOUNDARY: read of 2 byte(s) at gpa 0x8000000000000001",
      );
      expect(() => path.halves.writeq(4, 0, 1, 1)).to.throw(
        "FAULT_UNALIGNED: write of 8 byte(s) at gpa 0x4",
      );
      expect(thrown(() => path.halves.readb(0, 1))).to.deep.equal(FAULT);
      expect([...out]).to.deep.equal([7, 8]);
      expect(memory.indexOf(1)).to.equal(null);
      memory.destroy();
      expect(path.tryReadqHalves(0, out, 0)).to.equal(ERROR_INTERNAL);
      expect(path.tryWriteqHalves(0, 1, 1)).to.equal(ERROR_INTERNAL);
      expect(path.halves.tryReadq(0, 0, out, 0)).to.equal(ERROR_INTERNAL);
      expect(path.halves.tryWriteb(0, 0, 1)).to.equal(ERROR_INTERNAL);
      expect([...out]).to.deep.equal([7, 8]);
    });

    it("go into any two elements of the array, and nowhere else", () => {
      memory.writeq(0, 0x2_0000_0001n);
      const reads: Record<string, (out: Uint32Array, at: number) => void> = {
        tryReadqHalves: (out, at) => path.tryReadqHalves(0, out, at),
        readqHalves: (out, at) => path.readqHalves(0, out, at),
        "halves.tryReadq": (out, at) => path.halves.tryReadq(0, 0, out, at),
        "halves.readq": (out, at) => path.halves.readq(0, 0, out, at),
        tryLoadqHalves: (out, at) => path.atomics.tryLoadqHalves(0, out, at),
        loadqHalves: (out, at) => path.atomics.loadqHalves(0, out, at),
        tryOrqHalves: (out, at) => path.atomics.tryOrqHalves(0, 0, 0, out, at),
        compareExchangeqHalves: (out, at) =>
          path.atomics.compareExchangeqHalves(0, 0, 0, 5, 5, out, at),
      };
      for (const [read, run] of Object.entries(reads)) {
        const out = new Uint32Array(8);
        for (let i = 0; i < MANY; i++) {
          run(out.fill(0), i % 7);
          expect([...out]).to.deep.equal(
            [0, 1, 2, 3, 4, 5, 6, 7].map((_, k) => (k === i % 7 ? 1 : k === (i % 7) + 1 ? 2 : 0)),
            read,
          );
        }
        out.fill(9);
        for (const at of NOT_NUMBERS) {
          expect(
            thrown(() => run(out, at as number)),
            `${read}, at ${String(at)}`,
          ).to.deep.equal(WRONG_TYPE);
        }
        for (const at of [-1, 0.5, NaN, Infinity, 7, 8, 2 ** 32 - 1, 2 ** 32, 2 ** 53]) {
          expect(
            thrown(() => run(out, at)),
            `${read}, at ${at}`,
          ).to.deep.equal(OUT_OF_RANGE);
        }
        expect(
          out.every((value) => value === 9),
          read,
        ).to.equal(true);
        for (const bad of [
          undefined,
          null,
          {},
          [0, 0],
          new Int32Array(2),
          new Float64Array(2),
          new BigUint64Array(2),
          new DataView(new ArrayBuffer(8)),
          new Proxy(new Uint32Array(2), {}),
          forged({ 0: 0, 1: 0, length: 2 }),
          forged([0, 0]),
        ]) {
          expect(
            thrown(() => run(bad as never, 0)),
            read,
          ).to.deep.equal(WRONG_TYPE);
        }
        for (const short of [new Uint32Array(1), new Uint32Array(0), detached()]) {
          expect(
            thrown(() => run(short, 0)),
            read,
          ).to.deep.equal(OUT_OF_RANGE);
        }
      }
      expect(memory.readq(0)).to.equal(0x2_0000_0001n);
    });

    it("are numbers of 32 bits", () => {
      const out = new Uint32Array(2);
      type Halves = [number, number];
      const writes: Record<string, (...values: Halves) => void> = {
        tryWriteqHalves: (...values) => path.tryWriteqHalves(0, ...values),
        writeqHalves: (...values) => path.writeqHalves(0, ...values),
        "halves.tryWriteq": (...values) => path.halves.tryWriteq(0, 0, ...values),
        "halves.writeq": (...values) => path.halves.writeq(0, 0, ...values),
        "address of halves.tryWriteq": (...gpa) => path.halves.tryWriteq(...gpa, 0, 0),
        "address of halves.writeb": (...gpa) => path.halves.writeb(...gpa, 0),
        "address of halves.tryReadl": (...gpa) => path.halves.tryReadl(...gpa, out),
        "address of halves.readw": (...gpa) => path.halves.readw(...gpa),
        "address of halves.readq": (...gpa) => path.halves.readq(...gpa, out, 0),
        tryStoreqHalves: (...values) => path.atomics.tryStoreqHalves(0, ...values),
        storeqHalves: (...values) => path.atomics.storeqHalves(0, ...values),
        tryAddqHalves: (...values) => path.atomics.tryAddqHalves(0, ...values, out, 0),
        exchangeqHalves: (...values) => path.atomics.exchangeqHalves(0, ...values, out, 0),
        "expected of tryCompareExchangeqHalves": (...values) =>
          path.atomics.tryCompareExchangeqHalves(0, ...values, 0, 0, out, 0),
        "replacement of compareExchangeqHalves": (...values) =>
          path.atomics.compareExchangeqHalves(0, 0, 0, ...values, out, 0),
      };
      for (const [write, run] of Object.entries(writes)) {
        for (let i = 0; i < MANY; i++) {
          run(0, 0);
        }
        for (const bad of NOT_NUMBERS) {
          expect(
            thrown(() => run(bad as number, 0)),
            `low of ${write}`,
          ).to.deep.equal(WRONG_TYPE);
          expect(
            thrown(() => run(0, bad as number)),
            `high of ${write}`,
          ).to.deep.equal(WRONG_TYPE);
        }
        const below = write.startsWith("address") ? [-1, -(2 ** 31)] : [-(2 ** 31) - 1];
        for (const bad of [...below, 0.5, NaN, Infinity, 2 ** 32, 2 ** 53]) {
          expect(
            thrown(() => run(bad, 0)),
            `low of ${write}`,
          ).to.deep.equal(OUT_OF_RANGE);
          expect(
            thrown(() => run(0, bad)),
            `high of ${write}`,
          ).to.deep.equal(OUT_OF_RANGE);
        }
        expect(memory.readq(0), write).to.equal(0n);
        if (/^(tryW|w|tryS|s)/.test(write)) {
          run(-2, -(2 ** 31));
          expect(memory.readq(0), write).to.equal(0x8000_0000_ffff_fffen);
          run(0, 0);
        }
      }
    });

    it("is one object, made when it is first used", () => {
      expect(path.halves).to.equal(path.halves);
      expect(JSON.stringify(path.halves)).to.equal('{"type":"HalvesAccess"}');
      expect(() => structuredClone(path.halves)).to.throw(DOMException);
    });
  });
}

for (const native of [false, true]) {
  describe(`addresses in halves of the ${native ? "native" : "view"} path of a space`, () => {
    let space: AddressSpace;
    let halves: GuestHalvesAccessors;

    beforeEach(() => {
      space = new AddressSpace();
      halves = native ? space.native.halves : space.halves;
    });

    itWide("reach RAM and ROM at the top of the address space, and across its words", () => {
      // The RAM has bytes under three upper words.
      const start = 0xffff_fffe_ffff_f000n;
      const { memory } = space.addRam(start, 4096 + 2 ** 32 - 2 ** 20);
      space.addRom(
        2n ** 64n - 4096n,
        Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff),
      );
      const out = new Uint32Array(2);
      for (let i = 0; i < 3; i++) {
        halves.writeq(0xffff_fff8, 0xffff_fffe, 1 + i, 2);
        halves.writeq(0, 0xffff_ffff, 3 + i, 4);
        halves.readq(0xffff_fff8, 0xffff_fffe, out, 0);
        expect([...out]).to.deep.equal([1 + i, 2]);
        halves.readq(0, 0xffff_ffff, out, 0);
        expect([...out]).to.deep.equal([3 + i, 4]);
        expect(memory.readl(4088)).to.equal(1 + i);
        expect(memory.readl(4096)).to.equal(3 + i);
        expect(halves.readb(0xffff_ffff, 0xffff_ffff)).to.equal(0xff);
        expect(halves.tryReadl(0xffff_fffe, 0xffff_ffff, out)).to.equal(FAULT_BOUNDARY);
        expect(halves.tryReadl(0xffff_fffe, 0xffff_fffe, out)).to.equal(FAULT_UNALIGNED);
        expect(halves.tryWriteb(0xffff_ffff, 0xffff_ffff, 1)).to.equal(FAULT_BOUNDARY);
        expect(halves.tryReadl(0xffff_effc, 0xffff_fffe, out)).to.equal(FAULT_BOUNDARY);
        expect(halves.tryReadl(0, 0, out)).to.equal(FAULT_BOUNDARY);
      }
    });

    it("see each change of the map, of watchpoints and of tracking at once", () => {
      const gpa = 2n ** 63n;
      const first = space.addRam(gpa, 4096);
      halves.writel(0, 0x8000_0000, 1);
      expect(halves.readl(0, 0x8000_0000)).to.equal(1);
      const seen: unknown[] = [];
      const watchpoint = space.watch({ gpa, length: 8, kinds: "access" }, ({ kind, value }) =>
        seen.push([kind, value]),
      );
      halves.writel(0, 0x8000_0000, 2);
      halves.readq(0, 0x8000_0000, new Uint32Array(2), 0);
      expect(seen).to.deep.equal([
        ["write", 2],
        ["read", 2n],
      ]);
      watchpoint.remove();
      first.startTracking();
      halves.writel(8, 0x8000_0000, 3);
      expect([...first.dirty!.drain()]).to.deep.equal([0]);
      halves.writeq(8, 0x8000_0000, 3, 3);
      expect([...first.dirty!.drain()]).to.deep.equal([0]);
      space.remove(first);
      expect(halves.tryReadl(0, 0x8000_0000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(halves.tryWriteb(0, 0x8000_0000, 1)).to.equal(FAULT_BOUNDARY);
      space.addRam(gpa, 4096);
      expect(halves.readl(0, 0x8000_0000)).to.equal(0);
    });

    it("reach the registers of devices", () => {
      const calls: unknown[] = [];
      space.addMmio(2n ** 64n - 64n, 64, {
        readq: (offset) => BigInt(calls.push(offset)) << 32n,
        writeq: (offset, value) => calls.push([offset, value]),
        readw: (offset) => calls.push(offset),
      });
      const out = new Uint32Array(2);
      halves.readq(0xffff_fff8, 0xffff_ffff, out, 0);
      expect([...out]).to.deep.equal([0, 1]);
      halves.writeq(0xffff_ffc8, 0xffff_ffff, 5, 6);
      expect(halves.readw(0xffff_ffc2, 0xffff_ffff)).to.equal(3);
      expect(calls).to.deep.equal([56, [8, 0x6_0000_0005n], 2]);
    });
  });
}
