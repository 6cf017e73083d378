import { expect } from "chai";
import {
  AddressSpace,
  GuestMemAccessResult,
  GuestMemory,
  type RamRegion,
  type WatchedAccess,
  type WatchRange,
} from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nameOf, POLICIES } from "../support/policies.js";
import { WIDTHS_AND_HALVES } from "../support/widths.js";
import { PATHS } from "../support/paths.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

for (const [path, policy] of POLICIES.flatMap((one) => PATHS.map((path) => [path, one] as const))) {
  describe(`watchpoints on the ${path} path, under ${nameOf(policy)}`, () => {
    let space: AddressSpace;
    let access: AddressSpace | AddressSpace["native"];
    let seen: WatchedAccess[];

    beforeEach(() => {
      space = new AddressSpace(policy);
      access = path === "view" ? space : space.native;
      seen = [];
      space.addRam(0x1000, 0x3000);
    });

    const watch = (range: WatchRange) => space.watch(range, (event) => seen.push(event));

    it("report accesses of every width, with the values", () => {
      watch({ gpa: 0x1010, length: 8 });
      for (const { bytes, tryWrite, read } of WIDTHS_AND_HALVES) {
        const value = bytes === 8 ? 200n : 200;
        tryWrite(access, 0x1010, 200n);
        read(access, 0x1010n);
        expect(seen.splice(0)).to.deep.equal([
          { gpa: 0x1010n, width: bytes, kind: "write", value },
          { gpa: 0x1010n, width: bytes, kind: "read", value },
        ]);
      }
    });

    it("are not called for addresses that are no integers, in the page of the last access", () => {
      watch({ gpa: 0x1000, length: 0x1000 });
      for (const { tryWrite, read } of WIDTHS_AND_HALVES) {
        tryWrite(access, 0x1010, 1n);
        read(access, 0x1010);
        seen = [];
        expect(thrown(() => tryWrite(access, 0x1010 + 0.5, 2n))).to.deep.equal(OUT_OF_RANGE);
        expect(thrown(() => read(access, 0x1010 + 0.5))).to.deep.equal(OUT_OF_RANGE);
        expect(thrown(() => read(access, Symbol("0") as never))).to.deep.equal(WRONG_TYPE);
        expect(seen).to.deep.equal([]);
        expect(space.readb(0x1010)).to.be.at.most(1);
      }
    });

    it("report exactly the accesses that touch a byte of the range", () => {
      watch({ gpa: 0x2003, length: 2n });
      for (let gpa = 0x2000; gpa < 0x2010; gpa++) {
        access.readb(gpa);
      }
      for (let gpa = 0x1ff8; gpa < 0x2010; gpa += 8) {
        access.writeq(gpa, 0n);
      }
      access.readw(0x2004);
      access.readl(0x2008);
      expect(seen.map(({ gpa, width }) => [Number(gpa), width])).to.deep.equal([
        [0x2003, 1],
        [0x2004, 1],
        [0x2000, 8],
        [0x2004, 2],
      ]);
    });

    it("report reads, writes or both", () => {
      watch({ gpa: 0x1000, length: 4, kinds: "read" });
      watch({ gpa: 0x1000, length: 4, kinds: "write" });
      watch({ gpa: 0x1000, length: 4, kinds: "access" });
      access.readb(0x1000);
      expect(seen.splice(0).map(({ kind }) => kind)).to.deep.equal(["read", "read"]);
      access.writeb(0x1000, 5);
      expect(seen.map(({ kind }) => kind)).to.deep.equal(["write", "write"]);
    });

    it("are called before a write and after a read", () => {
      access.writel(0x1000, 1);
      const before: number[] = [];
      space.watch({ gpa: 0x1000, length: 4 }, ({ kind, value }) => {
        before.push(Number(value), ramValue());
        expect(kind).to.be.oneOf(["read", "write"]);
      });
      const { memory } = space.regions[0] as RamRegion;
      const ramValue = () => memory.withPolicy(policy).readl(0);
      access.writel(0x1000, 2);
      access.readl(0x1000);
      expect(before).to.deep.equal([2, 1, 2, 2]);
    });

    it("are not called for accesses that fault", () => {
      watch({ gpa: 0, length: 2n ** 64n - 1n });
      space.addRom(0x8000, new Uint8Array(16));
      const memory = GuestMemory.allocate(4096);
      space.addRam(0x9000, memory);
      space.addMmio(0xa000, 8, { readb: () => 5 });
      memory.destroy();
      const unaligned = policy.alignment === "fault" ? [0x1001] : [0xfff, 0x9ffe];
      for (const gpa of [0, ...unaligned, 0x3ffd, 0x8001, 0x9000, 0xa000, 0xb000]) {
        expect(access.tryWritel(gpa, 1)).not.to.equal(OK);
      }
      expect(access.tryReadl(0xa000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(seen).to.deep.equal([]);
      access.readb(0xa000);
      expect(seen).to.deep.equal([{ gpa: 0xa000n, width: 1, kind: "read", value: 5 }]);
    });

    it("pass on what a listener throws, after a read and before a write", () => {
      const error = new Error("stop");
      access.writel(0x1000, 7);
      const watchpoint = space.watch({ gpa: 0x1000, length: 4 }, () => {
        throw error;
      });
      const out = Uint32Array.of(1);
      expect(() => access.tryWritel(0x1000, 9)).to.throw(error);
      expect(() => access.writel(0x1000, 9)).to.throw(error);
      expect(() => access.tryReadl(0x1000, out)).to.throw(error);
      expect(() => access.readl(0x1000)).to.throw(error);
      expect(() => space.fill(0x1000, 1, 9)).to.throw(error);
      expect(() => space.readInto(0x1000, out)).to.throw(error);
      watchpoint.remove();
      expect(access.readl(0x1000)).to.equal(7);
    });

    it("may be added and removed by a listener, which may access the watched range", () => {
      const calls: string[] = [];
      const first = space.watch({ gpa: 0x1000, length: 4 }, () => {
        calls.push("first");
        second.remove();
        first.remove();
        space.watch({ gpa: 0x1000, length: 4, kinds: "write" }, ({ value }) => {
          calls.push(`third ${value}`);
          if (Number(value) < 3) {
            access.writel(0x1000, Number(value) + 1);
          }
        });
      });
      const second = space.watch({ gpa: 0x1000, length: 4 }, () => calls.push("second"));
      access.writel(0x1000, 5);
      // A watchpoint that a listener adds takes effect at the next access.
      access.writel(0x1000, 1);
      expect(calls).to.deep.equal(["first", "third 1", "third 2", "third 3"]);
      expect(access.readl(0x1000)).to.equal(1);
    });

    it("do not change the value of a read when a listener reads", () => {
      access.writel(0x1000, 1);
      access.writel(0x2000, 2);
      space.watch({ gpa: 0x1000, length: 4, kinds: "read" }, () => {
        expect(access.readl(0x2000)).to.equal(2);
        expect(thrown(() => access.readl(0)).name).to.equal("GuestMemoryFault");
      });
      const out = new Uint32Array(1);
      expect(access.readl(0x1000)).to.equal(1);
      expect(access.tryReadl(0x1000, out)).to.equal(OK);
      expect(out[0]).to.equal(1);
    });

    it("end with remove(), which has no effect the second time", () => {
      const one = watch({ gpa: 0x1000, length: 1 });
      const other = watch({ gpa: 0x1000, length: 1 });
      expect([one.gpa, one.length, one.kinds, one.removed]).to.deep.equal([
        0x1000n,
        1n,
        "access",
        false,
      ]);
      one.remove();
      one.remove();
      access.readb(0x1000);
      expect([seen.length, one.removed, other.removed]).to.deep.equal([1, true, false]);
      other.remove();
      access.readb(0x1000);
      expect(seen.length).to.equal(1);
    });

    it("apply to regions mapped later, and remain when one is unmapped", () => {
      watch({ gpa: 0x10000, length: 0x1000 });
      const region = space.addRam(0x10000, 0x2000);
      access.writeb(0x10000, 1);
      access.writeb(0x11000, 1);
      space.remove(region);
      space.addRom(0x10000, new Uint8Array(4));
      access.readb(0x10003);
      expect(seen.map(({ gpa, kind }) => [gpa, kind])).to.deep.equal([
        [0x10000n, "write"],
        [0x10003n, "read"],
      ]);
    });
  });
}

for (const path of PATHS) {
  for (const endian of ["little", "big"] as const) {
    it(`watchpoints report unaligned accesses: ${path} path, ${endian}`, () => {
      const space = new AddressSpace({ alignment: "allow", endian });
      const access = path === "view" ? space : space.native;
      // The pages of the memory begin 8 bytes after those of the guest.
      const memory = GuestMemory.allocate(0x4000);
      space.addRam(0x1000, memory, { offset: 8, length: 0x3000 });
      const seen: unknown[] = [];
      const parts = [0x1003, 0x1ff5, 0x2000].map((gpa) =>
        space.watch({ gpa, length: 2 }, (found) => seen.push([gpa, found])),
      );
      memory.startTracking();
      // The second and third round use the reach of the watched access before.
      for (let round = 0; round < 3; round++) {
        for (const { bytes, tryWrite, read } of WIDTHS_AND_HALVES) {
          for (const start of [0x1001, 0x1002, 0x1ff1, 0x1ff3, 0x1ffb, 0x1ffd, 0x1fff, 0x2001]) {
            const value = 0x0807_0605_0403_0201n & (2n ** BigInt(8 * bytes) - 1n);
            memory.dirty!.drain();
            expect(tryWrite(access, start, value)).to.equal(OK);
            const name = `write of ${bytes} at ${start}`;
            const [first, last] = [start, start + bytes - 1].map((gpa) => (gpa - 0xff8) >> 12);
            expect([...memory.dirty!.drain()], name).to.deep.equal([...new Set([first, last])]);
            expect(BigInt(read(access, BigInt(start))), name).to.equal(value);
            const touched = parts.filter(({ gpa }) => gpa < start + bytes && gpa + 2n > start);
            expect(seen.splice(0), name).to.deep.equal(
              ["write", "read"].flatMap((kind) =>
                touched.map(({ gpa }) => [
                  Number(gpa),
                  {
                    gpa: BigInt(start),
                    width: bytes,
                    kind,
                    value: bytes === 8 ? value : Number(value),
                  },
                ]),
              ),
            );
            const order = Array.from({ length: bytes }, (_, i) => i + 1);
            expect([...memory.read(start - 0xff8, bytes)], name).to.deep.equal(
              endian === "little" ? order : order.reverse(),
            );
          }
        }
      }
    });
  }
}

describe("watchpoints", () => {
  it("report a bulk access once, as one access", () => {
    const space = new AddressSpace();
    space.addRam(0, 0x1000);
    space.addRam(0x1000, 0x1000);
    const seen: WatchedAccess[] = [];
    space.watch({ gpa: 0xff0, length: 0x20 }, (event) => seen.push(event));
    space.read(0xf00, 0x200);
    space.write(0xf80, new Uint8Array(0x100));
    space.fill(0x100f, 4, 0);
    space.copy(0xff0, 0x100, 8);
    space.copy(0x100, 0xff8, 16);
    space.fill(0x1010, 4, 0);
    space.read(0xff0, 0);
    expect(seen).to.deep.equal([
      { gpa: 0xf00n, width: 0x200, kind: "read" },
      { gpa: 0xf80n, width: 0x100, kind: "write" },
      { gpa: 0x100fn, width: 4, kind: "write" },
      { gpa: 0xff0n, width: 8, kind: "write" },
      { gpa: 0xff8n, width: 16, kind: "read" },
    ]);
  });

  it("see each byte of an access that starts below 2^53 and ends above", () => {
    const space = new AddressSpace({ alignment: "allow" });
    const start = 2 ** 53 - 3;
    space.addRam(2n ** 53n - 0x1000n, 0x2000);
    for (const access of PATHS.map((path) => (path === "view" ? space : space.native))) {
      for (let at = 0n; at < 12n; at++) {
        const seen: bigint[] = [];
        const watchpoint = space.watch({ gpa: BigInt(start) + at, length: 1 }, ({ gpa }) => {
          seen.push(gpa);
        });
        access.writeq(start, 0n);
        access.readq(BigInt(start));
        space.fill(start, 8, 0);
        watchpoint.remove();
        const times = at < 8n ? 3 : 0;
        expect(seen, `byte ${at}`).to.deep.equal(Array(times).fill(BigInt(start)));
      }
    }
  });

  it("are called in the order they were added, wherever a bulk access touches them", () => {
    const space = new AddressSpace();
    space.addRam(0, 0x1000);
    space.addRam(0x1000, 0x1000);
    const seen: string[] = [];
    space.watch({ gpa: 0x1000, length: 1 }, () => seen.push("upper"));
    space.watch({ gpa: 0, length: 0x2000 }, () => seen.push("both"));
    space.watch({ gpa: 0xfff, length: 1 }, () => seen.push("lower"));
    space.fill(0xf00, 0x200, 1);
    expect(seen).to.deep.equal(["upper", "both", "lower"]);
  });

  it("refuse invalid ranges and listeners", () => {
    const space = new AddressSpace();
    const listener = (): void => undefined;
    const bad = (range: unknown, listen: unknown = listener) =>
      thrown(() => space.watch(range as WatchRange, listen as () => void));
    for (const range of [
      undefined,
      null,
      5,
      {},
      { gpa: "0", length: 4 },
      { gpa: 0, length: "4" },
      { gpa: 0, length: 4, kinds: "execute" },
    ]) {
      expect(bad(range)).to.deep.equal(WRONG_TYPE);
    }
    expect(bad({ gpa: 0, length: 4 }, "listener")).to.deep.equal(WRONG_TYPE);
    for (const range of [
      { gpa: 0, length: 0 },
      { gpa: -1, length: 4 },
      { gpa: 0.5, length: 4 },
      { gpa: 2n ** 64n - 4n, length: 5 },
      { gpa: 0, length: 2n ** 64n },
    ]) {
      expect(bad(range)).to.deep.equal(OUT_OF_RANGE);
    }
  });
});
