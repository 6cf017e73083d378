import { expect } from "chai";
import {
  type AccessFault,
  AddressSpace,
  type AddressSpaceOptions,
  BUS_ERROR,
  type FaultReason,
  type Gpa,
  type GuestAccessors,
  type GuestAtomicAccess,
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
  type MmioDevice,
  type MmioImplementation,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { handlersOf } from "../../lib/space/device.js";
import { readRegister, valueOf, writeRegister } from "../../lib/space/register-call.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { WIDTHS } from "../support/widths.js";
import { PATHS, nativeOf } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;

/** The fault that an action throws. */
function faultOf(action: () => unknown): GuestMemoryFault {
  try {
    action();
  } catch (error) {
    if (error instanceof GuestMemoryFault) {
      return error;
    }
    throw error;
  }
  throw new Error("no fault");
}

/** Registers in an array of bytes, with one handler for all widths, which logs its calls. */
class Registers implements MmioDevice {
  readonly calls: string[] = [];
  readonly view: DataView;

  constructor(
    readonly impl: MmioImplementation,
    size = 16,
  ) {
    this.view = new DataView(new ArrayBuffer(size));
    for (let i = 0; i < size; i++) {
      this.view.setUint8(i, 0x11 * ((i % 8) + 1));
    }
  }

  read(offset: number, width: number): number | bigint {
    this.calls.push(`read ${offset} ${width}`);
    const { view } = this;
    const reads: Record<number, () => number | bigint> = {
      1: () => view.getUint8(offset),
      2: () => view.getUint16(offset, true),
      4: () => view.getUint32(offset, true),
      8: () => view.getBigUint64(offset, true),
    };
    return reads[width]!();
  }

  write(offset: number, value: number | bigint, width: number): void {
    this.calls.push(`write ${offset} ${width} 0x${value.toString(16)} ${typeof value}`);
  }

  takeCalls(): string[] {
    return this.calls.splice(0);
  }
}

for (const path of PATHS) {
  const on = (
    options?: AddressSpaceOptions,
  ): { space: AddressSpace; access: GuestAccessors; atomics: GuestAtomicAccess } => {
    const space = new AddressSpace(options);
    return path === "view"
      ? { space, access: space, atomics: space.atomics }
      : { space, access: space.native, atomics: space.native.atomics };
  };

  describe(`devices on the ${path} path`, () => {
    it("get the width where one handler serves all", () => {
      const { space, access } = on();
      const device = new Registers({});
      space.addMmio(0x1000, 16, device);
      expect(access.readb(0x1003)).to.equal(0x44);
      expect(access.readw(0x1002)).to.equal(0x4433);
      expect(access.readl(0x1004)).to.equal(0x8877_6655);
      expect(access.readq(0x1008)).to.equal(0x8877_6655_4433_2211n);
      for (const { bytes, write } of WIDTHS) {
        write(access, 0x1008, BigInt(bytes));
      }
      expect(device.takeCalls()).to.deep.equal([
        "read 3 1",
        "read 2 2",
        "read 4 4",
        "read 8 8",
        "write 8 1 0x1 number",
        "write 8 2 0x2 number",
        "write 8 4 0x4 number",
        "write 8 8 0x8 bigint",
      ]);
    });

    it("serve a width by its own handler before the general one, without a width argument", () => {
      const { space, access } = on();
      const calls: unknown[][] = [];
      space.addMmio(0, 8, {
        readl: (...args: unknown[]) => calls.push(["readl", ...args]),
        read: (...args: unknown[]) => calls.push(["read", ...args]),
        writew: (...args: unknown[]) => calls.push(["writew", ...args]),
        write: (...args: unknown[]) => calls.push(["write", ...args]),
      });
      access.readl(4);
      access.readw(4);
      access.writew(2, 5);
      access.writel(4, 6);
      expect(calls).to.deep.equal([
        ["readl", 4],
        ["read", 4, 2],
        ["writew", 2, 5],
        ["write", 4, 6, 4],
      ]);
    });

    it("get wider accesses in parts, lowest offset first, without a bigint", () => {
      for (const max of [1, 2, 4] as const) {
        const { space, access } = on();
        const device = new Registers({ max });
        space.addMmio(0x1000, 16, device);
        expect(access.readq(0x1008)).to.equal(0x8877_6655_4433_2211n);
        expect(access.readl(0x1004)).to.equal(0x8877_6655);
        const parts = (from: number, width: number) =>
          Array.from({ length: Math.max(1, width / max) }, (_, i) => from + i * max);
        expect(device.takeCalls()).to.deep.equal(
          [...parts(8, 8), ...parts(4, 4)].map((offset) => `read ${offset} ${max}`),
        );
        access.writeq(0x1000, 0x8877_6655_4433_2211n);
        const bits = (offset: number) =>
          BigInt.asUintN(8 * max, 0x8877_6655_4433_2211n >> BigInt(8 * offset)).toString(16);
        expect(device.takeCalls()).to.deep.equal(
          parts(0, 8).map((offset) => `write ${offset} ${max} 0x${bits(offset)} number`),
        );
      }
    });

    it("get narrower reads as reads of a whole register", () => {
      for (const min of [2, 4, 8] as const) {
        const { space, access } = on();
        const device = new Registers({ min });
        space.addMmio(0x1000, 16, device);
        for (let offset = 0; offset < 16; offset++) {
          const register = offset - (offset % min);
          expect(access.readb(0x1000 + offset)).to.equal(0x11 * ((offset % 8) + 1));
          expect(device.takeCalls()).to.deep.equal([`read ${register} ${min}`]);
        }
        if (min > 2) {
          expect(access.readw(0x1006)).to.equal(0x8877);
        }
        if (min > 4) {
          expect(access.readl(0x100c)).to.equal(0x8877_6655);
        }
      }
    });

    it("get narrower writes shifted, replicated or merged, as they declare", () => {
      const cases = [
        ["shift", 4, ["write 0 4 0xab0000 number"], ["write 4 4 0xbeef0000 number"]],
        ["replicate", 4, ["write 0 4 0xabababab number"], ["write 4 4 0xbeefbeef number"]],
        [
          "merge",
          4,
          ["read 0 4", "write 0 4 0x44ab2211 number"],
          ["read 4 4", "write 4 4 0xbeef6655 number"],
        ],
        ["shift", 8, ["write 0 8 0xab0000 bigint"], ["write 0 8 0xbeef000000000000 bigint"]],
        [
          "replicate",
          8,
          ["write 0 8 0xabababababababab bigint"],
          ["write 0 8 0xbeefbeefbeefbeef bigint"],
        ],
        [
          "merge",
          8,
          ["read 0 8", "write 0 8 0x8877665544ab2211 bigint"],
          ["read 0 8", "write 0 8 0xbeef665544332211 bigint"],
        ],
        ["replicate", 2, ["write 2 2 0xabab number"], ["write 6 2 0xbeef number"]],
      ] as const;
      for (const [narrowWrites, min, byte, word] of cases) {
        const { space, access } = on();
        const device = new Registers({ min, narrowWrites });
        space.addMmio(0x1000, 16, device);
        access.writeb(0x1002, 0xab);
        expect(device.takeCalls()).to.deep.equal(byte);
        access.writew(0x1006, 0xbeef);
        expect(device.takeCalls()).to.deep.equal(word);
      }
    });

    it("refuse narrower writes unless they declare what these do, and merges without a read", () => {
      const { space, access } = on();
      space.addMmio(0, 8, new Registers({ min: 4 }, 8));
      space.addMmio(8, 8, { writel() {}, impl: { min: 4, narrowWrites: "merge" } });
      for (const gpa of [0, 8]) {
        expect(access.tryWriteb(gpa, 1)).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault!.reason).to.equal("no-handler");
        expect(access.tryWritel(gpa, 1)).to.equal(OK);
      }
    });

    it("compose accesses of handlers for one width", () => {
      const { space, access } = on();
      const words = [0x1111_1111, 0x2222_2222];
      space.addMmio(0, 8, {
        readl: (offset) => words[offset / 4]!,
        writel: (offset, value) => (words[offset / 4] = value),
        impl: { min: 4, max: 4, narrowWrites: "replicate" },
      });
      access.writeb(5, 0x7f);
      expect(access.readq(0)).to.equal(0x7f7f_7f7f_1111_1111n);
      access.writeq(0, 0x0123_4567_89ab_cdefn);
      expect(words).to.deep.equal([0x89ab_cdef, 0x0123_4567]);
    });

    it("keep the values of a composed access apart from those of accesses in its handlers", () => {
      const { space, access } = on();
      space.addRam(0x1000, 4096);
      access.writeq(0x1000, 0xffff_ffff_ffff_ffffn);
      const seen: number[] = [];
      space.addMmio(0x8000, 8, {
        read: (offset) => Number(access.readq(0x1000) & 0xfn) + offset,
        write: (_, value) => seen.push(Number(value), Number(access.readq(0x8008) & 1n)),
        impl: { max: 4 },
      });
      space.addMmio(0x8008, 8, { read: (offset) => offset + 3, impl: { max: 2 } });
      expect(access.readq(0x8000)).to.equal(0x0000_0013_0000_000fn);
      access.writeq(0x8000, 0x0000_0002_0000_0001n);
      expect(seen).to.deep.equal([1, 1, 2, 1]);
    });

    it("refuse an access by returning BUS_ERROR", () => {
      const { space, access } = on();
      const refuse = () => BUS_ERROR;
      const each = Object.fromEntries(
        WIDTHS.flatMap(({ suffix }) => [
          [`read${suffix}`, refuse],
          [`write${suffix}`, refuse],
        ]),
      );
      space.addMmio(0x100, 8, each);
      space.addMmio(0x108, 8, { read: refuse, write: refuse });
      space.addMmio(0x110, 8, { read: refuse, write: refuse, impl: { max: 1 } });
      space.addMmio(0x118, 8, {
        read: refuse,
        write: refuse,
        impl: { min: 8, narrowWrites: "merge" },
      });
      for (const gpa of [0x100, 0x108, 0x110, 0x118]) {
        for (const { bytes, tryRead, tryWrite, read, write, out } of WIDTHS) {
          const cell = out(7n);
          expect(tryRead(access, gpa, cell)).to.equal(FAULT_BOUNDARY);
          expect(BigInt(cell[0]!)).to.equal(7n);
          expect(space.lastFault).to.deep.equal({
            result: FAULT_BOUNDARY,
            gpa,
            width: bytes,
            operation: "read",
            reason: "device",
          });
          expect(tryWrite(access, gpa, 1n)).to.equal(FAULT_BOUNDARY);
          expect(faultOf(() => read(access, gpa)).reason).to.equal("device");
          expect(faultOf(() => write(access, gpa, 1n)).reason).to.equal("device");
        }
      }
    });

    it("stop a composed access at the first part that they refuse", () => {
      const { space, access } = on();
      const calls: string[] = [];
      space.addMmio(0, 8, {
        read: (offset) => (calls.push(`read ${offset}`), offset === 2 ? BUS_ERROR : 0),
        write: (offset) => (calls.push(`write ${offset}`), offset === 4 ? BUS_ERROR : 0),
        impl: { max: 2 },
      });
      expect(access.tryReadq(0, new BigUint64Array(1))).to.equal(FAULT_BOUNDARY);
      expect(access.tryWriteq(0, 0n)).to.equal(FAULT_BOUNDARY);
      expect(calls).to.deep.equal(["read 0", "read 2", "write 0", "write 2", "write 4"]);
    });

    it("may have any address and length, with alignment by the address", () => {
      const { space, access } = on();
      const offsets: number[] = [];
      const read = (offset: number, width: number): number | bigint => {
        offsets.push(offset);
        return width === 8 ? 0n : 0;
      };
      space.addMmio(0x3f9, 1, { read });
      space.addMmio(0x1003, 10, { read });
      access.readb(0x3f9);
      access.readl(0x1004);
      access.readw(0x100a);
      access.readb(0x100c);
      expect(offsets).to.deep.equal([0, 1, 7, 9]);
      expect(access.tryReadl(0x1003, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
      expect(space.lastFault!.reason).to.equal("alignment");
      for (const [gpa, width] of [
        [0x1002, 1],
        [0x100c, 1],
        [0x3f8, 1],
        [0x3f9, 1],
      ] as const) {
        const { tryRead, out } = WIDTHS[width]!;
        expect(tryRead(access, gpa, out(0n))).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault!.reason).to.equal("straddle");
      }
      expect(access.tryReadb(0x3f8, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("hole");
    });

    it("adjoin RAM, and an access across the border faults", () => {
      const { space, access } = on();
      space.addRam(0x1000, 4096);
      space.addMmio(0x2000, 1, { read: () => 5 });
      space.addMmio(0x2001, 1, { read: () => 6 });
      expect(access.readb(0x2001)).to.equal(6);
      expect(access.tryReadw(0x2000, new Uint16Array(1))).to.equal(FAULT_BOUNDARY);
      expect(access.tryReadw(0x1fff, new Uint16Array(1))).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("straddle");
    });

    it("throw, and change nothing, for a value that a composed access cannot have", () => {
      const { space, access } = on();
      let found: unknown;
      space.addMmio(0, 8, { read: () => found as number, impl: { max: 4 } }, { name: "rtc" });
      space.addMmio(8, 8, { read: () => found as number, impl: { min: 4 } }, { name: "rtc" });
      for (const [value, error] of [
        ["1", WRONG_TYPE],
        [undefined, WRONG_TYPE],
        [1n, WRONG_TYPE],
        [-(2 ** 31) - 1, OUT_OF_RANGE],
        [2 ** 32, OUT_OF_RANGE],
      ] as const) {
        found = value;
        expect(thrown(() => access.readq(0))).to.deep.equal(error);
        expect(thrown(() => access.readb(9))).to.deep.equal(error);
        expect(() => access.readb(9)).to.throw(/rtc/);
      }
    });

    it("may destroy memory, unmap themselves and fault inside a handler", () => {
      const { space, access } = on();
      const ram = space.addRam(0x1000, 4096);
      const port = space.addMmio(0x10, 4, {
        readl: () => {
          space.remove(port);
          ram.memory.destroy();
          return access.tryReadl(0x1000, new Uint32Array(1));
        },
        writel: () => (access.tryReadl(0x5000, new Uint32Array(1)), BUS_ERROR),
      });
      expect(access.tryWritel(0x10, 1)).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault).to.include({ gpa: 0x10, reason: "device" });
      expect(access.readl(0x10)).to.equal(ERROR_INTERNAL);
      expect(access.tryReadl(0x10, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
    });

    it("never give -0", () => {
      const { space, access } = on();
      space.addMmio(0, 8, { read: () => -0, impl: { max: 4 } });
      expect(access.readb(0)).to.equal(0);
      expect(Object.is(access.readb(0), -0)).to.equal(false);
    });
  });

  describe(`devices that were accessed before on the ${path} path`, () => {
    /** A device whose registers hold a number, and which counts the writes. */
    const numbered = (number: number) => {
      const device = { writes: 0, readl: () => number, writel: () => device.writes++ };
      return device;
    };

    it("follow every change of the map", () => {
      const { space, access } = on();
      const first = space.addMmio(0x1000, 0x1000, numbered(1));
      const use = () => [access.readl(0x1010), access.tryWritel(0x1010, 5)];
      expect([use(), use()]).to.deep.equal([
        [1, OK],
        [1, OK],
      ]);
      const ram = space.addRam(0x1000, 0x1000, { priority: 1 });
      ram.memory.writel(0x10, 9);
      expect([use(), use()]).to.deep.equal([
        [9, OK],
        [5, OK],
      ]);
      space.remove(ram);
      expect(use()).to.deep.equal([1, OK]);
      space.remove(first);
      expect(access.tryReadl(0x1010, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(access.tryWritel(0x1010, 5)).to.equal(FAULT_BOUNDARY);
      const second = numbered(2);
      space.addMmio(0x1000, 0x1000, second);
      expect([use(), second.writes]).to.deep.equal([[2, OK], 1]);
    });

    it("each answer for their own registers, many of them and at any distance", () => {
      const { space, access } = on();
      const places = [0x1000, 0x10000, 2 ** 20, 2 ** 24].flatMap((step) =>
        Array.from({ length: 40 }, (_, i) => (step < 2 ** 20 ? 0 : 2 ** 31) + (i + 1) * step),
      );
      const gpas = [...new Set(places), 2 ** 32 - 4, 2 ** 32, 2 ** 32 + 0x1000];
      for (const [i, gpa] of gpas.entries()) {
        space.addMmio(gpa, 4, numbered(i));
      }
      for (let round = 0; round < 2; round++) {
        expect(gpas.map((gpa) => access.readl(gpa))).to.deep.equal([...gpas.keys()]);
      }
    });

    it("share a page, and fault where an access does not fit", () => {
      const { space, access } = on();
      space.addMmio(0x1000, 8, numbered(1));
      space.addMmio(0x1008, 6, { ...numbered(2), readw: () => 3 });
      const out = new Uint32Array(1);
      for (let round = 0; round < 2; round++) {
        expect([access.readl(0x1004), access.readl(0x1008), access.readw(0x100c)]).to.deep.equal([
          1, 2, 3,
        ]);
        expect(access.tryReadl(0x100c, out)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadl(0x1002, out)).to.equal(FAULT_UNALIGNED);
        expect(access.tryReadl(2 ** 32 + 0x1004, out)).to.equal(FAULT_BOUNDARY);
        expect(access.tryReadb(0x1000, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
        expect(access.tryWritew(0x1000, 1)).to.equal(FAULT_BOUNDARY);
        expect(thrown(() => access.readl(0x1004 + 0.5))).to.include(OUT_OF_RANGE);
        expect(thrown(() => access.tryReadl(0x1004, new Uint8Array(1) as never))).to.include(
          WRONG_TYPE,
        );
        expect(thrown(() => access.tryWritel(0x1004, 2 ** 32))).to.include(OUT_OF_RANGE);
      }
      expect(out[0]).to.equal(0);
    });

    it("notify watchpoints, also one that the handler adds", () => {
      const { space, access } = on();
      const seen: string[] = [];
      const watch = (gpa: number) =>
        space.watch({ gpa, length: 4 }, ({ kind, value }) => seen.push(`${kind} ${value}`));
      let added: ReturnType<typeof watch> | undefined;
      space.addMmio(0, 0x3000, {
        readl(offset) {
          if (offset === 0x1000) {
            added = watch(0x1000);
          }
          return 7;
        },
        writel() {},
      });
      access.readl(0x1004);
      access.readl(0x1000);
      expect(seen).to.deep.equal(["read 7"]);
      access.writel(0x1000, 8);
      access.readl(0x2000);
      expect(seen).to.deep.equal(["read 7", "write 8"]);
      added!.remove();
      access.writel(0x1000, 9);
      watch(0x1000);
      access.writel(0x1000, 10);
      expect(seen).to.deep.equal(["read 7", "write 8", "write 10"]);
    });

    it("notify watchpoints at each access alike, also if the handler refuses it", () => {
      const answers: unknown[] = [];
      const seen: string[] = [];
      const { space, access } = on({ onFault: () => "retry" });
      const device = space.addMmio(0, 0x2000, {
        readl: () => answers.shift() as number,
        writel: (offset, value) => (seen.push(`${offset} = ${value}`), answers.shift()),
      });
      space.watch({ gpa: 0x10, length: 8 }, ({ gpa, width, kind, value }) =>
        seen.push(`${kind} ${width} at ${gpa}: ${value}`),
      );
      const out = new Uint32Array(1);
      // The second round finds the registers in a cache.
      for (let round = 0; round < 2; round++) {
        answers.push(BUS_ERROR, 5, -1, BUS_ERROR, BUS_ERROR, 2 ** 32, 7, 8);
        expect(access.readl(0x10)).to.equal(5);
        expect(access.readl(0x14)).to.equal(2 ** 32 - 1);
        expect(access.tryReadl(0x10, out)).to.equal(FAULT_BOUNDARY);
        expect(thrown(() => access.readl(0x10))).to.include(OUT_OF_RANGE);
        expect(access.tryReadb(0x10, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
        expect(access.readl(0x18)).to.equal(7);
        expect(access.readl(0x1010)).to.equal(8);
        expect(seen.splice(0)).to.deep.equal(["read 4 at 16: 5", `read 4 at 20: ${2 ** 32 - 1}`]);
        answers.push(0, BUS_ERROR, BUS_ERROR);
        access.writel(0x10, -1);
        expect(access.tryWritel(0x14, 1)).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault).to.include({ reason: "device", operation: "write" });
        expect(access.tryWriteb(0x10, 1)).to.equal(FAULT_BOUNDARY);
        access.writel(0x18, 2);
        const all = 2 ** 32 - 1;
        expect(seen.splice(0)).to.deep.equal([
          ...[`write 4 at 16: ${all}`, `16 = ${all}`],
          ...["write 4 at 20: 1", "20 = 1", "20 = 1", "24 = 2"],
        ]);
      }
      // The write that a listener sees goes to the device that was mapped when it began.
      space.watch({ gpa: 0x20, length: 4, kinds: "write" }, () => space.remove(device));
      access.writel(0x24, 3);
      access.writel(0x20, 4);
      expect(access.tryWritel(0x24, 5)).to.equal(FAULT_BOUNDARY);
      expect(seen).to.deep.equal(["36 = 3", "32 = 4"]);
    });

    it("may refuse an access, which may be repeated, and may return an invalid value", () => {
      const answers: unknown[] = [];
      const { space, access } = on({ onFault: () => "retry" });
      space.addMmio(0x1000, 8, {
        readl: () => answers.shift() as number,
        writel: () => answers.shift(),
      });
      answers.push(1, BUS_ERROR, 2, BUS_ERROR, BUS_ERROR, 2 ** 32, 0.5, "1", -0);
      const out = new Uint32Array(1);
      expect(access.readl(0x1000)).to.equal(1);
      expect([access.tryReadl(0x1000, out), out[0]]).to.deep.equal([OK, 2]);
      expect([access.tryReadl(0x1000, out), out[0]]).to.deep.equal([FAULT_BOUNDARY, 2]);
      expect(space.lastFault).to.include({ reason: "device", gpa: 0x1000, operation: "read" });
      expect(thrown(() => access.readl(0x1000))).to.include(OUT_OF_RANGE);
      expect(thrown(() => access.tryReadl(0x1000, out))).to.include(OUT_OF_RANGE);
      expect(thrown(() => access.readl(0x1000))).to.include(WRONG_TYPE);
      expect(Object.is(access.readl(0x1000), 0)).to.equal(true);
      answers.push(undefined, BUS_ERROR, undefined, BUS_ERROR, BUS_ERROR, BUS_ERROR, BUS_ERROR);
      expect(access.tryWritel(0x1000, 1)).to.equal(OK);
      expect(access.tryWritel(0x1000, 1)).to.equal(OK);
      expect(access.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
      expect(faultOf(() => access.writel(0x1000, 1))).to.include({ reason: "device" });
      expect(answers).to.deep.equal([]);
      answers.push(BUS_ERROR, BUS_ERROR);
      expect(faultOf(() => access.readl(0x1004))).to.include({ reason: "device" });
    });

    it("may unmap themselves, detach `out` and fail inside a handler", () => {
      const { space, access } = on();
      let action: () => void = () => {};
      const region = space.addMmio(0x1000, 8, {
        readl() {
          action();
          return 3;
        },
        writel() {
          action();
        },
      });
      access.readl(0x1000);
      access.writel(0x1000, 1);
      const out = new Uint32Array(1);
      action = () => structuredClone(out.buffer, { transfer: [out.buffer] });
      expect([access.tryReadl(0x1000, out), out.length]).to.deep.equal([OK, 0]);
      action = () => {
        throw new Error("broken");
      };
      expect(() => access.readl(0x1000)).to.throw("broken");
      expect(() => access.tryWritel(0x1000, 1)).to.throw("broken");
      action = () => space.remove(region);
      expect(access.readl(0x1000)).to.equal(3);
      expect(access.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
    });
  });

  describe(`ROM with a handler for writes on the ${path} path`, () => {
    it("reads as memory, and calls the handler for writes", () => {
      const { space, access } = on();
      const calls: unknown[][] = [];
      const rom = space.addRom(0x2000, new Uint8Array(4096).fill(0x5a), {
        onWrite: (...args) => {
          calls.push(args);
          if (args[1] === 0x40) {
            rom.memory.writeb(args[0], 0x42);
          }
          return args[1] === 0xff ? BUS_ERROR : undefined;
        },
      });
      access.writeb(0x2005, 0x40);
      expect(access.readl(0x2004)).to.equal(0x5a5a_425a);
      access.writew(0x2006, 0x1234);
      access.writeq(0x2008, 9n);
      expect(access.tryWritel(0x2000, 0xff)).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("device");
      expect(calls).to.deep.equal([
        [5, 0x40, 1],
        [6, 0x1234, 2],
        [8, 9n, 8],
        [0, 0xff, 4],
      ]);
      expect(access.readl(0x2000)).to.equal(0x5a5a_5a5a);
    });

    it("faults, without a call, as other accesses do", () => {
      const { space, access, atomics } = on();
      let calls = 0;
      const rom = space.addRom(0x2000, new Uint8Array(4100), { onWrite: () => calls++ });
      expect(access.tryWritel(0x2002, 1)).to.equal(FAULT_UNALIGNED);
      expect(access.tryWriteq(0x3000, 1n)).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("straddle");
      expect(faultOf(() => space.write(0x2000, Uint8Array.of(1))).reason).to.equal("read-only");
      expect(faultOf(() => atomics.addl(0x2000, 1)).reason).to.equal("read-only");
      rom.memory.destroy();
      expect(access.tryWriteb(0x2000, 1)).to.equal(ERROR_INTERNAL);
      expect(space.lastFault!.reason).to.equal("destroyed");
      expect(calls).to.equal(0);
    });

    it("notifies watchpoints before the handler", () => {
      const { space, access } = on();
      const log: string[] = [];
      space.addRom(0, new Uint8Array(8), { onWrite: () => log.push("handler") });
      space.watch({ gpa: 0, length: 8 }, ({ kind, value }) => log.push(`${kind} ${value}`));
      access.writeb(1, 7);
      expect(log).to.deep.equal(["write 7", "handler"]);
    });
  });

  describe(`unmapped addresses on the ${path} path`, () => {
    it("read as the low bits of a value, at every width", () => {
      const cases: [number | bigint, bigint[]][] = [
        [-1, [0xffn, 0xffffn, 0xffff_ffffn, 2n ** 64n - 1n]],
        [0, [0n, 0n, 0n, 0n]],
        [0xffff_ffff, [0xffn, 0xffffn, 0xffff_ffffn, 0xffff_ffffn]],
        [0x1122_3344_5566_7788n, [0x88n, 0x7788n, 0x5566_7788n, 0x1122_3344_5566_7788n]],
        [-2, [0xfen, 0xfffen, 0xffff_fffen, 2n ** 64n - 2n]],
      ];
      for (const [value, expected] of cases) {
        const { access, space } = on({ unmapped: { read: value } });
        space.addRam(0x1000, 4096);
        WIDTHS.forEach(({ tryRead, read, out }, i) => {
          for (const gpa of [0x10, 0x8000_0000, 2n ** 64n - 8n]) {
            const cell = out(3n);
            expect(tryRead(access, gpa, cell)).to.equal(OK);
            expect(BigInt(cell[0]!)).to.equal(expected[i]);
            expect(BigInt(read(access, gpa))).to.equal(expected[i]);
          }
        });
        expect(access.tryWriteb(0x10, 1)).to.equal(FAULT_BOUNDARY);
        expect(space.lastFault!.reason).to.equal("hole");
      }
    });

    it("call handlers with the address and the width", () => {
      const calls: unknown[][] = [];
      const { access } = on({
        unmapped: {
          read: (gpa, width) => {
            calls.push(["read", gpa, width]);
            return width === 8 ? 5n : 5;
          },
          write: (...args) => calls.push(["write", ...args]),
        },
      });
      expect(access.readl(0x14n)).to.equal(5);
      expect(access.readq(2n ** 60n)).to.equal(5n);
      access.writeb(0x15, 9);
      access.writeq(2n ** 60n, 9n);
      expect(calls).to.deep.equal([
        ["read", 0x14, 4],
        ["read", 2n ** 60n, 8],
        ["write", 0x15, 9, 1],
        ["write", 2n ** 60n, 9n, 8],
      ]);
    });

    it("fault where a handler returns BUS_ERROR, and throw for a value outside the width", () => {
      let found: unknown = BUS_ERROR;
      const { space, access } = on({
        unmapped: { read: () => found as number, write: () => BUS_ERROR },
      });
      expect(access.tryReadl(0, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("hole");
      expect(access.tryWritel(0, 1)).to.equal(FAULT_BOUNDARY);
      found = 256;
      expect(thrown(() => access.readb(0))).to.deep.equal(OUT_OF_RANGE);
      found = "x";
      expect(thrown(() => access.readb(0))).to.deep.equal(WRONG_TYPE);
    });

    it("ignore writes where the space does so, and still fault across a border", () => {
      const { space, access } = on({ unmapped: { read: -1, write: "ignore" } });
      space.addMmio(0x1002, 1, { read: () => 0 });
      expect(access.tryWritel(0x2000, 1)).to.equal(OK);
      expect(access.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
      expect(space.lastFault!.reason).to.equal("straddle");
      expect(access.tryReadl(0x1000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(access.tryReadl(0x2001, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
      expect(access.tryReadw(2n ** 64n - 1n, new Uint16Array(1))).to.equal(FAULT_BOUNDARY);
      expect(thrown(() => access.tryWritel(0x2000, "1" as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => access.tryWritel(0x2000, 2 ** 32))).to.deep.equal(OUT_OF_RANGE);
    });

    it("are watched like others", () => {
      const { space, access } = on({ unmapped: { read: 3, write: "ignore" } });
      const log: string[] = [];
      space.watch({ gpa: 0x10, length: 4 }, ({ kind, gpa, value }) =>
        log.push(`${kind} ${gpa} ${value}`),
      );
      access.readb(0x13);
      access.writeb(0x12, 7);
      access.writeb(0x14, 7);
      expect(log).to.deep.equal(["read 19 3", "write 18 7"]);
    });

    it("fault for bulk and atomic accesses", () => {
      const { space, atomics } = on({ unmapped: { read: -1, write: "ignore" } });
      expect(faultOf(() => space.read(0, 4)).reason).to.equal("hole");
      expect(faultOf(() => space.fill(0, 4, 1)).reason).to.equal("hole");
      expect(faultOf(() => atomics.loadl(0)).reason).to.equal("hole");
    });
  });

  describe(`the listener of faults on the ${path} path`, () => {
    it("may map a region and ask for one retry, in every form", () => {
      const actions: ((access: GuestAccessors, space: AddressSpace) => void)[] = [
        ...WIDTHS.flatMap(({ read, write, tryRead, tryWrite, out }) => [
          (access: GuestAccessors) => void read(access, 0x5008),
          (access: GuestAccessors) => write(access, 0x5008, 1n),
          (access: GuestAccessors) => expect(tryRead(access, 0x5008, out(1n))).to.equal(OK),
          (access: GuestAccessors) => expect(tryWrite(access, 0x5008, 1n)).to.equal(OK),
        ]),
        (access) => expect(access.tryWriteqFrom(0x5008, new BigUint64Array(1))).to.equal(OK),
        (_, space) => expect(space.read(0x5008, 4)).to.deep.equal(Buffer.from([0x77, 0, 0, 0])),
        (_, space) => space.write(0x5008, Uint8Array.of(1)),
        (_, space) => space.fill(0x5008, 4, 1),
        (_, space) => space.copy(0x5008, 0x5010, 8),
      ];
      for (const action of actions) {
        const faults: AccessFault[] = [];
        const { space, access } = on({
          onFault: (fault) => {
            faults.push(fault);
            space.addRam(0x5000, 4096).memory.writeb(8, 0x77);
            return "retry";
          },
        });
        action(access, space);
        expect(faults.length).to.equal(1);
        expect(faults[0]!.reason).to.equal("hole");
        expect(space.lastFault).to.equal(null);
      }
    });

    it("serves atomics and the exclusive monitor", () => {
      const faults: FaultReason[] = [];
      const { space, atomics } = on({
        onFault: ({ reason }) => {
          faults.push(reason);
          space.addRam(0x1000 * faults.length, 4096);
          return "retry";
        },
      });
      expect(atomics.addl(0x1000, 5)).to.equal(0);
      expect(atomics.loadl(0x2000)).to.equal(0);
      const monitor = new ExclusiveMonitor(atomics);
      expect(monitor.loadExclusivel(0x3000)).to.equal(0);
      expect(monitor.storeExclusivel(0x4000, 1)).to.equal(false);
      expect(faults).to.deep.equal(["hole", "hole", "hole", "hole"]);
      expect(atomics.loadl(0x1000)).to.equal(5);
    });

    it("gets each fault once, and the second one is final", () => {
      const faults: AccessFault[] = [];
      const { space, access, atomics } = on({
        onFault: (fault) => {
          faults.push(fault);
          return "retry";
        },
      });
      space.addRom(0, new Uint8Array(4096));
      expect(access.tryReadl(0x5000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(access.tryReadl(2, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
      expect(faultOf(() => access.writew(0x10, 1)).reason).to.equal("read-only");
      expect(faultOf(() => space.read(0xff0, 32)).reason).to.equal("hole");
      expect(faultOf(() => atomics.orb(0x10, 1)).reason).to.equal("read-only");
      const monitor = new ExclusiveMonitor(atomics);
      expect(faultOf(() => monitor.loadExclusivel(0xffe)).reason).to.equal("straddle");
      expect(faults).to.deep.equal([
        fault(FAULT_BOUNDARY, 0x5000, 4, "read", "hole"),
        fault(FAULT_UNALIGNED, 2, 4, "read", "alignment"),
        fault(FAULT_BOUNDARY, 0x10, 2, "write", "read-only"),
        fault(FAULT_BOUNDARY, 0xff0, 32, "read", "hole"),
        fault(FAULT_BOUNDARY, 0x10, 1, "write", "read-only"),
        fault(FAULT_BOUNDARY, 0xffe, 4, "read", "straddle"),
      ]);
      expect(space.lastFault).to.deep.equal(faults[5]);
    });

    it("gets the faults of a device, whose handler is then called again", () => {
      let ready = false;
      const calls: string[] = [];
      const { space, access } = on({
        onFault: () => {
          ready = true;
          return "retry";
        },
      });
      space.addMmio(0, 8, {
        readl: () => (calls.push("read"), ready ? 9 : BUS_ERROR),
        writel: () => (calls.push("write"), ready ? undefined : BUS_ERROR),
      });
      space.watch({ gpa: 0, length: 8 }, ({ kind }) => calls.push(`watch ${kind}`));
      expect(access.readl(0)).to.equal(9);
      ready = false;
      access.writel(0, 1);
      // The watchpoint is notified of the write once, before the first call.
      const expected = ["read", "read", "watch read", "watch write", "write", "write"];
      expect(calls).to.deep.equal(expected);
    });

    it("is not called for an access of its own, nor for a wrong argument", () => {
      let calls = 0;
      const { space, access } = on({
        onFault: () => {
          calls++;
          access.tryReadb(0x9000, new Uint8Array(1));
        },
      });
      expect(access.tryReadl(0x5000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      expect(calls).to.equal(1);
      expect(space.lastFault).to.deep.equal(fault(FAULT_BOUNDARY, 0x5000, 4, "read", "hole"));
      expect(thrown(() => access.readl(-1))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => access.writel(0, "x" as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => access.tryReadl(0, [] as never))).to.deep.equal(WRONG_TYPE);
      expect(calls).to.equal(1);
    });

    it("passes on what it throws, and is called for the next fault again", () => {
      let calls = 0;
      const { access } = on({
        onFault: () => {
          calls++;
          throw new Error("no such bus");
        },
      });
      for (const expected of [1, 2]) {
        expect(() => access.readl(0)).to.throw("no such bus");
        expect(calls).to.equal(expected);
      }
    });

    it("is not called if a watchpoint destroys the memory of a write", () => {
      let calls = 0;
      const { space, access, atomics } = on({
        onFault: () => {
          calls++;
        },
      });
      for (const write of [() => access.tryWritel(0, 1), () => atomics.tryStorel(0, 1)]) {
        const ram = space.addRam(0, 4096);
        const watchpoint = space.watch({ gpa: 0, length: 4 }, () => ram.memory.destroy());
        expect(write()).to.equal(ERROR_INTERNAL);
        expect(space.lastFault!.reason).to.equal("destroyed");
        watchpoint.remove();
        space.remove(ram);
      }
      expect(calls).to.equal(0);
    });
  });

  describe(`the reason of a fault on the ${path} path`, () => {
    it("is that of the fault, its error and the space's last fault", () => {
      const { space, access, atomics } = on();
      expect(space.lastFault).to.equal(null);
      space.addRam(0x1000, 4096);
      space.addRom(0x2000, new Uint8Array(4096));
      space.addMmio(0x3000, 8, { readl: () => 0, writel: () => BUS_ERROR });
      space.addRam(0x8000, 4096).memory.destroy();
      const cases: [() => unknown, Gpa, number, FaultReason][] = [
        [() => access.readl(0), 0, 4, "hole"],
        [() => access.readl(2n ** 63n), 2n ** 63n, 4, "hole"],
        [() => access.readl(0xffe), 0xffe, 4, "straddle"],
        [() => access.readl(0x1002), 0x1002, 4, "alignment"],
        [() => access.readl(0x1ffe), 0x1ffe, 4, "straddle"],
        [() => access.writel(0x2000, 1), 0x2000, 4, "read-only"],
        [() => access.writeb(0x3000, 1), 0x3000, 1, "no-handler"],
        [() => access.readl(0x3002), 0x3002, 4, "alignment"],
        [() => access.readl(0x3006), 0x3006, 4, "straddle"],
        [() => access.writel(0x3004, 1), 0x3004, 4, "device"],
        [() => access.writel(0x8000, 1), 0x8000, 4, "destroyed"],
        [() => access.readb(0x8000), 0x8000, 1, "destroyed"],
        [() => space.read(0x1ff0, 0x2000), 0x1ff0, 0x2000, "no-handler"],
        [() => space.write(0x2ff0, new Uint8Array(4)), 0x2ff0, 4, "read-only"],
        [() => space.fill(0x1ff0, 0x20, 0), 0x1ff0, 0x20, "read-only"],
        [() => space.readInto(0, new Uint8Array(4)), 0, 4, "hole"],
        [() => space.copy(0x1000, 0x8000, 8), 0x8000, 8, "destroyed"],
        [() => atomics.loadl(0x3000), 0x3000, 4, "no-handler"],
        [() => atomics.storel(0x2000, 1), 0x2000, 4, "read-only"],
        [() => atomics.addl(0x1002, 1), 0x1002, 4, "alignment"],
        [() => atomics.loadl(0), 0, 4, "hole"],
        [() => atomics.loadl(0x8000), 0x8000, 4, "destroyed"],
      ];
      for (const [action, gpa, width, reason] of cases) {
        for (let i = 0; i < 2; i++) {
          const found = faultOf(action);
          expect(found).to.include({ gpa, width, reason });
          const { result, operation } = found;
          expect(space.lastFault).to.deep.equal({ result, gpa, width, operation, reason });
          access.readl(0x1000);
        }
      }
    });
  });
}

function fault(
  result: GuestMemAccessResult,
  gpa: Gpa,
  width: number,
  operation: "read" | "write",
  reason: FaultReason,
): AccessFault {
  return { result, gpa, width, operation, reason };
}

describe("the reason of a fault of flat RAM", () => {
  it("follows from the result code", () => {
    const memory = GuestMemory.allocate(4096);
    expect(faultOf(() => memory.readl(4096)).reason).to.equal("hole");
    expect(faultOf(() => nativeOf(memory).readl(2)).reason).to.equal("alignment");
    expect(faultOf(() => memory.atomics.loadl(4096)).reason).to.equal("hole");
    memory.destroy();
    expect(faultOf(() => memory.writel(0, 1)).reason).to.equal("destroyed");
  });
});

describe("the handlers of a device in a big-endian space", () => {
  const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];

  /** Big-endian registers over `bytes`, and what is written to them. */
  function registers(impl: MmioImplementation): {
    read(offset: number, log2: number): unknown;
    write(offset: number, log2: number, value: number | bigint): void;
    written: string[];
  } {
    const written: string[] = [];
    const view = new DataView(Uint8Array.from(bytes).buffer);
    const device: MmioDevice = {
      impl,
      read: (offset, width) =>
        width === 8
          ? view.getBigUint64(offset)
          : width === 4
            ? view.getUint32(offset)
            : width === 2
              ? view.getUint16(offset)
              : view.getUint8(offset),
      write: (offset, value, width) => written.push(`${offset} ${width} ${value.toString(16)}`),
    };
    const { reads, writes } = handlersOf(device, "the value", "big");
    return {
      written,
      read: (offset, log2) => {
        const call = reads[log2]!;
        const width = (1 << log2) as 1 | 2 | 4 | 8;
        return valueOf(call, offset, width, readRegister(call, offset), "the value");
      },
      write: (offset, log2, value) => writeRegister(writes[log2]!, offset, value),
    };
  }

  it("compose and extract values with the first byte as the highest", () => {
    for (const impl of [{ max: 1 }, { max: 2 }, { max: 4 }, { min: 4 }, { min: 8 }] as const) {
      const { read } = registers(impl);
      expect(read(0, 3)).to.equal(0x1122_3344_5566_7788n);
      expect(read(4, 2)).to.equal(0x5566_7788);
      expect(read(2, 1)).to.equal(0x3344);
      expect(read(5, 0)).to.equal(0x66);
    }
  });

  it("split, shift and merge writes in the same order", () => {
    const split = registers({ max: 2 });
    split.write(0, 3, 0x1122_3344_5566_7788n);
    expect(split.written).to.deep.equal(["0 2 1122", "2 2 3344", "4 2 5566", "6 2 7788"]);
    const shifted = registers({ min: 4, narrowWrites: "shift" });
    shifted.write(1, 0, 0xab);
    shifted.write(6, 1, 0xabcd);
    expect(shifted.written).to.deep.equal(["0 4 ab0000", "4 4 abcd"]);
    const merged = registers({ min: 8, narrowWrites: "merge" });
    merged.write(1, 0, 0xab);
    merged.write(4, 2, 0xabcd_ef01);
    expect(merged.written).to.deep.equal(["0 8 11ab334455667788", "0 8 11223344abcdef01"]);
  });
});

describe("invalid devices and options", () => {
  const bad = (value: unknown): never => value as never;

  it("are refused with a code, and leave the map unchanged", () => {
    const space = new AddressSpace();
    const cases: [MmioDevice, { name: string; code: unknown }][] = [
      [{ read: bad(1) }, WRONG_TYPE],
      [{ write: bad({}) }, WRONG_TYPE],
      [{ impl: bad(4) }, WRONG_TYPE],
      [{ impl: bad(null) }, WRONG_TYPE],
      [{ impl: { min: bad("4") } }, WRONG_TYPE],
      [{ impl: { max: bad(4n) } }, WRONG_TYPE],
      [{ impl: { min: bad(3) } }, OUT_OF_RANGE],
      [{ impl: { min: bad(0) } }, OUT_OF_RANGE],
      [{ impl: { max: bad(16) } }, OUT_OF_RANGE],
      [{ impl: { max: bad(NaN) } }, OUT_OF_RANGE],
      [{ impl: { min: 4, max: 2 } }, OUT_OF_RANGE],
      [{ impl: { narrowWrites: bad("zero") } }, WRONG_TYPE],
      [{ impl: { narrowWrites: bad(null) } }, WRONG_TYPE],
    ];
    for (const [device, error] of cases) {
      expect(thrown(() => space.addMmio(0, 8, device))).to.deep.equal(error);
    }
    expect(thrown(() => space.addMmio(2, 8, { impl: { min: 4 } }))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => space.addMmio(4, 6, { impl: { min: 4 } }))).to.deep.equal(OUT_OF_RANGE);
    const onWrite = bad(5);
    expect(thrown(() => space.addRom(0, new Uint8Array(1), { onWrite }))).to.deep.equal(WRONG_TYPE);
    expect(space.regions).to.deep.equal([]);
  });

  it("are refused by the constructor of the space", () => {
    const make = (options: unknown) => () => new AddressSpace(options as AddressSpaceOptions);
    for (const options of [
      null,
      5,
      { onFault: 1 },
      { unmapped: 5 },
      { unmapped: null },
      { unmapped: { read: "0" } },
      { unmapped: { read: null } },
      { unmapped: { write: 0 } },
      { unmapped: { write: "drop" } },
    ]) {
      expect(thrown(make(options))).to.deep.equal(WRONG_TYPE);
    }
    for (const read of [0.5, NaN, Infinity, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n]) {
      expect(thrown(make({ unmapped: { read } }))).to.deep.equal(OUT_OF_RANGE);
    }
  });

  it("keep the handlers that a device had when it was mapped", () => {
    const space = new AddressSpace();
    const device: MmioDevice = { readb: () => 1 };
    space.addMmio(0, 8, device);
    device.readb = () => 2;
    device.readl = () => 3;
    expect(space.readb(0)).to.equal(1);
    expect(space.tryReadl(0, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
  });
});
