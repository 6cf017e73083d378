import { existsSync } from "node:fs";
import { expect } from "chai";
import { Arena, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { runAlone, WITH_TRANSFER } from "../support/alone.js";
import { DESTROYED, EXHAUSTED, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { itNative } from "../support/native-tests.js";
import { pathsOf } from "../support/paths.js";

const { OK, ERROR_INTERNAL } = GuestMemAccessResult;

function expectRefused(memory: GuestMemory): void {
  const out = Uint8Array.of(7);
  for (const access of pathsOf(memory)) {
    expect(access.tryReadb(0, out)).to.equal(ERROR_INTERNAL);
    expect(access.tryWriteq(2n ** 63n, 0n)).to.equal(ERROR_INTERNAL);
    expect(thrown(() => access.readl(0)).code).to.equal("ERR_GUEST_MEMORY_FAULT");
  }
  expect(out[0]).to.equal(7);
  expect(memory.buffer.length).to.equal(0);
}

describe("Arena.create", () => {
  it("hands out zeroed, aligned blocks and counts them", () => {
    const arena = Arena.create(4096);
    expect(arena.capacity).to.equal(4096n);
    const first = arena.allocate(10, 1);
    const second = arena.allocate(10n, 64);
    expect([first.length, second.length]).to.deep.equal([10, 10]);
    expect(arena.used).to.equal(74n);
    expect(arena.remaining).to.equal(4022n);
    expect(second.every((byte) => byte === 0)).to.equal(true);
    first.fill(0xff);
    expect(second.every((byte) => byte === 0)).to.equal(true);
  });

  it("refuses what does not fit or makes no sense, and is unchanged", () => {
    const arena = Arena.create(100);
    arena.allocate(10, 1);
    expect(thrown(() => arena.allocate(91, 1))).to.deep.equal(EXHAUSTED);
    expect(thrown(() => arena.allocate(80, 64))).to.deep.equal(EXHAUSTED);
    expect(thrown(() => arena.allocate(1, 2 ** 52))).to.deep.equal(EXHAUSTED);
    for (const [size, alignment] of [
      [0, 1],
      [1, 0],
      [1, 3],
      [1, -8],
      [1, 0.5],
      [-1, 1],
      [NaN, 1],
      [2 ** 33, 1],
    ] as const) {
      expect(thrown(() => arena.allocate(size, alignment))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => arena.allocate("1" as unknown as number))).to.deep.equal(WRONG_TYPE);
    expect(arena.used).to.equal(10n);
    expect(arena.allocate(90, 1).length).to.equal(90);
  });

  it("detaches blocks and ends memories on reset, and its pages are zero again", () => {
    const arena = Arena.create(65536);
    const block = arena.allocate(100);
    const memory = GuestMemory.create(arena);
    const buffer = memory.buffer;
    memory.fill(0, memory.size, 0xff);
    block.fill(0xff);
    arena.reset();
    expect([block.length, buffer.length]).to.deep.equal([0, 0]);
    expectRefused(memory);
    expect(arena.used).to.equal(0n);
    const again = GuestMemory.create(arena);
    expect(again.buffer.every((byte) => byte === 0)).to.equal(true);
    expectRefused(memory);
    for (const access of pathsOf(again)) {
      expect(access.tryWriteb(0, 1)).to.equal(OK);
    }
  });

  it("gives everything up on destroy, once and for all", () => {
    const arena = Arena.create(4096);
    const block = arena.allocate(8);
    const memory = GuestMemory.create(arena);
    const kept = memory.slice(0, 16);
    arena.destroy();
    arena.destroy();
    expect(arena.destroyed).to.equal(true);
    expect([block.length, kept.length]).to.deep.equal([0, 0]);
    expectRefused(memory);
    expect([arena.capacity, arena.used, arena.remaining]).to.deep.equal([0n, 0n, 0n]);
    expect(thrown(() => arena.allocate(1))).to.deep.equal(DESTROYED);
    expect(
      thrown(() => {
        arena.reset();
      }),
    ).to.deep.equal(DESTROYED);
    expect(thrown(() => GuestMemory.create(arena))).to.deep.equal(DESTROYED);
  });

  it("is disposable", () => {
    const arena = Arena.create(64);
    arena[Symbol.dispose]();
    expect(arena.destroyed).to.equal(true);
  });
});

/** Statements of a script: `advised()` is the bytes that Linux is advised to back by huge pages. */
const ADVISED = `
  const { readFileSync } = require("node:fs");
  const advised = () => readFileSync("/proc/self/smaps", "latin1")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => /^VmFlags:.* hg\\b/m.test(mapping))
    .reduce((sum, mapping) => sum + 1024 * Number(/^Size: *(\\d+) kB/m.exec(mapping)[1]), 0);
`;

describe("huge pages", () => {
  const SIZE = 8 * 2 ** 20;

  it("hold RAM that behaves like any other, also after a reset", () => {
    for (const size of [0, 1, SIZE, SIZE + 5]) {
      const arena = Arena.create(size + 16, { hugePages: true });
      for (let round = 0; round < 2; round++) {
        const memory = GuestMemory.create(arena);
        expect(memory.size).to.equal(BigInt(size));
        expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
        memory.fill(0, memory.size, 0xff);
        if (size > 0) {
          expect(memory.native.readb(size - 1)).to.equal(0xff);
        }
        arena.reset();
      }
      arena.destroy();
    }
  });

  itNative("are an advice to Linux, also for the fresh pages of a reset", function () {
    // Emulators of other processors ignore the advice.
    if (
      process.platform !== "linux" ||
      process.arch !== "x64" ||
      !existsSync("/sys/kernel/mm/transparent_hugepage")
    ) {
      this.skip();
    }
    const script = `${ADVISED}
      const { Arena, GuestMemory } = require("pound-guest-memory");
      const [before, size] = [advised(), 8 * 2 ** 20];
      const grown = () => console.log((advised() - before) / size);
      const ordinary = GuestMemory.allocate(size - 16, { hugePages: false });
      grown();
      const arena = Arena.create(size, { hugePages: true });
      const memory = GuestMemory.create(arena);
      memory.writeb(0, 1);
      grown();
      arena.reset();
      grown();
      const moved = new Uint8Array(GuestMemory.create(arena).buffer.buffer.transfer()).fill(5);
      arena.reset();
      grown();
      console.log(GuestMemory.create(arena).readb(0), moved[0]);`;
    // The last count includes the fresh pages of the arena and those of the moved buffer.
    expect(runAlone(script, WITH_TRANSFER).output).to.equal("0\n1\n1\n2\n0 5\n");
  });

  it("are asked for by a boolean; other options are ignored", () => {
    for (const make of [Arena.create, GuestMemory.allocate] as ((
      size: number,
      options: unknown,
    ) => Disposable)[]) {
      for (const options of [null, 7, "hugePages", true]) {
        expect(thrown(() => make(64, options)).name).to.equal("TypeError");
      }
      for (const hugePages of [null, 1, 0, "true", {}]) {
        expect(thrown(() => make(64, { hugePages }))).to.deep.equal(WRONG_TYPE);
      }
      for (const options of [undefined, {}, { hugePages: undefined }, { unknown: 1 }]) {
        make(64, options)[Symbol.dispose]();
      }
    }
  });
});

describe("GuestMemory.create", () => {
  it("takes the descriptor and then the entire remaining capacity", () => {
    const arena = Arena.create(1024);
    arena.allocate(3, 1);
    const memory = GuestMemory.create(arena);
    expect(memory.size).to.equal(1024n - 32n);
    expect(memory.arena).to.equal(arena);
    expect(arena.remaining).to.equal(0n);
  });

  it("may leave RAM empty, on which every access is out of bounds", () => {
    const memory = GuestMemory.create(Arena.create(16));
    expect(memory.size).to.equal(0n);
    expect(memory.tryWriteb(0, 0)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
    expect(memory.native.tryWriteb(0, 0)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
    expect(memory.indexOf(new Uint8Array(0))).to.equal(0);
  });

  it("fails on an arena that is too small or consumed, which is unchanged", () => {
    const small = Arena.create(15);
    expect(thrown(() => GuestMemory.create(small))).to.deep.equal(EXHAUSTED);
    expect(small.used).to.equal(0n);
    const arena = Arena.create(4096);
    const memory = GuestMemory.create(arena);
    expect(thrown(() => GuestMemory.create(arena))).to.deep.equal(EXHAUSTED);
    memory.writeb(0, 1);
    expect(memory.native.readb(0)).to.equal(1);
  });

  it("leaves the arena alone when the memory is destroyed", () => {
    const arena = Arena.create(4096);
    const memory = GuestMemory.create(arena);
    memory.destroy();
    memory.destroy();
    expectRefused(memory);
    expect(arena.destroyed).to.equal(false);
    arena.reset();
    expect(GuestMemory.create(arena).size).to.equal(4080n);
  });

  it("with its own arena ends the arena too", () => {
    const memory = GuestMemory.allocate(100);
    expect(memory.size).to.equal(100n);
    memory[Symbol.dispose]();
    expect(memory.arena.destroyed).to.equal(true);
    expectRefused(memory);
  });
});

describe("Arena.over", () => {
  it("lays RAM over memory of the caller's, at any offset, and leaves the rest alone", () => {
    for (const offset of [0, 1, 3, 8, 13]) {
      const bytes = new Uint8Array(256).fill(0x77);
      const memory = GuestMemory.create(Arena.over(bytes.subarray(offset, offset + 128)));
      expect(Number(memory.size)).to.be.within(128 - 16 - 15, 128 - 16);
      expect(memory.readb(0)).to.equal(0x77);
      memory.writeq(8, 0x0102_0304_0506_0708n);
      expect(memory.native.readq(8)).to.equal(0x0102_0304_0506_0708n);
      memory.native.writel(0, 0xdead_beef);
      expect(memory.readl(0)).to.equal(0xdead_beef);
      const last = offset + 128 - Number(memory.size);
      expect(Buffer.from(bytes).readUInt32LE(last)).to.equal(0xdead_beef);
      expect(bytes.subarray(0, offset).every((byte) => byte === 0x77)).to.equal(true);
      expect(bytes.subarray(offset + 128).every((byte) => byte === 0x77)).to.equal(true);
    }
  });

  it("takes every kind of buffer", () => {
    const kinds = [
      new ArrayBuffer(64),
      new SharedArrayBuffer(64),
      new Float64Array(8),
      new DataView(new ArrayBuffer(80), 16),
      Buffer.from("a buffer of the pool, whose first byte may lie anywhere at all"),
    ];
    for (const kind of kinds) {
      const memory = GuestMemory.create(Arena.over(kind));
      memory.native.writew(2, 0xabcd);
      expect(memory.readw(2)).to.equal(0xabcd);
    }
  });

  it("refuses anything else", () => {
    for (const bad of [undefined, null, 64, "bytes", {}, [1, 2]] as unknown as never[]) {
      expect(thrown(() => Arena.over(bad))).to.deep.equal(WRONG_TYPE);
    }
    expect(thrown(() => Arena.over(new ArrayBuffer(0)))).to.deep.equal(OUT_OF_RANGE);
    const detached = new DataView(new ArrayBuffer(8));
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    expect(thrown(() => Arena.over(detached))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => Arena.over(detached.buffer))).to.deep.equal(OUT_OF_RANGE);
    const resizable = Reflect.construct(ArrayBuffer, [64, { maxByteLength: 128 }]) as ArrayBuffer;
    Object.defineProperty(resizable, "resizable", { value: false });
    expect(thrown(() => Arena.over(resizable))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => Arena.over(new Uint8Array(resizable, 0, 8)))).to.deep.equal(OUT_OF_RANGE);
  });

  it("refuses every access once the buffer is detached", () => {
    const buffer = new ArrayBuffer(1024);
    const arena = Arena.over(buffer);
    const memory = GuestMemory.create(arena);
    memory.writel(0, 1);
    structuredClone(buffer, { transfer: [buffer] });
    expectRefused(memory);
    expect(
      thrown(() => {
        arena.reset();
      }),
    ).to.deep.equal(DESTROYED);
    expect(thrown(() => memory.read(0, 1)).code).to.equal("ERR_GUEST_MEMORY_FAULT");
  });

  it("refuses every access once a WebAssembly memory has grown away", () => {
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    const memory = GuestMemory.create(Arena.over(wasm.buffer));
    memory.writeb(0, 1);
    wasm.grow(1);
    expectRefused(memory);
  });

  it("does not trust the descriptor, which the caller can write to", () => {
    const bytes = new Uint8Array(256);
    const memory = GuestMemory.create(Arena.over(bytes));
    bytes.fill(0xff);
    expect(memory.native.readq(0)).to.equal(2n ** 64n - 1n);
    expect(memory.native.tryWriteb(240, 0)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
    expect(memory.size).to.equal(240n);
  });

  it("neither zeroes nor detaches the caller's memory", () => {
    const buffer = new ArrayBuffer(64);
    const arena = Arena.over(buffer);
    const memory = GuestMemory.create(arena);
    memory.writeb(0, 0x11);
    arena.reset();
    expect(GuestMemory.create(arena).readb(0)).to.equal(0x11);
    arena.destroy();
    expect(buffer.byteLength).to.equal(64);
    expectRefused(memory);
  });
});
