import { expect } from "chai";
import { GuestMemory, type GuestMemoryAccess } from "pound-guest-memory";
import { type ElementType, TypedRegion } from "pound-guest-memory/typed";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { PATHS } from "../support/paths.js";

interface Case {
  readonly type: ElementType;
  readonly bytes: number;
  /** Values, and their little-endian bytes in RAM. */
  readonly values: readonly (readonly [value: number | bigint, bytes: string])[];
  readonly tooWide: readonly (number | bigint)[];
}

const CASES: readonly Case[] = [
  {
    type: "u8",
    bytes: 1,
    values: [
      [0, "00"],
      [255, "ff"],
    ],
    tooWide: [-1, 256, 0.5],
  },
  { type: "u16", bytes: 2, values: [[0x1234, "3412"]], tooWide: [-1, 65536] },
  { type: "u32", bytes: 4, values: [[0xdeadbeef, "efbeadde"]], tooWide: [-1, 2 ** 32] },
  {
    type: "u64",
    bytes: 8,
    values: [[0x0102030405060708n, "0807060504030201"]],
    tooWide: [-1n, 2n ** 64n],
  },
  {
    type: "i8",
    bytes: 1,
    values: [
      [-1, "ff"],
      [-128, "80"],
      [127, "7f"],
    ],
    tooWide: [-129, 128, NaN],
  },
  {
    type: "i16",
    bytes: 2,
    values: [
      [-2, "feff"],
      [-32768, "0080"],
      [32767, "ff7f"],
    ],
    tooWide: [-32769, 32768],
  },
  {
    type: "i32",
    bytes: 4,
    values: [
      [-3, "fdffffff"],
      [-(2 ** 31), "00000080"],
    ],
    tooWide: [2 ** 31, -(2 ** 31) - 1, 1.5],
  },
  {
    type: "i64",
    bytes: 8,
    values: [
      [-1n, "ffffffffffffffff"],
      [-(2n ** 63n), "0000000000000080"],
    ],
    tooWide: [2n ** 63n, -(2n ** 63n) - 1n],
  },
  {
    type: "f32",
    bytes: 4,
    values: [
      [1.5, "0000c03f"],
      [-Infinity, "000080ff"],
      [NaN, "0000c07f"],
    ],
    tooWide: [],
  },
  {
    type: "f64",
    bytes: 8,
    values: [
      [-0.1, "9a9999999999b9bf"],
      [2 ** 53, "0000000000004043"],
    ],
    tooWide: [],
  },
];

for (const path of PATHS) {
  describe(`TypedRegion on the ${path} path`, () => {
    let memory: GuestMemory;
    let access: GuestMemoryAccess;

    beforeEach(() => {
      memory = GuestMemory.allocate(64);
      access = path === "view" ? memory : memory.native;
    });

    for (const { type, bytes, values, tooWide } of CASES) {
      it(`holds ${type}`, () => {
        const region = new TypedRegion(access, type, 16, 4);
        expect([region.length, region.byteLength]).to.deep.equal([4, 4 * bytes]);
        for (const [value, expected] of values) {
          region.set(2, value);
          expect(region.get(2)).to.deep.equal(value);
          expect(memory.read(16 + 2 * bytes, bytes).toString("hex")).to.equal(expected);
        }
        const before = memory.read(0, 64);
        for (const value of tooWide) {
          expect(
            thrown(() => {
              region.set(0, value);
            }),
          ).to.deep.equal(OUT_OF_RANGE);
        }
        const wrong = typeof values[0]![0] === "bigint" ? 1 : 1n;
        expect(
          thrown(() => {
            region.set(0, wrong);
          }),
        ).to.deep.equal(WRONG_TYPE);
        expect(memory.read(0, 64).equals(before)).to.equal(true);
      });
    }

    it("iterates, fills and counts from the end", () => {
      const region = new TypedRegion(access, "i16", 2n, 3);
      region.fill(-7);
      region.set(1, 5);
      expect([...region]).to.deep.equal([-7, 5, -7]);
      expect([region.at(-2), region.at(3), region.at(-4)]).to.deep.equal([5, undefined, undefined]);
    });

    it("refuses an index outside it", () => {
      const region = new TypedRegion(access, "u8", 0, 4);
      for (const index of [-1, 4, 0.5, NaN]) {
        expect(thrown(() => region.get(index))).to.deep.equal(OUT_OF_RANGE);
      }
      expect(thrown(() => region.get("0" as unknown as number))).to.deep.equal(WRONG_TYPE);
    });

    it("faults as a guest access does, element by element", () => {
      const outside = new TypedRegion(access, "u32", 60, 2);
      expect(outside.get(0)).to.equal(0);
      expect(thrown(() => outside.get(1))).to.deep.equal(FAULT);
      expect(thrown(() => new TypedRegion(access, "u32", 2, 1).get(0))).to.deep.equal(FAULT);
      const far = new TypedRegion(access, "u8", 2n ** 64n - 4n, 4);
      expect(thrown(() => far.get(3))).to.deep.equal(FAULT);
      const edge = new TypedRegion(access, "u8", 2 ** 53 - 1, 4);
      expect(thrown(() => edge.get(3))).to.deep.equal(FAULT);
    });

    it("refuses invalid arguments", () => {
      expect(thrown(() => new TypedRegion(access, "u7" as "u8", 0, 1))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => new TypedRegion(access, "toString" as "u8", 0, 1))).to.deep.equal(
        WRONG_TYPE,
      );
      expect(thrown(() => new TypedRegion(access, "u8", -1, 1))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => new TypedRegion(access, "u64", 2n ** 64n - 8n, 2))).to.deep.equal(
        OUT_OF_RANGE,
      );
    });
  });
}

describe("a typed region without a valid memory", () => {
  it("is refused by the constructor", () => {
    const memory = GuestMemory.allocate(8);
    expect(thrown(() => new TypedRegion(undefined as never, "u8", 0, 1))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new TypedRegion({} as never, "u8", 0, 1))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new TypedRegion(memory, Symbol("u8") as never, 0, 1))).to.deep.equal(
      WRONG_TYPE,
    );
    expect(thrown(() => new TypedRegion(memory, "u8", 0, 1).at("0" as never))).to.deep.equal(
      WRONG_TYPE,
    );
  });
});
