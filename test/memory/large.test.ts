import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, Arena, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { RAW, runAlone, WITH_TRANSFER } from "../support/alone.js";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { splitting } from "../support/halves.js";
import { WIDTHS_AND_HALVES } from "../support/widths.js";
import { itNative } from "../support/native-tests.js";
import { describeWide } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const GIB = 2 ** 30;
const EDGE = 4 * GIB;
const SIZE = 6 * GIB;

describeWide("RAM of 6 GiB", function () {
  let memory: GuestMemory;
  let residentBefore: number;

  before(() => {
    residentBefore = process.memoryUsage.rss();
    memory = GuestMemory.allocate(SIZE);
  });

  after(() => {
    memory?.destroy();
  });

  it("is told apart at every address of both paths, below and above 4 GiB", () => {
    for (const width of WIDTHS_AND_HALVES) {
      const all = 2n ** BigInt(8 * width.bytes) - 1n;
      const addresses = [0, 2 * GIB, EDGE - 8, EDGE, EDGE + 8, 5 * GIB, SIZE - 8];
      addresses.forEach((gpa, i) => {
        const value = (0x0102_0304_0506_0708n * BigInt(i + 1)) & all;
        const [writer, reader] = i % 2 === 0 ? [memory, memory.native] : [memory.native, memory];
        expect(width.tryWrite(writer, i % 3 === 0 ? BigInt(gpa) : gpa, value)).to.equal(OK);
        expect(BigInt(width.read(reader, gpa)), `${width.suffix} at ${gpa}`).to.equal(value);
        expect(BigInt(width.read(writer, BigInt(gpa)))).to.equal(value);
        expect(BigInt(width.read(splitting(reader.halves), gpa))).to.equal(value);
        expect(width.tryWrite(splitting(writer.halves), gpa, ~value & all)).to.equal(OK);
        expect(BigInt(width.read(splitting(writer.halves), gpa))).to.equal(~value & all);
        expect(BigInt(width.read(reader, gpa)), `${width.suffix} at ${gpa}`).to.equal(~value & all);
      });
    }
  });

  it("faults alike on both paths around its edges", () => {
    for (const access of [
      memory,
      memory.native,
      splitting(memory.halves),
      splitting(memory.native.halves),
    ]) {
      for (const width of WIDTHS_AND_HALVES) {
        const out = width.out(0n);
        expect(width.tryRead(access, SIZE - width.bytes, out)).to.equal(OK);
        expect(width.tryRead(access, SIZE, out)).to.equal(FAULT_BOUNDARY);
        expect(width.tryRead(access, BigInt(SIZE), out)).to.equal(FAULT_BOUNDARY);
        // An address cut down to 32 bits would be in range.
        expect(width.tryRead(access, 2n ** 32n * 3n, out)).to.equal(FAULT_BOUNDARY);
        if (width.bytes > 1) {
          expect(width.tryRead(access, EDGE - 1, out)).to.equal(FAULT_UNALIGNED);
          expect(width.tryWrite(access, EDGE + 1, 0n)).to.equal(FAULT_UNALIGNED);
          expect(width.tryRead(access, SIZE - 1, out)).to.equal(FAULT_BOUNDARY);
        }
      }
    }
  });

  it("is one buffer for each 4 GiB", () => {
    const buffers = memory.buffers;
    expect(buffers.map((buffer) => buffer.length)).to.deep.equal([EDGE, 2 * GIB]);
    memory.native.writeb(EDGE + 5, 0x5a);
    expect(buffers[1]![5]).to.equal(0x5a);
  });

  it("moves bytes across 4 GiB in bulk", () => {
    const bytes = Buffer.from("the quick brown fox jumps over the lazy dog");
    const start = EDGE - 10;
    memory.write(start, bytes);
    expect(memory.read(start, bytes.length).equals(bytes)).to.equal(true);
    expect(memory.native.readb(EDGE)).to.equal(bytes[10]);
    expect(memory.compare(start, bytes)).to.equal(0);
    expect(memory.indexOf(Buffer.from("brown fox"), start - 1000, start + 1000)).to.equal(
      start + 10,
    );
    expect(memory.indexOf(Buffer.from("quick brown"), start - 50)).to.equal(start + 4);
    expect(memory.indexOf(Buffer.from("quick brown"), start + 5, start + 1000)).to.equal(null);
    for (const [target, source] of [
      [start + 5, start],
      [start - 7, start + 5],
      [EDGE - 3, start - 7],
    ] as const) {
      const expected = memory.read(source, bytes.length);
      memory.copy(target, source, bytes.length);
      expect(memory.read(target, bytes.length).equals(expected), `to ${target}`).to.equal(true);
    }
    memory.fill(EDGE - 2, 4, 0xee);
    expect([...memory.read(EDGE - 3, 6)].slice(1, 5)).to.deep.equal([0xee, 0xee, 0xee, 0xee]);
    expect(thrown(() => memory.slice(EDGE - 1, 2))).to.deep.equal(OUT_OF_RANGE);
    expect(memory.slice(EDGE, 2).length).to.equal(2);
  });

  it("gathers and scatters ranges on both sides of 4 GiB and across it", () => {
    const bytes = Buffer.from(Array.from({ length: 40 }, (_, i) => i + 1));
    const ranges = [
      { gpa: 5 * GIB, length: 8 },
      { gpa: EDGE - 11, length: 20 },
      { gpa: BigInt(SIZE - 7), length: 7n },
      { gpa: 64, length: 5 },
    ];
    memory.writeVector(ranges, bytes);
    expect([...memory.read(EDGE - 11, 20)]).to.deep.equal([...bytes.subarray(8, 28)]);
    expect(memory.native.readb(SIZE - 1)).to.equal(35);
    const target = new Uint8Array(40);
    expect(memory.tryReadVector(ranges, target)).to.equal(OK);
    expect(Buffer.compare(target, bytes)).to.equal(0);
    // The target is where the ranges are.
    const own = memory.slice(EDGE, 40);
    memory.readVector(ranges, own);
    expect(own.equals(bytes)).to.equal(true);
    memory.writeVector(ranges, own);
    expect(memory.read(EDGE - 11, 20).equals(bytes.subarray(8, 28))).to.equal(true);
    ranges[3] = { gpa: SIZE - 4, length: 5 };
    expect(memory.tryWriteVector(ranges, target.fill(0))).to.equal(FAULT_BOUNDARY);
    expect(memory.readb(5 * GIB)).to.equal(1);
  });

  it("writes a view of its own RAM across 4 GiB without tripping over itself", () => {
    const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i));
    memory.write(EDGE, bytes);
    memory.write(EDGE - 32, memory.slice(EDGE, 64));
    expect(memory.read(EDGE - 32, 64).equals(bytes)).to.equal(true);
  });

  it("finds bytes beyond 2 GiB, where Buffer.indexOf itself overflows", () => {
    const needle = Buffer.from("needle");
    for (const at of [2 * GIB - 3, 2 * GIB, 3 * GIB + 1, EDGE - 3]) {
      memory.write(at, needle);
      expect(memory.indexOf(needle, at - GIB), `at ${at}`).to.equal(at);
      expect(memory.indexOf(needle, at - 3 * 2 ** 20, at + 5)).to.equal(null);
      memory.fill(at, needle.length, 0);
    }
    // The search must start 2 GiB before it for the overflow to show.
    memory.write(EDGE + GIB, needle);
    expect(memory.indexOf(needle, EDGE - GIB - 1)).to.equal(EDGE + GIB);
    memory.fill(EDGE + GIB, needle.length, 0);
    memory.writeb(3 * GIB, 0x77);
    expect(memory.indexOf(0x77, 512)).to.equal(3 * GIB);
    memory.writeb(3 * GIB, 0);
  }).timeout(30_000);

  it("does across 4 GiB what a Uint8Array of the same bytes does", () => {
    const REACH = 48;
    const offset = fc.integer({ min: 0, max: 2 * REACH });
    fc.assert(
      fc.property(offset, offset, offset, offset, fc.nat(255), (a, b, c, d, value) => {
        const model = Buffer.from(Array.from({ length: 2 * REACH }, (_, i) => (i * 37) & 0xff));
        const base = EDGE - REACH;
        memory.write(base, model);
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const length = Math.min(to - from, 2 * REACH - c);
        memory.copy(base + c, base + from, length);
        model.copyWithin(c, from, from + length);
        expect(memory.read(base, 2 * REACH).equals(model), "copy").to.equal(true);
        const filled = Math.min(to - from, 2 * REACH - d);
        memory.fill(base + d, filled, value);
        model.fill(value, d, d + filled);
        expect(memory.read(base, 2 * REACH).equals(model), "fill").to.equal(true);
        const part = model.subarray(from, to);
        expect(memory.read(base + from, to - from).equals(part), "read").to.equal(true);
        const shown = part.subarray(0, 2 * REACH - c);
        expect(memory.compare(base + c, shown), "compare").to.equal(
          Buffer.compare(model.subarray(c, c + shown.length), shown),
        );
        const found = memory.indexOf(part, base, base + 2 * REACH);
        expect(found).to.equal(base + model.indexOf(part));
      }),
      { numRuns: 300 },
    );
  });

  it("reads into a view of its own RAM across 4 GiB without tripping over itself", () => {
    const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i + 1));
    for (const target of [EDGE, EDGE + 8, EDGE - 64]) {
      memory.write(EDGE - 32, bytes);
      memory.readInto(EDGE - 32, memory.slice(target, 64));
      expect(memory.read(target, 64).equals(bytes), `into ${target}`).to.equal(true);
    }
  });

  it("takes no more memory than what was touched", () => {
    const grown = process.memoryUsage.rss() - residentBefore;
    expect(grown).to.be.below(64 * 2 ** 20);
  });
});

describe("the buffers of large RAM", function () {
  const TIB = 2 ** 40;

  before(function () {
    // Windows commits the pages of an arena, and an emulator can have a record for each page.
    if (process.platform === "win32" || (process.env["POUND_TEST_PATIENCE"] ?? "1") !== "1") {
      this.skip();
    }
  });

  /** The number of buffers over pages of an arena that `action` makes. */
  function buffersOf(action: () => void): number {
    const native = addon();
    const { arenaExpose } = native;
    let made = 0;
    native.arenaExpose = (...args) => {
      made++;
      return arenaExpose(...args);
    };
    try {
      action();
    } finally {
      native.arenaExpose = arenaExpose;
    }
    return made;
  }

  /** The exports of the addon that the package has loaded. */
  function addon(): { arenaExpose: (...args: unknown[]) => ArrayBuffer } {
    const name = Object.keys(require.cache).find((file) => file.endsWith(".node"));
    return require.cache[name!]!.exports as ReturnType<typeof addon>;
  }

  itNative("are made for the 4 GiB that are accessed, at any size", () => {
    let memory!: GuestMemory;
    expect(buffersOf(() => (memory = GuestMemory.allocate(16 * TIB)))).to.equal(0);
    expect(buffersOf(() => memory.native.writel(TIB, 0x1234))).to.equal(0);
    expect(buffersOf(() => expect(memory.readl(TIB)).to.equal(0x1234))).to.equal(1);
    expect(buffersOf(() => memory.writeq(TIB + 8, 5n))).to.equal(0);
    expect(buffersOf(() => memory.write(2 * TIB - 1, Buffer.from([1, 2])))).to.equal(2);
    expect(buffersOf(() => expect(memory.read(2 * TIB, 1)[0]).to.equal(2))).to.equal(0);
    expect(buffersOf(() => memory.slice(3 * TIB, 4096).fill(7))).to.equal(1);
    expect(buffersOf(() => memory.atomics.addl(5 * TIB, 3))).to.equal(2);
    expect(memory.native.readl(5 * TIB)).to.equal(3);
    expect(buffersOf(() => expect(memory.buffer.length).to.equal(EDGE))).to.equal(0);
    const results = [16 * TIB, 16 * TIB - 1].map((gpa) => memory.tryWritew(gpa, 1));
    expect(results).to.deep.equal([FAULT_BOUNDARY, FAULT_BOUNDARY]);
    memory.destroy();
  });

  itNative("are made for a region of an address space in the same way", () => {
    const memory = GuestMemory.allocate(TIB);
    const space = new AddressSpace();
    const made = buffersOf(() => {
      space.addRam(EDGE, memory);
      space.writel(EDGE + 6 * EDGE, 9);
      expect(space.native.readl(EDGE + 6 * EDGE)).to.equal(9);
      expect(space.readl(EDGE + 6 * EDGE)).to.equal(9);
    });
    expect(made).to.equal(1);
    memory.destroy();
    expect(space.tryWritel(EDGE + 6 * EDGE, 9)).to.equal(ERROR_INTERNAL);
  });

  it("are made by the first access of every form, on the view path", () => {
    for (const width of WIDTHS_AND_HALVES) {
      for (const gpa of [0, 2 * GIB, EDGE]) {
        for (const tracked of [false, true]) {
          const memory = GuestMemory.allocate(SIZE);
          const region = new AddressSpace().addRam(0, memory);
          const bitmap = tracked ? region.startTracking() : null;
          const out = width.out(1n);
          expect(width.tryRead(memory, gpa, out)).to.equal(OK);
          expect(out[0]).to.equal(width.out(0n)[0]);
          expect(width.tryWrite(memory, gpa, 5n)).to.equal(OK);
          expect(BigInt(width.read(memory.native, gpa))).to.equal(5n);
          expect([...(bitmap?.drain() ?? [])]).to.deep.equal(tracked ? [gpa / 4096] : []);
          memory.destroy();
          expect(width.tryRead(memory, gpa, out)).to.equal(ERROR_INTERNAL);
        }
      }
    }
  }).timeout(30_000);

  it("are tracked also if the tracking starts before they are made", () => {
    const memory = GuestMemory.allocate(SIZE);
    const region = new AddressSpace().addRam(2 ** 40, memory);
    const bitmap = region.startTracking();
    memory.writel(0x1000, 1);
    memory.writel(0x2000, 1);
    memory.writel(EDGE, 1);
    memory.writel(EDGE + 0x1000, 1);
    expect([...bitmap.drain()]).to.deep.equal([1, 2, EDGE / 4096, EDGE / 4096 + 1]);
    region.stopTracking();
    memory.writel(0x1000, 1);
    memory.writel(EDGE, 1);
    expect([...bitmap.drain()]).to.deep.equal([]);
    memory.destroy();
  });

  it("are detached when the RAM ends, if code outside the package has them", () => {
    const memory = GuestMemory.allocate(3 * EDGE);
    const [low, part] = [memory.buffer, memory.slice(EDGE, 16)];
    const buffers = memory.buffers;
    expect(buffers.map(({ length }) => length)).to.deep.equal([EDGE, EDGE, EDGE]);
    memory.destroy();
    expect([low, part, ...buffers].map(({ length }) => length)).to.deep.equal([0, 0, 0, 0, 0]);
    expect(memory.buffer.length).to.equal(0);
    expect(memory.buffers).to.deep.equal([]);
  });

  itNative("are not made after the RAM has ended without one", () => {
    const memory = GuestMemory.allocate(SIZE);
    memory.destroy();
    const made = buffersOf(() => {
      expect(memory.tryWritel(0, 1)).to.equal(ERROR_INTERNAL);
      expect(memory.tryWritel(EDGE, 1)).to.equal(ERROR_INTERNAL);
      expect(memory.native.tryWritel(0, 1)).to.equal(ERROR_INTERNAL);
      expect(memory.buffers).to.deep.equal([]);
    });
    expect(made).to.equal(0);
  });

  it("are made for RAM in an arena that is reset, over the same pages", () => {
    const arena = Arena.create(SIZE);
    const first = GuestMemory.create(arena);
    first.writel(EDGE, 1);
    arena.reset();
    const second = GuestMemory.create(arena);
    expect(first.tryWritel(EDGE, 2)).to.equal(ERROR_INTERNAL);
    expect(second.readl(EDGE)).to.equal(0);
    arena.destroy();
  });

  itNative("make every access through them ERROR_INTERNAL when they are transferred away", () => {
    const { status, output } = runAlone(
      `const { GuestMemory } = require("pound-guest-memory");
       const memory = GuestMemory.allocate(6 * 2 ** 30);
       memory.buffer.buffer.transfer();
       memory.slice(5 * 2 ** 30, 8);
       const codes = [memory, memory.native].flatMap((access) =>
         [8, 2 ** 31, 2 ** 32].map((gpa) => access.tryWriteb(gpa, 1)));
       console.log(codes.join(""));`,
      WITH_TRANSFER,
    );
    expect(output).to.equal("330330\n");
    expect(status).to.equal(0);
  });

  itNative("raise ERR_OUT_OF_MEMORY where the runtime refuses them, and change nothing", () => {
    const { status, output } = runAlone(`
      ${RAW}
      const { GuestMemory } = require("pound-guest-memory");
      const codeOf = (body) => { try { body(); return "none"; } catch (error) { return error.code; } };
      const memory = GuestMemory.allocate(12 * 2 ** 30);
      memory.writeb(2 ** 32 - 1, 1);
      const { arenaExpose } = native;
      native.arenaExpose = () => {
        throw Object.assign(new Error("refused"), { code: "ERR_OUT_OF_MEMORY" });
      };
      const actions = [
        () => memory.readl(2 ** 32),
        () => memory.tryWritel(2 ** 33, 1),
        () => memory.write(2 ** 32 - 1, new Uint8Array(2)),
        () => memory.fill(2 ** 32 - 1, 2, 7),
        () => memory.copy(2 ** 32 - 1, 0, 2),
        () => memory.writeVector([{ gpa: 2 ** 32 - 1, length: 1 }, { gpa: 2 ** 33, length: 1 }],
          new Uint8Array(2)),
        () => memory.read(2 ** 33, 1),
        () => memory.slice(2 ** 33, 1),
        () => memory.buffers,
        () => memory.atomics.loadl(2 ** 33),
      ];
      console.log([...new Set(actions.map(codeOf))].join(), memory.readb(2 ** 32 - 1));
      native.arenaExpose = arenaExpose;
      console.log([...new Set(actions.map(codeOf))].join(), memory.readl(2 ** 32));
      memory.destroy();`);
    expect(output).to.equal("ERR_OUT_OF_MEMORY 1\nnone 0\n");
    expect(status).to.equal(0);
  });
});
