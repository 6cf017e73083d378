import { expect } from "chai";
import { GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown } from "./support/errors.js";
import { WIDTHS } from "./support/widths.js";

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
    for (const width of WIDTHS) {
      const all = 2n ** BigInt(8 * width.bytes) - 1n;
      const addresses = [0, 2 * GIB, EDGE - 8, EDGE, EDGE + 8, 5 * GIB, SIZE - 8];
      addresses.forEach((gpa, i) => {
        const value = (0x0102_0304_0506_0708n * BigInt(i + 1)) & all;
        const [writer, reader] = i % 2 === 0 ? [memory, memory.native] : [memory.native, memory];
        expect(width.tryWrite(writer, i % 3 === 0 ? BigInt(gpa) : gpa, value)).to.equal(OK);
        expect(BigInt(width.read(reader, gpa)), `${width.suffix} at ${gpa}`).to.equal(value);
        expect(BigInt(width.read(writer, BigInt(gpa)))).to.equal(value);
      });
    }
  });

  it("faults alike on both paths around its edges", () => {
    for (const access of [memory, memory.native]) {
      for (const width of WIDTHS) {
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

  it("takes no more memory than what was touched", () => {
    const grown = process.memoryUsage.rss() - residentBefore;
    expect(grown).to.be.below(64 * 2 ** 20);
  });
});
