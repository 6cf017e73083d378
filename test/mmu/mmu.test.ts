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
import { PATHS } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
const PAGE = 4096;
const RAM = 0x8000_0000;

for (const path of PATHS) {
  const pathOf = (mmu: Mmu) => (path === "native" ? mmu.native : mmu);

  describe(`an MMU on the ${path} path`, () => {
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
      return { space, region, pages, walks, mmu, cpu: pathOf(mmu), map };
    }

    it("translates addresses of each representation, and keeps the translations", () => {
      const { space, map, walks, cpu } = machine();
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
        cpu.writel(va, 0x1000 + i);
        expect(space.readl(RAM + offset)).to.equal(0x1000 + i);
        expect(cpu.readl(va)).to.equal(0x1000 + i);
        expect(cpu.halves.readl(low, high)).to.equal(0x1000 + i);
        cpu.halves.writel(low, high, 0x2000 + i);
        expect(cpu.readl(va)).to.equal(0x2000 + i);
        expect(cpu.fetchl(va)).to.equal(0x2000 + i);
      });
      const before = walks.length;
      for (const [va] of addresses.slice(0, 6)) {
        cpu.readl(va);
        cpu.writel(va, 1);
        cpu.fetchw(va);
      }
      expect(walks.length).to.equal(before);
    });

    it("has entries of their own for reads, writes and fetches", () => {
      const { mmu, map, walks, cpu } = machine();
      map(0, 0, "r");
      map(PAGE, 1, "wx");
      const out = new Uint32Array(1);
      expect(cpu.tryReadl(0, out)).to.equal(OK);
      expect(cpu.tryWritel(0, 1)).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault).to.deep.equal({
        result: FAULT_BOUNDARY,
        reason: "translation",
        va: 0,
        width: 4,
        kind: "write",
        guestFault: undefined,
      });
      expect(cpu.tryFetchl(0, out)).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault!.kind).to.equal("fetch");
      expect(cpu.tryWritel(PAGE, 5)).to.equal(OK);
      expect(cpu.tryReadl(PAGE, out)).to.equal(FAULT_BOUNDARY);
      expect(cpu.tryFetchl(PAGE, out)).to.equal(OK);
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

    it("leaves no access to open pages to the slow path", () => {
      const { map, cpu } = machine();
      map(-PAGE, 1);
      const accesses = () => {
        cpu.tryWriteb(-8, 1);
        cpu.tryWriteqFrom(-8, BigUint64Array.of(5n));
        cpu.tryWriteqHalves(-8, 5, 6);
        const out = new Uint32Array(2);
        cpu.tryReadqHalves(-8, out, 0);
        return [cpu.readq(-8), cpu.fetchw(-8), cpu.halves.readl(2 ** 32 - 4, 2 ** 32 - 1), ...out];
      };
      const values = [(6n << 32n) | 5n, 5, 6, 5, 6];
      expect(accesses()).to.deep.equal(values);
      Object.defineProperty(cpu, "general", { value: null });
      expect(accesses()).to.deep.equal(values);
    });

    it("returns the fault of the guest, and throws it with the address that the caller passed", () => {
      const { mmu, cpu } = machine();
      expect(cpu.tryReadb(-8, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault).to.include({ reason: "translation", va: -8, guestFault: "page fault" });
      try {
        cpu.writeq(-8, 1n);
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
      const { space, mmu, map, cpu } = machine();
      map(0, 1000);
      map(PAGE, 2);
      expect(cpu.tryReadl(1, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault).to.include({ reason: "hole", va: 1, guestFault: undefined });
      expect(cpu.tryReadl(PAGE + 1, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
      expect(mmu.lastFault).to.include({ reason: "alignment", va: PAGE + 1 });
      space.addRam(RAM + 1000 * PAGE, PAGE, { access: "rw" });
      expect(cpu.tryReadl(0, new Uint32Array(1))).to.equal(OK);
      expect(cpu.tryFetchl(0, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault!.reason).to.equal("not-executable");
    });

    it("fetches from memory that can be executed but not read", () => {
      const { space, mmu, map, cpu } = machine();
      const { memory } = space.addRam(RAM + 100 * PAGE, PAGE, { access: "x" });
      memory.writel(PAGE - 4, 0x1234);
      map(0, 100);
      for (let i = 0; i < 2; i++) {
        expect(cpu.fetchl(PAGE - 4)).to.equal(0x1234);
        expect(cpu.tryReadl(PAGE - 4, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        expect(mmu.lastFault!.reason).to.equal("write-only");
        expect(cpu.tryFetchl(PAGE - 6, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
        expect(mmu.lastFault!.reason).to.equal("alignment");
      }
      memory.destroy();
      expect(thrown(() => cpu.fetchl(0)).name).to.equal("GuestMemoryFault");
      expect(mmu.lastFault!.reason).to.equal("destroyed");
    });

    it("calls devices with the offsets of the translated addresses", () => {
      const { space, pages, walks, cpu } = machine();
      const calls: number[] = [];
      space.addMmio(0x1000_0000, PAGE, {
        readl: (offset) => offset,
        writel: (offset, value) => void calls.push(offset, value),
      });
      pages.set(0x5000, { gpa: 0x1000_0000, size: PAGE, access: "rw" });
      for (let i = 0; i < 3; i++) {
        expect(cpu.readl(0x5010)).to.equal(16);
        cpu.writel(0x5020, i);
      }
      expect(calls).to.deep.equal([32, 0, 32, 1, 32, 2]);
      expect(walks.length).to.equal(1);
    });

    it("translates both pages of an access before a byte changes", () => {
      const { space, mmu, map, cpu } = machine({}, { alignment: "allow" });
      map(0, 5);
      expect(cpu.tryWritel(PAGE - 2, 0x11223344)).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault).to.include({ va: PAGE, reason: "translation", width: 4 });
      expect(space.readw(RAM + 6 * PAGE - 2)).to.equal(0);
      map(PAGE, 2);
      cpu.writel(PAGE - 2, 0x11223344);
      expect(space.readw(RAM + 6 * PAGE - 2)).to.equal(0x3344);
      expect(space.readw(RAM + 2 * PAGE)).to.equal(0x1122);
      expect(cpu.readl(PAGE - 2)).to.equal(0x11223344);
      expect(cpu.fetchl(PAGE - 2)).to.equal(0x11223344);
      expect(cpu.readl(PAGE - 3)).to.equal(0x22334400);
      map(2 * PAGE, 1000);
      expect(cpu.tryWritel(2 * PAGE - 2, -1)).to.equal(FAULT_BOUNDARY);
      expect(mmu.lastFault!.reason).to.equal("hole");
      expect(space.readw(RAM + 3 * PAGE - 2)).to.equal(0);
      map(3 * PAGE, 9);
      map(4 * PAGE, 10);
      cpu.writeq(4 * PAGE - 3, 0x0102_0304_0506_0708n);
      expect(space.readq(RAM + 10 * PAGE - 3)).to.equal(0x0102_0304_0506_0708n);
    });

    it("uses the byte order of the space", () => {
      const { space, map, cpu } = machine({}, { endian: "big", alignment: "allow" });
      map(0, 0);
      map(PAGE, 7);
      for (let i = 0; i < 2; i++) {
        cpu.writel(8, 0x11223344);
        cpu.writel(PAGE - 1, 0x55667788);
      }
      expect(space.readb(RAM + 8)).to.equal(0x11);
      expect(space.readb(RAM + PAGE - 1)).to.equal(0x55);
      expect(space.readb(RAM + 7 * PAGE)).to.equal(0x66);
      expect(cpu.readl(PAGE - 1)).to.equal(0x55667788);
    });

    it("keeps a translation until a flush of its page, its identifier or all", () => {
      const { mmu, map, space, cpu } = machine();
      map(0, 0);
      map(PAGE, 1);
      for (let page = 0; page < 4; page++) {
        space.writel(RAM + page * PAGE, page);
      }
      const read = () => [cpu.readl(0), cpu.readl(PAGE)];
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
      const { mmu, map, walks, cpu } = machine();
      map(0, 0);
      for (const mode of [0, 1, 0, 1]) {
        mmu.select(mode);
        cpu.readl(0);
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
      cpu.readl(0);
      expect(walks.length, "the set made room for another").to.equal(3);
    });

    it("flushes a superpage as a whole", () => {
      const { mmu, pages, cpu } = machine();
      pages.set(0x40_0000, { gpa: RAM, size: 16 * PAGE, access: "rw" });
      cpu.writel(0x40_0000 + 15 * PAGE, 15);
      cpu.writel(0x40_0000 + 2 * PAGE, 2);
      pages.set(0x40_0000, { gpa: RAM + 16 * PAGE, size: 16 * PAGE, access: "rw" });
      expect(cpu.readl(0x40_0000 + 15 * PAGE)).to.equal(15);
      mmu.flushPage(0x40_0000 + 7 * PAGE);
      expect(cpu.readl(0x40_0000 + 15 * PAGE)).to.equal(0);
      expect(cpu.readl(0x40_0000 + 2 * PAGE)).to.equal(0);
    });

    it("accesses what the map shows after each change of it", () => {
      const { space, region, mmu, map, cpu } = machine();
      const read = (page: number) => {
        const out = Uint32Array.of(0xdead);
        return cpu.tryReadl(page * PAGE, out) === OK ? out[0] : mmu.lastFault!.reason;
      };
      for (let page = 0; page < 8; page++) {
        map(page * PAGE, page);
        cpu.writel(page * PAGE, page);
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
      cpu.writel(0, 1);
      expect(read(0)).to.equal(1);
      watch.remove();
      cpu.writel(0, 2);
      expect(seen).to.deep.equal([
        [BigInt(RAM), "write"],
        [BigInt(RAM), "read"],
      ]);

      space.remove(region);
      expect(read(2)).to.equal("hole");
    });

    it("calls the guards of code in pages that the fast path writes", () => {
      const { space, mmu, map, cpu } = machine();
      map(0, 4);
      map(PAGE, 5);
      mmu.select(1);
      cpu.writel(8, 1);
      mmu.select(0);
      cpu.writel(8, 1);
      cpu.writel(PAGE, 1);
      const writes: number[] = [];
      const arm = () =>
        space.guardCode(RAM + 4 * PAGE, 4, ({ gpa }) => void writes.push(Number(gpa) - RAM));
      arm();
      cpu.writel(PAGE, 2);
      cpu.writel(8, 2);
      cpu.writel(8, 3);
      expect(writes).to.deep.equal([4 * PAGE + 8]);
      arm();
      mmu.select(1);
      cpu.writel(12, 2);
      expect(writes).to.deep.equal([4 * PAGE + 8, 4 * PAGE + 12]);
    });

    it("sets dirty marks", () => {
      const { region, map, cpu } = machine();
      map(0, 4);
      cpu.writel(0, 1);
      region.startTracking();
      cpu.writel(0, 2);
      expect([...region.dirty!.drain()]).to.deep.equal([4]);
      cpu.writel(4, 2);
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
          walk: (va) => ({
            gpa: Number(va) ^ (Number(va) & (size - 1)) ^ size,
            size,
            access: "rw",
          }),
        });
        const cpu = pathOf(mmu);
        for (let va = 0; va < 0x20000; va += 512) {
          cpu.writel(va, va);
          cpu.writel(va + 4, va);
          expect(space.readl((va ^ size) + 4)).to.equal(va);
          expect(cpu.readl(va)).to.equal(va);
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
      const cpu = pathOf(mmu);
      space.writel(0, PAGE);
      space.writel(2 * PAGE, 5);
      expect(cpu.readl(PAGE)).to.equal(5);
      expect(cpu.readl(PAGE)).to.equal(5);
    });

    it("refuses wrong arguments", () => {
      const { space, mmu, map, cpu } = machine();
      map(0, 0);
      cpu.writel(0, 7);
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
        expect(thrown(() => cpu.readl(va))).to.deep.equal(OUT_OF_RANGE);
        expect(thrown(() => mmu.flushPage(va))).to.deep.equal(OUT_OF_RANGE);
      }
      for (const va of ["0", null, undefined, {}]) {
        expect(thrown(() => cpu.readl(va as never))).to.deep.equal(WRONG_TYPE);
        expect(thrown(() => cpu.halves.readl(va as never, 0))).to.deep.equal(WRONG_TYPE);
      }
      expect(thrown(() => cpu.halves.readl(-1, 0))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => cpu.halves.readl(0, 2 ** 32))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => cpu.writel(0, 2 ** 32))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => cpu.writel(0, "1" as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => cpu.tryReadl(0, new Uint8Array(4) as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => cpu.tryFetchl(0, new Uint32Array(0)))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => mmu.select(256))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => mmu.select(0, -1))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => mmu.select("0" as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => mmu.flushAsid(1.5))).to.deep.equal(OUT_OF_RANGE);
      expect(cpu.readl(0)).to.equal(7);
    });

    it("throws errors for what a walk must not return, and what it throws", () => {
      const { space } = machine();
      const reading = (result: unknown) => () =>
        pathOf(new Mmu(space, { walk: () => result as Translation })).readl(0);
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
      expect(() => pathOf(mmu).readl(0)).to.throw("walk");
    });
  });
}
