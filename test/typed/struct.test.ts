import { expect } from "chai";
import { expectTypeOf } from "expect-type";
import { GuestMemory } from "pound-guest-memory";
import { struct, type TypedRegion } from "pound-guest-memory/typed";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { pathsOf } from "../support/paths.js";

const Point = struct({ x: "i16", y: "i16" });
const Shape = struct({
  kind: "u8",
  area: "f64",
  origin: Point,
  name: ["u8", 3],
  corners: [Point, 2],
  next: "u64",
});

describe("struct", () => {
  it("lays fields out as C does", () => {
    expect([Point.size, Point.alignment]).to.deep.equal([4, 2]);
    // struct { uint8_t; double; struct { int16_t[2] }; uint8_t[3]; struct {…}[2]; uint64_t; }
    expect({ ...Shape.offsets }).to.deep.equal({
      kind: 0,
      area: 8,
      origin: 16,
      name: 20,
      corners: 24,
      next: 32,
    });
    expect([Shape.size, Shape.alignment]).to.deep.equal([40, 8]);
    expect(struct({ a: "u32", b: "u8" }).size).to.equal(8);
    expect(struct({}).size).to.equal(0);
  });

  it("reads and writes fields in RAM, on both paths", () => {
    const memory = GuestMemory.allocate(256);
    for (const access of pathsOf(memory)) {
      const shape = Shape.at(access, 64);
      shape.kind = 7;
      shape.area = 2.5;
      shape.origin.y = -2;
      shape.name.set(2, 0x21);
      shape.corners[1]!.x = 300;
      shape.next = 0x1122334455667788n;
      expect(memory.readb(64)).to.equal(7);
      expect(memory.buffer.readDoubleLE(72)).to.equal(2.5);
      expect(memory.readw(82)).to.equal(0xfffe);
      expect(memory.readb(86)).to.equal(0x21);
      expect(memory.readw(92)).to.equal(300);
      expect(memory.readq(96)).to.equal(0x1122334455667788n);
      expect(shape.origin.y).to.equal(-2);
      expect([...shape.name]).to.deep.equal([0, 0, 0x21]);
      memory.fill(0, 256, 0);
    }
  });

  it("faults field by field, and refuses values that a field cannot hold", () => {
    const memory = GuestMemory.allocate(64);
    const shape = Shape.at(memory, 40);
    expect(shape.kind).to.equal(0);
    expect(thrown(() => shape.next)).to.deep.equal(FAULT);
    expect(thrown(() => Shape.at(memory, 4).area)).to.deep.equal(FAULT);
    expect(
      thrown(() => {
        shape.kind = 256;
      }),
    ).to.deep.equal(OUT_OF_RANGE);
    expect(
      thrown(() => {
        shape.kind = "7" as unknown as number;
      }),
    ).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => Shape.at(memory, 2n ** 64n - 8n))).to.deep.equal(OUT_OF_RANGE);
    expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
  });

  it("accepts fields of any name", () => {
    const memory = GuestMemory.allocate(16);
    const odd = struct({ ["__proto__"]: "u8", constructor: "u8", size: "u8", at: "u8" });
    const view = odd.at(memory, 0);
    view.__proto__ = 1;
    view.constructor = 2;
    view.size = 3;
    view.at = 4;
    expect([...memory.read(0, 4)]).to.deep.equal([1, 2, 3, 4]);
    expect(Object.keys(odd.offsets)).to.deep.equal(["__proto__", "constructor", "size", "at"]);
  });

  it("refuses an invalid field type", () => {
    expect(thrown(() => struct({ a: "u7" as "u8" }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => struct({ a: {} as "u8" }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => struct({ a: ["u8", -1] }))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => struct({ a: ["u64", 2 ** 52] }))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => struct(null as never))).to.deep.equal(WRONG_TYPE);
  });

  it("refuses options, which it does not have, and an invalid memory", () => {
    const options = { packed: true } as never;
    expect(thrown(() => struct({ a: "u8", b: "u32" }, options))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => struct({ a: "u8" }).at(undefined as never, 0))).to.deep.equal(WRONG_TYPE);
  });

  it("has the types of its fields", () => {
    const shape = Shape.at(GuestMemory.allocate(64), 0);
    expectTypeOf(shape.area).toBeNumber();
    expectTypeOf(shape.next).toBeBigInt();
    expectTypeOf(shape.origin.x).toBeNumber();
    expectTypeOf(shape.name).toEqualTypeOf<TypedRegion<"u8">>();
    expectTypeOf(Shape.offsets.next).toBeNumber();
  });
});
