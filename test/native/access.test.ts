import { expect } from "chai";
import {
  Arena,
  GuestMemAccessResult,
  GuestMemory,
  type GuestMemoryAccess,
} from "pound-guest-memory";
import { native } from "../../lib/native/addon.js";
import {
  GPA_LOW32,
  MEMORY32,
  RESULT32,
  VALUE32,
  WIDE_ADDRESS,
} from "../../lib/native/call-block.js";
import { RAW, runAlone } from "../support/alone.js";
import { collectUntil } from "../support/collect.js";
import { thrown } from "../support/errors.js";
import { WIDTHS, WIDTHS_AND_HALVES } from "../support/widths.js";
import { pathsOf } from "../support/paths.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

describe("the native path", () => {
  it("keeps memories apart, whose calls all go through one block", () => {
    const memories = Array.from({ length: 20 }, () => GuestMemory.allocate(64));
    for (const width of WIDTHS_AND_HALVES) {
      const mask = 2n ** BigInt(8 * width.bytes) - 1n;
      const valueOf = (i: number): bigint => (0x0101_0101_0101_0101n * BigInt(i + 1)) & mask;
      memories.forEach((memory, i) => width.write(memory.native, 8, valueOf(i)));
      memories.forEach((memory, i) => {
        expect(BigInt(width.read(memory.native, 8))).to.equal(valueOf(i));
        expect(BigInt(width.read(memory, 8))).to.equal(valueOf(i));
      });
    }
  });

  it("is not thrown off by an access that was refused in between", () => {
    const one = GuestMemory.allocate(16);
    const two = GuestMemory.allocate(16);
    one.native.writel(4, 0x1111_1111);
    expect(thrown(() => two.native.writel(-1, 0x2222_2222)).code).to.equal("ERR_OUT_OF_RANGE");
    expect(thrown(() => two.native.writel(4, 2 ** 40)).code).to.equal("ERR_OUT_OF_RANGE");
    expect(one.native.readl(4)).to.equal(0x1111_1111);
    expect(two.native.readl(4)).to.equal(0);
    // An address above 2^32, then one below: nothing of the high half may stay behind.
    expect(two.native.tryWriteb(2n ** 40n, 1)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
    expect(two.native.tryWriteb(0, 1)).to.equal(OK);
  });

  it("refuses every access once its memory ended, though others live on", () => {
    const ended = GuestMemory.allocate(16);
    const accesses: [GuestMemoryAccess, GuestMemoryAccess] = [ended, ended.native];
    ended.destroy();
    const other = GuestMemory.allocate(16);
    for (const access of accesses) {
      for (const width of WIDTHS_AND_HALVES) {
        for (const gpa of [0, 0n, 8, 16, 1, 2 ** 40, 2n ** 64n - 1n]) {
          const out = width.out(0x5an);
          expect(width.tryRead(access, gpa, out)).to.equal(ERROR_INTERNAL);
          expect(BigInt(out[0]!)).to.equal(0x5an);
          expect(width.tryWrite(access, gpa, 1n)).to.equal(ERROR_INTERNAL);
        }
      }
    }
    expect(other.read(0, 16).equals(Buffer.alloc(16))).to.equal(true);
  });

  it("never reaches the memory that took over the number of a collected one", async () => {
    const numberOf = (access: GuestMemoryAccess): number =>
      (access as unknown as { number: number }).number;
    // Numbers that earlier tests have freed lie below those freed here, which are reused first.
    let collections = 0;
    await collectUntil(() => ++collections === 3);
    // Accessors kept, of which all else is dropped; the number must stay theirs.
    const kept = ((): GuestMemoryAccess[] =>
      Array.from({ length: 50 }, (_, i) => {
        const memory = GuestMemory.allocate(64);
        memory.writeb(0, i);
        return memory.native;
      }))();
    const dropped = ((): number[] =>
      Array.from({ length: 50 }, () => numberOf(GuestMemory.allocate(64).native)))();
    const fresh: GuestMemory[] = [];
    const numbers = (): number[] => fresh.map((memory) => numberOf(memory.native));
    await collectUntil(() => {
      for (let i = 0; i < 100; i++) {
        const memory = GuestMemory.allocate(64);
        memory.native.writeb(0, 0xee);
        fresh.push(memory);
      }
      return numbers().some((number) => dropped.includes(number));
    });
    expect(new Set([...numbers(), ...kept.map(numberOf)]).size).to.equal(fresh.length + 50);
    // If no number was reused, the test shows nothing.
    expect(numbers().filter((number) => dropped.includes(number)).length).to.be.above(0);
    kept.forEach((access, i) => expect(access.readb(0)).to.equal(i));
    fresh.forEach((memory) => expect(memory.readb(0)).to.equal(0xee));
  });

  it("answers ERROR_INTERNAL to a call block that names no memory", () => {
    const block = new Uint32Array(native.callBlock);
    const memory = GuestMemory.allocate(16);
    for (const number of [0, WIDE_ADDRESS, 0xffff_ffff, 0x7fff_ffff, 1_000_000]) {
      for (const { suffix } of WIDTHS) {
        for (const call of [
          native[`read${suffix}` as "readb"],
          native[`write${suffix}` as "writeb"],
        ]) {
          block.fill(0);
          block[MEMORY32] = number;
          call();
          expect(block[RESULT32]).to.equal(ERROR_INTERNAL);
        }
      }
    }
    expect(memory.native.tryWriteb(0, 1)).to.equal(OK);
  });

  it("stays inside RAM whatever both halves of the address in the call block are", () => {
    const block = new Uint32Array(native.callBlock);
    const memory = GuestMemory.allocate(16);
    memory.native.readb(0);
    const number = block[MEMORY32]!;
    for (const [low, high, wide, narrow] of [
      [8, 0, OK, OK],
      [8, 1, FAULT_BOUNDARY, OK],
      [8, 0xffff_ffff, FAULT_BOUNDARY, OK],
      [16, 0, FAULT_BOUNDARY, FAULT_BOUNDARY],
      [0xffff_fff8, 0xffff_ffff, FAULT_BOUNDARY, FAULT_BOUNDARY],
    ] as const) {
      for (const { suffix } of WIDTHS) {
        for (const call of [native[`read${suffix as "b"}`], native[`write${suffix as "b"}`]]) {
          block.set([low, number + WIDE_ADDRESS, high]);
          call();
          expect(block[RESULT32], `${suffix} at ${high}, ${low}`).to.equal(wide);
          // Without the flag, the high half does not count.
          block[MEMORY32] = number;
          call();
          expect(block[RESULT32], `${suffix} at ${low}`).to.equal(narrow);
        }
      }
    }
  });

  it("checks the end of RAM that is smaller than an access", () => {
    for (let size = 0; size <= 9; size++) {
      const { native: access } = GuestMemory.allocate(size);
      for (const width of WIDTHS) {
        for (let gpa = 0; gpa <= size; gpa++) {
          const code =
            gpa + width.bytes > size ? FAULT_BOUNDARY : gpa % width.bytes ? FAULT_UNALIGNED : OK;
          for (const address of [gpa, BigInt(gpa)]) {
            const what = `${width.suffix} of ${size} at ${gpa}`;
            const out = width.out(0n);
            expect(width.tryWrite(access, address, 0x5an), what).to.equal(code);
            expect(width.tryRead(access, address, out), what).to.equal(code);
            expect(BigInt(out[0]!), what).to.equal(code === OK ? 0x5an : 0n);
          }
          expect(width.tryWrite(access, 2 ** 32 + gpa, 0n)).to.equal(FAULT_BOUNDARY);
        }
      }
    }
  });

  it("ignores arguments and `this` of the compiled accessors", () => {
    const memory = GuestMemory.allocate(16);
    memory.native.writeb(3, 0x42);
    expect(memory.native.readb(3)).to.equal(0x42);
    // The block still names the memory and the address of the last access.
    expect(Reflect.apply(native.readb, null, [Symbol("x"), {}, -1])).to.equal(undefined);
    expect(new Uint32Array(native.callBlock)[RESULT32]).to.equal(OK);
    expect(memory.native.readb(3)).to.equal(0x42);
  });

  it("reaches the memories of each instance of the addon, of which a table holds only some", () => {
    const { output } = runAlone(`${RAW}
      const file = Object.keys(require.cache).find((name) => name.endsWith(".node"));
      const instances = Array.from({ length: 100 }, (_, i) => {
        const module = { exports: {} };
        process.dlopen(module, file);
        const instance = module.exports;
        const memory = instance.guestMemoryCreate(instance.arenaCreate(4096));
        const block = new Uint32Array(instance.callBlock);
        block[${MEMORY32}] = instance.guestMemoryNumber(memory);
        block[${GPA_LOW32}] = 8;
        block[${VALUE32}] = i;
        instance.writel();
        return { instance, memory, block };
      });
      const values = instances.map(({ instance, block }) => {
        block[${VALUE32}] = 1000;
        instance.readl();
        return block[${RESULT32}] === 0 ? block[${VALUE32}] : -1;
      });
      console.log(values.every((value, i) => value === i), new Set(values).size);`);
    expect(output).to.equal("true 100\n");
  });

  it("refuses to run on what is no memory's", () => {
    const memory = GuestMemory.allocate(16);
    const prototype = Object.getPrototypeOf(memory.native) as object;
    const methods = memory.native as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const { suffix, out } of WIDTHS) {
      const value = suffix === "q" ? 1n : 1;
      const nobody = Object.create(prototype) as GuestMemory["native"];
      expect(nobody[`tryRead${suffix as "b"}`](0, out(1n) as Uint8Array)).to.equal(ERROR_INTERNAL);
      for (const self of [{}, undefined, 7]) {
        for (const [name, argument] of [
          [`tryRead${suffix}`, out(0n)],
          [`tryWrite${suffix}`, value],
          [`read${suffix}`, undefined],
          [`write${suffix}`, value],
        ] as const) {
          expect(thrown(() => methods[name]!.call(self, 0, argument)).name, name).to.equal(
            "TypeError",
          );
        }
      }
    }
    expect(memory.read(0, 16).equals(Buffer.alloc(16))).to.equal(true);
  });

  it("loses a caller's buffer at the same moment as the view path, at every address", () => {
    for (const size of [16, 17, 40]) {
      const buffer = new ArrayBuffer(size);
      const memory = GuestMemory.create(Arena.over(buffer));
      structuredClone(buffer, { transfer: [buffer] });
      for (const access of pathsOf(memory)) {
        for (const gpa of [0, 1, 24, 2 ** 33, 2n ** 63n]) {
          const fault = thrown(() => access.readw(gpa));
          expect(fault.name, `RAM of ${size - 16} at ${gpa}`).to.equal("GuestMemoryFault");
          expect(access.tryWriteb(gpa, 0), `${gpa}`).to.equal(ERROR_INTERNAL);
        }
      }
    }
  });
});
