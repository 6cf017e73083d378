import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemory, type RamRegion, type RomRegion } from "pound-guest-memory";
import {
  diffSnapshots,
  type LiveRegion,
  loadSnapshot,
  openSnapshot,
  restoreSnapshot,
  saveSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { SnapshotApi } from "../../lib/inspector/api.js";
import { Parameters } from "../../lib/inspector/parameters.js";
import { DESTROYED, thrown } from "../support/errors.js";
import { HEADER, reseal } from "../support/snapshot-bytes.js";
import { pathsOf } from "../support/paths.js";

const MISMATCH = { name: "Error", code: "ERR_SNAPSHOT_MISMATCH" };
const TOP = 2n ** 64n;
const BANK = 16 * 1024;

/** The machine of the tests: RAM in four mirrors, two banks, work RAM with an overlay. */
interface Machine {
  readonly space: AddressSpace;
  readonly ram: GuestMemory;
  readonly cartridge: GuestMemory;
  readonly work: GuestMemory;
  readonly low: RomRegion;
  readonly high: RomRegion;
  readonly overlay: RamRegion;
}

function makeMachine(trackDirty = false): Machine {
  const space = new AddressSpace({ pageSize: 256 });
  const ram = GuestMemory.allocate(2048);
  const work = GuestMemory.allocate(8192);
  const cartridge = GuestMemory.allocate(128 * 1024);
  for (let bank = 0; bank < 8; bank++) {
    cartridge.fill(bank * BANK, BANK, 0xa0 + bank);
  }
  space.addRam(0, ram, { name: "ram", repeat: 4, trackDirty });
  space.addMmio(0x2000, 8, {}, { name: "ppu" });
  space.addRam(0x6000, work, { name: "work", trackDirty });
  const part = { offset: 0, length: BANK };
  const low = space.addRom(0x8000, cartridge, { ...part, name: "low" });
  const high = space.addRom(0xc000, cartridge, { ...part, offset: 7 * BANK, name: "high" });
  const overlay = space.addRam(0x9000, work, {
    ...{ name: "overlay", offset: 0x1000, length: 0x100, priority: 1 },
  });
  return { space, ram, cartridge, work, low, high, overlay };
}

const folder = mkdtempSync(join(tmpdir(), "windows-"));
after(() => {
  rmSync(folder, { recursive: true });
});

async function outcome(action: () => Promise<unknown>): Promise<unknown> {
  try {
    return await action();
  } catch (error) {
    return error;
  }
}

async function reload(snapshot: Snapshot): Promise<Snapshot> {
  const path = join(folder, "reload.snap");
  await saveSnapshot(snapshot, path);
  return loadSnapshot(path);
}

describe("snapshots of windows and banks", () => {
  for (const trackDirty of [false, true]) {
    describe(trackDirty ? "with dirty tracking" : "without dirty tracking", () => {
      it("save each memory once, with the bytes that no window shows", () => {
        const { space, work } = makeMachine(trackDirty);
        work.writeb(0x1fff, 5);
        const snapshot = space.snapshot();
        expect(
          snapshot.regions.map(({ kind, name, gpa, size }) => [kind, name, gpa, size]),
        ).to.deep.equal([
          ["ram", "ram", TOP, 2048n],
          ["ram", "work", TOP + 0x1000n, 8192n],
          ["rom", "low", TOP + 0x3000n, 128n * 1024n],
        ]);
        expect(
          snapshot.windows.map(({ name, region, offset, period, priority }) => [
            ...[name, region, offset, period, priority],
          ]),
        ).to.deep.equal([
          ["ram", 0, 0n, 2048n, 0],
          ["ppu", null, 0n, 0n, 0],
          ["work", 1, 0n, 8192n, 0],
          ["low", 2, 0n, 16384n, 0],
          ["overlay", 1, 0x1000n, 0x100n, 1],
          ["high", 2, 7n * 16384n, 16384n, 0],
        ]);
        const hidden = snapshot.regions[2]!.gpa + BigInt(3 * BANK);
        expect([...snapshot.read(hidden, 2)]).to.deep.equal([0xa3, 0xa3]);
        expect(snapshot.read(0x7fff, 1)[0]).to.equal(5);
      });

      it("restore the bytes and the banks, from the snapshot and from its file", async () => {
        const machine = makeMachine(trackDirty);
        const { space, ram, work, low, high, overlay } = machine;
        ram.writeb(16, 1);
        work.writeb(0x1010, 2);
        low.select(3 * BANK);
        overlay.select(0x800);
        work.writeb(0x810, 3);
        const snapshot = space.snapshot();
        const loaded = await reload(snapshot);
        expect(loaded.windows).to.deep.equal(snapshot.windows);
        expect(loaded.regions).to.deep.equal(snapshot.regions);
        for (const each of [snapshot, loaded, snapshot]) {
          for (let bank = 0; bank < 8; bank++) {
            low.select(bank * BANK);
            high.select((7 - bank) * BANK);
            overlay.select(bank * 256);
            space.writeb(0x9010, 0x77);
          }
          space.writeb(0x810, 9);
          expect(space.restore(each)).to.be.greaterThan(0);
          expect([low.offset, high.offset, overlay.offset]).to.deep.equal([
            ...[3n * 16384n, 7n * 16384n, 0x800n],
          ]);
          for (const access of pathsOf(space)) {
            expect(access.readb(0x8000)).to.equal(0xa3);
            expect(access.readb(0xffff)).to.equal(0xa7);
            expect(access.readb(0x9010)).to.equal(3);
            expect(access.readb(0x7010)).to.equal(2);
            for (const mirror of [0x10, 0x810, 0x1010, 0x1810]) {
              expect(access.readb(mirror)).to.equal(1);
            }
          }
          expect(space.restore(each), "nothing is left to restore").to.equal(0);
        }
        const second = makeMachine(trackDirty);
        expect(second.space.restore(loaded), "a page of ram, two of work").to.equal(3);
        expect(second.low.offset).to.equal(BigInt(3 * BANK));
        expect(second.space.readb(0x9010)).to.equal(3);
      });

      it("restore any state of random maps and banks", async function () {
        this.timeout(120_000);
        const KIB = 1024;
        const sizes = [4 * KIB, 12 * KIB + 256, 64 * KIB];
        const window = fc.record({
          gpa: fc.nat(40).map((n) => n * KIB),
          memory: fc.nat(2),
          offset: fc.nat(7).map((n) => n * 512),
          length: fc.integer({ min: 1, max: 8 }).map((n) => n * 64),
          repeat: fc.integer({ min: 1, max: 9 }),
          isRom: fc.boolean(),
        });
        const step = fc.oneof(
          fc.record({
            write: fc.nat(),
            memory: fc.nat(2),
            value: fc.integer({ min: 1, max: 255 }),
          }),
          fc.record({ window: fc.nat(), offset: fc.nat(7).map((n) => n * 448), memory: fc.nat(2) }),
        );
        const property = fc.asyncProperty(
          fc.array(window, { minLength: 1, maxLength: 8 }),
          fc.array(fc.array(step, { maxLength: 12 }), { minLength: 1, maxLength: 5 }),
          fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 6 }),
          fc.boolean(),
          async (maps, rounds, restores, chained) => {
            const memories = sizes.map((size) => GuestMemory.allocate(size));
            const space = new AddressSpace({ pageSize: 256 });
            const regions = maps.map(({ gpa, memory, isRom, ...part }, i) => {
              const options = { ...part, priority: i };
              return isRom
                ? space.addRom(gpa, memories[memory]!, options)
                : space.addRam(gpa, memories[memory]!, { ...options, trackDirty });
            });
            // A memory that only ROM regions show is not written by a restore.
            const isRam = (memory: GuestMemory): boolean =>
              regions.some((region) => region.kind === "ram" && region.memory === memory);
            const states = [];
            let snapshot: Snapshot | undefined;
            for (const steps of rounds) {
              for (const each of steps) {
                const memory = memories[each.memory]!;
                if ("write" in each) {
                  if (isRam(memory)) {
                    memory.writeb(each.write % Number(memory.size), each.value);
                  }
                } else {
                  const region = regions[each.window % regions.length]!;
                  // Switching between memories could leave written memory to a ROM alone.
                  region.select(each.offset, region.memory);
                }
              }
              snapshot = space.snapshot(chained ? snapshot : undefined);
              states.push({
                snapshot,
                loaded: await reload(snapshot),
                bytes: memories.map((memory) => memory.read(0, memory.size)),
                offsets: regions.map(({ offset }) => offset),
              });
            }
            const [first, last] = [states[0]!, states.at(-1)!];
            let differing = 0;
            for (const { gpa, length } of diffSnapshots(first.loaded, last.snapshot)) {
              const [from, to] = [first.loaded, last.loaded].map((each) => each.read(gpa, length));
              const isSame = first.offsets.every((offset, i) => offset === last.offsets[i]);
              expect(!isSame || from!.every((byte, i) => byte !== to![i])).to.equal(true);
              differing += length;
            }
            let expected = 0;
            for (const memory of new Set(regions.map((region) => region.memory))) {
              const i = memories.indexOf(memory);
              first.bytes[i]!.forEach((byte, at) => {
                expected += Number(byte !== last.bytes[i]![at]);
              });
            }
            expect(differing).to.equal(expected);
            for (const [which, fromFile] of restores) {
              const state = states[which % states.length]!;
              restoreSnapshot(space, fromFile ? state.loaded : state.snapshot);
              expect(regions.map(({ offset }) => offset)).to.deep.equal(state.offsets);
              memories.forEach((memory, i) => {
                expect(memory.compare(0, state.bytes[i]!), `memory ${i}`).to.equal(0);
              });
              const mapped = new Set(regions.map(({ memory }) => memory));
              expect(state.snapshot.regions.length).to.be.at.least(mapped.size);
              for (const { gpa } of regions) {
                const byte = new Uint8Array(1);
                space.tryReadb(gpa, byte);
                const [read] = state.loaded.read(gpa, 1);
                expect(read).to.equal(byte[0]);
              }
            }
          },
        );
        await fc.assert(property, { numRuns: 60 });
      });

      it("restore mirrors of a part that are as long as the memory", async () => {
        const space = new AddressSpace({ pageSize: 256 });
        const memory = GuestMemory.allocate(4096);
        memory.fill(0, 512, 7);
        memory.fill(512, 512, 8);
        const mirrors = space.addRam(0, memory, { length: 512, repeat: 8, trackDirty });
        mirrors.select(512);
        const snapshot = space.snapshot();
        expect([...snapshot.read(0, 1), ...snapshot.read(4095, 1)]).to.deep.equal([8, 8]);
        for (const each of [snapshot, await reload(snapshot)]) {
          mirrors.select(0);
          memory.fill(512, 512, 1);
          space.restore(each);
          expect(mirrors.offset).to.equal(512n);
          expect(space.readb(0x200)).to.equal(8);
        }
      });

      it("restore a bank that shows another memory", () => {
        const space = new AddressSpace();
        const [a, b] = [GuestMemory.allocate(8192), GuestMemory.allocate(8192)];
        const bank = space.addRam(0x4000, a, { trackDirty });
        space.writeb(0x4000, 1);
        const snapshot = space.snapshot();
        const other = new AddressSpace();
        other.addRam(0x4000, 8192);
        bank.select(0, b);
        b.writeb(0, 2);
        a.writeb(0, 3);
        const next = space.snapshot(snapshot);
        expect(space.restore(snapshot)).to.equal(1);
        expect(bank.memory).to.equal(a);
        expect([space.readb(0x4000), b.readb(0)]).to.deep.equal([1, 2]);
        b.writeb(0, 9);
        expect(space.restore(next)).to.equal(1);
        expect(bank.memory).to.equal(b);
        expect([space.readb(0x4000), a.readb(0)]).to.deep.equal([2, 1]);
        expect(other.restore(snapshot), "another space").to.equal(1);
        expect(other.readb(0x4000)).to.equal(1);
      });
    });
  }

  it("are refused before a byte or a bank changes", async () => {
    const { space, ram, low } = makeMachine();
    low.select(BANK);
    const snapshot = space.snapshot();
    const loaded = await reload(snapshot);
    low.select(2 * BANK);
    ram.writeb(0, 7);
    const refuse = (each: Snapshot, expected: object): void => {
      const before = space.regions.map((region) => (region.kind === "mmio" ? 0 : region.offset));
      expect(thrown(() => space.restore(each))).to.deep.equal(expected);
      expect(
        space.regions.map((region) => (region.kind === "mmio" ? 0 : region.offset)),
      ).to.deep.equal(before);
      expect(ram.readb(0)).to.equal(7);
    };
    // The bytes of ROM differ.
    low.memory.writeb(5 * BANK, 1);
    refuse(snapshot, MISMATCH);
    low.memory.writeb(5 * BANK, 0xa5);
    // A bank of a loaded snapshot shows another memory than its neighbour.
    const stranger = GuestMemory.allocate(128 * 1024);
    low.select(0, stranger);
    refuse(loaded, MISMATCH);
    // A memory of another size.
    low.select(0, GuestMemory.allocate(BANK));
    refuse(loaded, MISMATCH);
    low.select(0, stranger);
    const other = space.snapshot();
    low.select(0, makeMachine().cartridge);
    stranger.destroy();
    refuse(other, DESTROYED);
    expect(space.restore(snapshot), "the first memory is still known").to.equal(1);
  });

  it("are refused if a memory of the snapshot was freed", async function () {
    const { gc } = globalThis;
    if (gc === undefined) {
      this.skip();
    }
    const space = new AddressSpace();
    const region = space.addRam(0, GuestMemory.allocate(4096));
    const snapshot = space.snapshot();
    const next = GuestMemory.allocate(4096);
    region.select(0, next);
    next.writeb(0, 3);
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      gc();
    }
    expect(thrown(() => space.restore(snapshot))).to.deep.equal(MISMATCH);
    expect(() => space.restore(snapshot)).to.throw("is not there any more");
    expect(next.readb(0)).to.equal(3);
  });

  it("are refused in a space of other mirrors, priorities or rights to switch", () => {
    const { space } = makeMachine();
    const snapshot = space.snapshot();
    const like = ({ kind, name, gpa, size }: LiveRegion): LiveRegion => ({ kind, name, gpa, size });
    const [ram, overlay] = [space.regions[0]!, space.regions[4]!];
    for (const changed of [
      { ...like(ram), memory: GuestMemory.allocate(8192), period: 4096 },
      { ...like(overlay), memory: GuestMemory.allocate(4096), offset: 0n, priority: 2 },
    ]) {
      const regions = space.regions.map((region): LiveRegion =>
        region.name === changed.name ? changed : region,
      );
      expect(thrown(() => restoreSnapshot({ regions }, snapshot))).to.deep.equal(MISMATCH);
    }
    const memory = GuestMemory.allocate(8192);
    const fixed = (offset: bigint) => ({
      regions: [{ kind: "ram", name: "", gpa: 0n, size: 4096n, memory, offset }] as const,
    });
    const part = takeSnapshot(fixed(4096n));
    memory.writeb(0, 1);
    expect(thrown(() => restoreSnapshot(fixed(0n), part))).to.deep.equal(MISMATCH);
    expect(memory.readb(0)).to.equal(1);
    expect(restoreSnapshot(fixed(4096n), part)).to.equal(1);
  });

  it("keep the file of a space of whole memories as it was", async () => {
    const space = new AddressSpace();
    space.addRam(0, 4096, { name: "ram" });
    space.addRom(0x10000, new Uint8Array(10), { name: "rom" });
    const path = join(folder, "plain.snap");
    await saveSnapshot(space.snapshot(), path, { mappable: false });
    expect(readFileSync(path)[7], "the version").to.equal(1);
    await saveSnapshot(makeMachine().space.snapshot(), path, { mappable: false });
    expect(readFileSync(path)[7], "the version").to.equal(2);
    const windows = new AddressSpace();
    windows.addMmio(0, 16, {});
    windows.addMmio(0, 8, {}, { priority: 1 });
    const loaded = await reload(windows.snapshot());
    expect(loaded.windows.map(({ priority }) => priority)).to.deep.equal([0, 1]);
    expect(windows.restore(loaded)).to.equal(0);
  });

  it("differ at the addresses of windows, and elsewhere at those of the memory", () => {
    const { space, ram, work, cartridge, low } = makeMachine();
    const before = space.snapshot();
    ram.writeb(2047, 1);
    work.fill(0x0ffe, 4, 0xff);
    cartridge.fill(2 * BANK - 1, 2, 1);
    low.select(BANK);
    const after = space.snapshot(before);
    expect([...diffSnapshots(before, after)]).to.deep.equal([
      { gpa: 2047n, length: 1 },
      { gpa: 0x6ffen, length: 4 },
      { gpa: 0xbfffn, length: 1 },
      { gpa: TOP + 0x3000n + BigInt(2 * BANK), length: 1 },
    ]);
    expect(after.read(0xbfff, 1)[0]).to.equal(1);
    expect(after.pageHeat(0xbfff)).to.deep.equal({ changes: 1, changedIn: 1 });
    expect(after.pageHeat(TOP + 0x3000n)).to.deep.equal({ changes: 0, changedIn: 0 });
    expect(after.read(0x9000, 2), "through the overlay").to.deep.equal(Buffer.from([0xff, 0xff]));
    expect(after.read(0x1ffff & 0x1fff, 1)[0], "through a mirror").to.equal(1);
  });

  it("are shown by the inspector at the addresses of their windows", async () => {
    const { space, low, cartridge } = makeMachine();
    const [a, b] = [join(folder, "a.snap"), join(folder, "b.snap")];
    low.select(BANK);
    const before = space.snapshot();
    await saveSnapshot(before, a);
    cartridge.writeb(BANK + 5, 1);
    cartridge.writeb(4 * BANK + 6, 2);
    low.select(0);
    await saveSnapshot(space.snapshot(before), b);
    const api = await SnapshotApi.open([a, b]);
    const ask = (what: string, query: Record<string, string>): Promise<object> =>
      api.answer(what, new Parameters(new URLSearchParams(query)), new AbortController().signal);
    try {
      const { regions } = (await ask("snapshot", {})) as {
        regions: { name: string; gpa: string; size: string; storedPages: number }[];
      };
      expect(
        regions.map(({ name, gpa, size, storedPages }) => [name, gpa, size, storedPages]),
      ).to.deep.equal([
        ["ram", "0x0", "0x800", 0],
        ["ppu", "0x2000", "0x8", 0],
        ["work", "0x6000", "0x2000", 0],
        ["low", "0x8000", "0x1000", 1],
        ["low", "0xa000", "0x2000", 2],
        ["high", "0xc000", "0x4000", 4],
        ["low", "0x10000000000003000", "0x4000", 4],
        ["low", "0x10000000000008000", "0x1000", 1],
        ["low", "0x1000000000000b000", "0x14000", 20],
      ]);
      const find = async (from: string): Promise<object> =>
        ask("difference", { from, direction: "forward" });
      expect(await find("0x0")).to.deep.equal({ match: "0x8005", next: null });
      const hidden = `0x${(TOP + 0x3000n + BigInt(4 * BANK) + 6n).toString(16)}`;
      expect(await find("0x8006")).to.deep.equal({ match: hidden, next: null });
      const bytes = await ask("bytes", { gpa: hidden, length: "2", side: "1" });
      expect(bytes).to.deep.equal(Buffer.from([2, 0xa4]));
      const backward = { pattern: "a7a7", from: hidden, direction: "backward", side: "0" };
      expect(await ask("search", backward)).to.deep.equal({ match: "0xfffe", next: null });
    } finally {
      await api.close();
    }
  });

  it("are refused from a file whose windows are wrong", async () => {
    const path = join(folder, "wrong.snap");
    await saveSnapshot(makeMachine().space.snapshot(), path, { mappable: false });
    const file = readFileSync(path);
    const memories = [0, 1, 2].map((i) => HEADER + i * 48);
    const windows = [0, 1, 2, 3, 4, 5].map((i) => HEADER + 3 * 48 + i * 64);
    const quad = (at: number, value: bigint) => (bytes: Buffer) =>
      void bytes.writeBigUInt64LE(value, at);
    const long = (at: number, value: number) => (bytes: Buffer) =>
      void bytes.writeUInt32LE(value, at);
    const lies: Record<string, [reason: string, lie: (bytes: Buffer) => void]> = {
      "another version": ["version 4", (bytes) => void (bytes[7] = 4)],
      "no table of windows": ["should be zero", (bytes) => void (bytes[7] = 1)],
      "countless windows": ["more than 65536 windows", long(52, 65_537)],
      "a window more": ["middle of a window", long(52, 7)],
      "a window less": ["goes on after its end", long(52, 5)],
      "a memory with an address": ["has an address", quad(memories[1]! + 8, 4096n)],
      "a memory of MMIO": ["is MMIO", long(memories[1]!, 2)],
      "an unknown kind": ["unknown kind", long(windows[0]!, 3)],
      "a long name": ["name of a window is too long", long(windows[0]! + 4, 5000)],
      "the end of the addresses": ["above 2^64", quad(windows[5]! + 8, TOP - 1n)],
      "windows out of order": ["not in order", quad(windows[0]! + 8, 0x7000n)],
      "windows that overlap": ["overlaps one of its priority", quad(windows[4]! + 40, 0n)],
      "a priority beyond JavaScript": ["2^53 or more", quad(windows[4]! + 40, 2n ** 53n)],
      "a memory that is not there": ["not in its memory", long(windows[5]! + 48, 3)],
      "MMIO with memory": ["one of MMIO has one", long(windows[1]! + 48, 0)],
      "RAM without memory": ["has no memory", long(windows[0]! + 48, 0xffff_ffff)],
      "RAM in a ROM": ["not in its memory", long(windows[3]!, 0)],
      "memories in another order": ["order of their windows", long(windows[0]! + 48, 1)],
      "an offset outside": ["not in its memory", quad(windows[3]! + 24, 8n * 16384n)],
      "an offset that wraps": ["not in its memory", quad(windows[3]! + 24, TOP - 8n)],
      "an unaligned offset": ["not in its memory", quad(windows[3]! + 24, 4n)],
      "no period": ["not in its memory", quad(windows[3]! + 32, 0n)],
      "a period that does not fit": ["not in its memory", quad(windows[0]! + 32, 2040n)],
      "a period of MMIO": ["not in its memory", quad(windows[1]! + 32, 8n)],
      "a reserved byte": ["should be zero", long(windows[0]! + 52, 1)],
      "a reserved byte of the header": ["should be zero", long(56, 1)],
      "padding of a name": ["should be zero", (bytes) => void (bytes[windows[0]! + 63] = 1)],
    };
    for (const [what, [reason, lie]] of Object.entries(lies)) {
      const bytes = Buffer.from(file);
      lie(bytes);
      writeFileSync(path, reseal(bytes));
      const error = await outcome(() => loadSnapshot(path));
      expect(error, what).to.have.property("code", "ERR_SNAPSHOT_INVALID");
      expect((error as Error & { reason: string }).reason, what).to.contain(reason);
    }
    for (let at = 0; at < windows[5]! + 64; at++) {
      const damaged = Buffer.from(file);
      damaged[at]! ^= 1 << (at % 8);
      writeFileSync(path, damaged);
      const error = await outcome(() => openSnapshot(path));
      expect(error, `byte ${at}`).to.have.property("code", "ERR_SNAPSHOT_INVALID");
    }
  });
});
