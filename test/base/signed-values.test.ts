import { expect } from "chai";
import {
  AddressSpace,
  GuestMemory,
  OpBuffer,
  type OpKind,
  type WatchedAccess,
} from "pound-guest-memory";
import { TypedRegion } from "pound-guest-memory/typed";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { WIDTHS } from "../support/widths.js";
import { pathsOf } from "../support/paths.js";

const BASE = 0x40;

/** The ends of the signed and of the unsigned range of a width, and values next to 0. */
function valuesOf(bytes: number): bigint[] {
  const limit = 2n ** BigInt(8 * bytes - 1);
  return [-1n, -2n, -limit, -limit + 1n, 0n, limit - 1n, limit, 2n * limit - 1n];
}

function unsigned(bytes: number, value: bigint): bigint {
  return BigInt.asUintN(8 * bytes, value);
}

function nameOf(access: object, view: object): string {
  return access === view ? "view" : "native";
}

describe("writes of signed values", () => {
  const memory = GuestMemory.allocate(4096);
  const space = new AddressSpace();
  space.addRam(0, 4096);
  const device: bigint[] = [];
  const record = (_: number, value: number | bigint): void => void device.push(BigInt(value));
  space.addMmio(0x1_0000, 8, { writeb: record, writew: record, writel: record, writeq: record });

  for (const [path, access] of [
    ...pathsOf(memory).map(
      (access) => [`flat RAM, ${nameOf(access, memory)} path`, access] as const,
    ),
    ...pathsOf(space).map((access) => [`a space, ${nameOf(access, space)} path`, access] as const),
  ]) {
    it(`store the bytes of the unsigned value: ${path}`, () => {
      for (const { suffix, bytes, tryWrite, write, read } of WIDTHS) {
        for (const value of valuesOf(bytes)) {
          const around = access.readq(BASE + 8);
          for (const store of [tryWrite, write]) {
            access.writeq(BASE, 0x5a5a_5a5a_5a5a_5a5an);
            store(access, BASE, value);
            expect(BigInt(read(access, BASE)), `${suffix} ${value}`).to.equal(
              unsigned(bytes, value),
            );
          }
          expect(access.readq(BASE + 8)).to.equal(around);
        }
      }
    });
  }

  for (const access of pathsOf(space)) {
    const path = nameOf(access, space);

    it(`pass the unsigned value to a device: ${path} path`, () => {
      for (const { bytes, tryWrite, write } of WIDTHS) {
        for (const value of valuesOf(bytes)) {
          device.length = 0;
          expect(tryWrite(access, 0x1_0000, value)).to.equal(0);
          write(access, 0x1_0000, value);
          expect(device).to.deep.equal([unsigned(bytes, value), unsigned(bytes, value)]);
        }
      }
    });

    it(`pass the unsigned value to a watchpoint: ${path} path`, () => {
      const seen: WatchedAccess[] = [];
      const watchpoint = space.watch({ gpa: BASE, length: 8 }, (watched) => seen.push(watched));
      for (const { bytes, tryWrite } of WIDTHS) {
        for (const value of valuesOf(bytes)) {
          tryWrite(access, BASE, value);
          expect(BigInt(seen.pop()!.value!)).to.equal(unsigned(bytes, value));
        }
      }
      watchpoint.remove();
    });
  }

  it("work in a batch", () => {
    for (const [log2, { bytes, read }] of WIDTHS.entries()) {
      for (const value of [...valuesOf(bytes), -(2n ** 32n), -(2n ** 32n) - 1n]) {
        const ops = new OpBuffer(2);
        const kind = (4 + log2) as OpKind;
        ops.push(kind, BASE, value);
        if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) {
          ops.push(kind, BASE + 8, Number(value));
          expect(ops.value(1)).to.equal(BigInt.asUintN(64, value));
        }
        expect(memory.native.run(ops)).to.equal(0);
        expect(BigInt(read(memory, BASE))).to.equal(unsigned(bytes, value));
      }
    }
  });

  it("work in atomic operations and in fill", () => {
    for (const atomics of [...pathsOf(memory).map(({ atomics }) => atomics), space.atomics]) {
      atomics.storel(BASE, -1);
      expect(atomics.addl(BASE, -1)).to.equal(0xffff_ffff);
      expect(atomics.compareExchangel(BASE, -2, -3)).to.equal(0xffff_fffe);
      expect(atomics.loadl(BASE)).to.equal(0xffff_fffd);
    }
    memory.fill(BASE, 2, -2);
    expect(memory.readw(BASE)).to.equal(0xfefe);
    expect(memory.indexOf(-2, BASE)).to.equal(BASE);
  });

  it("leave the unsigned elements of a typed region unsigned", () => {
    for (const [type, value] of [
      ["u8", -1],
      ["u16", -1],
      ["u32", -1],
    ] as const) {
      expect(thrown(() => new TypedRegion(memory, type, BASE, 1).set(0, value))).to.deep.equal(
        OUT_OF_RANGE,
      );
    }
    expect(thrown(() => new TypedRegion(memory, "u64", BASE, 1).set(0, -1n))).to.deep.equal(
      OUT_OF_RANGE,
    );
  });
});
