import { inspect } from "node:util";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import {
  Arena,
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
  resultName,
} from "pound-guest-memory";
import { native } from "../../lib/native/addon.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { splitting } from "../support/halves.js";
import { sweep } from "../support/sweep.js";
import { PATHS, pathsOf } from "../support/paths.js";
import { RAM_ALIGNMENT } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

/** Ways to come by RAM of `size` bytes whose first byte is at once `bytes[0]`. */
const KINDS: Record<string, (size: number) => GuestMemory> = {
  "pages of its own": (size) => GuestMemory.allocate(size),
  "a caller's ArrayBuffer": (size) => GuestMemory.create(Arena.over(new ArrayBuffer(size + 16))),
  "a SharedArrayBuffer": (size) => GuestMemory.create(Arena.over(new SharedArrayBuffer(size + 16))),
  // The host address is aligned from there, so RAM starts 16 bytes above the first multiple of it.
  "a caller's buffer from an odd offset on": (size) =>
    GuestMemory.create(
      Arena.over(new Uint8Array(new ArrayBuffer(size + 32), 3, size + 13 + RAM_ALIGNMENT)),
    ),
  "a buffer of the runtime's, where it forbids others": (size) => {
    const binding = native as { externalBuffers: boolean };
    binding.externalBuffers = false;
    try {
      return GuestMemory.allocate(size);
    } finally {
      binding.externalBuffers = true;
    }
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  describe(`the accessors over ${kind}`, () => {
    for (const path of PATHS) {
      it(`keep to the header's rules on the ${path} path at every address`, () => {
        for (let size = 0; size <= 16; size++) {
          const memory = make(size);
          expect(memory.size, "size").to.equal(BigInt(size));
          const access = path === "view" ? memory : memory.native;
          expect(access.size).to.equal(BigInt(size));
          sweep({ access, bytes: memory.buffer }, `RAM of ${size}`);
          sweep(
            { access: splitting(access.halves), bytes: memory.buffer },
            `RAM of ${size}, addresses in halves`,
          );
          memory.destroy();
        }
      });
    }
  });
}

describe("the view path", () => {
  it("keeps to the rules where RAM starts at an address that no wide array can", () => {
    // Where the offset in the caller's buffer is odd, the accesses take the slow path.
    for (let offset = 0; offset < 16; offset++) {
      const whole = new Uint8Array(64).fill(0x77);
      const memory = GuestMemory.create(Arena.over(whole.subarray(offset, offset + 47)));
      const ram = memory.buffer;
      const outside = whole.byteLength - ram.length;
      sweep({ access: memory, bytes: ram }, `offset ${offset}`);
      sweep({ access: memory.native, bytes: ram }, `offset ${offset}`);
      // The alignment of the host address leaves less than 16 bytes unused.
      expect(outside, `offset ${offset}`).to.be.within(64 - 31, 64 - 16);
      expect(whole.subarray(offset + 47).every((byte) => byte === 0x77)).to.equal(true);
    }
  });

  it("stores into the first element of a longer out, and takes any view of its type", () => {
    const memory = GuestMemory.allocate(16);
    memory.writel(4, 0x8899_aabb);
    for (const access of pathsOf(memory)) {
      const long = Uint32Array.of(1, 2, 3);
      expect(access.tryReadl(4, long)).to.equal(OK);
      expect([...long]).to.deep.equal([0x8899_aabb, 2, 3]);
      const buffer = Buffer.of(1, 2);
      expect(access.tryReadb(5, buffer)).to.equal(OK);
      expect([...buffer]).to.deep.equal([0xaa, 2]);
      const shared = new Uint16Array(new SharedArrayBuffer(8), 2, 1);
      expect(access.tryReadw(6, shared)).to.equal(OK);
      expect(shared[0]).to.equal(0x8899);
    }
  });

  it("takes an out that is the RAM itself", () => {
    const memory = GuestMemory.allocate(16);
    // The same in either byte order.
    memory.writew(0, 0x1212);
    const ram = new Uint16Array(memory.buffer.buffer, memory.buffer.byteOffset, 8);
    expect(memory.tryReadw(0, ram.subarray(1))).to.equal(OK);
    expect(memory.native.tryReadw(2, ram.subarray(2))).to.equal(OK);
    expect([...ram.subarray(0, 4)]).to.deep.equal([0x1212, 0x1212, 0x1212, 0]);
  });

  it("takes an out of another realm, where instanceof fails, and refuses another type's", () => {
    const memory = GuestMemory.allocate(16);
    memory.writeq(8, 2n ** 64n - 2n);
    const foreign = runInNewContext(
      "[new Uint8Array(1), new Uint16Array(1), new Uint32Array(1), new BigUint64Array(1)]",
    ) as [Uint8Array, Uint16Array, Uint32Array, BigUint64Array];
    const [b, w, l, q] = foreign;
    expect(b).not.to.be.instanceOf(Uint8Array);
    for (const access of pathsOf(memory)) {
      foreign.forEach((out) => new Uint8Array(out.buffer).fill(0));
      expect(access.tryReadb(8, b)).to.equal(OK);
      expect(access.tryReadw(8, w)).to.equal(OK);
      expect(access.tryReadl(8, l)).to.equal(OK);
      expect(access.tryReadq(8, q)).to.equal(OK);
      expect([b[0], w[0], l[0], q[0]]).to.deep.equal([0xfe, 0xfffe, 0xffff_fffe, 2n ** 64n - 2n]);
      expect(thrown(() => access.tryReadb(8, w as unknown as Uint8Array))).to.deep.equal(
        WRONG_TYPE,
      );
    }
  });

  it("refuses to run on what is no GuestMemory", () => {
    const methods = GuestMemory.prototype as unknown as Record<
      string,
      (...args: unknown[]) => void
    >;
    const names = propertiesOf(GuestMemory.prototype).flatMap(([name, { value }]) =>
      // `isView` is there only for its speed.
      typeof value === "function" && !["constructor", "isView"].includes(name) ? name : [],
    );
    expect(names).to.include.members(["tryReadb", "writeq", "read", "slice", "destroy"]);
    for (const name of names) {
      const first = name === "indexOf" || name === "tryReadb" ? 1 : 0;
      for (const self of [Object.create(GuestMemory.prototype), {}, undefined, 5]) {
        const args = [first, name.startsWith("tryRead") ? outFor(name) : validArgument(name), 1];
        expect(thrown(() => methods[name]!.apply(self, args)).name, name).to.equal("TypeError");
      }
    }
  });
});

/** The properties of a prototype and of those from which it inherits. */
function propertiesOf(prototype: object): [string, PropertyDescriptor][] {
  const own = Object.entries(Object.getOwnPropertyDescriptors(prototype));
  const next = Object.getPrototypeOf(prototype) as object;
  return next === Object.prototype ? own : [...own, ...propertiesOf(next)];
}

function outFor(name: string): object {
  return {
    tryReadb: new Uint8Array(1),
    tryReadw: new Uint16Array(1),
    tryReadl: new Uint32Array(1),
    tryReadq: new BigUint64Array(1),
  }[name]!;
}

function validArgument(name: string): unknown {
  if (name.endsWith("riteq")) {
    return 1n;
  }
  return ["write", "readInto", "compare"].includes(name) ? new Uint8Array(1) : 1;
}

describe("GuestMemory", () => {
  it("has exactly the size asked for, as number and bigint, and starts as zeros", () => {
    for (const size of [0, 1, 15, 16, 17, 4095, 4096, 4097, 100_000]) {
      for (const asked of [size, BigInt(size)]) {
        const memory = GuestMemory.allocate(asked);
        expect(memory.size).to.equal(BigInt(size));
        expect(memory.buffer.equals(Buffer.alloc(size))).to.equal(true);
        expect(memory.buffers.length).to.equal(size === 0 ? 0 : 1);
        expect(memory.arena.remaining).to.equal(0n);
        memory.destroy();
      }
    }
    expect(thrown(() => GuestMemory.allocate(2 ** 53 - 1))).to.deep.equal(OUT_OF_RANGE);
  });

  it("shows what it is, not its gigabytes", () => {
    const memory = GuestMemory.allocate(5);
    expect(inspect(memory)).to.equal("GuestMemory { size: 5, destroyed: false }");
    memory.destroy();
    expect(inspect(memory)).to.equal("GuestMemory { size: 5, destroyed: true }");
  });

  it("tells each fault in words that name the access", () => {
    const memory = GuestMemory.allocate(8);
    const message = (action: () => unknown): string => {
      try {
        action();
      } catch (error) {
        expect(error).to.be.instanceOf(GuestMemoryFault).and.instanceOf(Error);
        return (error as Error).message;
      }
      return "no fault";
    };
    for (const access of pathsOf(memory)) {
      expect(message(() => access.readl(0x10))).to.equal(
        "FAULT_BOUNDARY: read of 4 byte(s) at gpa 0x10",
      );
      expect(message(() => access.writew(1, 0))).to.equal(
        "FAULT_UNALIGNED: write of 2 byte(s) at gpa 0x1",
      );
      expect(message(() => access.readq(2n ** 64n - 1n))).to.equal(
        "FAULT_BOUNDARY: read of 8 byte(s) at gpa 0xffffffffffffffff",
      );
    }
    memory.destroy();
    for (const access of pathsOf(memory)) {
      expect(message(() => access.readb(0))).to.equal(
        "ERROR_INTERNAL: read of 1 byte(s) at gpa 0x0",
      );
    }
  });

  it("names every result code", () => {
    for (const [name, code] of Object.entries(GuestMemAccessResult)) {
      expect(resultName(code)).to.equal(name);
    }
    expect(Object.values(GuestMemAccessResult)).to.deep.equal([0, 1, 2, 3]);
  });

  it("finds nothing at minus zero but zero", () => {
    const memory = GuestMemory.allocate(8);
    for (const access of pathsOf(memory)) {
      expect(access.tryWriteb(-0, 7)).to.equal(OK);
      expect(access.readb(-0)).to.equal(7);
    }
    expect(Object.is(memory.indexOf(new Uint8Array(0), -0), 0)).to.equal(true);
    expect(Object.is(memory.indexOf(7, -0), 0)).to.equal(true);
  });

  it("zeroes a stand-in for pages on reset, and detaches it on destroy", () => {
    const binding = native as { externalBuffers: boolean };
    binding.externalBuffers = false;
    const arena = Arena.create(116);
    binding.externalBuffers = true;
    const memory = GuestMemory.create(arena);
    const buffer = memory.buffer;
    memory.fill(0, 100, 0xff);
    expect(memory.tryWriteb(100, 0)).to.equal(FAULT_BOUNDARY);
    arena.reset();
    const again = GuestMemory.create(arena);
    expect(again.read(0, 100).equals(Buffer.alloc(100))).to.equal(true);
    expect(again.native.readb(99)).to.equal(0);
    // Not only when it is collected: it may be gigabytes.
    arena.destroy();
    expect([buffer.length, buffer.buffer.byteLength]).to.deep.equal([0, 0]);
  });
});
