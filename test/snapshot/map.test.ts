import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect } from "chai";
import { AddressSpace, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import {
  openSnapshot,
  saveSnapshot,
  SnapshotFormatError,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { runAlone } from "../support/alone.js";

const PAGE = 4096;
const MAPS = GuestMemory.forksShareMemory;

describe("RAM that maps a snapshot file", () => {
  let folder: string;
  let path: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "map-"));
    path = join(folder, "ram.snap");
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** RAM with every third page written, saved to the file. */
  async function save(size = 3000 * PAGE + 5): Promise<GuestMemory> {
    const memory = GuestMemory.allocate(size);
    for (let at = 0; at < size; at += 3 * PAGE) {
      memory.writeb(at, ((at / PAGE) % 255) | 1);
    }
    memory.writeb(size - 1, 0xee);
    await saveSnapshot(takeSnapshot(memory), path, { mappable: true });
    return memory;
  }

  async function map(options: object = {}): Promise<GuestMemory> {
    await using file = await openSnapshot(path);
    return await GuestMemory.map(file, options);
  }

  function isSame(a: GuestMemory, b: GuestMemory): boolean {
    return a.size === b.size && a.compare(0, b.read(0, b.size)) === 0;
  }

  for (const verify of ["background", "before"] as const) {
    it(`has the bytes of the file, on both paths, and keeps its writes (${verify})`, async () => {
      const saved = await save();
      const bytes = readFileSync(path);
      const memory = await map({ verify });
      expect(isSame(memory, saved)).to.equal(true);
      expect(memory.native.readb(3 * PAGE)).to.equal(saved.readb(3 * PAGE));
      memory.writeb(0, 0x55);
      memory.native.writeb(PAGE, 0x66);
      expect([memory.readb(0), memory.readb(PAGE)]).to.deep.equal([0x55, 0x66]);
      expect(readFileSync(path).equals(bytes), "the file").to.equal(true);
      memory.writeb(0, saved.readb(0));
      memory.writeb(PAGE, 0);
      expect(takeSnapshot(memory).regions[0]!.storedPages).to.equal(1001);
      memory.destroy();
      expect(memory.tryReadb(0, new Uint8Array(1))).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
    });
  }

  it("has clones and resets, and needs the name of the file no more", async () => {
    const saved = await save();
    const memory = await map();
    rmSync(path);
    memory.writeb(5, 1);
    const clone = memory.fork();
    clone.writeb(5, 2);
    clone.fill(100 * PAGE, 50 * PAGE, 9);
    expect([memory.readb(5), clone.readb(5)]).to.deep.equal([1, 2]);
    expect(clone.reset()).to.equal(51);
    memory.destroy();
    expect(clone.readb(5)).to.equal(1);
    clone.writeb(5, saved.readb(5));
    expect(isSame(clone, saved)).to.equal(true);
  });

  it("is as tracked as other RAM", async () => {
    await save();
    const memory = await map();
    const bitmap = memory.startTracking();
    memory.writeb(7 * PAGE, 1);
    memory.readb(9 * PAGE);
    expect([...bitmap.drain()]).to.deep.equal([7]);
    const first = takeSnapshot(memory);
    memory.writeb(PAGE, 1);
    expect(takeSnapshot(memory, first).regions[0]!.storedPages).to.equal(1003);
  });

  it("reports damage of a stored page, and bytes in a page of zeros", async function () {
    await save();
    const good = readFileSync(path);
    const data = good.length - Math.ceil((3001 * PAGE) / 65_536) * 65_536;
    for (const at of [data + 3 * PAGE + 9, data + 2 * PAGE, data + 2999 * PAGE - 1]) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1;
      writeFileSync(path, bad);
      const opened = await openSnapshot(path);
      const verified: unknown = await opened.verify().catch((cause: unknown) => cause);
      expect(verified, `verify of ${at}`).to.be.instanceOf(SnapshotFormatError);
      await opened.close();
      if (MAPS || (at - data) % (3 * PAGE) < PAGE) {
        const error: unknown = await map({ verify: "before" }).catch((cause: unknown) => cause);
        expect(error, String(at)).to.be.instanceOf(SnapshotFormatError);
      }
      if (MAPS) {
        const errors: Error[] = [];
        const memory = await map({ onDamage: (error: Error) => errors.push(error) });
        // `map` closes the file, which waits for the verification.
        expect(errors.map(({ name }) => name)).to.deep.equal(["SnapshotFormatError"]);
        expect(memory.destroyed).to.equal(true);
      }
    }
  });

  it("refuses invalid options, and regions without bytes", async () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    space.addMmio(0x1_0000, 8, {});
    await saveSnapshot(space.snapshot(), path, { mappable: true });
    await using file = await openSnapshot(path);
    for (const [options, name] of [
      [null, "TypeError"],
      [{ verify: "never" }, "RangeError"],
      [{ onDamage: 1 }, "TypeError"],
      [{ signal: 1 }, "TypeError"],
      [{ region: 1 }, "RangeError"],
      [{ region: 2 }, "RangeError"],
      [{ region: -1 }, "RangeError"],
    ] as const) {
      const error: unknown = await GuestMemory.map(file, options as never).catch((e: unknown) => e);
      expect(error, JSON.stringify(options)).to.include({ name });
      expect(error).to.have.property("code");
    }
    expect(await GuestMemory.map({} as never).catch((e: unknown) => e)).to.include({
      name: "TypeError",
    });
    await saveSnapshot(space.snapshot(), path, { mappable: false });
    const packed = await map();
    expect(packed.size).to.equal(BigInt(PAGE));
  });

  it("restores a space, its banks, and its devices", async () => {
    const make = (): { space: AddressSpace; device: { value: number } } => {
      const device = {
        value: 0,
        save: () => Uint8Array.of(device.value),
        load: ([value]: Uint8Array) => void (device.value = value!),
      };
      const space = new AddressSpace();
      space.addRam(0x10_0000, 2 ** 20, { name: "dram", trackDirty: true });
      space.addRom(0x80_0000, Buffer.from("boot"), { name: "rom" });
      space.addMmio(0x90_0000, 8, device, { name: "device" });
      const banks = GuestMemory.allocate(4 * PAGE);
      space.addRam(0x40_0000, banks, { name: "bank", length: PAGE });
      return { space, device };
    };
    const one = make();
    one.space.writel(0x10_8000, 0x1234_5678);
    one.space.writeb(0x40_0000, 1);
    (one.space.regions[1] as { select(offset: number): void }).select(2 * PAGE);
    one.space.writeb(0x40_0000, 3);
    one.device.value = 42;
    await saveSnapshot(one.space.snapshot(), path, { mappable: true });
    for (const options of [{ map: true }, { map: true, verify: "before" as const }, {}]) {
      const two = make();
      two.space.writel(0x10_8000, 1);
      two.space.writel(0x10_9000, 1);
      const restore = async (): Promise<void> => {
        await using file = await openSnapshot(path);
        await two.space.restore(file, options);
      };
      await restore();
      expect(two.space.readl(0x10_8000)).to.equal(0x1234_5678);
      expect(two.space.native.readl(0x10_9000)).to.equal(0);
      expect(two.space.readb(0x40_0000)).to.equal(3);
      (two.space.regions[1] as { select(offset: number): void }).select(0);
      expect(two.space.readb(0x40_0000)).to.equal(1);
      expect(two.device.value).to.equal(42);
      expect((two.space.regions[0] as { tracking: unknown }).tracking).not.to.equal(null);
      two.space.writeb(0x10_0000, 1);
      await restore();
      expect(two.space.readb(0x10_0000)).to.equal(0);
      const rom = two.space.regions.find(({ kind }) => kind === "rom") as { memory: GuestMemory };
      rom.memory.writeb(0, 1);
      const error: unknown = await restore().catch((cause: unknown) => cause);
      expect(error).to.include({ code: "ERR_SNAPSHOT_MISMATCH" });
      expect(two.space.readb(0x10_0000)).to.equal(0);
    }
    const other = new AddressSpace();
    other.addRam(0, PAGE);
    await using file = await openSnapshot(path);
    const error: unknown = await other
      .restore(file, { map: true })
      .catch((cause: unknown) => cause);
    expect(error).to.include({ code: "ERR_SNAPSHOT_MISMATCH" });
    const invalid: unknown = await other
      .restore(file, { map: 1 as never })
      .catch((cause: unknown) => cause);
    expect(invalid).to.include({ name: "TypeError" });
  });

  it("ends, and the process does not, when the file is cut under it", async function () {
    if (!MAPS) {
      this.skip();
    }
    const saved = await save(5000 * PAGE);
    const errors: Error[] = [];
    const memory = await map({ onDamage: (error: Error) => errors.push(error) });
    const clone = memory.fork();
    const other = await map({ onDamage: () => {} });
    memory.writeb(PAGE, 1);
    const data = readFileSync(path).length - Math.ceil((5000 * PAGE) / 65_536) * 65_536;
    truncateSync(path, data + 1000 * PAGE);
    // The pages before the cut are there. An access behind it reads a zero.
    expect(memory.readb(3 * PAGE)).to.equal(saved.readb(3 * PAGE));
    expect(memory.readb(4500 * PAGE)).to.equal(0);
    expect(other.native.readb(4500 * PAGE)).to.equal(0);
    await wait(400);
    expect(errors).to.have.length(1);
    expect(errors[0]).to.include({ code: "ERR_MAPPED_FILE_LOST" });
    const out = new Uint8Array(1);
    for (const ended of [memory, other]) {
      expect(ended.tryReadb(0, out)).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
      expect(ended.native.tryReadb(0, out)).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
    }
    // Not touched yet, but a page of it is gone.
    clone.readb(2000 * PAGE);
    await wait(400);
    expect(clone.destroyed).to.equal(true);
  });

  it("takes no memory and no time for what is not accessed", function () {
    // Emulators of other processors have memory of their own for the pages that a guest maps.
    if (!MAPS || (process.env["POUND_TEST_PATIENCE"] ?? "1") !== "1") {
      this.skip();
    }
    const { output, status } = runAlone(`
      const { readFileSync, rmSync } = require("node:fs");
      const { AddressSpace, GuestMemory } = require("pound-guest-memory");
      const { openSnapshot, saveSnapshot } = require("pound-guest-memory/snapshot");
      const kib = (name) => Number(readFileSync("/proc/self/status", "latin1").match(name + ":\\\\s*(\\\\d+)")[1]);
      (async () => {
        const path = ${JSON.stringify(join(folder, "large.snap"))};
        const saved = new AddressSpace();
        saved.addRam(0, 2 ** 32);
        for (let gpa = 0; gpa < 2 ** 26; gpa += 4096) saved.writel(gpa, gpa + 1);
        await saveSnapshot(saved.snapshot(), path);
        const space = new AddressSpace();
        space.addRam(0, 2 ** 32);
        const file = await openSnapshot(path);
        const before = kib("VmRSS");
        await space.restore(file, { map: true });
        const sum = [0, 2 ** 25, 2 ** 31].map((gpa) => space.readl(gpa));
        const fork = space.fork();
        console.log(sum.join(), kib("VmRSS") - before < 20000, fork.readl(4096));
        await file.close();
        rmSync(path);
      })();
    `);
    expect({ output, status }).to.deep.equal({ output: "1,33554433,0 true 4097\n", status: 0 });
  });

  it("is not changed by a save over the file", async () => {
    const saved = await save();
    const memory = await map();
    const other = GuestMemory.allocate(PAGE);
    await saveSnapshot(takeSnapshot(other), path);
    expect(isSame(memory, saved)).to.equal(true);
    const descriptor = openSync(path, "r+");
    writeSync(descriptor, Buffer.alloc(PAGE, 1));
    ftruncateSync(descriptor, 0);
    closeSync(descriptor);
    expect(isSame(memory, saved)).to.equal(true);
  });
});
