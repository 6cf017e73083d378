import { expect } from "chai";
import {
  AddressSpace,
  BUS_ERROR,
  GuestMemAccessResult,
  GuestMemory,
  type AddressSpaceOptions,
} from "pound-guest-memory";
import { TypedRegion } from "pound-guest-memory/typed";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { PATHS } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;

describe("the access policy of an address space", () => {
  it("is that of Pound's header by default, and cannot change", () => {
    const options = { alignment: "allow", endian: "big" } as const;
    expect(new AddressSpace().policy).to.deep.equal({ alignment: "fault", endian: "little" });
    const space = new AddressSpace(options);
    expect(space.policy).to.deep.equal(options);
    expect(Object.isFrozen(space.policy)).to.equal(true);
    expect(space).to.be.instanceOf(AddressSpace);
    expect(space.constructor).to.equal(AddressSpace);
  });

  it("must be known", () => {
    const refused: [object, object][] = [
      [{ alignment: "trap" }, OUT_OF_RANGE],
      [{ alignment: "" }, OUT_OF_RANGE],
      [{ alignment: true }, WRONG_TYPE],
      [{ alignment: null }, WRONG_TYPE],
      [{ endian: "middle" }, OUT_OF_RANGE],
      [{ endian: 1 }, WRONG_TYPE],
      [{ alignment: "allow", endian: "BIG" }, OUT_OF_RANGE],
    ];
    for (const [options, code] of refused) {
      const make = (): AddressSpace => new AddressSpace(options);
      expect(thrown(make), JSON.stringify(options)).to.include(code);
    }
  });

  it("holds for the accessors of a space without a policy", () => {
    const space = new AddressSpace({ alignment: "allow", endian: "big" });
    const { memory } = space.addRam(0, 4096);
    const { writel, readl } = AddressSpace.prototype;
    for (let round = 0; round < 3; round++) {
      writel.call(space, 1, 0x1122_3344);
      expect(readl.call(space, 1)).to.equal(0x1122_3344);
      expect([...memory.read(1, 4)]).to.deep.equal([0x11, 0x22, 0x33, 0x44]);
    }
  });

  it("holds in a class that a program derives", () => {
    class Bus extends AddressSpace {
      override readl(gpa: number): number {
        return super.readl(gpa) + 1;
      }
    }
    const bus = new Bus({ alignment: "allow", endian: "big" });
    bus.addRam(0, 4096);
    expect(bus).to.be.instanceOf(Bus);
    for (let round = 0; round < 3; round++) {
      bus.writel(1, 0x1122_3344);
      expect(bus.readl(1)).to.equal(0x1122_3345);
      expect(bus.readw(3)).to.equal(0x3344);
      expect(bus.native.readl(1)).to.equal(0x1122_3344);
      expect([...bus.read(0, 6)]).to.deep.equal([0, 0x11, 0x22, 0x33, 0x44, 0]);
    }
  });

  for (const path of PATHS) {
    describe(`on the ${path} path`, () => {
      function machine(options: AddressSpaceOptions) {
        const space = new AddressSpace(options);
        return { space, access: path === "view" ? space : space.native };
      }

      it("gives values of every width in either order, aligned or not", () => {
        const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99];
        for (const start of [0, 1, 4089, 4095]) {
          for (const alignment of ["fault", "allow"] as const) {
            const { space, access } = machine({ alignment, endian: "big" });
            space.addRam(0, 8192);
            space.write(start, Uint8Array.from(bytes));
            const unaligned = alignment === "fault" && start % 2 !== 0;
            const out = new BigUint64Array(1);
            for (let round = 0; round < 3; round++) {
              const result = access.tryReadq(start, out);
              expect(result).to.equal(alignment === "fault" && start % 8 ? FAULT_UNALIGNED : OK);
              expect(out[0]).to.equal(result === OK ? 0x1122_3344_5566_7788n : 0n);
              if (!unaligned) {
                expect(access.readw(start)).to.equal(0x1122);
                if (start % 4 === 0 || alignment === "allow") {
                  expect(access.readl(start)).to.equal(0x1122_3344);
                }
              }
              expect(access.readb(start)).to.equal(0x11);
            }
          }
        }
      });

      it("lets a write span adjoining windows, and marks the pages of both", () => {
        const { space, access } = machine({ alignment: "allow" });
        const [first, second] = [0, 4096].map((gpa) =>
          space.addRam(gpa, 4096, { trackDirty: true }),
        );
        access.writel(4094, 0x1122_3344);
        expect([...space.read(4092, 8)]).to.deep.equal([0, 0, 0x44, 0x33, 0x22, 0x11, 0, 0]);
        expect([...first!.dirty!.drain()]).to.deep.equal([0]);
        expect([...second!.dirty!.drain()]).to.deep.equal([0]);
        expect(access.readl(4094)).to.equal(0x1122_3344);
      });

      for (const shared of [false, true]) {
        it(`marks both pages of an unaligned write, with shared marks: ${shared}`, () => {
          for (const base of [0, 2 ** 33]) {
            const { space, access } = machine({ alignment: "allow", pageSize: 65536 });
            const ram = space.addRam(base, 0x20000, { trackDirty: true });
            if (shared) {
              expect(ram.dirty!.buffer.byteLength).to.be.above(0);
            }
            for (let round = 0; round < 3; round++) {
              access.writel(base + 16, 1);
              access.writeq(base + 8185, 1n);
              access.writew(base + 16383, 1);
              access.tryWriteqHalves(base + 0x8ffc, 1, 1);
              expect([...ram.dirty!.drain()]).to.deep.equal([0, 1, 2, 3, 4, 8, 9]);
            }
          }
        });
      }

      it("checks all bytes of a write before it writes one", () => {
        const { space, access } = machine({ alignment: "allow" });
        const ram = space.addRam(0, 4096);
        ram.startTracking();
        space.addRom(4096, new Uint8Array(4096).fill(7));
        const other = space.addRam(8192, 4096);
        for (const [gpa, reason] of [
          [4094, "read-only"],
          [8190, "read-only"],
          [12286, "hole"],
        ] as const) {
          expect(access.tryWritel(gpa, -1)).to.equal(FAULT_BOUNDARY);
          expect(space.lastFault).to.deep.include({ gpa, width: 4, reason });
        }
        expect(access.readl(4094)).to.equal(0x0707_0000);
        expect(access.tryReadl(12286, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        other.memory.destroy();
        expect(access.tryReadl(8190, new Uint32Array(1))).to.equal(ERROR_INTERNAL);
        expect(space.lastFault!.reason).to.equal("destroyed");
        expect([...ram.dirty!.drain()]).to.deep.equal([]);
        expect(ram.memory.readl(4092)).to.equal(0);
      });

      it("calls a device for each aligned part, before RAM changes", () => {
        const { space, access } = machine({ alignment: "allow", endian: "big" });
        const calls: string[] = [];
        const ram = space.addRam(0, 4096);
        let refused = -1;
        space.addMmio(4096, 16, {
          read: (offset, width) => {
            calls.push(`read ${offset} ${width}`);
            return offset === refused ? BUS_ERROR : width === 8 ? 0n : 0x10 * width + offset;
          },
          write: (offset, value, width) => {
            calls.push(`write ${offset} ${width} ${value.toString(16)} ${ram.memory.readb(4095)}`);
            return offset === refused ? BUS_ERROR : undefined;
          },
        });
        access.writel(4097, 0x1122_3344);
        access.writeq(4095, 0x0102_0304_0506_0708n);
        expect(access.readl(4097)).to.equal(0x1100_2214);
        expect(access.readl(4094)).to.equal(0x0001_0020);
        expect(calls.splice(0)).to.deep.equal([
          "write 1 1 11 0",
          "write 2 2 2233 0",
          "write 4 1 44 0",
          "write 0 4 2030405 0",
          "write 4 2 607 0",
          "write 6 1 8 0",
          "read 1 1",
          "read 2 2",
          "read 4 1",
          "read 0 2",
        ]);
        refused = 4;
        expect(access.tryWriteq(4095, -1n)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadq(4095, new BigUint64Array(1))).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault).to.deep.include({ gpa: 4095, width: 8, reason: "device" });
        expect(ram.memory.readb(4095)).to.equal(1);
      });

      it("composes wide registers of a device in the order of the space", () => {
        const { space, access } = machine({ endian: "big" });
        space.addMmio(0, 8, { readw: (offset) => offset + 1, impl: { min: 2, max: 2 } });
        expect(access.readl(0)).to.equal(0x0001_0003);
        expect(access.readb(3)).to.equal(3);
        expect(access.readq(0)).to.equal(0x0001_0003_0005_0007n);
      });

      it("answers the unmapped parts of an access", () => {
        const { space, access } = machine({ alignment: "allow", unmapped: { read: -1 } });
        space.addRam(0, 4096);
        expect(access.readl(4094)).to.equal(0xffff_0000);
        expect(access.readl(8193)).to.equal(0xffff_ffff);
        expect(access.tryWritel(4094, 0)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadl(2n ** 64n - 2n, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault!.reason).to.equal("hole");
      });

      it("repeats a refused access if the listener maps its bytes", () => {
        const { space, access } = machine({
          alignment: "allow",
          onFault: ({ gpa, reason }) => {
            expect([gpa, reason]).to.deep.equal([4095, "hole"]);
            space.addRam(4096, 4096);
            return "retry";
          },
        });
        space.addRam(0, 4096);
        access.writew(4095, 0x1122);
        expect(access.readw(4095)).to.equal(0x1122);
      });

      it("notifies the watchpoints on each page of an access once", () => {
        const { space, access } = machine({ alignment: "allow" });
        space.addRam(0, 8192);
        const seen: unknown[] = [];
        space.watch({ gpa: 4097, length: 1 }, (found) => seen.push(found));
        for (const gpa of [4092, 4093, 4094, 4097, 4098]) {
          access.writel(gpa, 5);
          access.readl(gpa);
        }
        const found = (gpa: bigint, kind: string) => ({ gpa, width: 4, kind, value: 5 });
        expect(seen).to.deep.equal(
          [4094n, 4097n].flatMap((gpa) => [found(gpa, "write"), found(gpa, "read")]),
        );
      });

      it("does not hold for atomics, which fault, but gives them its byte order", () => {
        const { space, access } = machine({ alignment: "allow", endian: "big" });
        const region = space.addRam(0, 4096);
        access.writel(4, 0x00ff_ffff);
        expect(access.atomics.tryLoadl(5, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
        expect(access.atomics.addl(4, 2)).to.equal(0x00ff_ffff);
        expect(access.atomics.compareExchangel(4, 0x0100_0001, 0x1122_3344)).to.equal(0x0100_0001);
        expect(access.atomics.andl(4, 0xff00_ff00)).to.equal(0x1122_3344);
        expect(region.memory.readl(4)).to.equal(0x0033_0011);
        expect(access.atomics.addq(8, -1n)).to.equal(0n);
        expect(access.atomics.addq(8, 2n)).to.equal(2n ** 64n - 1n);
        expect(access.readq(8)).to.equal(1n);
        const halves = new Uint32Array(2);
        expect(access.atomics.tryExchangeqHalves(8, 5, 6, halves, 0)).to.equal(OK);
        expect([...halves]).to.deep.equal([1, 0]);
        expect(access.readq(8)).to.equal(0x0000_0006_0000_0005n);
      });

      it("holds for typed views and for addresses in halves", () => {
        const { space, access } = machine({ alignment: "allow", endian: "big" });
        space.addRam(2 ** 33, 4096);
        const floats = new TypedRegion(access, "f32", 2 ** 33 + 8, 2);
        floats.set(1, 1);
        expect([...space.read(2 ** 33 + 12, 4)]).to.deep.equal([0x3f, 0x80, 0, 0]);
        const halves = access.halves;
        halves.tryWriteq(9, 2, 0x5566_7788, 0x1122_3344);
        expect([...space.read(2 ** 33 + 9, 8)]).to.deep.equal([
          0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
        ]);
        const out = new Uint32Array(3);
        halves.tryReadq(9, 2, out, 1);
        expect([...out]).to.deep.equal([0, 0x5566_7788, 0x1122_3344]);
        expect(halves.readl(11, 2)).to.equal(0x3344_5566);
      });

      it("survives switches of banks and the end of a memory", () => {
        const { space, access } = machine({ alignment: "allow", endian: "big" });
        const rom = GuestMemory.over(Uint8Array.from({ length: 0x4000 }, (_, i) => i >> 8));
        space.addRam(0x8000, 0x1000);
        const bank = space.addRom(0, rom, { length: 0x2000 });
        expect(access.readl(0xffe)).to.equal(0x0f0f_1010);
        bank.select(0x2000);
        expect(access.readl(0xffe)).to.equal(0x2f2f_3030);
        rom.destroy();
        expect(access.tryReadl(0xffe, new Uint32Array(1))).to.equal(ERROR_INTERNAL);
      });

      it("gives ERROR_INTERNAL for memory that is detached before its first access", () => {
        const { space, access } = machine({ alignment: "allow", endian: "big" });
        const buffer = new ArrayBuffer(0x1000);
        space.addRam(0x8000, GuestMemory.over(buffer));
        structuredClone(buffer, { transfer: [buffer] });
        expect(access.tryReadl(0x8001, new Uint32Array(1))).to.equal(ERROR_INTERNAL);
        expect(access.tryWritew(0x8001, 1)).to.equal(ERROR_INTERNAL);
      });
    });
  }
});
