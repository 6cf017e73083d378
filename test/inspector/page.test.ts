import { expect } from "chai";
import fc from "fast-check";

// The tests are CommonJS, which cannot import the ES modules of the page statically.
const addresses = import("../../inspector-page/model/addresses.mjs");
const navigations = import("../../inspector-page/model/navigation.mjs");
const query = import("../../inspector-page/model/query.mjs");
const values = import("../../inspector-page/model/values.mjs");

function region(
  index: number,
  name: string,
  gpa: string,
  size: string,
  kind: "ram" | "mmio" = "ram",
) {
  const [start, length] = [BigInt(gpa), BigInt(size)];
  return { kind, index, name, gpa: start, size: length, storedPages: 0, differingPages: 0 };
}

describe("the inspector's addresses", () => {
  const regions = [
    region(0, "dram", "0x40000000", "0x1000"),
    region(1, "high ram", "0x100000000", "0x100000000"),
  ];

  it("are parsed as hexadecimal, decimal, relative to the cursor, or relative to a region", async () => {
    const { parseGoTo } = await addresses;
    const go = (text: string) => parseGoTo(text, regions, 0x1000n);
    const expected: readonly [string, bigint | null][] = [
      ["40001000", 0x40001000n],
      ["0x40001000", 0x40001000n],
      [" 0X4000_1000 ", 0x40001000n],
      ["ffffffffffffffff", 2n ** 64n - 1n],
      ["#4096", 4096n],
      ["+20", 0x1020n],
      ["-0x20", 0xfe0n],
      ["+#20", 0x1014n],
      ["-2000", null],
      ["dram", 0x40000000n],
      ["dram+20", 0x40000020n],
      ["high ram+#16", 0x100000010n],
      ["dram+x", null],
      ["1_ffff_ffff_ffff_ffff", 2n ** 65n - 1n],
      ["1ffffffffffffffffff", null],
      ["#12f", null],
      ["", null],
      ["+", null],
      ["nowhere", null],
    ];
    for (const [text, gpa] of expected) {
      expect(go(text), text).to.equal(gpa);
    }
  });

  it("have as many digits as the highest address needs", async () => {
    const { addressDigits, formatAddress, formatSize } = await addresses;
    expect(addressDigits([regions[0]!])).to.equal(8);
    expect(addressDigits(regions)).to.equal(12);
    expect(addressDigits([region(0, "all", "0x1", "0xffffffffffffffff")])).to.equal(16);
    expect(formatAddress(0x12n, 8)).to.equal("0x00000012");
    expect(
      [0, 1023, 1536, 4096, 10 * 2 ** 20, 2 ** 32 + 2 ** 30 / 4].map((size) => formatSize(size)),
    ).to.deep.equal(["0 bytes", "1023 bytes", "1.50 KiB", "4 KiB", "10 MiB", "4.25 GiB"]);
  });
});

describe("the inspector's navigation", () => {
  const regions = [
    region(0, "low", "0x1000", "0x100"),
    region(1, "uart", "0x2000", "0x10", "mmio"),
    region(2, "high", "0x100000000", "0x1000"),
  ];

  async function start() {
    const { Navigation } = await navigations;
    const seen: bigint[] = [];
    const navigation = new Navigation(regions, regions[0]!, () => seen.push(navigation.gpa));
    return { navigation, seen };
  }

  it("keeps the cursor in its region, and in its column at the region's ends", async () => {
    const { navigation, seen } = await start();
    navigation.moveTo(0x35);
    navigation.moveBy(-0x40);
    navigation.moveBy(0x100);
    navigation.moveBy(0x10);
    navigation.moveTo(Infinity);
    navigation.moveTo(-1);
    expect(seen).to.deep.equal([0x1035n, 0x1045n, 0x10ffn, 0x1000n]);
  });

  it("jumps into any region with bytes, and back", async () => {
    const { navigation, seen } = await start();
    navigation.moveTo(4);
    expect(navigation.jump(0x1_0000_0008n)).to.equal(true);
    expect([navigation.region.name, navigation.cursor]).to.deep.equal(["high", 8]);
    for (const gpa of [0x2000n, 0x1100n, 0n, 2n ** 64n - 1n]) {
      expect(navigation.jump(gpa)).to.equal(false);
    }
    navigation.stepRegion(1);
    navigation.stepRegion(-1);
    for (let i = 0; i < 5; i++) {
      navigation.back();
    }
    const high = 0x1_0000_0000n;
    expect(seen).to.deep.equal([0x1004n, high + 8n, 0x1000n, high, 0x1000n, high + 8n, 0x1004n]);
  });
});

describe("the inspector's search", () => {
  it("parses bytes, texts and numbers", async () => {
    const { parseQuery, toHex } = await query;
    const expected: readonly [string, string][] = [
      ["de ad be ef", "deadbeef"],
      ["DEADbeef", "deadbeef"],
      ['"dead"', "64656164"],
      ['"open', "6f70656e"],
      ["hello", "68656c6c6f"],
      ["ä", "c3a4"],
      ["abc", "616263"],
      ["u32:1000", "e8030000"],
      ["u8:255", "ff"],
      ["i8:-1", "ff"],
      ["i16:-2", "feff"],
      ["u64:0xffffffffffffffff", "ffffffffffffffff"],
      ["i64:-9223372036854775808", "0000000000000080"],
      ["f32:1.5", "0000c03f"],
      ["f64:-0.5", "000000000000e0bf"],
      ["f64:-inf", "000000000000f0ff"],
      ["0x1234", "34120000"],
      ["0x123456789", "8967452301000000"],
      ["u24:5", "7532343a35"],
    ];
    for (const [text, bytes] of expected) {
      const parsed = parseQuery(text);
      expect(typeof parsed === "string" ? parsed : toHex(parsed.bytes), text).to.equal(bytes);
    }
    for (const text of [
      "",
      "  ",
      '""',
      "u8:256",
      "u8:-1",
      "i8:128",
      "u32:1.5",
      "u64:x",
      "f32:x",
      "f64:",
      "x".repeat(257),
    ]) {
      expect(parseQuery(text), text).to.be.a(text === "f64:" ? "object" : "string");
    }
  });

  it("marks every byte of every match", async () => {
    const { markMatches } = await query;
    const bytes = fc.uint8Array({ maxLength: 30, max: 2 });
    fc.assert(
      fc.property(
        bytes,
        fc.uint8Array({ minLength: 1, maxLength: 3, max: 2 }),
        (within, pattern) => {
          const marks = markMatches(within, pattern);
          const text = Buffer.from(within).toString("latin1");
          const needle = Buffer.from(pattern).toString("latin1");
          for (let i = 0; i < within.length; i++) {
            const covered = Array.from(pattern, (_, j) => i - j).some(
              (at) => at >= 0 && text.startsWith(needle, at),
            );
            expect(marks[i]).to.equal(Number(covered));
          }
        },
      ),
    );
  });
});

describe("the inspector's values", () => {
  it("are little-endian, and fit into their columns", async () => {
    const { VIEW_TYPES } = await values;
    const bytes = Uint8Array.of(0x41, 0xf4, 0xff, 0x80, 0x12, 0x34, 0x56, 0xc0);
    const data = new DataView(bytes.buffer);
    expect(
      Object.fromEntries(VIEW_TYPES.map((type) => [type.name, type.format(data, 0)])),
    ).to.deep.equal({
      x8: "41",
      x16: "f441",
      x32: "80fff441",
      x64: "c056341280fff441",
      u8: "65",
      u16: "62529",
      u32: "2164257857",
      u64: "13859322157357593665",
      i8: "65",
      i16: "-3007",
      i32: "-2130709439",
      i64: "-4587421916351957951",
      f32: "-2.350567e-38",
      f64: "-88.8136293887665",
      ascii: "A",
    });
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (any) => {
        for (const type of VIEW_TYPES) {
          const text = type.format(new DataView(any.buffer, any.byteOffset), 0);
          expect(text.length, `${type.name} ${text}`).to.be.within(1, type.width);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("show floating-point numbers to the precision of their type", async () => {
    const { VIEW_TYPES } = await values;
    const data = new DataView(new ArrayBuffer(8));
    const f32 = VIEW_TYPES.find(({ name }) => name === "f32")!;
    const f64 = VIEW_TYPES.find(({ name }) => name === "f64")!;
    for (const [value, short, long] of [
      [0, "0", "0"],
      [-0, "-0", "-0"],
      [0.1, "0.1", "0.1"],
      [1e20, "1e+20", "1e+20"],
      [123456, "123456", "123456"],
      [NaN, "NaN", "NaN"],
      [-Infinity, "-inf", "-inf"],
      [1 / 3, "0.3333333", "0.333333333333333"],
    ] as const) {
      data.setFloat32(0, value, true);
      expect(f32.format(data, 0)).to.equal(short);
      data.setFloat64(0, value, true);
      expect(f64.format(data, 0)).to.equal(long);
    }
  });
});
