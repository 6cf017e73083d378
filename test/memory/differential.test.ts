import { expect } from "chai";
import fc from "fast-check";
import { type Gpa, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { ByteMemory } from "../support/byte-memory.js";
import { splitting } from "../support/halves.js";
import { WIDTHS, WIDTHS_AND_HALVES, type WidthCase } from "../support/widths.js";

const { OK } = GuestMemAccessResult;
const PATTERN = 0xf1e2_d3c4_b5a6_9788n;

/** The same RAM three times over: by the view path, by the native path, and byte by byte. */
function threeMemories(
  size: number,
  tracked = false,
): { view: GuestMemory; native: GuestMemory; model: ByteMemory } {
  const memories = {
    view: GuestMemory.allocate(size),
    native: GuestMemory.allocate(size),
    model: new ByteMemory(size),
  };
  for (let i = 0; i < size; i++) {
    memories.view.writeb(i, (i * 37 + 11) & 0xff);
    memories.native.writeb(i, (i * 37 + 11) & 0xff);
    memories.model.bytes[i] = (i * 37 + 11) & 0xff;
  }
  if (tracked) {
    memories.view.startTracking();
    memories.native.startTracking();
  }
  return memories;
}

type Three = ReturnType<typeof threeMemories>;

function expectSameRam({ view, native, model }: Three): void {
  expect(view.buffer.equals(model.bytes), "RAM of the view path").to.equal(true);
  expect(native.buffer.equals(model.bytes), "RAM of the native path").to.equal(true);
}

function expectSameRead({ view, native, model }: Three, width: WidthCase, gpa: Gpa): void {
  const untouched = 0xa5n;
  const modelOut = width.out(untouched);
  const expected = width.tryRead(model, gpa, modelOut);
  const accesses = {
    view,
    native: native.native,
    "view, halves": splitting(view.halves),
    "native, halves": splitting(native.native.halves),
  };
  for (const [path, access] of Object.entries(accesses)) {
    const out = width.out(untouched);
    expect(width.tryRead(access, gpa, out), `${path}, read${width.suffix} ${gpa}`).to.equal(
      expected,
    );
    expect(out[0]).to.equal(modelOut[0]);
  }
}

/** @returns The result of the writes. */
function expectSameWrite(
  { view, native, model }: Three,
  width: WidthCase,
  gpa: Gpa,
  { split, value = PATTERN }: { split: boolean; value?: bigint },
): GuestMemAccessResult {
  const cut = value & (2n ** BigInt(8 * width.bytes) - 1n);
  const expected = width.tryWrite(model, gpa, cut);
  const accesses = split
    ? { view: splitting(view.halves), native: splitting(native.native.halves) }
    : { view, native: native.native };
  for (const [path, access] of Object.entries(accesses)) {
    const what = `${path}, write${width.suffix} ${gpa}${split ? " in halves" : ""}`;
    expect(width.tryWrite(access, gpa, cut), what).to.equal(expected);
  }
  return expected;
}

/** The value of the throwing form, or the result code of the fault it threw. */
function outcome(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return (error as { result?: unknown }).result ?? error;
  }
}

const EDGES: readonly Gpa[] = [2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64].flatMap((edge) =>
  [-8n, -4n, -2n, -1n, 0n, 1n, 2n, 4n, 8n]
    .map((delta) => BigInt(edge) + delta)
    .filter((gpa) => gpa < 2n ** 64n)
    .flatMap((gpa) => (gpa <= Number.MAX_SAFE_INTEGER ? [gpa, Number(gpa)] : [gpa])),
);

describe("the two paths and a plain model", () => {
  for (const tracked of [false, true]) {
    const which = tracked ? "tracked RAM" : "RAM";
    it(`agree on every address of ${which} of 0 to 24 bytes, at all widths, in both forms`, () => {
      sweep(tracked);
    });
  }

  function sweep(tracked: boolean): void {
    for (let size = 0; size <= 24; size++) {
      const three = threeMemories(size, tracked);
      const near = Array.from({ length: size + 12 }, (_, i) => i);
      const addresses: Gpa[] = [...near, ...near.map(BigInt), ...EDGES];
      for (const width of WIDTHS_AND_HALVES) {
        for (const gpa of addresses) {
          expectSameRead(three, width, gpa);
          for (const [split, value] of [
            [false, PATTERN],
            [true, ~PATTERN],
          ] as const) {
            expectSameWrite(three, width, gpa, { split, value });
            expectSameRead(three, width, gpa);
          }
          const onView = outcome(() => width.read(three.view, gpa));
          expect(outcome(() => width.read(three.native.native, gpa))).to.equal(onView);
          const written = outcome(() => {
            width.write(three.view, gpa, 0x5an);
          });
          const writtenNatively = outcome(() => {
            width.write(three.native.native, gpa, 0x5an);
          });
          expect(writtenNatively).to.equal(written);
          expect(written ?? OK).to.equal(width.tryWrite(three.model, gpa, 0x5an));
        }
      }
      expectSameRam(three);
    }
  }

  it("fault at the boundary where `size - width` would wrap", () => {
    const three = threeMemories(3);
    const [, , long, quad] = WIDTHS;
    for (const width of [long!, quad!]) {
      expect(width.tryWrite(three.view, 0, 1n)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
      expect(width.tryWrite(three.native.native, 0, 1n)).to.equal(
        GuestMemAccessResult.FAULT_BOUNDARY,
      );
    }
    expectSameRam(three);
  });

  it("agree on random operations over random RAM, and on the pages that they mark", () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 300 }),
      fc.constantFrom(4096, 4104, 8191, 12300),
    );
    const near = fc.oneof(
      fc.integer({ min: 0, max: 320 }),
      fc
        .constantFrom(4096, 8192, 12288)
        .chain((edge) => fc.integer({ min: edge - 8, max: edge + 12 })),
    );
    const operation = fc.record({
      width: fc.constantFrom(...WIDTHS_AND_HALVES),
      write: fc.boolean(),
      split: fc.boolean(),
      gpa: fc.oneof(
        { weight: 6, arbitrary: near },
        { weight: 2, arbitrary: near.map(BigInt) },
        { weight: 1, arbitrary: fc.maxSafeNat() },
        { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
      ),
    });
    const operations = fc.array(operation, { maxLength: 60 });
    fc.assert(
      fc.property(size, operations, fc.boolean(), (bytes, steps, tracked) => {
        const three = threeMemories(bytes, tracked);
        const marked = new Set<number>();
        for (const { width, write, gpa, split } of steps) {
          if (!write) {
            expectSameRead(three, width, gpa);
          } else if (expectSameWrite(three, width, gpa, { split }) === OK) {
            marked.add(Math.floor(Number(gpa) / 4096));
          }
        }
        const pages = tracked ? [...marked].sort((a, b) => a - b) : null;
        for (const { dirty } of [three.view, three.native]) {
          expect(dirty && [...dirty.drain()]).to.deep.equal(pages);
        }
        expectSameRam(three);
        three.view.destroy();
        three.native.destroy();
      }),
      { numRuns: 200 },
    );
  });

  it("see each other's writes at once, and little-endian bytes in the buffer", () => {
    const memory = GuestMemory.allocate(64);
    memory.writeq(8, 0x0102_0304_0506_0708n);
    expect([...memory.buffer.subarray(8, 16)]).to.deep.equal([8, 7, 6, 5, 4, 3, 2, 1]);
    memory.native.writel(8, 0xcafe_babe);
    expect(memory.readl(8)).to.equal(0xcafe_babe);
    memory.buffer[8] = 0;
    expect(memory.native.readw(8)).to.equal(0xba00);
  });

  it("agree on bulk access in both forms, over every kind of RAM", () => {
    const place = fc.integer({ min: 0, max: 110 });
    const range = fc.record({ gpa: place, length: fc.nat(40) });
    const operation = fc.record({
      what: fc.constantFrom("readInto", "write", "fill", "copy", "readVector", "writeVector"),
      ranges: fc.array(range, { minLength: 1, maxLength: 4 }),
      to: place,
      byte: fc.nat(255),
      try: fc.boolean(),
    });
    const kinds = {
      allocated: () => GuestMemory.allocate(100),
      shared: () => GuestMemory.allocateShared(100),
      adopted: () => GuestMemory.over(new Uint8Array(128).subarray(3, 103)),
    };
    for (const [kind, make] of Object.entries(kinds)) {
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
          const memory = make();
          const model = Buffer.alloc(100);
          for (const { what, ranges, to, byte, try: byCode } of operations) {
            const [{ gpa, length }] = ranges as [(typeof ranges)[0]];
            const used = what.endsWith("Vector") ? ranges : [{ gpa, length }];
            const total = used.reduce((sum, { length }) => sum + length, 0);
            const view = new Uint8Array(total).map((_, i) => byte + i);
            const before = Uint8Array.from(view);
            const fits =
              used.every(({ gpa, length }) => gpa + length <= 100) &&
              (what !== "copy" || to + length <= 100);
            const calls: Record<string, () => unknown> = {
              readInto: () => memory[byCode ? "tryReadInto" : "readInto"](gpa, view),
              write: () => memory[byCode ? "tryWrite" : "write"](gpa, view),
              fill: () => memory[byCode ? "tryFill" : "fill"](gpa, length, byte),
              copy: () => memory[byCode ? "tryCopy" : "copy"](to, gpa, length),
              readVector: () => memory[byCode ? "tryReadVector" : "readVector"](ranges, view),
              writeVector: () => memory[byCode ? "tryWriteVector" : "writeVector"](ranges, view),
            };
            expect(outcome(calls[what]!) ?? OK, `${what}, ${kind}`).to.equal(
              fits ? OK : GuestMemAccessResult.FAULT_BOUNDARY,
            );
            if (!fits || !what.startsWith("read")) {
              expect(view).to.deep.equal(before);
            }
            if (fits && what.startsWith("read")) {
              const parts = used.map(({ gpa, length }) => model.subarray(gpa, gpa + length));
              expect(Buffer.concat(parts).equals(view)).to.equal(true);
            } else if (fits && what === "fill") {
              model.fill(byte, gpa, gpa + length);
            } else if (fits && what === "copy") {
              model.copyWithin(to, gpa, gpa + length);
            } else if (fits) {
              let done = 0;
              for (const { gpa, length } of used) {
                model.set(view.subarray(done, done + length), gpa);
                done += length;
              }
            }
            expect(memory.read(0, 100).equals(model), `RAM after ${what}`).to.equal(true);
            expect(memory.native.readb(99)).to.equal(model[99]);
          }
          memory.destroy();
        }),
        { numRuns: 60 },
      );
    }
  });
});
