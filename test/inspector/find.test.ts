import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { GuestMemory } from "../../lib/memory/guest-memory.js";
import { compareSnapshots, findDifference } from "../../lib/inspector/difference.js";
import { Budget, type Direction, type Found } from "../../lib/inspector/find.js";
import { searchBytes } from "../../lib/inspector/search.js";
import { SnapshotReader } from "../../lib/inspector/snapshot-reader.js";
import { openSnapshot } from "../../lib/snapshot/file.js";
import { saveSnapshot } from "../../lib/snapshot/save.js";
import type { Snapshot } from "../../lib/snapshot/snapshot.js";
import { takeSnapshot } from "../../lib/snapshot/take.js";

const PAGE = 4096;
const SIZE = 150 * PAGE + 77;
const never = new AbortController().signal;

const write = fc.tuple(
  fc.oneof(
    fc.nat(SIZE - 1),
    fc.nat(150).map((page) => Math.max(0, page * PAGE - 2)),
  ),
  fc.uint8Array({ minLength: 1, maxLength: 6, max: 2 }),
);
const writes = fc.array(write, { maxLength: 8 });
const place = fc.oneof(fc.nat(SIZE + 10), fc.constantFrom(0, SIZE - 1, SIZE, 2 * SIZE));
const direction = fc.constantFrom<Direction>("forward", "backward");

/** Continues a search from where the budget of each step ended, until it has a result. */
async function toTheEnd(
  from: number,
  step: (from: bigint) => Promise<Found>,
): Promise<number | null> {
  for (let at = BigInt(from), steps = 0; ; steps++) {
    const { match, next } = await step(at);
    if (next === null) {
      return match === null ? null : Number(match);
    }
    expect(steps, "steps without an end").to.be.below(1000);
    at = next;
  }
}

describe("the inspector's search through a snapshot", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "find-"));
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  async function reading<T>(
    snapshots: readonly Snapshot[],
    use: (readers: SnapshotReader[]) => Promise<T>,
  ): Promise<T> {
    const readers: SnapshotReader[] = [];
    for (const [i, snapshot] of snapshots.entries()) {
      const path = join(folder, `${i}.snap`);
      await saveSnapshot(snapshot, path);
      readers.push(new SnapshotReader(await openSnapshot(path)));
    }
    try {
      return await use(readers);
    } finally {
      await Promise.all(readers.map(({ file }) => file.close()));
    }
  }

  it("finds what Buffer.indexOf and lastIndexOf find, in any number of steps", async () => {
    const pattern = fc.uint8Array({ minLength: 1, maxLength: 5, max: 2 });
    await fc.assert(
      fc.asyncProperty(writes, pattern, place, direction, async (written, needle, from, way) => {
        const memory = GuestMemory.allocate(SIZE);
        for (const [gpa, bytes] of written) {
          memory.write(gpa, bytes.subarray(0, SIZE - gpa));
        }
        const all = memory.read(0, SIZE);
        const found = way === "forward" ? all.indexOf(needle, from) : all.lastIndexOf(needle, from);
        const actual = await reading([takeSnapshot(memory)], ([reader]) =>
          toTheEnd(from, (at) =>
            searchBytes(reader!, Buffer.from(needle), at, way, new Budget(64, Infinity, never)),
          ),
        );
        expect(actual).to.equal(found < 0 ? null : found);
        memory.destroy();
      }),
      { numRuns: 150 },
    );
  });

  it("finds the starts of differences, in any number of steps", async () => {
    await fc.assert(
      fc.asyncProperty(writes, writes, place, direction, async (first, second, from, way) => {
        const memory = GuestMemory.allocate(SIZE);
        const snapshots = [first, second].map((written) => {
          for (const [gpa, bytes] of written) {
            memory.write(gpa, bytes.subarray(0, SIZE - gpa));
          }
          return takeSnapshot(memory);
        });
        const [a, b] = snapshots.map((snapshot) => snapshot.read(0, SIZE));
        const starts: number[] = [];
        let last = -Infinity;
        for (let i = 0; i < SIZE; i++) {
          if (a![i] !== b![i]) {
            if (i - last > 8 || Math.floor(i / PAGE) !== Math.floor(last / PAGE)) {
              starts.push(i);
            }
            last = i;
          }
        }
        const found =
          way === "forward" ? starts.find((at) => at >= from) : starts.findLast((at) => at <= from);
        const actual = await reading(snapshots, ([left, right]) =>
          toTheEnd(from, (at) =>
            findDifference(
              compareSnapshots(left!, right!),
              at,
              way,
              new Budget(2, Infinity, never),
            ),
          ),
        );
        expect(actual).to.equal(found ?? null);
        memory.destroy();
      }),
      { numRuns: 100 },
    );
  });

  it("stops at once when its caller cancels it", async () => {
    const memory = GuestMemory.allocate(SIZE);
    memory.writeb(5 * PAGE, 1);
    const gone = AbortSignal.abort();
    await reading([takeSnapshot(memory)], async ([reader]) => {
      const budget = new Budget(1000, Infinity, gone);
      const found = await searchBytes(reader!, Buffer.of(1, 2), 0n, "forward", budget);
      expect(found).to.deep.equal({ match: null, next: BigInt(5 * PAGE - 1) });
    });
  });
});
