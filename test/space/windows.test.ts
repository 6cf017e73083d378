import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemAccessResult, GuestMemory, type Region } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { POLICIES } from "../support/policies.js";
import { PATHS, nativeOf, pathsOf } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;

/** Memory whose byte `i` tells its place. */
function numbered(size: number): GuestMemory {
  const memory = GuestMemory.allocate(size);
  for (let i = 0; i < size; i += 4) {
    memory.writel(i, i);
  }
  return memory;
}

describe("windows of an address space", () => {
  for (const path of PATHS) {
    describe(`on the ${path} path`, () => {
      it("show a part of a memory, at its rights", () => {
        const memory = numbered(0x4000);
        const space = new AddressSpace();
        const access = path === "view" ? space : space.native;
        space.addRam(0x1000, memory, { offset: 0x2000, length: 0x1000 });
        space.addRam(0x8000, memory, { offset: 0x2000, length: 0x1000, access: "r" });
        space.addRam(0xa000, memory, { offset: 0x2000, length: 0x1000, access: "w" });
        expect(access.readl(0x1004)).to.equal(0x2004);
        expect(access.readl(0x8ffc)).to.equal(0x2ffc);
        access.writel(0x1004, 1);
        expect(access.readl(0x8004)).to.equal(1);
        expect(memory.readl(0x2004)).to.equal(1);
        expect(access.tryWritel(0x8004, 2)).to.equal(FAULT_BOUNDARY);
        expect(access.tryWritel(0xa004, 3)).to.equal(OK);
        expect(access.tryReadl(0xa004, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        expect(access.readl(0x8004)).to.equal(3);
        expect(access.tryReadl(0x2000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        expect(() => space.fill(0x8000, 16, 0)).to.throw("FAULT_BOUNDARY");
        expect(() => space.read(0xa000, 16)).to.throw("FAULT_BOUNDARY");
      });

      it("repeat the bytes of a mirrored memory", () => {
        const memory = numbered(0x800);
        const space = new AddressSpace({ pageSize: 256 });
        const access = path === "view" ? space : space.native;
        const region = space.addRam(0, memory, { repeat: 4 });
        expect(region.size).to.equal(0x2000n);
        for (const base of [0, 0x800, 0x1000, 0x1800]) {
          expect(access.readl(base + 0x7fc)).to.equal(0x7fc);
          access.writeb(base + 16, base >> 8);
          expect(memory.readb(16)).to.equal(base >> 8);
        }
        expect(access.tryReadb(0x2000, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
        expect([...space.read(0x7fe, 4)]).to.deep.equal([...memory.read(0x7fe, 2), 0, 0]);
      });

      it("reach across 4 GiB, and up to segments of any length", () => {
        const space = new AddressSpace();
        const access = path === "view" ? space : space.native;
        space.addRam(0, 0x8000);
        const middle = 2 ** 32;
        const ram = space.addRam(middle - 0x2000, numbered(0x4000), { trackDirty: true });
        space.addMmio(middle + 0x1000, 3, { readb: () => 7 }, { priority: 1 });
        const places = [0, 4, 0x1000, 0x1ffc, 0x2000, 0x2ffc, 0x3004, 0x3008, 0x3ffc];
        for (let round = 0; round < 2; round++) {
          for (const place of places) {
            const gpa = middle - 0x2000 + place;
            expect(access.readl(gpa)).to.equal(place);
            expect(access.readw(gpa + 2)).to.equal(0);
            expect(access.readb(gpa)).to.equal(place & 0xff);
            ram.dirty!.drain();
            access.writel(gpa, place);
            access.writew(gpa + 2, 0);
            expect([...ram.dirty!.peek()]).to.deep.equal([place >> 12]);
          }
          expect(access.readb(middle + 0x1003)).to.equal(0);
          expect(access.tryReadl(middle + 0x1000, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
          expect(access.tryReadl(middle + 2, new Uint32Array(1))).to.equal(FAULT_UNALIGNED);
          expect(access.tryReadl(0x2000 + 2 ** 33, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
          expect(access.tryWriteb(middle - 0x2001, 1)).to.equal(FAULT_BOUNDARY);
          expect(thrown(() => access.readb(middle + 0.5))).to.include(OUT_OF_RANGE);
          expect(thrown(() => access.readb(-1))).to.include(OUT_OF_RANGE);
        }
      });

      it("are covered by a region of higher priority, until it is removed", () => {
        const space = new AddressSpace();
        const access = path === "view" ? space : space.native;
        space.addRam(0, numbered(0x4000));
        expect(access.readl(0x1000)).to.equal(0x1000);
        const over = space.addRam(0x1000, 0x1000, { priority: 1 });
        expect(access.readl(0x1000)).to.equal(0);
        expect(access.readl(0x2000)).to.equal(0x2000);
        const device = space.addMmio(0x1004, 4, { readl: () => 7 }, { priority: 2 });
        expect(access.readl(0x1004)).to.equal(7);
        expect(access.readl(0x1008)).to.equal(0);
        expect(access.tryReadq(0x1000, new BigUint64Array(1))).to.equal(FAULT_BOUNDARY);
        space.remove(over);
        expect(access.readl(0x1000)).to.equal(0x1000);
        expect(access.readl(0x1004)).to.equal(7);
        space.remove(device);
        expect(access.readl(0x1004)).to.equal(0x1004);
        expect(access.readq(0x1000)).to.equal(0x1004_0000_1000n);
      });

      it("switch banks, which both paths see at once, also of another memory", () => {
        const [rom, other] = [numbered(0x10000), GuestMemory.allocate(0x4000)];
        other.writel(0, 0x77);
        const space = new AddressSpace();
        const access = path === "view" ? space : space.native;
        space.addRam(0, 0x1000);
        const bank = space.addRom(0x8000, rom, { length: 0x4000 });
        for (const offset of [0x4000, 0, 0xc000, 0x4000]) {
          bank.select(offset);
          expect(bank.offset).to.equal(BigInt(offset));
          expect(space.readl(0x8000)).to.equal(offset);
          expect(access.readl(0xbffc)).to.equal(offset + 0x3ffc);
        }
        bank.select(0, other);
        expect(bank.memory).to.equal(other);
        expect(access.readl(0x8000)).to.equal(0x77);
        expect(access.tryWriteb(0x8000, 1)).to.equal(FAULT_BOUNDARY);
        bank.select(0x8000, rom);
        expect(access.readl(0x8000)).to.equal(0x8000);
      });
    });
  }

  it("notice the end of a memory that a bank shows, and not of one that it showed before", () => {
    const [first, second] = [numbered(0x4000), numbered(0x4000)];
    const space = new AddressSpace();
    const bank = space.addRam(0, first);
    bank.select(0, second);
    expect(space.readl(8)).to.equal(8);
    first.destroy();
    expect(space.readl(8)).to.equal(8);
    second.destroy();
    expect(space.tryReadl(8, new Uint32Array(1))).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
    expect(space.native.tryReadl(8, new Uint32Array(1))).to.equal(
      GuestMemAccessResult.ERROR_INTERNAL,
    );
  });

  it("call watchpoints, and set marks of the memory that a bank shows", () => {
    const memory = GuestMemory.allocate(0x8000);
    const space = new AddressSpace();
    const bank = space.addRam(0x1000, memory, { length: 0x2000, trackDirty: true });
    const seen: bigint[] = [];
    space.watch({ gpa: 0x1000, length: 4, kinds: "write" }, ({ gpa }) => seen.push(gpa));
    bank.select(0x4000);
    space.writel(0x1000, 1);
    nativeOf(space).writel(0x2000, 1);
    bank.select(0x6000);
    space.writel(0x1000, 1);
    expect(seen).to.deep.equal([0x1000n, 0x1000n]);
    expect([...bank.dirty!.drain()]).to.deep.equal([4, 5, 6]);
  });

  it("finish a bulk access in the bank in which it began", () => {
    const memory = GuestMemory.allocate(0x4000);
    const space = new AddressSpace();
    const bank = space.addRam(0, memory, { length: 0x2000 });
    space.watch({ gpa: 0, length: 1, kinds: "write" }, () => bank.select(0x2000));
    space.fill(0, 4, 9);
    expect(memory.readl(0)).to.equal(0x0909_0909);
    expect(memory.readl(0x2000)).to.equal(0);
  });

  it("keep RAM from one arena apart, and take the rest from elsewhere", () => {
    const space = new AddressSpace({ arena: 0x4000 });
    const regions = [0x1800, 0x1000, 0x4000].map((size, i) => space.addRam(i * 0x10000, size));
    regions.forEach((region, i) => {
      expect(region.memory.size).to.equal(region.size);
      space.fill(region.gpa, region.size, i + 1);
    });
    const rom = space.addRom(0x80000, Uint8Array.of(1, 2, 3, 4));
    for (const access of pathsOf(space)) {
      regions.forEach((region, i) => {
        const last = Number(region.gpa + region.size) - 4;
        expect(access.readb(region.gpa)).to.equal(i + 1);
        expect(access.readl(last)).to.equal((i + 1) * 0x0101_0101);
        expect(access.tryReadl(last + 4, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
      });
      expect(access.readl(0x80000)).to.equal(0x0403_0201);
    }
    expect(rom.size).to.equal(4n);
  });

  it("refuse what does not fit, and leave the map unchanged", () => {
    const memory = GuestMemory.allocate(0x4000);
    const space = new AddressSpace();
    const region = space.addRam(0, memory, { length: 0x1000 });
    const refused: [string, () => unknown][] = [
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { offset: 0x4000 })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { offset: 4 })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { offset: 8, length: 0x4000 })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { repeat: 0 })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { repeat: 2 ** 52 })],
      ["ERR_INVALID_ARG_TYPE", () => space.addRam(0x1000, memory, { repeat: "2" as never })],
      ["ERR_INVALID_ARG_TYPE", () => space.addRam(0x1000, memory, { access: "xr" as never })],
      ["ERR_INVALID_ARG_TYPE", () => space.addRam(0x1000, memory, { priority: 1n as never })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x1000, memory, { priority: 0.5 })],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0x800, memory)],
      ["ERR_OUT_OF_RANGE", () => space.addRam(0, memory, { length: 0x1000 })],
      ["ERR_OUT_OF_RANGE", () => region.select(0x3008)],
      ["ERR_OUT_OF_RANGE", () => region.select(4)],
      ["ERR_OUT_OF_RANGE", () => region.select(0, GuestMemory.allocate(0xff8))],
      ["ERR_INVALID_ARG_TYPE", () => region.select(0, {} as never)],
      ["ERR_INVALID_ARG_TYPE", () => region.select("0" as never)],
      ["ERR_OUT_OF_RANGE", () => new AddressSpace({ pageSize: 128 })],
      ["ERR_OUT_OF_RANGE", () => new AddressSpace({ pageSize: 3000 })],
      ["ERR_INVALID_ARG_TYPE", () => new AddressSpace({ pageSize: "4096" as never })],
      ["ERR_OUT_OF_RANGE", () => new AddressSpace({ arena: 2 ** 32 + 1 })],
      ["ERR_INVALID_ARG_TYPE", () => new AddressSpace(7 as never)],
    ];
    for (const [code, attempt] of refused) {
      expect(thrown(attempt).code, String(attempt)).to.equal(code);
    }
    expect(space.regions).to.deep.equal([region]);
    expect([region.offset, region.memory]).to.deep.equal([0n, memory]);
  });
});

const SPAN = 0x4000;
const MEMORY = 0x1000;

interface ModelWindow {
  readonly gpa: number;
  readonly size: number;
  readonly priority: number;
  readonly region: Region;
  /** Null for a device. */
  bytes: Uint8Array | null;
  offset: number;
  readonly period: number;
  readonly writable: boolean;
}

/** The place of each byte, from the list of windows alone. */
function placeOf(windows: readonly ModelWindow[], gpa: number): Place | null {
  let found: ModelWindow | null = null;
  for (const window of windows) {
    const covers = gpa >= window.gpa && gpa < window.gpa + window.size;
    if (covers && (found === null || window.priority > found.priority)) {
      found = window;
    }
  }
  return found && { window: found, at: found.offset + ((gpa - found.gpa) % found.period) };
}

interface Place {
  readonly window: ModelWindow;
  /** The offset in the memory, or from the start of the device. */
  readonly at: number;
}

/** Devices have handlers for one byte only. */
function faultsUnaligned(places: readonly (Place | null)[], address: number, writes: boolean) {
  const width = places.length;
  const [first] = places;
  const whole = places.every(
    (place, b) => place?.window === first?.window && place?.at === (first?.at ?? 0) + b,
  );
  if (first == null || !whole || (first.window.bytes === null && width > 1)) {
    return FAULT_BOUNDARY;
  }
  if (writes && !first.window.writable) {
    return FAULT_BOUNDARY;
  }
  return address % width === 0 ? OK : FAULT_UNALIGNED;
}

/** As `faultsUnaligned`, where the access may be split: a device gets the widest aligned parts. */
function allowsUnaligned(places: readonly (Place | null)[], address: number, writes: boolean) {
  const isServed = places.every((place, b) => {
    if (place?.window.bytes !== null) {
      return place !== null && (!writes || place.window.writable);
    }
    const pairs = (address + b) % 2 === 0 && places[b + 1]?.window === place.window;
    return !pairs;
  });
  return isServed ? OK : FAULT_BOUNDARY;
}

const step = fc.record({
  do: fc.constantFrom("ram", "ram", "rom", "device", "remove", "select", "watch", "read", "write"),
  memory: fc.nat(2),
  gpa: fc.nat(SPAN / 256 - 1),
  length: fc.integer({ min: 1, max: MEMORY / 256 }),
  offset: fc.nat(MEMORY / 8),
  repeat: fc.integer({ min: 1, max: 3 }),
  priority: fc.nat(3),
  which: fc.nat(),
});

describe("maps of an address space", () => {
  for (const options of [{ pageSize: 256 }, { pageSize: 256, arena: 3 * MEMORY }, {}]) {
    it(`agree with a plain model on both paths: ${JSON.stringify(options)}`, function () {
      this.timeout(120_000);
      const { pageSize = 4096 } = options;
      const unit = Math.max(256, pageSize / 4);
      fc.assert(
        fc.property(
          fc.constantFrom(...POLICIES),
          fc.array(step, { maxLength: 40 }),
          (policy, steps) => {
            const space = new AddressSpace({ ...options, ...policy });
            const { alignment, endian } = space.policy;
            const memories = [0, 1, 2].map((i) => {
              const { memory } = space.addRam(SPAN * 16 * (i + 1), MEMORY);
              memory.fill(0, MEMORY, i + 1);
              return memory;
            });
            const bytes = memories.map((_, i) => new Uint8Array(MEMORY).fill(i + 1));
            const windows: ModelWindow[] = [];
            const out = { 1: new Uint8Array(1), 4: new Uint32Array(1) };
            let serial = 0;
            for (const {
              do: what,
              memory,
              gpa,
              length,
              offset,
              repeat,
              priority,
              which,
            } of steps) {
              const window = windows[which % Math.max(1, windows.length)];
              const fits = 8 * offset + length * 256 <= MEMORY;
              if (what === "ram" || what === "rom") {
                const start = gpa * unit;
                const size = length * 256 * repeat;
                const clash = windows.some(
                  (other) =>
                    other.priority === priority &&
                    start < other.gpa + other.size &&
                    other.gpa < start + size,
                );
                const shown = { offset: 8 * offset, length: length * 256, repeat, priority };
                const add = (): Region =>
                  what === "ram"
                    ? space.addRam(start, memories[memory]!, shown)
                    : space.addRom(start, memories[memory]!, shown);
                if (clash || !fits || start % pageSize !== 0) {
                  expect(thrown(add).code).to.equal("ERR_OUT_OF_RANGE");
                } else {
                  windows.push({
                    gpa: start,
                    size,
                    priority,
                    region: add(),
                    bytes: bytes[memory]!,
                    offset: 8 * offset,
                    period: length * 256,
                    writable: what === "ram",
                  });
                }
              } else if (what === "device") {
                const start = gpa * unit + (which % 256);
                const clash = windows.some(
                  (other) =>
                    other.priority === priority &&
                    start < other.gpa + other.size &&
                    other.gpa < start + length,
                );
                const device = { readb: () => 0xdd, writeb: () => undefined };
                const add = (): Region => space.addMmio(start, length, device, { priority });
                if (clash) {
                  expect(thrown(add).code).to.equal("ERR_OUT_OF_RANGE");
                } else {
                  windows.push({
                    gpa: start,
                    size: length,
                    priority,
                    region: add(),
                    bytes: null,
                    offset: 0,
                    period: length,
                    writable: true,
                  });
                }
              } else if (what === "remove" && window !== undefined) {
                space.remove(window.region);
                windows.splice(windows.indexOf(window), 1);
              } else if (what === "select" && window?.bytes && window.region.kind !== "mmio") {
                const { region } = window;
                const select = (): void => region.select(8 * offset, memories[memory]);
                if (8 * offset + window.period <= MEMORY) {
                  select();
                  window.bytes = bytes[memory]!;
                  window.offset = 8 * offset;
                } else {
                  expect(thrown(select).code).to.equal("ERR_OUT_OF_RANGE");
                }
              } else if (what === "watch") {
                const watchpoint = space.watch({ gpa: gpa * unit, length: 1 }, () => undefined);
                if (which % 2 === 0) {
                  watchpoint.remove();
                }
              }
              // After each step: a few accesses on each path.
              for (let i = 0; i < 8; i++) {
                const address = (gpa * unit + i * 97 * (which % 13) + (which % 5)) % (SPAN + 64);
                const width = i % 2 === 0 ? 1 : 4;
                const places = Array.from({ length: width }, (_, b) =>
                  placeOf(windows, address + b),
                );
                const access = i % 4 < 2 ? space : space.native;
                const writes = what === "write" || i > 5;
                const expected = (alignment === "fault" ? faultsUnaligned : allowsUnaligned)(
                  places,
                  address,
                  writes,
                );
                const shiftOf = (b: number): number =>
                  8 * (endian === "little" ? b : width - 1 - b);
                const value = ++serial;
                if (writes) {
                  const result =
                    width === 1
                      ? access.tryWriteb(address, value & 255)
                      : access.tryWritel(address, value);
                  expect(result, `write of ${width} at ${address}`).to.equal(expected);
                  for (const [b, place] of places.entries()) {
                    if (expected === OK && place!.window.bytes !== null) {
                      place!.window.bytes[place!.at] = (value >>> shiftOf(b)) & 255;
                    }
                  }
                } else {
                  const result =
                    width === 1
                      ? access.tryReadb(address, out[1])
                      : access.tryReadl(address, out[4]);
                  expect(result, `read of ${width} at ${address}`).to.equal(expected);
                  if (expected === OK) {
                    const found = width === 1 ? out[1][0]! : out[4][0]!;
                    places.forEach((place, b) =>
                      expect((found >>> shiftOf(b)) & 255, `at ${address} + ${b}`).to.equal(
                        place!.window.bytes?.[place!.at] ?? 0xdd,
                      ),
                    );
                  }
                }
              }
            }
            memories.forEach((memory, i) =>
              expect(memory.compare(0, bytes[i]!), `memory ${i}`).to.equal(0),
            );
          },
        ),
        { numRuns: 600 },
      );
    });
  }
});
