import { expect } from "chai";
import fc from "fast-check";
import { AccessKind, MAX_ACCESS_SIZE } from "../../lib/trace/lackey.js";
import {
  alignedWidth,
  BATCH_CAPACITY,
  compileTrace,
  copyBatch,
  FirstTouchMap,
  FlatMap,
  type PageMap,
  TraceCounts,
} from "../../lib/trace/workload.js";
import { PAGE_SIZE } from "../../lib/base/page.js";
import { chunksOf } from "../support/streams.js";

interface Operation {
  kind: number;
  width: number;
  gpa: number;
}

async function compile(text: string, map: PageMap, split = true): Promise<Operation[]> {
  const operations: Operation[] = [];
  for await (const batch of compileTrace(chunksOf([text]), { map, split })) {
    const { length, codes, gpas } = copyBatch(batch);
    expect([codes.length, gpas.length]).to.deep.equal([length, length]);
    codes.forEach((code, i) => {
      operations.push({ kind: code >> 2, width: 1 << (code & 3), gpa: gpas[i]! });
    });
  }
  return operations;
}

describe("alignedWidth", () => {
  it("is the widest natural alignment that fits", () => {
    for (let offset = 0; offset < 16; offset++) {
      for (let remaining = 1; remaining < 20; remaining++) {
        const fits = [8, 4, 2, 1].find((width) => offset % width === 0 && width <= remaining);
        expect(1 << alignedWidth(offset, remaining)).to.equal(fits);
      }
    }
  });
});

describe("compileTrace", () => {
  const traced = fc.record({
    kind: fc.constantFrom("I ", " L", " S", " M"),
    address: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 2 * PAGE_SIZE }),
    size: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: MAX_ACCESS_SIZE })),
  });
  // Addresses around 2^32, where the low half overflows into the high one.
  const nearCarry = fc.record({
    kind: fc.constant(" S"),
    address: fc.integer({ min: 2 ** 32 - 80, max: 2 ** 32 + 8 }),
    size: fc.integer({ min: 1, max: 128 }),
  });

  it("covers exactly the bytes of an access by aligned ones of up to 8 bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(traced, nearCarry), async ({ kind, address, size }) => {
        const line = `${kind} ${address.toString(16)},${size}\n`;
        const operations = await compile(line, new FlatMap());
        let next = address;
        for (const { gpa, width } of operations) {
          expect(gpa).to.equal(next);
          expect(width).to.be.oneOf([1, 2, 4, 8]);
          expect(gpa % width).to.equal(0);
          next += width;
        }
        expect(next).to.equal(address + size);
        // The minimum: at most three narrow accesses before those of 8 bytes, and three after.
        expect(operations.length).to.be.at.most(6 + size / 8);
      }),
    );
  });

  it("keeps the order and the kinds", async () => {
    expect(await compile("I  3,3\n M 8,8\n S 10,1\n L 12,2\n", new FlatMap())).to.deep.equal([
      { kind: AccessKind.FETCH, width: 1, gpa: 3 },
      { kind: AccessKind.FETCH, width: 2, gpa: 4 },
      { kind: AccessKind.MODIFY, width: 8, gpa: 8 },
      { kind: AccessKind.STORE, width: 1, gpa: 16 },
      { kind: AccessKind.LOAD, width: 2, gpa: 18 },
    ]);
  });

  it("leaves accesses of 1, 2, 4 and 8 bytes whole without split", async () => {
    expect(await compile(" L 1,8\n L ffe,4\n L 1,3\n L 5,1\n", new FlatMap(), false)).to.deep.equal(
      [
        { kind: AccessKind.LOAD, width: 8, gpa: 1 },
        { kind: AccessKind.LOAD, width: 4, gpa: 0xffe },
        { kind: AccessKind.LOAD, width: 1, gpa: 1 },
        { kind: AccessKind.LOAD, width: 2, gpa: 2 },
        { kind: AccessKind.LOAD, width: 1, gpa: 5 },
      ],
    );
  });

  it("loses nothing between batches", async () => {
    const count = 3 * BATCH_CAPACITY + 7;
    const lines = Array.from({ length: count }, (_, i) => ` L ${(8 * i).toString(16)},8\n`);
    const operations = await compile(lines.join(""), new FlatMap());
    expect(operations.map(({ gpa }) => gpa)).to.deep.equal(lines.map((_, i) => 8 * i));
  });

  it("counts what it reads", async () => {
    const counts = new TraceCounts();
    const text = chunksOf(["==1==\nI  0,3\n L 0,8\n", " L 0,64\n S 0,1\n M 0,1\n M 0,2"]);
    for await (const batch of compileTrace(text, { map: new FlatMap() }, counts)) {
      expect(batch.length).to.equal(2 + 1 + 8 + 1 + 2);
    }
    expect(counts).to.deep.include({ lines: 7, noise: 1, traced: [1, 2, 1, 2] });
  });

  it("uses flat memory on 200 MB of text", async () => {
    const chunk = Buffer.from(manyAccesses(65_536));
    const total = 200_000_000;
    let peak = 0;
    let operations = 0;
    async function* text(): AsyncGenerator<Uint8Array, void, undefined> {
      for (let sent = 0; sent < total; sent += chunk.length) {
        peak = Math.max(peak, process.memoryUsage.rss());
        yield await Promise.resolve(chunk);
      }
    }
    const before = process.memoryUsage.rss();
    for await (const batch of compileTrace(text(), { map: new FirstTouchMap(2 ** 26) })) {
      operations += batch.length;
    }
    expect(operations).to.be.greaterThan(10_000_000);
    expect(peak - before).to.be.lessThan(64 * 2 ** 20);
  });
});

/** Text of at least `length` bytes, with accesses spread over 1 GiB. */
function manyAccesses(length: number): string {
  let text = "";
  for (let i = 0; text.length < length; i++) {
    const address = 0x1ffe000000 + ((i * 2_654_435_761) % 2 ** 30);
    text += `I  ${(0x4000000 + 3 * i).toString(16)},3\n S ${address.toString(16)},16\n`;
  }
  return text;
}

describe("FirstTouchMap", () => {
  it("maps pages in the order of first touch, and keeps offsets", async () => {
    const text = " L 1ffeffe7e8,8\nI  04222c9c,2\n L 1ffeffe010,8\n S 4223000,1\n";
    const operations = await compile(text, new FirstTouchMap(2 ** 20));
    expect(operations.map(({ gpa }) => gpa)).to.deep.equal([0x7e8, 0x1c9c, 0x10, 0x2000]);
  });

  it("splits an access across two pages between their frames", async () => {
    const text = " S 2000,1\n S 1ffe,4\n";
    const operations = await compile(text, new FirstTouchMap(2 ** 20));
    expect(operations.map(({ gpa }) => gpa)).to.deep.equal([0, 0x1ffe, 0]);
  });

  it("distinguishes addresses that differ in any bit above the page", () => {
    const map = new FirstTouchMap(2 ** 20);
    const bases = new Set<number>([map.pageBase(0, 0)]);
    for (let bit = 12; bit < 64; bit++) {
      bases.add(map.pageBase(bit < 32 ? 0 : 2 ** (bit - 32), bit < 32 ? 2 ** bit : 0));
    }
    expect(bases.size).to.equal(53);
    expect(map.pages).to.equal(53);
  });

  it("maps further pages beyond RAM once it is full", () => {
    for (const size of [2 * PAGE_SIZE, 2 * PAGE_SIZE + 1, 3 * PAGE_SIZE - 1, 0, 100]) {
      const map = new FirstTouchMap(size);
      const frames = Math.floor(size / PAGE_SIZE);
      for (let page = 0; page < 1000; page++) {
        const base = map.pageBase(0, page * PAGE_SIZE);
        if (page < frames) {
          expect(base).to.equal(page * PAGE_SIZE);
        } else {
          expect(base).to.be.at.least(size);
        }
      }
      expect(map.pages).to.equal(frames);
    }
  });
});

describe("FlatMap", () => {
  it("is exact below 2^53, and above it maps to where no RAM reaches", () => {
    const map = new FlatMap();
    expect(map.pageBase(0x1f, 0xfeffe7e8)).to.equal(0x1ffeffe000);
    expect(map.pageBase(0, 0xffffffff)).to.equal(0xfffff000);
    expect(map.pageBase(2 ** 21 - 1, 0xffffffff)).to.equal(2 ** 53 - PAGE_SIZE);
    expect(map.pageBase(2 ** 21, 0)).to.equal(2 ** 53 - PAGE_SIZE);
    expect(map.pageBase(0xffffffff, 0xffffffff)).to.equal(2 ** 53 - PAGE_SIZE);
  });
});
