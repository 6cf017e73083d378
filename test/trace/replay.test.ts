import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import { GuestMemAccessResult, GuestMemory, type GuestMemoryAccess } from "pound-guest-memory";
import { BUNDLED_TRACE } from "../../lib/cli/replay.js";
import { AccessKind, unpackTrace } from "../../lib/trace/lackey.js";
import { checksum, fillPage } from "../../lib/trace/ram-image.js";
import { replay, type ReplayResult } from "../../lib/trace/replay.js";
import { type Batch, compileTrace, FirstTouchMap, FlatMap } from "../../lib/trace/workload.js";
import { PAGE_SIZE } from "../../lib/base/page.js";
import { ByteMemory } from "../support/byte-memory.js";
import { rejection } from "../support/streams.js";
import { tampered } from "../support/tampered-memory.js";

const { FETCH, LOAD, STORE, MODIFY } = AccessKind;
const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;

type Operation = [kind: AccessKind, width: number, gpa: number];

function batchOf(operations: readonly Operation[]): Batch {
  return {
    length: operations.length,
    codes: Uint8Array.from(operations, ([kind, width]) => (kind << 2) | Math.log2(width)),
    gpas: Float64Array.from(operations, ([, , gpa]) => gpa),
  };
}

async function* batchesOf(...batches: Operation[][]): AsyncGenerator<Batch, void, undefined> {
  for (const operations of batches) {
    yield await Promise.resolve(batchOf(operations));
  }
}

function bundledTrace(ramSize: number): AsyncIterable<Batch> {
  const text = unpackTrace(BUNDLED_TRACE, createReadStream(BUNDLED_TRACE));
  return compileTrace(text, { map: new FirstTouchMap(ramSize) });
}

/** Replays on the plain reference and on other memories. */
function replayOn(
  batches: AsyncIterable<Batch>,
  memories: readonly GuestMemoryAccess[],
  rounds = 1,
): Promise<ReplayResult> {
  const paths = memories.map((memory, index) => ({ name: `path ${index}`, memory }));
  return replay(batches, paths, { rounds });
}

describe("replay", () => {
  const size = 1_000_000;
  let view: GuestMemory;
  let native: GuestMemory;

  beforeEach(() => {
    view = GuestMemory.allocate(size);
    native = GuestMemory.allocate(size);
  });

  afterEach(() => {
    view.destroy();
    native.destroy();
  });

  it("leaves the same bytes by each path and by a plain reference on the bundled trace", async () => {
    const reference = new ByteMemory(size);
    const memories = [view, native.native, reference];
    const result = await replayOn(bundledTrace(size), memories, 2);
    expect(result).to.include({ equal: true, rounds: 2, total: 640_022, checksumOf: "ram" });
    expect(result.paths.map(({ faults }) => faults)).to.deep.equal(Array(3).fill([0, 0, 0, 0]));
    expect(view.buffer.equals(reference.bytes)).to.be.true;
    expect(native.buffer.equals(reference.bytes)).to.be.true;
    expect(view.buffer.some((byte) => byte !== 0)).to.be.true;
    result.paths.forEach(({ nsPerAccess }) => expect(nsPerAccess).to.be.greaterThan(0));
  });

  it("counts the faults of each kind, alike on every path", async () => {
    const batches = batchesOf([
      [LOAD, 8, 4],
      [STORE, 4, size],
      [MODIFY, 2, size - 1],
      [MODIFY, 4, 2],
      [FETCH, 1, 2 ** 53 - 1],
      [STORE, 1, size - 1],
    ]);
    const memories = [view, native.native, new ByteMemory(size)];
    const result = await replayOn(batches, memories, 3);
    expect(result.equal).to.be.true;
    for (const { faults } of result.paths) {
      expect(faults[OK]).to.equal(0);
      expect(faults[FAULT_UNALIGNED]).to.equal(1 + 2);
      expect(faults[FAULT_BOUNDARY]).to.equal(1 + 2 + 1);
    }
    expect(result).to.include({ total: 8, bytesTouched: 1 });
  });

  it("counts operations by kind and width, and a modify as two accesses in all", async () => {
    const batches = batchesOf(
      [
        [FETCH, 1, 0],
        [FETCH, 1, 1],
        [LOAD, 2, 0],
      ],
      [
        [STORE, 8, 0],
        [MODIFY, 4, 0],
      ],
    );
    const { accesses, total } = await replayOn(batches, [view]);
    expect(accesses).to.deep.equal([
      [2, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 0, 1],
      [0, 0, 1, 0],
    ]);
    expect(total).to.equal(6);
  });

  const ramSize = 3 * PAGE_SIZE + 13;
  const operation = fc.tuple(
    fc.constantFrom(FETCH, LOAD, STORE, MODIFY),
    fc.constantFrom(1, 2, 4, 8),
    fc.oneof(
      fc.nat(64),
      fc.nat(ramSize + 20),
      fc.integer({ min: ramSize - 20, max: ramSize + 20 }),
    ),
  );

  it("agrees with the reference on random operations, on RAM of an odd size", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 100 }), async (operations) => {
        using odd = GuestMemory.allocate(ramSize);
        using other = GuestMemory.allocate(ramSize);
        const reference = new ByteMemory(ramSize);
        const memories = [odd, other.native, reference];
        const result = await replayOn(batchesOf(operations), memories);
        expect(result.equal).to.be.true;
        expect(odd.buffer.equals(reference.bytes)).to.be.true;
        expect(result.bytesTouched).to.equal(bytesCovered(operations));
      }),
    );
  });

  function bytesCovered(operations: readonly Operation[]): number {
    const covered = new Set<number>();
    for (const [, width, gpa] of operations) {
      for (let i = 0; i < width && gpa % width === 0 && gpa + width <= ramSize; i++) {
        covered.add(gpa + i);
      }
    }
    return covered.size;
  }

  it("detects one wrong load, and one lost store, of any width", async () => {
    const operations = Array.from({ length: 400 }, (_, i): Operation => {
      const width = 1 << (i & 3);
      return [[LOAD, STORE, MODIFY, FETCH][(i >> 2) & 3]!, width, ((i * 40) % 4000) & -width];
    });
    for (const suffix of ["b", "w", "l", "q"] as const) {
      for (const nth of [0, 7, 40]) {
        const flipped = tampered(new ByteMemory(size), `tryRead${suffix}`, (access) => {
          let calls = 0;
          return (gpa, out: Uint32Array | BigUint64Array) => {
            const result = access(gpa, out as never);
            // The checksum reads by quads after the operations, and must read them unchanged.
            if (calls++ === nth) {
              out[0] = out instanceof BigUint64Array ? out[0]! ^ 1n : out[0]! ^ 1;
            }
            return result;
          };
        });
        const lost = tampered(new ByteMemory(size), `tryWrite${suffix}`, (access) => {
          let calls = 0;
          return (gpa, value) => (calls++ === nth + prefilled(suffix) ? OK : access(gpa, value));
        });
        for (const wrong of [flipped, lost]) {
          const { equal, paths } = await replayOn(batchesOf(operations), [view, wrong]);
          expect(equal, `${suffix} ${nth}`).to.be.false;
          expect(paths[0]?.checksum).to.not.equal(paths[1]?.checksum);
        }
        view.destroy();
        view = GuestMemory.allocate(size);
      }
    }
  });

  /** The number of writes that fill the page of the test above before its operations. */
  function prefilled(suffix: string): number {
    return suffix === "q" ? PAGE_SIZE / 8 : 0;
  }

  it("detects a wrong result code, though no byte differs", async () => {
    const operations: Operation[] = [[STORE, 4, size]];
    const wrong = tampered(new ByteMemory(size), "tryWritel", () => () => FAULT_UNALIGNED);
    const { equal } = await replayOn(batchesOf(operations), [view, wrong]);
    expect(equal).to.be.false;
  });

  it("detects a stray write outside the pages that the trace touches", async () => {
    const stray = new ByteMemory(size);
    stray.bytes[size - 1] = 1;
    const { equal } = await replayOn(batchesOf([[STORE, 1, 0]]), [view, stray]);
    expect(equal).to.be.false;
  });

  it("replays a trace once if it is longer than may be kept", async () => {
    const operations = Array.from({ length: 10 }, (_, i): Operation => [STORE, 1, i]);
    const paths = [{ name: "view", memory: view }];
    const long = await replay(batchesOf(operations), paths, { rounds: 3, keptOperations: 9 });
    expect(long).to.include({ rounds: 1, total: 10 });
    const short = await replay(batchesOf(operations), paths, { rounds: 3, keptOperations: 10 });
    expect(short).to.include({ rounds: 3, total: 10 });
  });

  it("checksums the touched pages of RAM that is large", async () => {
    const large = 2 ** 30;
    using first = GuestMemory.allocate(large);
    using second = GuestMemory.allocate(large);
    const operations: Operation[] = [
      [STORE, 8, large - 8],
      [LOAD, 4, 4096],
    ];
    const memories = [first, second.native];
    const result = await replayOn(batchesOf(operations), memories);
    expect(result).to.include({ equal: true, checksumOf: "touched pages", bytesTouched: 12 });
    second.buffer[5000]! ^= 1;
    const again = await replayOn(batchesOf(operations), memories);
    // Each replay fills the pages that it touches again, so earlier contents do not count.
    expect(again.equal).to.be.true;
  });

  it("accepts a trace without accesses, and RAM without bytes", async () => {
    const empty = await replayOn(batchesOf(), [view, native.native], 2);
    expect(empty).to.include({ total: 0, bytesTouched: 0, equal: true });
    using none = GuestMemory.allocate(0);
    const faulting = await replayOn(batchesOf([[LOAD, 1, 0]]), [none, new ByteMemory(0)]);
    expect(faulting).to.include({ total: 1, bytesTouched: 0, equal: true });
  });

  it("fails where a path cannot reach RAM within its bounds", async () => {
    const deaf = tampered(new ByteMemory(size), "tryReadq", () => () => FAULT_BOUNDARY);
    const error = await rejection(replayOn(batchesOf([[STORE, 1, 0]]), [deaf]));
    expect(error).to.include({ code: "ERR_GUEST_MEMORY_FAULT", operation: "read", width: 8 });
  });

  it("passes on the trace's own failure", async () => {
    const text = (async function* () {
      yield await Promise.resolve(Buffer.from("oops\n"));
    })();
    const batches = compileTrace(text, { map: new FlatMap() });
    expect(await rejection(replayOn(batches, [view]))).to.include({ code: "ERR_LACKEY_SYNTAX" });
  });
});

describe("fillPage", () => {
  it("fills each page with other bytes, and changes nothing outside the page", () => {
    const memory = new ByteMemory(4 * PAGE_SIZE + 11);
    const contents = new Set<string>();
    for (let page = 0; page <= 4; page += 2) {
      fillPage(memory, page);
      const content = memory.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
      contents.add(Buffer.from(content.subarray(0, 11)).toString("hex"));
      expect(content.every((byte) => byte === 0)).to.be.false;
    }
    expect(contents.size).to.equal(3);
    for (const page of [1, 3]) {
      const content = memory.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
      expect(content.every((byte) => byte === 0)).to.be.true;
    }
  });
});

describe("checksum", () => {
  it("is SHA-256 over the bytes of the pages and the numbers", () => {
    const memory = new ByteMemory(2 * PAGE_SIZE + 13);
    memory.bytes.forEach((_, i) => (memory.bytes[i] = (i * 7) ^ (i >> 8)));
    const expected = createHash("sha256")
      .update(memory.bytes.subarray(PAGE_SIZE))
      .update(Float64Array.of(3, -1))
      .digest("hex");
    expect(checksum(memory, [1, 2], [3, -1])).to.equal(expected);
  });
});
