import { expect } from "chai";
import fc from "fast-check";
import { GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { splitting } from "../support/halves.js";
import { WIDTHS_AND_HALVES } from "../support/widths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
const GIB = 2 ** 30;
const EDGE = 4 * GIB;
const SIZE = 6 * GIB;

describe("RAM of 6 GiB", function () {
  let memory: GuestMemory;
  let residentBefore: number;

  before(() => {
    residentBefore = process.memoryUsage.rss();
    memory = GuestMemory.allocate(SIZE);
  });

  after(() => {
    memory.destroy();
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
