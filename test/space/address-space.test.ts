import { inspect } from "node:util";
import { expect } from "chai";
import {
  AddressSpace,
  Arena,
  type GuestAccessors,
  GuestMemAccessResult,
  GuestMemory,
  type MmioDevice,
  type Region,
} from "pound-guest-memory";
import {
  crosscheck,
  crosscheckSmall,
  exhaustiveOps,
  randomOps,
} from "pound-guest-memory/crosscheck";
import { struct, TypedRegion } from "pound-guest-memory/typed";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { WIDTHS, WIDTHS_AND_HALVES } from "../support/widths.js";
import { PATHS, nativeOf, pathsOf } from "../support/paths.js";
import { IS_WIDE, itWide } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const GIB = 2 ** 30;

/** A device with all handlers, whose reads return the offset. It records the calls. */
class Recorder implements MmioDevice {
  readonly calls: string[] = [];
  readb = (offset: number): number => this.#read("b", offset);
  readw = (offset: number): number => this.#read("w", offset);
  readl = (offset: number): number => this.#read("l", offset);
  readq = (offset: number): bigint => BigInt(this.#read("q", offset));
  writeb = (offset: number, value: number): void => this.#write("b", offset, value);
  writew = (offset: number, value: number): void => this.#write("w", offset, value);
  writel = (offset: number, value: number): void => this.#write("l", offset, value);
  writeq = (offset: number, value: bigint): void => this.#write("q", offset, value);

  #read(width: string, offset: number): number {
    this.calls.push(`read${width} ${offset}`);
    return offset;
  }

  #write(width: string, offset: number, value: number | bigint): void {
    this.calls.push(`write${width} ${offset} ${typeof value} ${value}`);
  }
}

describe("AddressSpace", () => {
  describe("map", () => {
    it("keeps regions sorted by address, in whatever order they are added", () => {
      const space = new AddressSpace();
      const high = space.addRam(0x8000_0000, 0x2000);
      const device = space.addMmio(0x4000_0008, 16, {}, { name: "uart" });
      const rom = space.addRom(0n, Uint8Array.of(1, 2, 3));
      expect(space.regions).to.deep.equal([rom, device, high]);
      expect(
        space.regions.map(({ kind, name, gpa, size }) => [kind, name, gpa, size]),
      ).to.deep.equal([
        ["rom", "rom@0x0", 0n, 3n],
        ["mmio", "uart", 0x4000_0008n, 16n],
        ["ram", "ram@0x80000000", 0x8000_0000n, 0x2000n],
      ]);
    });

    it("finds the region of an address, and none at an unmapped address", () => {
      const space = new AddressSpace();
      const low = space.addRam(0x1000, 0x1000);
      const next = space.addRom(0x2000, new Uint8Array(5));
      const top = space.addMmio(2n ** 64n - 8n, 8, {});
      const cases: [number | bigint, Region | null][] = [
        [0, null],
        [0xfff, null],
        [0x1000, low],
        [0x1fffn, low],
        [0x2000, next],
        [0x2004, next],
        [0x2005, null],
        [2 ** 53 - 1, null],
        [2n ** 53n, null],
        [2n ** 64n - 9n, null],
        [2n ** 64n - 8n, top],
        [2n ** 64n - 1n, top],
      ];
      for (const [gpa, region] of cases) {
        expect(space.regionAt(gpa), `${gpa}`).to.equal(region);
      }
    });

    it("refuses regions that overlap, and accepts adjacent ones", () => {
      const space = new AddressSpace();
      space.addRam(0x2000, 0x2000);
      const attempts: [number, number][] = [
        [0x2000, 0x2000],
        [0x1000, 0x1001],
        [0x3000, 1],
        [0x0, 0x10000],
      ];
      for (const [gpa, size] of attempts) {
        expect(thrown(() => space.addRam(gpa, size))).to.deep.equal(OUT_OF_RANGE);
        expect(thrown(() => space.addMmio(gpa, size, {}))).to.deep.equal(OUT_OF_RANGE);
      }
      expect(thrown(() => space.addRom(0x3000, new Uint8Array(1)))).to.deep.equal(OUT_OF_RANGE);
      expect(space.regions.length).to.equal(1);
      space.addRam(0x1000, 0x1000);
      space.addMmio(0x4000, 0x1000, {});
      expect(space.regions.length).to.equal(3);
    });

    it("refuses regions that are empty, not aligned or above 2^64", () => {
      const space = new AddressSpace();
      expect(thrown(() => space.addRam(0, 0))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRom(0, new Uint8Array(0)))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addMmio(0, 0, {}))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRam(8, 4096))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRom(2048n, new Uint8Array(1)))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addMmio(2n ** 64n - 1n, 2, {}))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRam(2n ** 64n - 4096n, 4097))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRam(2n ** 64n, 4096))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRam(-4096, 4096))).to.deep.equal(OUT_OF_RANGE);
      expect(space.regions).to.deep.equal([]);
      space.addRam(2n ** 64n - 4096n, 4096);
    });

    it("refuses arguments of the wrong type", () => {
      const space = new AddressSpace();
      const bad = (value: unknown): never => value as never;
      for (const value of [undefined, null, "4096", {}, Object.create(GuestMemory.prototype)]) {
        expect(thrown(() => space.addRam(0, bad(value)))).to.deep.equal(WRONG_TYPE);
        expect(thrown(() => space.addRom(0, bad(value)))).to.deep.equal(WRONG_TYPE);
      }
      for (const value of [undefined, null, "0", {}]) {
        expect(thrown(() => space.addRam(bad(value), 4096))).to.deep.equal(WRONG_TYPE);
        expect(thrown(() => space.regionAt(bad(value)))).to.deep.equal(WRONG_TYPE);
      }
      for (const value of [null, 5, "name"]) {
        expect(thrown(() => space.addRam(0, 4096, bad(value)))).to.deep.equal(WRONG_TYPE);
      }
      expect(thrown(() => space.addRam(0, 4096, bad({ name: 5 })))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => space.addRam(0, 4096, bad({ trackDirty: 1 })))).to.deep.equal(WRONG_TYPE);
      for (const value of [undefined, null, 5, { readb: 5 }]) {
        expect(thrown(() => space.addMmio(0, 8, bad(value)))).to.deep.equal(WRONG_TYPE);
      }
      expect(space.regions).to.deep.equal([]);
    });

    it("unmaps regions without changing their memory", () => {
      const space = new AddressSpace();
      const memory = GuestMemory.allocate(4096);
      const region = space.addRam(0, memory);
      space.writel(0, 0xcafe);
      space.remove(region);
      for (const access of pathsOf(space)) {
        expect(access.tryWritel(0, 1)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadl(0, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      }
      expect(memory.readl(0)).to.equal(0xcafe);
      expect(space.regions).to.deep.equal([]);
      expect(thrown(() => space.remove(region))).to.deep.equal(OUT_OF_RANGE);
      for (const value of [undefined, null, 5, {}, new Proxy(region, {})]) {
        expect(thrown(() => space.remove(value as never))).to.deep.equal(WRONG_TYPE);
      }
      space.addRom(0, memory);
      expect(space.readl(0)).to.equal(0xcafe);
    });

    it("is printed as a list of regions, without their bytes", () => {
      const space = new AddressSpace();
      space.addRam(0x1000, 4096, { name: "main" });
      space.addMmio(0x10000, 8, new Recorder());
      expect(inspect(space)).to.match(/name: main, gpa: 0x1000, size: 4096/);
      expect(inspect(space).length).to.be.below(300);
    });
  });

  for (const path of PATHS) {
    describe(`on the ${path} path`, () => {
      const accessOf = (space: AddressSpace) => (path === "view" ? space : space.native);

      it("agrees with the compiled accessors if it has only RAM at address 0", async () => {
        const makeMemory = (size: number) => {
          const space = new AddressSpace();
          if (size > 0) {
            space.addRam(0, size);
          }
          return accessOf(space);
        };
        const source = randomOps({ seed: 7, size: 65536, count: 200_000 });
        const result = await crosscheck(makeMemory, source, { size: 65536 });
        expect(result.difference).to.equal(null);
        expect(result.operations).to.equal(200_000);
        // RAM of 0 bytes: the space has no region.
        const small = await crosscheckSmall(makeMemory, exhaustiveOps);
        expect(small.difference).to.equal(null);
      });

      it("dispatches an access to the region that contains it", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        const low = space.addRam(0x1000, 0x1000);
        const high = space.addRam(0xffff_f000, 0x2000);
        for (const { bytes, tryWrite, read } of WIDTHS_AND_HALVES) {
          for (const [region, gpa] of [
            [low, 0x1ff8],
            [high, 0xffff_fff8],
            [high, 0x1_0000_0000],
            [low, 0x1000n],
            [high, 0x1_0000_0ff8n],
          ] as const) {
            const value = 0x0123_4567_89ab_cdefn & (2n ** BigInt(8 * bytes) - 1n);
            expect(tryWrite(access, gpa, value)).to.equal(OK);
            expect(BigInt(read(access, gpa))).to.equal(value);
            const offset = Number(BigInt(gpa) - region.gpa);
            expect(BigInt(read(region.memory, offset))).to.equal(value);
          }
        }
      });

      it("faults as a whole across the border of two adjacent regions", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        space.addRam(0x1000, 0x1000);
        space.addRam(0x2000, 0x1000);
        space.addMmio(0x3000, 16, new Recorder());
        for (const { bytes, tryRead, tryWrite, out } of WIDTHS_AND_HALVES.slice(1)) {
          for (const edge of [0x1000, 0x2000, 0x3000, 0x3010]) {
            for (let delta = 1; delta < bytes; delta++) {
              const gpa = edge - delta;
              const cell = out(5n);
              expect(tryRead(access, gpa, cell)).to.equal(FAULT_BOUNDARY);
              expect(BigInt(cell[0]!)).to.equal(5n);
              expect(tryWrite(access, gpa, 1n)).to.equal(FAULT_BOUNDARY);
            }
          }
        }
        expect(space.read(0x1000, 0x2000).every((byte) => byte === 0)).to.equal(true);
      });

      it("refuses writes to ROM", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
        const rom = space.addRom(0xf000, bytes);
        bytes.fill(0);
        expect(access.readq(0xf000)).to.equal(0x0807_0605_0403_0201n);
        for (const { tryWrite, tryRead, bytes: width, out } of WIDTHS_AND_HALVES) {
          expect(tryWrite(access, 0xf000, 0n)).to.equal(FAULT_BOUNDARY);
          // The argument is checked before the address.
          expect(tryWrite(access, 0xf001, 0n)).to.equal(FAULT_BOUNDARY);
          if (width > 1) {
            expect(tryRead(access, 0xf001, out(0n))).to.equal(FAULT_UNALIGNED);
            expect(tryRead(access, 0xf009 - width + 1, out(0n))).to.equal(FAULT_BOUNDARY);
          }
        }
        expect(thrown(() => access.writel(0xf000, 1))).to.deep.equal(FAULT);
        expect([...rom.memory.buffer]).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      });

      it("returns ERROR_INTERNAL for destroyed memory, and for no other", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        // Over a buffer of the caller, which destroy() does not detach.
        const memory = GuestMemory.create(Arena.over(new ArrayBuffer(4096)));
        space.addRam(0x1000, memory);
        space.addRam(0x4000, 0x1000);
        const rom = space.addRom(0x8000, new Uint8Array(64));
        const all = () =>
          WIDTHS_AND_HALVES.flatMap(({ tryRead, tryWrite, out }) =>
            [0x1008, 0x4008, 0x8008].flatMap((gpa) => [
              tryRead(access, gpa, out(0n)),
              tryWrite(access, gpa, 0n),
            ]),
          );
        expect(new Set(all())).to.deep.equal(new Set([OK, FAULT_BOUNDARY]));
        memory.destroy();
        expect(all()).to.deep.equal(
          WIDTHS_AND_HALVES.flatMap(() => [3, 3, OK, OK, OK, FAULT_BOUNDARY]),
        );
        rom.memory.arena.reset();
        expect(all()).to.deep.equal(
          WIDTHS_AND_HALVES.flatMap(() => [3, 3, OK, OK, ERROR_INTERNAL, ERROR_INTERNAL]),
        );
        expect(thrown(() => space.fill(0x1000, 1, 1))).to.deep.equal(FAULT);
      });

      it("returns ERROR_INTERNAL if the buffer of RAM was transferred", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        const buffers = [new ArrayBuffer(4096), new ArrayBuffer(4096)] as const;
        buffers.forEach((buffer, i) =>
          space.addRam(i * 0x10000, GuestMemory.create(Arena.over(buffer)), {
            trackDirty: i === 1,
          }),
        );
        const all = () =>
          WIDTHS_AND_HALVES.flatMap(({ tryRead, tryWrite, out }) =>
            [0x8, 0x10008].flatMap((gpa) => [
              tryRead(access, gpa, out(0n)),
              tryWrite(access, gpa, 0n),
            ]),
          );
        all();
        expect(new Set(all())).to.deep.equal(new Set([OK]));
        structuredClone(null, { transfer: [...buffers] });
        expect(new Set(all())).to.deep.equal(new Set([ERROR_INTERNAL]));
      });

      it("names the address, width and kind in a fault", () => {
        const access = accessOf(new AddressSpace());
        const caught = (action: () => unknown): unknown => {
          try {
            return action();
          } catch (error) {
            const { result, gpa, width, operation } = error as Record<string, unknown>;
            return { result, gpa, width, operation };
          }
        };
        for (const { read, write, bytes: width } of WIDTHS_AND_HALVES) {
          for (const gpa of [64, 64n, 2n ** 64n - 1n]) {
            const fault = { result: FAULT_BOUNDARY, gpa, width };
            expect(caught(() => read(access, gpa))).to.deep.equal({ ...fault, operation: "read" });
            expect(caught(() => write(access, gpa, 1n))).to.deep.equal({
              ...fault,
              operation: "write",
            });
          }
        }
      });

      it("refuses invalid addresses, values and outs", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        space.addRam(0, 4096);
        for (const { tryRead, tryWrite, read, write, out } of WIDTHS) {
          for (const gpa of ["0", null, undefined, {}] as unknown as number[]) {
            expect(thrown(() => tryRead(access, gpa, out(0n)))).to.deep.equal(WRONG_TYPE);
            expect(thrown(() => tryWrite(access, gpa, 0n))).to.deep.equal(WRONG_TYPE);
            expect(thrown(() => read(access, gpa))).to.deep.equal(WRONG_TYPE);
            expect(thrown(() => write(access, gpa, 0n))).to.deep.equal(WRONG_TYPE);
          }
          for (const gpa of [-1, 0.5, NaN, Infinity, 2 ** 53, -1n, 2n ** 64n]) {
            expect(thrown(() => tryRead(access, gpa, out(0n)))).to.deep.equal(OUT_OF_RANGE);
            expect(thrown(() => tryWrite(access, gpa, 0n))).to.deep.equal(OUT_OF_RANGE);
          }
          expect(thrown(() => tryRead(access, 0, new Float64Array(1) as never))).to.deep.equal(
            WRONG_TYPE,
          );
          expect(thrown(() => tryRead(access, 0, out(0n).subarray(1)))).to.deep.equal(OUT_OF_RANGE);
        }
        expect(thrown(() => access.tryWriteb(0, 256))).to.deep.equal(OUT_OF_RANGE);
        expect(thrown(() => access.tryWriteq(0, 1 as never))).to.deep.equal(WRONG_TYPE);
        expect(thrown(() => access.writel(0, 1n as never))).to.deep.equal(WRONG_TYPE);
        expect(space.read(0, 16).every((byte) => byte === 0)).to.equal(true);
      });

      it("writes 64 bits from an array as from a bigint", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        const ram = space.addRam(0x1000, 0x1000);
        space.addRom(0x2000, new Uint8Array(8));
        const seen: unknown[] = [];
        space.addMmio(0x3000, 8, { writeq: (offset, value) => seen.push(offset, value) });
        const source = BigUint64Array.of(0xfedc_ba98_7654_3210n, 1n);
        for (let round = 0; round < 3; round++) {
          expect(access.tryWriteqFrom(0x1008, source)).to.equal(OK);
          expect(access.tryWriteqFrom(0x1010n, source)).to.equal(OK);
          ram.startTracking();
        }
        expect([...ram.dirty!.drain()]).to.deep.equal([0]);
        expect(space.readq(0x1008)).to.equal(source[0]);
        expect(access.tryWriteqFrom(0x3000, source)).to.equal(OK);
        expect(seen).to.deep.equal([0, source[0]]);
        expect(access.tryWriteqFrom(0x2000, source)).to.equal(FAULT_BOUNDARY);
        expect(access.tryWriteqFrom(0x1004, source)).to.equal(FAULT_UNALIGNED);
        for (const bad of [undefined, null, [1n], new Uint32Array(2)]) {
          expect(thrown(() => access.tryWriteqFrom(0x1008, bad as never))).to.deep.equal(
            WRONG_TYPE,
          );
        }
        const none = new BigUint64Array(0);
        expect(thrown(() => access.tryWriteqFrom(0x1008, none))).to.deep.equal(OUT_OF_RANGE);
      });

      itWide("has RAM above 4 GiB and RAM larger than 4 GiB", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        const large = space.addRam(2 * GIB, 5 * GIB);
        const far = space.addRam(2n ** 60n, 4096);
        const gpas = [2 * GIB, 4 * GIB - 8, 4 * GIB, 6 * GIB - 8, 6 * GIB, 7 * GIB - 8];
        for (const { tryWrite, read, bytes } of WIDTHS_AND_HALVES) {
          const mask = 2n ** BigInt(8 * bytes) - 1n;
          gpas.forEach((gpa, i) =>
            expect(tryWrite(access, gpa, BigInt(i + 1) & mask)).to.equal(OK),
          );
          gpas.forEach((gpa, i) => {
            expect(BigInt(read(access, gpa))).to.equal(BigInt(i + 1));
            expect(BigInt(read(large.memory, gpa - 2 * GIB))).to.equal(BigInt(i + 1));
          });
          // Addresses that would be in the region if they were truncated to 32 bits or wrapped.
          for (const gpa of [0, GIB, 2 * GIB - 8, 7 * GIB, 2 ** 53 - 8, 2n ** 53n]) {
            expect(tryWrite(access, gpa, 0n), `${gpa}`).to.equal(FAULT_BOUNDARY);
          }
          expect(tryWrite(access, 2n ** 60n + 8n, 7n)).to.equal(OK);
          expect(BigInt(read(far.memory, 8))).to.equal(7n);
        }
        large.memory.destroy();
      });

      it("distinguishes addresses with the same low 32 bits", () => {
        const space = new AddressSpace();
        const access = accessOf(space);
        space.addRam(2 ** 33, 0x2000);
        const low = space.addRam(0x1000, 0x1000);
        for (let round = 0; round < 2; round++) {
          for (const { tryWrite, tryRead, read, out } of WIDTHS_AND_HALVES) {
            expect(tryWrite(access, 2 ** 33 + 0x1000, 7n)).to.equal(OK);
            expect(BigInt(read(access, 2 ** 33 + 0x1000))).to.equal(7n);
            for (const gpa of [0, 0xff8, 2 ** 32, 2 ** 32 + 0x1000, 2 ** 34 + 0x1000]) {
              expect(tryWrite(access, gpa, 9n), `${gpa}`).to.equal(FAULT_BOUNDARY);
              expect(tryRead(access, gpa, out(0n)), `${gpa}`).to.equal(FAULT_BOUNDARY);
            }
            expect(BigInt(read(access, 0x1000))).to.equal(0n);
          }
        }
        expect(low.memory.buffer.every((byte) => byte === 0)).to.equal(true);
      });

      it("serves typed regions and structures", () => {
        const space = new AddressSpace();
        space.addRam(0x1000, 0x1000);
        const numbers = new TypedRegion(accessOf(space), "i16", 0x1000, 4);
        numbers.fill(-2);
        expect([...numbers]).to.deep.equal([-2, -2, -2, -2]);
        const header = struct({ magic: "u32", entry: "u64" }).at(accessOf(space), 0x1010);
        header.entry = 5n;
        expect(space.readq(0x1018)).to.equal(5n);
      });
    });

    describe(`MMIO on the ${path} path`, () => {
      let space: AddressSpace;
      let access: GuestAccessors;

      beforeEach(() => {
        space = new AddressSpace();
        access = path === "view" ? space : space.native;
      });

      it("calls the handler of the width with the offset and the value", () => {
        const device = new Recorder();
        space.addMmio(0xffff_ffff_ffff_f000n, 4096, device);
        for (const { tryRead, tryWrite, bytes, out } of WIDTHS) {
          const gpa = 0xffff_ffff_ffff_f000n + BigInt(bytes * 3);
          const cell = out(0n);
          expect(tryRead(access, gpa, cell)).to.equal(OK);
          expect(cell[0]).to.equal(bytes === 8 ? 24n : bytes * 3);
          expect(tryWrite(access, gpa, 200n)).to.equal(OK);
        }
        expect(device.calls).to.deep.equal([
          "readb 3",
          "writeb 3 number 200",
          "readw 6",
          "writew 6 number 200",
          "readl 12",
          "writel 12 number 200",
          "readq 24",
          "writeq 24 bigint 200",
        ]);
      });

      it("faults for a missing handler, the end of the region and alignment, in this order", () => {
        const calls: number[] = [];
        space.addMmio(0x1000, 10, { readl: (offset) => calls.push(offset), writew() {} });
        const cell = new Uint32Array(1);
        expect(access.tryReadl(0x1004, cell)).to.equal(OK);
        expect(access.tryReadl(0x1008, cell)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadl(0x1007, cell)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadl(0x1001, cell)).to.equal(FAULT_UNALIGNED);
        expect(access.tryReadw(0x1001, new Uint16Array(1))).to.equal(FAULT_BOUNDARY);
        expect(access.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
        expect(access.tryWritew(0x1001, 1)).to.equal(FAULT_UNALIGNED);
        expect(access.tryWritew(0x1008, 1)).to.equal(OK);
        expect(calls).to.deep.equal([4]);
      });

      it("calls handlers as methods, including inherited ones", () => {
        class Timer {
          ticks = 5;
          readl(): number {
            return this.ticks;
          }
          writel(_offset: number, value: number): void {
            this.ticks = value;
          }
        }
        space.addMmio(0, 8, new Timer());
        access.writel(0, 9);
        expect(access.readl(0)).to.equal(9);
      });

      it("passes on what a handler throws", () => {
        const error = new Error("the device is on fire");
        const fail = (): never => {
          throw error;
        };
        space.addMmio(0, 8, { readb: fail, writeb: fail });
        for (const action of [
          () => access.readb(0),
          () => access.tryReadb(0, new Uint8Array(1)),
          () => access.writeb(0, 1),
          () => access.tryWriteb(0, 1),
        ]) {
          expect(action).to.throw(error);
        }
      });

      it("throws if a handler returns a value outside the width", () => {
        let value: unknown;
        const give = () => value as never;
        space.addMmio(
          0,
          8,
          { readb: give, readw: give, readl: give, readq: give },
          { name: "rtc" },
        );
        for (const { tryRead, read, bytes, out } of WIDTHS_AND_HALVES) {
          const wrong = bytes === 8 ? 1 : 1n;
          for (value of [undefined, null, "1", wrong, {}]) {
            const cell = out(3n);
            expect(thrown(() => tryRead(access, 0, cell))).to.deep.equal(WRONG_TYPE);
            expect(thrown(() => read(access, 0))).to.deep.equal(WRONG_TYPE);
            expect(BigInt(cell[0]!)).to.equal(3n);
          }
          const outside =
            bytes === 8
              ? [-(2n ** 63n) - 1n, 2n ** 64n]
              : [-(2 ** (8 * bytes - 1)) - 1, 0.5, NaN, 2 ** (8 * bytes)];
          for (value of outside) {
            expect(thrown(() => read(access, 0))).to.deep.equal(OUT_OF_RANGE);
          }
        }
        value = 256;
        expect(() => access.readb(0)).to.throw(/rtc/);
      });

      it("lets a handler access the space and change the map", () => {
        const ram = space.addRam(0x1000, 0x1000);
        const dma: MmioDevice = {
          readl: (offset) => access.readl(0x1000 + offset) + nativeOf(space).readl(0x1004),
          writel: (offset, value) => {
            space.writel(0x1000 + offset, value);
            access.writel(0x1004, 1);
          },
          writeb: () => {
            space.remove(ram);
            space.addRom(0x1000, Uint8Array.of(0x77));
          },
          writew: () => space.remove(registers),
        };
        const registers = space.addMmio(0x8000, 8, dma);
        access.writel(0x8000, 41);
        expect(access.readl(0x8000)).to.equal(42);
        expect(access.readl(0x1000)).to.equal(41);
        access.writeb(0x8000, 0);
        expect(access.readb(0x1000)).to.equal(0x77);
        expect(access.tryWriteb(0x1000, 0)).to.equal(FAULT_BOUNDARY);
        access.writew(0x8000, 0);
        expect(access.tryWritew(0x8000, 0)).to.equal(FAULT_BOUNDARY);
      });
    });
  }

  describe("bulk methods", () => {
    it("cross from one region into an adjacent one", () => {
      const space = new AddressSpace();
      space.addRam(0x1000, 0x1000);
      space.addRam(0x2000, 0x1000);
      space.addRom(0x3000, Uint8Array.of(7, 8, 9));
      const bytes = Buffer.from("across");
      space.write(0x1ffd, bytes);
      expect(space.read(0x1ffdn, 6).toString()).to.equal("across");
      expect(space.read(0x2fff, 4)).to.deep.equal(Buffer.from([0, 7, 8, 9]));
      space.fill(0x1fff, 2, 0x2a);
      expect(space.read(0x1ffd, 6).toString()).to.equal("ac**ss");
      space.copy(0x1ffe, 0x1ffd, 6);
      expect(space.read(0x1ffd, 7).toString()).to.equal("aac**ss");
      space.copy(0x1ffd, 0x1ffe, 6);
      expect(space.read(0x1ffd, 6).toString()).to.equal("ac**ss");
      space.copy(0x1000, 0x1ffd, 6);
      expect(space.read(0x1000, 6).toString()).to.equal("ac**ss");
      const target = new Uint16Array(2);
      space.readInto(0x2fff, target);
      expect([...new Uint8Array(target.buffer)]).to.deep.equal([0, 7, 8, 9]);
    });

    it("fault as a whole and change nothing", () => {
      const space = new AddressSpace();
      space.addRam(0x1000, 0x1000);
      space.addRom(0x2000, new Uint8Array(4));
      space.addMmio(0x4000, 0x1000, new Recorder());
      space.addRam(0x5000, 0x1000);
      const untouched = Uint8Array.of(1, 2, 3);
      for (const [gpa, length] of [
        [0xfff, 2],
        [0x1fff, 6],
        [0x4fff, 2],
        [0x4000, 1],
        [0x5fff, 2],
        [2 ** 53 - 1, 2],
        [2n ** 64n - 1n, 2],
      ] as const) {
        expect(thrown(() => space.read(gpa, length))).to.deep.equal(FAULT);
        expect(thrown(() => space.fill(gpa, length, 1))).to.deep.equal(FAULT);
        expect(thrown(() => space.write(gpa, new Uint8Array(length)))).to.deep.equal(FAULT);
        expect(thrown(() => space.copy(gpa, 0x1100, length))).to.deep.equal(FAULT);
        expect(thrown(() => space.copy(0x1100, gpa, length))).to.deep.equal(FAULT);
      }
      expect(thrown(() => space.readInto(0xffe, untouched))).to.deep.equal(FAULT);
      expect([...untouched]).to.deep.equal([1, 2, 3]);
      expect(thrown(() => space.fill(0x1ffe, 4, 1))).to.deep.equal(FAULT);
      expect(space.read(0x1000, 0x1004).every((byte) => byte === 0)).to.equal(true);
    });

    it("accept 0 bytes at any address", () => {
      const space = new AddressSpace();
      expect(space.read(0x1000, 0).length).to.equal(0);
      space.fill(2n ** 64n - 1n, 0, 5);
      space.copy(0, 5, 0);
      expect(thrown(() => space.fill(0, 0, 256))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.fill(-1, 0, 25))).to.deep.equal(OUT_OF_RANGE);
      if (IS_WIDE) {
        space.addRam(0, 9 * GIB);
        expect(thrown(() => space.read(0, 2 ** 33))).to.deep.equal(OUT_OF_RANGE);
      }
      expect(thrown(() => space.write(0, [1] as never))).to.deep.equal(WRONG_TYPE);
    });

    it("copy correctly between two regions over the same memory", () => {
      const space = new AddressSpace();
      const memory = GuestMemory.allocate(4096);
      space.addRam(0, memory);
      space.addRam(0x1000, memory);
      memory.write(0, Buffer.from("0123456789"));
      space.copy(0x1002, 0, 8);
      expect(memory.read(0, 10).toString()).to.equal("0101234567");
      memory.write(4090, Buffer.from("abcdef"));
      space.copy(0xffc, 0xffa, 8);
      expect(memory.read(4090, 6).toString()).to.equal("ababcd");
      expect(memory.read(0, 4).toString()).to.equal("ef01");
      space.write(0xffe, memory.slice(4094, 2));
      space.readInto(0xffe, memory.slice(0, 4));
    });
  });
});

describe("the name of a region", () => {
  it("is printed without control characters", () => {
    const space = new AddressSpace();
    const name = "a\u001b[2J\u009b31m\u202e\u007f\n";
    const region = space.addRam(0, 4096, { name });
    const shown = "a\\u001b[2J\\u009b31m\\u202e\\u007f\\u000a";
    expect(region.name).to.equal(name);
    expect(inspect(region)).to.include(shown);
    expect(inspect(space)).to.include(shown).and.not.include("\u001b");
    expect(() => space.addRam(0, 4096)).to.throw(`ram@0x0 overlaps ${shown}`);
  });
});

describe("a bulk write whose source a listener detaches", () => {
  it("is refused with a code, and changes nothing", () => {
    for (const pieces of [1, 2]) {
      const space = new AddressSpace();
      const { memory } = space.addRam(0, 4096);
      space.addRam(4096, 4096);
      const source = new Uint8Array(8).fill(1);
      space.watch({ gpa: 0, length: 8192 }, () => {
        structuredClone(source.buffer, { transfer: [source.buffer] });
      });
      expect(thrown(() => space.write(pieces === 1 ? 0 : 4092, source))).to.deep.equal(
        OUT_OF_RANGE,
      );
      expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
    }
  });
});
