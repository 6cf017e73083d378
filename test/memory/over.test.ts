import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import {
  AddressSpace,
  Arena,
  type CallerMemory,
  GuestMemAccessResult,
  GuestMemory,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { sweep } from "../support/sweep.js";
import { WIDTHS } from "../support/widths.js";
import { pathsOf } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;

type Resizable = new (length: number, options: object) => ArrayBuffer;
type Growable = new (
  length: number,
  options: object,
) => SharedArrayBuffer & { grow(length: number): void };

function counted(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 37 + 11) & 0xff);
}

function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

/** Expects that every byte of RAM is the byte of `bytes`, and that RAM has as many bytes. */
function expectExactly(memory: GuestMemory, bytes: Uint8Array): void {
  expect(memory.size).to.equal(BigInt(bytes.length));
  expect(memory.read(0, bytes.length).equals(bytes)).to.equal(true);
  const out = new Uint8Array(1);
  for (const path of pathsOf(memory)) {
    for (const gpa of [0, bytes.length - 1]) {
      expect(path.readb(gpa)).to.equal(bytes[gpa]);
      path.writeb(gpa, 0x5a);
      expect(bytes[gpa]).to.equal(0x5a);
      bytes[gpa] = 0xa5;
      expect(path.readb(gpa)).to.equal(0xa5);
    }
    expect(path.tryReadb(bytes.length, out)).to.equal(FAULT_BOUNDARY);
  }
}

function expectEnded(memory: GuestMemory): void {
  const out = Uint8Array.of(7);
  for (const path of [memory, memory.native, memory.atomics, memory.native.atomics]) {
    const result = "tryReadb" in path ? path.tryReadb(0, out) : path.tryLoadb(0, out);
    expect(result).to.equal(ERROR_INTERNAL);
  }
  expect(memory.tryReadInto(0, out)).to.equal(ERROR_INTERNAL);
  expect(out[0]).to.equal(7);
}

describe("GuestMemory.over", () => {
  it("adopts all bytes of every kind of buffer and view, and changes none", () => {
    const shared = new SharedArrayBuffer(100);
    new Uint8Array(shared).set(counted(100));
    const memories: [CallerMemory, Uint8Array][] = [
      ...[counted(100), counted(1)].map((bytes): [CallerMemory, Uint8Array] => [
        bytes.buffer as ArrayBuffer,
        bytes,
      ]),
      [shared, new Uint8Array(shared)],
      ...[counted(100).subarray(3, 90), Buffer.from(counted(77))].map(
        (bytes): [CallerMemory, Uint8Array] => [bytes, bytes],
      ),
    ];
    const words = new Uint16Array(counted(100).buffer, 6, 20);
    memories.push([words, new Uint8Array(words.buffer, 6, 40)]);
    const data = new DataView(counted(100).buffer, 5, 31);
    memories.push([data, new Uint8Array(data.buffer, 5, 31)]);
    const foreign = runInNewContext("new Uint8Array(64).fill(9)") as Uint8Array;
    memories.push([foreign, new Uint8Array(foreign.buffer)]);
    for (const [given, bytes] of memories) {
      const before = Uint8Array.from(bytes);
      const memory = GuestMemory.over(given);
      expect(Buffer.compare(bytes, before)).to.equal(0);
      expectExactly(memory, bytes);
    }
  });

  it("has right values and result codes on both paths, at every offset in its buffer", () => {
    for (const Type of [ArrayBuffer, SharedArrayBuffer]) {
      for (let offset = 0; offset < 9; offset++) {
        for (const size of [1, 7, 24]) {
          const bytes = new Uint8Array(new Type(48), offset, size);
          const memory = GuestMemory.over(bytes);
          for (const access of pathsOf(memory)) {
            sweep({ access, bytes }, `${Type.name} + ${offset}, ${size} bytes`);
          }
        }
      }
    }
  });

  it("writes nothing outside the view", () => {
    const all = new Uint8Array(64).fill(0x11);
    const memory = GuestMemory.over(all.subarray(13, 46));
    memory.fill(0, 33, 0xff);
    memory.native.writeb(32, 0xee);
    expect(thrown(() => memory.write(1, new Uint8Array(33))).code).to.equal(
      "ERR_GUEST_MEMORY_FAULT",
    );
    expect(all.filter((byte) => byte === 0x11).length).to.equal(64 - 33);
  });

  it("has atomics on both paths where the host has, and the same result elsewhere", () => {
    for (let offset = 0; offset < 9; offset++) {
      const buffer = new ArrayBuffer(48);
      const bytes = new Uint8Array(buffer, offset, 32);
      const memory = GuestMemory.over(bytes);
      for (const path of [memory.atomics, memory.native.atomics]) {
        for (const [width, gpa] of WIDTHS.flatMap(({ bytes: width }) => [
          [width, 8],
          [width, 9],
        ]) as [number, number][]) {
          bytes.fill(1);
          const result =
            gpa % width !== 0 ? FAULT_UNALIGNED : offset % width !== 0 ? ERROR_INTERNAL : OK;
          const at = `${width} at ${gpa}, offset ${offset}`;
          const run: Record<number, () => number> = {
            1: () => path.tryAddb(gpa, 4, new Uint8Array(1)),
            2: () => path.tryAddw(gpa, 4, new Uint16Array(1)),
            4: () => path.tryAddl(gpa, 4, new Uint32Array(1)),
            8: () => path.tryAddq(gpa, 4n, new BigUint64Array(1)),
          };
          expect(run[width]!(), at).to.equal(result);
          expect(bytes[gpa], at).to.equal(result === OK ? 5 : 1);
          expect(bytes.filter((byte) => byte !== 1).length).to.equal(result === OK ? 1 : 0);
        }
        const monitor = new ExclusiveMonitor(path);
        const status = Uint32Array.of(9);
        expect(monitor.tryLoadExclusivel(8, new Uint32Array(1))).to.equal(
          offset % 4 === 0 ? OK : ERROR_INTERNAL,
        );
        expect(monitor.tryStoreExclusivel(8, 1, status)).to.equal(
          offset % 4 === 0 ? OK : ERROR_INTERNAL,
        );
        expect(status[0]).to.equal(offset % 4 === 0 ? 0 : 9);
      }
    }
  });

  it("has an arena over the same bytes, all of them used", () => {
    const bytes = counted(40);
    const memory = GuestMemory.over(bytes.subarray(8));
    expect([memory.arena.capacity, memory.arena.used]).to.deep.equal([32n, 32n]);
    expect(thrown(() => memory.arena.allocate(1, 1)).code).to.equal("ERR_ARENA_EXHAUSTED");
    expect(thrown(() => GuestMemory.create(memory.arena)).code).to.equal("ERR_ARENA_EXHAUSTED");
    memory.arena.destroy();
    expectEnded(memory);
    expect(bytes).to.deep.equal(counted(40));
  });

  it("leaves the bytes and their buffer alone when it ends", () => {
    const bytes = counted(64);
    const memory = GuestMemory.over(bytes);
    const { buffer } = memory;
    memory.destroy();
    memory.destroy();
    expectEnded(memory);
    expect(bytes).to.deep.equal(counted(64));
    expect(buffer.length).to.equal(64);
    expect(GuestMemory.over(bytes).readb(1)).to.equal(48);
  });

  it("makes several memories in one buffer, which may overlap", () => {
    const bytes = new Uint8Array(64);
    const whole = GuestMemory.over(bytes);
    const low = GuestMemory.over(whole.buffer.subarray(0, 32));
    const high = GuestMemory.over(whole.slice(24, 40));
    whole.writel(24, 0x1234_5678);
    expect([low.native.readl(24), high.readl(0)]).to.deep.equal([0x1234_5678, 0x1234_5678]);
    high.destroy();
    expect(low.readl(24)).to.equal(0x1234_5678);
    whole.destroy();
    expect(low.native.readl(24)).to.equal(0x1234_5678);
  });

  it("does not survive the memory or the arena whose bytes it has", () => {
    const allocated = GuestMemory.allocate(4096);
    const part = GuestMemory.over(allocated.buffer.subarray(100, 200));
    part.writeb(0, 5);
    expect(allocated.readb(100)).to.equal(5);
    allocated.destroy();
    expectEnded(part);
    for (const end of ["reset", "destroy"] as const) {
      const arena = Arena.create(4096);
      const block = GuestMemory.over(arena.allocate(64));
      const other = GuestMemory.over(arena.allocate(64));
      block.fill(0, 64, 0x77);
      block.native.writeb(63, 1);
      arena[end]();
      expectEnded(block);
      expectEnded(other);
      expect(() => block.destroy()).not.to.throw();
    }
  });

  it("ends when its buffer is detached", () => {
    const bytes = counted(64);
    const memory = GuestMemory.over(bytes.subarray(8, 16));
    detach(bytes.buffer as ArrayBuffer);
    expectEnded(memory);
    expect(memory.tryFill(0, 8, 1)).to.equal(ERROR_INTERNAL);
  });

  it("keeps the bytes alive", async () => {
    const memory = GuestMemory.over(counted(1 << 20));
    await new Promise((resolve) => setImmediate(resolve));
    gc!();
    expect(memory.native.readb(1)).to.equal(48);
    expect(memory.readb(2)).to.equal(85);
  });

  it("marks its own writes and takes snapshots in a space", () => {
    const space = new AddressSpace();
    const bytes = new Uint8Array(3 * 4096);
    const region = space.addRam(0, GuestMemory.over(bytes), { trackDirty: true });
    const snapshot = space.snapshot();
    space.writeb(4096, 1);
    region.memory.native.writeb(8192, 2);
    expect([...region.dirty!.peek()]).to.deep.equal([1, 2]);
    expect(space.restore(snapshot)).to.equal(2);
    expect(bytes.every((byte) => byte === 0)).to.equal(true);
  });

  it("is shareable on a SharedArrayBuffer, where attach reopens exactly those bytes", async () => {
    const buffer = new SharedArrayBuffer(64);
    for (const [offset, size] of [
      [0, 64],
      [3, 9],
      [63, 1],
    ] as const) {
      const bytes = new Uint8Array(buffer, offset, size);
      const memory = GuestMemory.over(bytes);
      expect(memory.shareable).to.deep.equal({ buffer, offset, size });
      const attached = GuestMemory.attach(memory.shareable!);
      expect(attached.shareable).to.deep.equal(memory.shareable);
      expectExactly(attached, bytes);
      const again = GuestMemory.attach(attached.shareable!);
      memory.destroy();
      attached.destroy();
      expectExactly(again, bytes);
    }
    const memory = GuestMemory.over(new Uint8Array(buffer, 8, 8));
    const worker = new Worker(
      `const { workerData } = require("node:worker_threads");
       const { GuestMemory } = require("pound-guest-memory");
       GuestMemory.attach(workerData).atomics.addq(0, 5n);`,
      { eval: true, workerData: memory.shareable },
    );
    memory.writeq(0, 2n);
    await once(worker, "exit");
    expect(memory.readq(0)).to.equal(7n);
    expect(GuestMemory.over(new Uint8Array(8)).shareable).to.equal(null);
  });

  it("refuses what is not memory, is empty or detached, or can shrink", () => {
    const detached = counted(8);
    const detachedData = new DataView(detached.buffer);
    detach(detached.buffer as ArrayBuffer);
    const resizable = new (ArrayBuffer as unknown as Resizable)(64, { maxByteLength: 128 });
    for (const memory of [
      new ArrayBuffer(0),
      new SharedArrayBuffer(0),
      new Uint8Array(0),
      new Uint8Array(new ArrayBuffer(8), 8),
      new DataView(new ArrayBuffer(8), 8),
      detached,
      detached.buffer,
      detachedData,
      resizable,
      new Uint8Array(resizable),
      new DataView(resizable, 8, 8),
    ] as CallerMemory[]) {
      for (const make of [GuestMemory, Arena]) {
        expect(thrown(() => make.over(memory))).to.deep.equal(OUT_OF_RANGE);
      }
    }
    const wrong: unknown[] = [undefined, null, 8, 8n, "x", [1], {}, new Proxy(counted(8), {})];
    wrong.push(Object.create(Uint8Array.prototype), Object.create(DataView.prototype));
    wrong.push(new Proxy(new ArrayBuffer(8), {}), GuestMemory.allocate(8), Arena.create(8));
    for (const memory of wrong) {
      for (const make of [GuestMemory, Arena]) {
        expect(thrown(() => make.over(memory as CallerMemory))).to.deep.equal(WRONG_TYPE);
      }
    }
  });

  it("has the bytes that a growable SharedArrayBuffer had", () => {
    const buffer = new (SharedArrayBuffer as unknown as Growable)(16, { maxByteLength: 4096 });
    const memories = [
      GuestMemory.over(buffer),
      GuestMemory.over(new Uint8Array(buffer)),
      GuestMemory.over(new DataView(buffer)),
    ];
    buffer.grow(4096);
    for (const memory of memories) {
      expectExactly(memory, new Uint8Array(buffer, 0, 16));
    }
  });

  it("sees the true bytes of a view that lies about itself", () => {
    const other = counted(64);
    class Lying extends Uint8Array {
      override get buffer(): never {
        return other.buffer as never;
      }
      override get byteOffset(): number {
        return 32;
      }
      override get byteLength(): number {
        return 4096;
      }
      override get length(): number {
        return 4096;
      }
    }
    for (const make of [GuestMemory.over, (view: Lying) => GuestMemory.create(Arena.over(view))]) {
      const lying = new Lying(40);
      const memory = make(lying);
      expect(Number(memory.size)).to.be.at.most(40);
      memory.fill(0, memory.size, 0xee);
      memory.native.writeb(0, 0xee);
      expect(other).to.deep.equal(counted(64));
      expect(Reflect.get(Uint8Array.prototype, 39, lying)).to.equal(undefined);
      expect(lying[39]).to.equal(0xee);
    }
    const buffer = new ArrayBuffer(8);
    Object.defineProperty(buffer, "byteLength", { value: 4096 });
    Object.defineProperty(buffer, "resizable", { value: true });
    expect(GuestMemory.over(buffer).size).to.equal(8n);
  });
});
