import { expect } from "chai";
import {
  AddressSpace,
  type AddressSpaceOptions,
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
} from "pound-guest-memory";
import { Mmu, type MmuOptions, type Translation, type Walk } from "pound-guest-memory/mmu";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
const PAGE = 4096;
const RAM = 0x8000_0000;

/** A machine whose virtual pages are those of a Map. It counts the walks. */
function machine(options: Partial<MmuOptions> = {}, spaceOptions: AddressSpaceOptions = {}) {
  const space = new AddressSpace(spaceOptions);
  const region = space.addRam(RAM, 64 * PAGE);
  const pages = new Map<number | bigint, Translation>();
  const walks: unknown[] = [];
  const walk: Walk = (va, kind, mode) => {
    walks.push([va, kind, mode]);
    const size = BigInt(PAGE);
    const page = BigInt(va) & -size;
    const found = [...pages].find(
      ([at, { size }]) => BigInt(at) <= page && page < BigInt(at) + BigInt(size),
    );
    return found?.[1] ?? { fault: "page fault" };
  };
  const mmu = new Mmu(space, { walk, ...options });
  const map = (va: number | bigint, page: number, access: Translation["access"] = "rwx") => {
    pages.set(va, { gpa: RAM + page * PAGE, size: PAGE, access });
  };
  return { space, region, pages, walks, mmu, map };
}

describe("an MMU", () => {
  it("translates addresses of each representation, and keeps the translations", () => {
    const { space, mmu, map, walks } = machine();
    map(0x1000, 1);
    map(-0x8000_0000, 2);
    map(0x7fff_ffff_f000, 3);
    map(2n ** 62n, 4);
    const addresses: [number | bigint, number, number, number][] = [
      [0x1010, 0x1010, 0, 0x1010],
      [0x1010n, 0x1010, 0, 0x1010],
      [-0x7fff_fff0, 0x8000_0010, 0xffff_ffff, 0x2010],
      [0xffff_ffff_8000_0010n, 0x8000_0010, 0xffff_ffff, 0x2010],
      [-0x7fff_fff0n, 0x8000_0010, 0xffff_ffff, 0x2010],
      [0x7fff_ffff_f010, 0xffff_f010, 0x7fff, 0x3010],
      [2n ** 62n + 16n, 16, 2 ** 30, 0x4010],
    ];
    addresses.forEach(([va, low, high, offset], i) => {
      mmu.writel(va, 0x1000 + i);
      expect(space.readl(RAM + offset)).to.equal(0x1000 + i);
      expect(mmu.readl(va)).to.equal(0x1000 + i);
      expect(mmu.halves.readl(low, high)).to.equal(0x1000 + i);
      mmu.halves.writel(low, high, 0x2000 + i);
      expect(mmu.readl(va)).to.equal(0x2000 + i);
      expect(mmu.fetchl(va)).to.equal(0x2000 + i);
    });
    const before = walks.length;
    for (const [va] of addresses.slice(0, 6)) {
      mmu.readl(va);
      mmu.writel(va, 1);
      mmu.fetchw(va);
    }
    expect(walks.length).to.equal(before);
  });

  it("has entries of their own for reads, writes and fetches", () => {
    const { mmu, map, walks } = machine();
    map(0, 0, "r");
    map(PAGE, 1, "wx");
    const out = new Uint32Array(1);
    expect(mmu.tryReadl(0, out)).to.equal(OK);
    expect(mmu.tryWritel(0, 1)).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault).to.deep.equal({
      result: FAULT_BOUNDARY,
      reason: "translation",
      va: 0,
      width: 4,
      kind: "write",
      guestFault: undefined,
    });
    expect(mmu.tryFetchl(0, out)).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault!.kind).to.equal("fetch");
    expect(mmu.tryWritel(PAGE, 5)).to.equal(OK);
    expect(mmu.tryReadl(PAGE, out)).to.equal(FAULT_BOUNDARY);
    expect(mmu.tryFetchl(PAGE, out)).to.equal(OK);
    expect(out[0]).to.equal(5);
    expect(walks.map((walk) => (walk as unknown[])[1])).to.deep.equal([
      "read",
      "write",
      "fetch",
      "write",
      "read",
      "fetch",
    ]);
  });

  it("returns the fault of the guest, and throws it with the address that the caller passed", () => {
    const { mmu } = machine();
    expect(mmu.tryReadb(-8, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault).to.include({ reason: "translation", va: -8, guestFault: "page fault" });
    try {
      mmu.writeq(-8, 1n);
      expect.fail("no fault");
    } catch (error) {
      expect(error).to.be.instanceOf(GuestMemoryFault);
      const fault = error as GuestMemoryFault;
      expect([fault.gpa, fault.width, fault.operation, fault.reason]).to.deep.equal([
        2n ** 64n - 8n,
        8,
        "write",
        "translation",
      ]);
    }
  });

  it("makes the checks of the space after the translation", () => {
    const { space, mmu, map } = machine();
    map(0, 1000);
    map(PAGE, 2);
    expect(mmu.tryReadl(1, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault).to.include({ reason: "hole", va: 1, guestFault: undefined });
    expect(mmu.tryReadl(PAGE + 1, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
    expect(mmu.lastFault).to.include({ reason: "alignment", va: PAGE + 1 });
    space.addRam(RAM + 1000 * PAGE, PAGE, { access: "rw" });
    expect(mmu.tryReadl(0, new Uint32Array(1))).to.equal(OK);
    expect(mmu.tryFetchl(0, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault!.reason).to.equal("not-executable");
  });

  it("fetches from memory that can be executed but not read", () => {
    const { space, mmu, map } = machine();
    const { memory } = space.addRam(RAM + 100 * PAGE, PAGE, { access: "x" });
    memory.writel(PAGE - 4, 0x1234);
    map(0, 100);
    for (let i = 0; i < 2; i++) {
      expect(mmu.fetchl(PAGE - 4)).to.equal(0x1234);
      expect(mmu.tryReadl(PAGE - 4, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault!.reason).to.equal("write-only");
      expect(mmu.tryFetchl(PAGE - 6, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
      expect(mmu.lastFault!.reason).to.equal("alignment");
    }
    memory.destroy();
    expect(thrown(() => mmu.fetchl(0)).name).to.equal("GuestMemoryFault");
    expect(mmu.lastFault!.reason).to.equal("destroyed");
  });

  it("calls devices with the offsets of the translated addresses", () => {
    const { space, mmu, pages, walks } = machine();
    const calls: number[] = [];
    space.addMmio(0x1000_0000, PAGE, {
      readl: (offset) => offset,
      writel: (offset, value) => void calls.push(offset, value),
    });
    pages.set(0x5000, { gpa: 0x1000_0000, size: PAGE, access: "rw" });
    for (let i = 0; i < 3; i++) {
      expect(mmu.readl(0x5010)).to.equal(16);
      mmu.writel(0x5020, i);
    }
    expect(calls).to.deep.equal([32, 0, 32, 1, 32, 2]);
    expect(walks.length).to.equal(1);
  });

  it("translates both pages of an access before a byte changes", () => {
    const { space, mmu, map } = machine({}, { alignment: "allow" });
    map(0, 5);
    expect(mmu.tryWritel(PAGE - 2, 0x11223344)).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault).to.include({ va: PAGE, reason: "translation", width: 4 });
    expect(space.readw(RAM + 6 * PAGE - 2)).to.equal(0);
    map(PAGE, 2);
    mmu.writel(PAGE - 2, 0x11223344);
    expect(space.readw(RAM + 6 * PAGE - 2)).to.equal(0x3344);
    expect(space.readw(RAM + 2 * PAGE)).to.equal(0x1122);
    expect(mmu.readl(PAGE - 2)).to.equal(0x11223344);
    expect(mmu.fetchl(PAGE - 2)).to.equal(0x11223344);
    expect(mmu.readl(PAGE - 3)).to.equal(0x22334400);
    map(2 * PAGE, 1000);
    expect(mmu.tryWritel(2 * PAGE - 2, -1)).to.equal(FAULT_BOUNDARY);
    expect(mmu.lastFault!.reason).to.equal("hole");
    expect(space.readw(RAM + 3 * PAGE - 2)).to.equal(0);
    map(3 * PAGE, 9);
    map(4 * PAGE, 10);
    mmu.writeq(4 * PAGE - 3, 0x0102_0304_0506_0708n);
    expect(space.readq(RAM + 10 * PAGE - 3)).to.equal(0x0102_0304_0506_0708n);
  });

  it("uses the byte order of the space", () => {
    const { space, mmu, map } = machine({}, { endian: "big", alignment: "allow" });
    map(0, 0);
    map(PAGE, 7);
    for (let i = 0; i < 2; i++) {
      mmu.writel(8, 0x11223344);
      mmu.writel(PAGE - 1, 0x55667788);
    }
    expect(space.readb(RAM + 8)).to.equal(0x11);
    expect(space.readb(RAM + PAGE - 1)).to.equal(0x55);
    expect(space.readb(RAM + 7 * PAGE)).to.equal(0x66);
    expect(mmu.readl(PAGE - 1)).to.equal(0x55667788);
  });

  it("keeps a translation until a flush of its page, its identifier or all", () => {
    const { mmu, map, space } = machine();
    map(0, 0);
    map(PAGE, 1);
    for (let page = 0; page < 4; page++) {
      space.writel(RAM + page * PAGE, page);
    }
    const read = () => [mmu.readl(0), mmu.readl(PAGE)];
    for (const asid of [1, 2]) {
      mmu.select(0, asid);
      expect(read()).to.deep.equal([0, 1]);
    }
    map(0, 2);
    map(PAGE, 3);
    expect(read()).to.deep.equal([0, 1]);
    mmu.flushPage(8);
    expect(read()).to.deep.equal([2, 1]);
    mmu.select(0, 1);
    expect(read()).to.deep.equal([2, 1]);
    mmu.flushAsid(2);
    expect(read()).to.deep.equal([2, 1]);
    mmu.flushAsid(1);
    expect(read()).to.deep.equal([2, 3]);
    mmu.select(0, 2);
    expect(read()).to.deep.equal([2, 3]);
    map(0, 1);
    mmu.flushAll();
    expect(read()).to.deep.equal([1, 3]);
    mmu.select(0, 1);
    expect(read()).to.deep.equal([1, 3]);
  });

  it("has a set of tables for each mode", () => {
    const { mmu, map, walks } = machine();
    map(0, 0);
    for (const mode of [0, 1, 0, 1]) {
      mmu.select(mode);
      mmu.readl(0);
    }
    expect(walks).to.deep.equal([
      [0, "read", 0],
      [0, "read", 1],
    ]);
    expect([mmu.mode, mmu.asid]).to.deep.equal([1, 0]);
    for (let asid = 1; asid <= 16; asid++) {
      mmu.select(0, asid);
    }
    mmu.select(1, 0);
    mmu.readl(0);
    expect(walks.length, "the set made room for another").to.equal(3);
  });

  it("flushes a superpage as a whole", () => {
    const { mmu, pages } = machine();
    pages.set(0x40_0000, { gpa: RAM, size: 16 * PAGE, access: "rw" });
    mmu.writel(0x40_0000 + 15 * PAGE, 15);
    mmu.writel(0x40_0000 + 2 * PAGE, 2);
    pages.set(0x40_0000, { gpa: RAM + 16 * PAGE, size: 16 * PAGE, access: "rw" });
    expect(mmu.readl(0x40_0000 + 15 * PAGE)).to.equal(15);
    mmu.flushPage(0x40_0000 + 7 * PAGE);
    expect(mmu.readl(0x40_0000 + 15 * PAGE)).to.equal(0);
    expect(mmu.readl(0x40_0000 + 2 * PAGE)).to.equal(0);
  });

  it("accesses what the map shows after each change of it", () => {
    const { space, region, mmu, map } = machine();
    const read = (page: number) => {
      const out = Uint32Array.of(0xdead);
      return mmu.tryReadl(page * PAGE, out) === OK ? out[0] : mmu.lastFault!.reason;
    };
    for (let page = 0; page < 8; page++) {
      map(page * PAGE, page);
      mmu.writel(page * PAGE, page);
    }
    const rom = space.addRom(RAM + PAGE, Uint8Array.of(99, 0, 0, 0), { priority: 1 });
    expect([0, 1, 2].map(read)).to.deep.equal([0, 99, 2]);
    space.remove(rom);
    expect([0, 1, 2].map(read)).to.deep.equal([0, 1, 2]);

    const other = GuestMemory.allocate(64 * PAGE);
    other.writel(3 * PAGE, 33);
    region.select(0, other);
    expect(read(3)).to.equal(33);
    region.select(0, region.memory);

    const seen: unknown[] = [];
    const watch = space.watch({ gpa: RAM, length: 4, kinds: "access" }, ({ gpa, kind }) => {
      seen.push([gpa, kind]);
    });
    mmu.writel(0, 1);
    expect(read(0)).to.equal(1);
    watch.remove();
    mmu.writel(0, 2);
    expect(seen).to.deep.equal([
      [BigInt(RAM), "write"],
      [BigInt(RAM), "read"],
    ]);

    space.remove(region);
    expect(read(2)).to.equal("hole");
  });

  it("calls the guards of code in pages that the fast path writes", () => {
    const { space, mmu, map } = machine();
    map(0, 4);
    map(PAGE, 5);
    mmu.select(1);
    mmu.writel(8, 1);
    mmu.select(0);
    mmu.writel(8, 1);
    mmu.writel(PAGE, 1);
    const writes: number[] = [];
    const arm = () =>
      space.guardCode(RAM + 4 * PAGE, 4, ({ gpa }) => void writes.push(Number(gpa) - RAM));
    arm();
    mmu.writel(PAGE, 2);
    mmu.writel(8, 2);
    mmu.writel(8, 3);
    expect(writes).to.deep.equal([4 * PAGE + 8]);
    arm();
    mmu.select(1);
    mmu.writel(12, 2);
    expect(writes).to.deep.equal([4 * PAGE + 8, 4 * PAGE + 12]);
  });

  it("sets dirty marks", () => {
    const { region, mmu, map } = machine();
    map(0, 4);
    mmu.writel(0, 1);
    region.startTracking();
    mmu.writel(0, 2);
    expect([...region.dirty!.drain()]).to.deep.equal([4]);
    mmu.writel(4, 2);
    expect([...region.dirty!.drain()]).to.deep.equal([4]);
  });

  it("accepts small pages, and pages of the space of another size", () => {
    for (const [pageBits, pageSize] of [
      [8, 4096],
      [10, 1024],
      [12, 256],
      [14, 4096],
    ] as const) {
      const space = new AddressSpace({ pageSize });
      space.addRam(0, 0x10000);
      space.addRam(0x10000, 0x10000);
      const size = 2 ** pageBits;
      const mmu = new Mmu(space, {
        pageBits,
        walk: (va) => ({ gpa: Number(va) ^ (Number(va) & (size - 1)) ^ size, size, access: "rw" }),
      });
      for (let va = 0; va < 0x20000; va += 512) {
        mmu.writel(va, va);
        mmu.writel(va + 4, va);
        expect(space.readl((va ^ size) + 4)).to.equal(va);
        expect(mmu.readl(va)).to.equal(va);
      }
    }
  });

  it("lets a walk access the space, select and flush", () => {
    const space = new AddressSpace();
    space.addRam(0, 16 * PAGE);
    const mmu: Mmu = new Mmu(space, {
      walk: (va) => {
        mmu.flushAll();
        mmu.select(3, 1);
        return { gpa: space.readl(0) + (Number(va) & -PAGE), size: PAGE, access: "rw" };
      },
    });
    space.writel(0, PAGE);
    space.writel(2 * PAGE, 5);
    expect(mmu.readl(PAGE)).to.equal(5);
    expect(mmu.readl(PAGE)).to.equal(5);
  });

  it("refuses wrong arguments", () => {
    const { space, mmu, map } = machine();
    map(0, 0);
    mmu.writel(0, 7);
    const walk: Walk = () => ({ fault: 1 });
    const bad = (options: unknown) => thrown(() => new Mmu(space, options as MmuOptions));
    expect(thrown(() => new Mmu(Object.create(null) as AddressSpace, { walk }))).to.deep.equal(
      WRONG_TYPE,
    );
    expect(bad(undefined)).to.deep.equal(WRONG_TYPE);
    expect(bad({})).to.deep.equal(WRONG_TYPE);
    expect(bad({ walk, pageBits: "12" })).to.deep.equal(WRONG_TYPE);
    for (const pageBits of [7, 17, 12.5, NaN]) {
      expect(bad({ walk, pageBits })).to.deep.equal(OUT_OF_RANGE);
    }
    for (const entries of [8, 100, 8192]) {
      expect(bad({ walk, entries })).to.deep.equal(OUT_OF_RANGE);
    }
    for (const va of [0.5, NaN, Infinity, 2 ** 53, -(2 ** 53), 2n ** 64n, -(2n ** 63n) - 1n]) {
      expect(thrown(() => mmu.readl(va))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => mmu.flushPage(va))).to.deep.equal(OUT_OF_RANGE);
    }
    for (const va of ["0", null, undefined, {}]) {
      expect(thrown(() => mmu.readl(va as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => mmu.halves.readl(va as never, 0))).to.deep.equal(WRONG_TYPE);
    }
    expect(thrown(() => mmu.halves.readl(-1, 0))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.halves.readl(0, 2 ** 32))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.writel(0, 2 ** 32))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.writel(0, "1" as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => mmu.tryReadl(0, new Uint8Array(4) as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => mmu.tryFetchl(0, new Uint32Array(0)))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.select(256))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.select(0, -1))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => mmu.select("0" as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => mmu.flushAsid(1.5))).to.deep.equal(OUT_OF_RANGE);
    expect(mmu.readl(0)).to.equal(7);
  });

  it("throws errors for what a walk must not return, and what it throws", () => {
    const { space } = machine();
    const reading = (result: unknown) => () =>
      new Mmu(space, { walk: () => result as Translation }).readl(0);
    const good: Translation = { gpa: RAM, size: PAGE, access: "rw" };
    expect(reading(good)()).to.equal(0);
    for (const wrong of [undefined, null, 5, { ...good, gpa: "0" }, { ...good, access: "wr" }]) {
      expect(thrown(reading(wrong))).to.deep.equal(WRONG_TYPE);
    }
    for (const wrong of [{ size: 2048 }, { size: 5000 }, { gpa: RAM + 8 }, { gpa: -PAGE }]) {
      expect(thrown(reading({ ...good, ...wrong }))).to.deep.equal(OUT_OF_RANGE);
    }
    const mmu = new Mmu(space, {
      walk: () => {
        throw new Error("walk");
      },
    });
    expect(() => mmu.readl(0)).to.throw("walk");
  });
});
