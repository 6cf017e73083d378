import { expect } from "chai";
import fc from "fast-check";
import { GuestMemory } from "pound-guest-memory";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const SIZE = 300;

function filled(): { memory: GuestMemory; model: Uint8Array } {
  const memory = GuestMemory.allocate(SIZE);
  const model = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) & 0xff);
  memory.write(0, model);
  return { memory, model };
}

const gpa = fc.integer({ min: 0, max: SIZE + 10 });
const length = fc.integer({ min: 0, max: SIZE + 10 });

describe("bulk access", () => {
  it("does what a Uint8Array of the same bytes does, or faults and changes nothing", () => {
    fc.assert(
      fc.property(gpa, gpa, length, fc.uint8Array({ maxLength: 40 }), (a, b, n, bytes) => {
        const { memory, model } = filled();
        const fits = (start: number, count: number): boolean => start + count <= SIZE;
        const check = (
          name: string,
          ok: boolean,
          run: () => unknown,
          expected: () => unknown,
        ): void => {
          if (ok) {
            expect(run(), name).to.deep.equal(expected());
          } else {
            expect(thrown(run), name).to.deep.equal(FAULT);
          }
          expect(memory.buffer.equals(model), `RAM after ${name}`).to.equal(true);
        };
        check(
          "read",
          fits(a, n),
          () => memory.read(a, n),
          () => Buffer.from(model.slice(a, a + n)),
        );
        check(
          "copy",
          fits(a, n) && fits(b, n),
          () => {
            memory.copy(a, b, n);
          },
          () => {
            model.copyWithin(a, b, b + n);
          },
        );
        check(
          "write",
          fits(a, bytes.length),
          () => {
            memory.write(a, bytes);
          },
          () => {
            model.set(bytes, a);
          },
        );
        check(
          "compare",
          fits(b, bytes.length),
          () => memory.compare(b, bytes),
          () => Buffer.compare(model.subarray(b, b + bytes.length), bytes),
        );
        check(
          "fill",
          fits(b, n),
          () => {
            memory.fill(b, n, n & 0xff);
          },
          () => {
            model.fill(n & 0xff, b, b + n);
          },
        );
        check(
          "slice",
          fits(a, n),
          () => memory.slice(a, n),
          () => Buffer.from(model.slice(a, a + n)),
        );
        memory.destroy();
      }),
      { numRuns: 300 },
    );
  });

  it("reads into any view, all of it or nothing", () => {
    const { memory, model } = filled();
    const target = new Uint16Array(4);
    memory.readInto(3, target);
    expect(new Uint8Array(target.buffer)).to.deep.equal(model.slice(3, 11));
    expect(
      thrown(() => {
        memory.readInto(SIZE - 7, target);
      }),
    ).to.deep.equal(FAULT);
    expect(new Uint8Array(target.buffer)).to.deep.equal(model.slice(3, 11));
  });

  it("writes from a view of its own RAM", () => {
    const { memory, model } = filled();
    memory.write(1, memory.slice(0, 100));
    model.copyWithin(1, 0, 100);
    expect(memory.buffer.equals(model)).to.equal(true);
  });

  it("finds what Buffer.indexOf finds", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(1, 2), { maxLength: 5 }), gpa, gpa, (needle, a, b) => {
        const memory = GuestMemory.allocate(SIZE);
        const model = Buffer.from(Array.from({ length: SIZE }, (_, i) => ((i * i) % 7) % 3));
        memory.write(0, model);
        const [from, to] = [Math.min(a, b, SIZE), Math.min(Math.max(a, b), SIZE)];
        const expected = model.subarray(from, to).indexOf(Buffer.from(needle));
        expect(memory.indexOf(Uint8Array.from(needle), from, to)).to.equal(
          expected < 0 ? null : from + expected,
        );
        memory.destroy();
      }),
    );
    const { memory, model } = filled();
    expect(memory.indexOf(model[77]!)).to.equal(model.indexOf(model[77]!));
    expect(thrown(() => memory.indexOf(1, 5, 4))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => memory.indexOf(1, 0, SIZE + 1))).to.deep.equal(FAULT);
  });

  it("gives slices that are the RAM itself", () => {
    const { memory } = filled();
    const slice = memory.slice(8, 8);
    memory.native.writeq(8, 0x1122_3344_5566_7788n);
    expect(slice.readBigUInt64LE()).to.equal(0x1122_3344_5566_7788n);
    slice[0] = 0;
    expect(memory.readb(8)).to.equal(0);
    memory.destroy();
    expect(slice.length).to.equal(0);
  });

  it("refuses bad arguments before it touches RAM", () => {
    const { memory, model } = filled();
    for (const bad of ["1", null, undefined, {}, true] as unknown as never[]) {
      expect(thrown(() => memory.read(bad, 1))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => memory.read(0, bad))).to.deep.equal(WRONG_TYPE);
      expect(
        thrown(() => {
          memory.write(0, bad);
        }),
      ).to.deep.equal(WRONG_TYPE);
      expect(
        thrown(() => {
          memory.fill(0, 1, bad);
        }),
      ).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => memory.compare(0, bad))).to.deep.equal(WRONG_TYPE);
    }
    for (const bad of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
      expect(thrown(() => memory.read(bad, 1))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => memory.slice(0, bad))).to.deep.equal(OUT_OF_RANGE);
      expect(
        thrown(() => {
          memory.copy(0, 1, bad);
        }),
      ).to.deep.equal(OUT_OF_RANGE);
    }
    expect(
      thrown(() => {
        memory.fill(0, 1, 256);
      }),
    ).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => memory.read(2n ** 64n - 1n, 1))).to.deep.equal(FAULT);
    expect(memory.buffer.equals(model)).to.equal(true);
  });

  it("refuses a view that has lost its bytes, whatever its type", () => {
    const { memory, model } = filled();
    const buffer = new ArrayBuffer(16);
    const Resizable = ArrayBuffer as unknown as new (
      length: number,
      options: object,
    ) => ArrayBuffer & { resize(length: number): void };
    const shrunk = new Resizable(16, { maxByteLength: 16 });
    const views = [buffer, shrunk].flatMap((bytes) => [
      new Uint8Array(bytes, 8, 8),
      new Uint16Array(bytes, 8, 4),
      new DataView(bytes, 8, 8),
    ]);
    structuredClone(buffer, { transfer: [buffer] });
    shrunk.resize(4);
    for (const view of views) {
      for (const call of [
        () => memory.write(0, view),
        () => memory.readInto(0, view),
        () => memory.compare(0, view),
        () => memory.indexOf(view, 5),
      ]) {
        expect(thrown(call)).to.deep.equal(OUT_OF_RANGE);
      }
    }
    expect(memory.buffer.equals(model)).to.equal(true);
  });

  it("goes by the bytes of a view, not by what its class says of them", () => {
    const { memory, model } = filled();
    class Lying extends Uint8Array {
      static lie = 0;
      override get length(): never {
        return Lying.lie as never;
      }
      override get byteLength(): never {
        return Lying.lie as never;
      }
      override set(): void {
        throw new Error("called");
      }
    }
    for (const lie of [0, 2, 2 ** 40]) {
      Lying.lie = lie;
      const bytes = new Lying([1, 2, 3, 4]);
      for (const at of [5, SIZE - 4]) {
        memory.write(at, bytes);
        model.set([1, 2, 3, 4], at);
        expect(memory.buffer.equals(model)).to.equal(true);
        expect(memory.compare(at, bytes)).to.equal(0);
        expect(memory.indexOf(bytes)).to.equal(
          Buffer.from(model).indexOf(Uint8Array.of(1, 2, 3, 4)),
        );
        const target = new Lying(4);
        memory.readInto(at, target);
        expect([target[0], target[1], target[2], target[3]]).to.deep.equal([1, 2, 3, 4]);
      }
      expect(thrown(() => memory.write(SIZE - 3, bytes))).to.deep.equal(FAULT);
    }
    expect(memory.buffer.equals(model)).to.equal(true);
  });

  it("tells in the fault what was tried", () => {
    const { memory } = filled();
    try {
      memory.fill(SIZE - 1, 2, 0);
      expect.fail("no fault");
    } catch (error) {
      expect(error).to.include({ result: 2, gpa: SIZE - 1, width: 2, operation: "write" });
    }
  });
});
