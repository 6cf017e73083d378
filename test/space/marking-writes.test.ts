import { expect } from "chai";
import fc from "fast-check";
import {
  type AccessPolicy,
  AddressSpace,
  type CodeGuard,
  DirtyBitmap,
  type DirtyCursor,
  GuestMemory,
} from "pound-guest-memory";
import { nameOf, POLICIES } from "../support/policies.js";
import { nativeOf } from "../support/paths.js";

const PAGE = 4096;

/** The sizes of the memories: their marks start anywhere in a word, and one page is cut short. */
const SIZES = [5 * PAGE, 3 * PAGE + 100, 9 * PAGE, 8 * PAGE];
const STRIDE = 16 * 65536;

interface Tracked {
  readonly bitmap: DirtyBitmap;
  readonly cursors: readonly DirtyCursor[];
  /** The pages that the bitmap and each of its cursors have to report. */
  readonly expected: readonly Set<number>[];
}

/** The memories of two spaces, and the marks they should have. */
class Machine {
  readonly spaces: readonly AddressSpace[];
  readonly memories: GuestMemory[];
  readonly tracked: (Tracked | null)[];
  readonly past: Tracked[] = [];
  readonly bank;
  readonly watchpoints: { remove(): void }[] = [];
  /** The guards whose first write is still to come, and the memory of each. */
  readonly guards = new Map<CodeGuard, number>();
  readonly called = new Set<CodeGuard>();

  constructor(
    pageSize: number,
    arena: boolean,
    readonly policy: Required<AccessPolicy>,
  ) {
    const options = { pageSize, ...policy };
    const one = new AddressSpace(arena ? { ...options, arena: 64 * PAGE } : options);
    const regions = SIZES.map((size, i) => one.addRam(i * STRIDE, size));
    this.memories = regions.map(({ memory }) => memory);
    // The same bytes as another memory.
    this.memories.push(GuestMemory.over(this.memories[2]!.buffer));
    const other = new AddressSpace(options);
    for (const [i, memory] of this.memories.entries()) {
      if (i === SIZES.length) {
        one.addRam(i * STRIDE, memory);
      }
      other.addRam(i * STRIDE, memory, { repeat: 2 });
    }
    this.bank = one.addRam(16 * STRIDE, this.memories[0]!, { length: 2 * PAGE });
    this.spaces = [one, other];
    this.tracked = this.memories.map(() => null);
  }

  track(i: number, how: number): void {
    const memory = this.memories[i]!;
    const before = memory.dirty;
    const bitmap = memory.startTracking(how === 0 ? new DirtyBitmap(memory.size) : undefined);
    if (how === 1) {
      expect(bitmap.buffer.byteLength).to.be.greaterThan(0);
    }
    if (bitmap !== before) {
      this.retire(i);
      const cursors = [bitmap.dirtyCursor(), bitmap.dirtyCursor()];
      const expected = [bitmap, ...cursors].map(() => new Set<number>());
      this.tracked[i] = { bitmap, cursors, expected };
    }
  }

  stop(i: number): void {
    this.memories[i]!.stopTracking();
    this.retire(i);
  }

  retire(i: number): void {
    const before = this.tracked[i];
    if (before) {
      this.past.push(before);
      this.tracked[i] = null;
    }
  }

  /** Writes to a byte of a memory, by one of many ways. */
  write(i: number, wanted: number, way: number): void {
    const memory = this.memories[i]!;
    const offset = Math.floor((wanted % (Number(memory.size) - 8)) / 8) * 8;
    const gpa = i * STRIDE + offset;
    const [one, other] = this.spaces as [AddressSpace, AddressSpace];
    const unaligned = this.policy.alignment === "allow";
    const across = Math.floor(offset / PAGE) * PAGE - 3;
    if (unaligned && across > 0 && way % 5 === 0) {
      (way & 1 ? one : nativeOf(one)).writeq(i * STRIDE + across, 1n);
      this.mark(i, across);
      this.mark(i, across + 7);
      return;
    }
    const bank = 16 * STRIDE + (offset % (2 * PAGE));
    const banked = Number(this.bank.offset) + (offset % (2 * PAGE));
    const ways = [
      () => one.writeb(gpa, 1),
      () => one.tryWritew(gpa, 1),
      () => one.writel(gpa, 1),
      () => one.tryWriteqHalves(gpa, 1, 1),
      () => one.tryWriteqFrom(gpa, BigUint64Array.of(1n)),
      () => nativeOf(one).writel(gpa, 1),
      () => nativeOf(one).writeq(gpa, 1n),
      () => one.fill(gpa, 8, 1),
      () => one.atomics.storel(gpa, 1),
      () => nativeOf(one).atomics.addl(gpa, 1),
      () => AddressSpace.prototype.writel.call(one, gpa, 1),
      () => other.writel(gpa, 1),
      () => nativeOf(other).writel(gpa, 1),
      () => memory.writel(offset, 1),
      () => nativeOf(memory).writel(offset, 1),
      () => memory.fill(offset, 1, 1),
      // Neither reads nor faults mark anything.
      () => one.readl(gpa),
      () => (unaligned ? one.readl(gpa + 1) : one.tryWritel(gpa + 1, 1)),
    ];
    const chosen = ways[way % (ways.length + 2)];
    if (chosen === undefined) {
      (way & 1 ? one : nativeOf(one)).writel(bank, 1);
      this.mark(this.memories.indexOf(this.bank.memory), banked);
      return;
    }
    chosen();
    if (way % (ways.length + 2) < ways.length - 2) {
      this.mark(i, offset);
    }
  }

  /** What a write should have done beside writing. */
  mark(i: number, offset: number): void {
    const gpa = BigInt(i * STRIDE + offset);
    for (const [guard, of] of this.guards) {
      if (of === i && gpa >= guard.gpa && gpa < guard.gpa + guard.length) {
        expect(this.called.delete(guard)).to.equal(true);
        this.guards.delete(guard);
      }
    }
    for (const pages of this.tracked[i]?.expected ?? []) {
      pages.add(Math.floor(offset / PAGE));
    }
  }

  select(i: number, wanted: number): void {
    const memory = this.memories[i]!;
    this.bank.select((wanted % (Number(memory.size) - 2 * PAGE)) & -8, memory);
  }

  watch(gpa: number): void {
    const before = this.watchpoints.pop();
    if (before === undefined) {
      this.watchpoints.push(this.spaces[0]!.watch({ gpa, length: 8 }, () => {}));
    } else {
      before.remove();
    }
  }

  guard(i: number, page: number): void {
    const guard = this.spaces[0]!.guardCode(i * STRIDE + page * PAGE, 1, () =>
      this.called.add(guard),
    );
    this.guards.set(guard, i);
  }

  /** Lets one consumer of a memory take its marks, or look at them. */
  look(i: number, who: number, takes: boolean): void {
    const tracked = this.tracked[i];
    if (tracked) {
      const expected = tracked.expected[who]!;
      const consumer = [tracked.bitmap, ...tracked.cursors][who]!;
      expect(consumer.count).to.equal(expected.size);
      expect([...(takes ? consumer.drain() : consumer.peek())]).to.deep.equal(sorted(expected));
      if (takes) {
        expected.clear();
      }
    }
  }

  check(): void {
    expect(this.called.size).to.equal(0);
    for (const tracked of [...this.tracked, ...this.past]) {
      if (tracked) {
        const { bitmap, cursors, expected } = tracked;
        for (let page = 0; page < bitmap.pages; page++) {
          expect(bitmap.isDirty(page * PAGE)).to.equal(expected[0]!.has(page));
        }
        const found = [bitmap, ...cursors].map((consumer) => [...consumer.drain()]);
        expect(found).to.deep.equal(expected.map(sorted));
      }
    }
  }
}

function sorted(pages: ReadonlySet<number>): number[] {
  return [...pages].sort((a, b) => a - b);
}

describe("dirty marks of the fast paths of an address space", () => {
  const rows = [true, false].flatMap((arena) => POLICIES.map((policy) => [arena, policy] as const));
  for (const [arena, policy] of rows) {
    const title = `${arena ? "with" : "without"} an arena, under ${nameOf(policy)}`;
    it(`are those of a model, ${title}`, function () {
      this.timeout(60_000);
      const memory = fc.nat(SIZES.length);
      const step = fc.oneof(
        { weight: 2, arbitrary: fc.tuple(fc.constant("track"), memory, fc.nat(5), fc.nat(0)) },
        { weight: 1, arbitrary: fc.tuple(fc.constant("stop"), memory, fc.nat(0), fc.nat(0)) },
        { weight: 20, arbitrary: fc.tuple(fc.constant("write"), memory, fc.nat(), fc.nat(99)) },
        { weight: 2, arbitrary: fc.tuple(fc.constant("select"), memory, fc.nat(), fc.nat(0)) },
        { weight: 1, arbitrary: fc.tuple(fc.constant("watch"), memory, fc.nat(3), fc.nat(0)) },
        { weight: 1, arbitrary: fc.tuple(fc.constant("guard"), memory, fc.nat(2), fc.nat(0)) },
        { weight: 3, arbitrary: fc.tuple(fc.constant("look"), memory, fc.nat(2), fc.nat(1)) },
      );
      const pageSize = fc.constantFrom(256, 4096, 65536);
      const steps = fc.array(step, { maxLength: 150, size: "max" });
      fc.assert(
        fc.property(pageSize, steps, (size, list) => {
          const machine = new Machine(size, arena, policy);
          for (const [what, i, a, b] of list) {
            if (what === "track") {
              machine.track(i, a);
            } else if (what === "stop") {
              machine.stop(i);
            } else if (what === "write") {
              machine.write(i, a, b);
            } else if (what === "select") {
              machine.select(i, a);
            } else if (what === "watch") {
              machine.watch(i * STRIDE + a * PAGE);
            } else if (what === "guard") {
              machine.guard(i, a);
            } else {
              machine.look(i, a, b === 1);
            }
          }
          machine.check();
        }),
        { numRuns: policy === POLICIES[0] ? 300 : 100 },
      );
    });
  }

  it("stay right in accessors from before, in subclasses and in spaces that cannot change", () => {
    class Board extends AddressSpace {
      override writel(gpa: number, value: number): void {
        super.writel(gpa, value + 1);
      }
    }
    const make = (space: AddressSpace): AddressSpace => {
      space.addRam(0, 4 * PAGE);
      space.addRam(STRIDE, PAGE);
      space.writel(0, 1);
      space.readl(0);
      return space;
    };
    for (const arena of [0, 8 * PAGE]) {
      for (const space of [
        make(new AddressSpace({ arena })),
        make(new Board({ arena })),
        ...POLICIES.map((policy) => make(new AddressSpace({ arena, ...policy }))),
        make(new Board({ arena, alignment: "allow" })),
        Object.preventExtensions(make(new AddressSpace({ arena }))),
      ]) {
        const { writel } = space;
        const dirty = space.regions.map(
          (region) => region.kind === "ram" && region.startTracking(),
        );
        const drain = () => dirty.map((bitmap) => [...(bitmap || expect.fail()).drain()]);
        for (let round = 0; round < 3; round++) {
          space.writel(PAGE, 1);
          space.writeb(2 * PAGE, 1);
          writel.call(space, 3 * PAGE, 1);
          space.writel(STRIDE, 1);
          expect(drain()).to.deep.equal([[1, 2, 3], [0]]);
        }
        // A larger page table.
        space.addRam(4 * STRIDE, PAGE, { trackDirty: true });
        space.writel(4 * STRIDE, 1);
        for (let round = 0; round < 2; round++) {
          space.writel(PAGE, 1);
          expect(space.readl(PAGE)).to.equal(space instanceof Board ? 2 : 1);
          nativeOf(space).writel(2 * PAGE, 1);
          expect(drain()).to.deep.equal([[1, 2], []]);
        }
        expect(space.constructor).to.equal(space instanceof Board ? Board : AddressSpace);
      }
    }
  });

  it("include those that were made before another thread got them, and after", () => {
    for (const arena of [0, 8 * PAGE]) {
      const space = new AddressSpace({ arena });
      const region = space.addRam(0, 8 * PAGE);
      const dirty = region.startTracking();
      space.writel(0, 1);
      space.writel(PAGE, 1);
      // Another thread reads the bytes of the buffer.
      const marks = new Uint8Array(dirty.buffer, 0, 8);
      expect([...marks]).to.deep.equal([1, 1, 0, 0, 0, 0, 0, 0]);
      for (let round = 0; round < 2; round++) {
        space.writel(2 * PAGE, 1);
        nativeOf(space).writel(3 * PAGE, 1);
        region.memory.writel(4 * PAGE, 1);
      }
      expect([...marks]).to.deep.equal([1, 1, 1, 1, 1, 0, 0, 0]);
    }
  });
});
