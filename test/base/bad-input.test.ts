import { createServer } from "node:net";
import { isExternal } from "node:util/types";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import { Arena, GuestMemory, type GuestMemoryAccess } from "pound-guest-memory";
import { native, type Handle } from "../../lib/native/addon.js";
import {
  DESTROYED,
  EXHAUSTED,
  NO_MEMORY,
  OUT_OF_RANGE,
  thrown,
  WRONG_HANDLE,
  WRONG_TYPE,
} from "../support/errors.js";
import { describeNative } from "../support/native-tests.js";
import { PATHS } from "../support/paths.js";
import { IS_WIDE } from "../support/wide-tests.js";

type Method = (...args: unknown[]) => unknown;

const NOT_NUMBERS: readonly unknown[] = [
  undefined,
  null,
  "4",
  true,
  Symbol("4"),
  {},
  [4],
  { valueOf: () => 4 },
  () => 4,
];
const NOT_ADDRESSES: readonly unknown[] = [
  NaN,
  -1,
  -0.5,
  0.5,
  4.000001,
  2 ** 32 + 0.5,
  Infinity,
  -Infinity,
  2 ** 53,
  -(2 ** 40),
  -1n,
  2n ** 64n,
  -(2n ** 70n),
];

const READS = [
  { suffix: "b", out: new Uint8Array(1), wrong: new Int8Array(1) },
  { suffix: "w", out: new Uint16Array(1), wrong: new Uint8Array(2) },
  { suffix: "l", out: new Uint32Array(1), wrong: new Float32Array(1) },
  { suffix: "q", out: new BigUint64Array(1), wrong: new BigInt64Array(1) },
] as const;

const WRITES = [
  { suffix: "b", good: 1, tooWide: [256, -129, 0.5, NaN, Infinity], wrong: [1n, "1", null] },
  {
    suffix: "w",
    good: 1,
    tooWide: [65536, -32769, 0.5, NaN, 2 ** 40],
    wrong: [1n, "1", undefined],
  },
  {
    suffix: "l",
    good: 1,
    tooWide: [2 ** 32, -(2 ** 31) - 1, 0.5, NaN, 2 ** 53],
    wrong: [1n, "1", {}],
  },
  {
    suffix: "q",
    good: 1n,
    tooWide: [2n ** 64n, -(2n ** 63n) - 1n, 2n ** 200n],
    wrong: [1, "1", null],
  },
] as const;

function detachedOut(): Uint32Array {
  const out = new Uint32Array(1);
  structuredClone(out.buffer, { transfer: [out.buffer] });
  return out;
}

for (const path of PATHS) {
  describe(`bad input on the ${path} path`, () => {
    let memory: GuestMemory;
    let access: Record<string, Method>;

    beforeEach(() => {
      memory = GuestMemory.allocate(64);
      memory.fill(0, 64, 0xa5);
      const target: GuestMemoryAccess = path === "view" ? memory : memory.native;
      access = target as unknown as Record<string, Method>;
    });

    afterEach(() => {
      expect(
        memory.buffer.every((byte) => byte === 0xa5),
        "RAM is as it was",
      ).to.equal(true);
      memory.destroy();
    });

    function call(name: string, ...args: unknown[]): { name: string; code: unknown } {
      return thrown(() => access[name]!(...args));
    }

    it("refuses an address that is neither a number nor a bigint", () => {
      for (const gpa of NOT_NUMBERS) {
        for (const { suffix, out } of READS) {
          expect(call(`tryRead${suffix}`, gpa, out)).to.deep.equal(WRONG_TYPE);
          expect(call(`read${suffix}`, gpa)).to.deep.equal(WRONG_TYPE);
          expect(out[0] === 0 || out[0] === 0n).to.equal(true);
        }
        for (const { suffix, good } of WRITES) {
          expect(call(`tryWrite${suffix}`, gpa, good)).to.deep.equal(WRONG_TYPE);
          expect(call(`write${suffix}`, gpa, good)).to.deep.equal(WRONG_TYPE);
        }
      }
    });

    it("refuses an address that is no u64", () => {
      for (const gpa of NOT_ADDRESSES) {
        for (const { suffix, out } of READS) {
          expect(call(`tryRead${suffix}`, gpa, out), String(gpa)).to.deep.equal(OUT_OF_RANGE);
          expect(call(`read${suffix}`, gpa), String(gpa)).to.deep.equal(OUT_OF_RANGE);
        }
        for (const { suffix, good } of WRITES) {
          expect(call(`tryWrite${suffix}`, gpa, good), String(gpa)).to.deep.equal(OUT_OF_RANGE);
          expect(call(`write${suffix}`, gpa, good), String(gpa)).to.deep.equal(OUT_OF_RANGE);
        }
      }
    });

    it("takes minus zero for zero", () => {
      expect(access.readb!(-0)).to.equal(0xa5);
      expect(access.tryWriteb!(-0, 0xa5)).to.equal(0);
    });

    it("refuses a value that the access cannot hold", () => {
      for (const { suffix, tooWide, wrong } of WRITES) {
        for (const value of tooWide) {
          expect(call(`tryWrite${suffix}`, 0, value), String(value)).to.deep.equal(OUT_OF_RANGE);
          expect(call(`write${suffix}`, 0, value), String(value)).to.deep.equal(OUT_OF_RANGE);
          // Also where the guest's access would fault: the mistake is the program's.
          expect(call(`tryWrite${suffix}`, 2 ** 40, value)).to.deep.equal(OUT_OF_RANGE);
        }
        for (const value of wrong) {
          expect(call(`tryWrite${suffix}`, 0, value), typeof value).to.deep.equal(WRONG_TYPE);
          expect(call(`write${suffix}`, 0, value), typeof value).to.deep.equal(WRONG_TYPE);
        }
      }
    });

    it("refuses an out of the wrong type, an empty and a detached one", () => {
      for (const { suffix, out, wrong } of READS) {
        const Type = out.constructor as new (length: number) => object;
        for (const bad of [wrong, undefined, null, [0], {}, new ArrayBuffer(8)]) {
          expect(call(`tryRead${suffix}`, 0, bad)).to.deep.equal(WRONG_TYPE);
        }
        for (const own of [{}, { 0: 1 }, { 0: 1n, length: 1 }]) {
          const forged: unknown = Object.setPrototypeOf(own, Type.prototype as object);
          // Many times, so that optimized code is asked too.
          for (let i = 0; i < 200; i++) {
            call(`tryRead${suffix}`, 0, new Type(1));
          }
          expect(call(`tryRead${suffix}`, 0, forged)).to.deep.equal(WRONG_TYPE);
          expect(call(`tryRead${suffix}`, 0, new Proxy(new Type(1), {}))).to.deep.equal(WRONG_TYPE);
        }
        expect(call(`tryRead${suffix}`, 0, new Type(0))).to.deep.equal(OUT_OF_RANGE);
      }
      expect(call("tryReadl", 0, detachedOut())).to.deep.equal(OUT_OF_RANGE);
    });

    it("fills an out of another realm", () => {
      for (const { suffix, out } of READS) {
        const foreign = runInNewContext(`new ${out.constructor.name}(1)`) as typeof out;
        expect(access[`tryRead${suffix}`]!(0, foreign)).to.equal(0);
        expect(BigInt(foreign[0]!)).to.equal(BigInt(`0x${"a5".repeat(out.BYTES_PER_ELEMENT)}`));
      }
    });

    it("refuses a source that is an object with the prototype of a BigUint64Array", () => {
      for (const own of [{}, { 0: 1n }, { 0: 2n ** 64n, length: 1 }, { 0: 1 }]) {
        const forged: unknown = Object.setPrototypeOf(own, BigUint64Array.prototype);
        expect(call("tryWriteqFrom", 0, forged)).to.deep.equal(WRONG_TYPE);
      }
    });
  });
}

describe("bad views for bulk access", () => {
  it("are refused, whatever their prototype", () => {
    const memory = GuestMemory.allocate(64);
    memory.fill(0, 64, 0xa5);
    for (const type of [Uint8Array, Uint32Array, Buffer, DataView]) {
      const forged = Object.setPrototypeOf(
        { length: 8, byteLength: 8 },
        type.prototype as object,
      ) as never;
      expect(thrown(() => memory.write(0, forged))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => memory.readInto(0, forged))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => memory.compare(0, forged))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => memory.indexOf(forged))).to.deep.equal(WRONG_TYPE);
    }
    expect(memory.buffer.every((byte) => byte === 0xa5)).to.equal(true);
    memory.destroy();
  });
});

// Only the addon checks handles: the plain binding is called by this package alone.
describeNative("bad handles", () => {
  const functions = native as unknown as Record<string, Method>;
  const ARENA_FUNCTIONS = [
    "arenaAllocate",
    "arenaCapacity",
    "arenaUsed",
    "arenaReset",
    "arenaDestroy",
    "arenaExpose",
    "guestMemoryCreate",
    "guestMemoryOver",
  ];
  const MEMORY_FUNCTIONS = [
    "guestMemorySize",
    "guestMemoryOffset",
    "guestMemoryDestroy",
    "guestMemoryNumber",
  ];
  const FORGERIES: readonly unknown[] = [
    undefined,
    null,
    0,
    1n,
    "handle",
    {},
    [],
    new Proxy({}, {}),
    Object.create(null),
    new ArrayBuffer(8),
  ];

  it("are refused, whatever they are", () => {
    for (const name of [...ARENA_FUNCTIONS, ...MEMORY_FUNCTIONS]) {
      for (const forgery of FORGERIES) {
        expect(
          thrown(() => functions[name]!(forgery, 1, 1)),
          name,
        ).to.deep.equal(WRONG_HANDLE);
      }
      expect(
        thrown(() => functions[name]!()),
        name,
      ).to.deep.equal(WRONG_HANDLE);
    }
  });

  it("are refused where they are Externals of somebody else's", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const handle = (server as unknown as { _handle: { _externalStream: unknown } })._handle;
    const foreign = handle._externalStream;
    expect(isExternal(foreign)).to.equal(true);
    for (const name of [...ARENA_FUNCTIONS, ...MEMORY_FUNCTIONS]) {
      expect(
        thrown(() => functions[name]!(foreign, 1, 1)),
        name,
      ).to.deep.equal(WRONG_HANDLE);
    }
    server.close();
  });

  it("of one kind are refused where the other is wanted", () => {
    const arena = native.arenaCreate(4096);
    const memory = native.guestMemoryCreate(native.arenaCreate(4096));
    for (const name of ARENA_FUNCTIONS) {
      expect(
        thrown(() => functions[name]!(memory, 1, 1)),
        name,
      ).to.deep.equal(WRONG_HANDLE);
    }
    for (const name of MEMORY_FUNCTIONS) {
      expect(
        thrown(() => functions[name]!(arena, 1, 1)),
        name,
      ).to.deep.equal(WRONG_HANDLE);
    }
  });

  it("cannot be had by forging the classes", () => {
    const arena = Object.create(Arena.prototype) as Arena;
    expect(thrown(() => GuestMemory.create(arena))).to.deep.equal(WRONG_TYPE);
    for (const value of [undefined, null, {}, 5] as unknown as never[]) {
      expect(thrown(() => GuestMemory.create(value))).to.deep.equal(WRONG_TYPE);
    }
    // The language refuses these itself: the objects lack the private fields.
    expect(thrown(() => arena.capacity).name).to.equal("TypeError");
    const memory = Object.create(GuestMemory.prototype) as GuestMemory;
    expect(thrown(() => memory.readb(0)).name).to.equal("TypeError");
    expect(thrown(() => memory.size).name).to.equal("TypeError");
  });

  it("and bad sizes are refused by the addon itself", () => {
    for (const size of [NaN, -1, 0.5, Infinity, 2 ** 53]) {
      expect(thrown(() => native.arenaCreate(size))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => native.arenaCreate("1" as unknown as number))).to.deep.equal(WRONG_TYPE);
    const arena: Handle = native.arenaCreate(64);
    // Nothing is allocated yet, so there is nothing to expose.
    expect(thrown(() => native.arenaExpose(arena, 0, 1))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => native.arenaOver({} as DataView))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => native.detach({} as ArrayBuffer))).to.deep.equal(WRONG_TYPE);
    for (const offset of [NaN, -1, 65, Infinity]) {
      expect(thrown(() => native.guestMemoryOver(arena, offset))).to.deep.equal(OUT_OF_RANGE);
    }
    for (const size of [NaN, -1, 61, Infinity]) {
      expect(thrown(() => native.guestMemoryOver(arena, 4, size))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => native.guestMemoryOver(arena, "0" as unknown as number))).to.deep.equal(
      WRONG_TYPE,
    );
    native.arenaAllocate(arena, 1, 1);
    expect(thrown(() => native.guestMemoryOver(arena, 0))).to.deep.equal(EXHAUSTED);
    native.arenaDestroy(arena);
    expect(thrown(() => native.guestMemoryCreate(arena))).to.deep.equal(DESTROYED);
    expect(thrown(() => native.guestMemoryOver(arena, 0))).to.deep.equal(DESTROYED);
  });
});

describe("bad sizes of arenas and RAM", () => {
  it("are refused", () => {
    for (const size of NOT_NUMBERS) {
      expect(thrown(() => Arena.create(size as number))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => GuestMemory.allocate(size as number))).to.deep.equal(WRONG_TYPE);
    }
    for (const size of NOT_ADDRESSES) {
      expect(thrown(() => Arena.create(size as number))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => GuestMemory.allocate(size as number))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => Arena.create(0))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => Arena.create(2n ** 64n - 1n))).to.deep.equal(OUT_OF_RANGE);
  });

  it("that no machine has end in an error, not a crash", () => {
    const expected = IS_WIDE ? NO_MEMORY : OUT_OF_RANGE;
    for (const size of IS_WIDE ? [2 ** 52] : [2 ** 32, 2 ** 32 + 4096, 2 ** 52]) {
      expect(thrown(() => Arena.create(size))).to.deep.equal(expected);
      expect(thrown(() => GuestMemory.allocate(size))).to.deep.equal(expected);
    }
  });
});
