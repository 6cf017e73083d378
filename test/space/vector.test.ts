import { expect } from "chai";
import fc from "fast-check";
import {
  AddressSpace,
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
  type GuestRange,
} from "pound-guest-memory";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const { OK, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;
const PAGE = 4096;
const SIZE = 3 * PAGE;

/** An object whose RAM of SIZE bytes starts at address 0, and that RAM as one array. */
interface Subject {
  readonly name: string;
  readonly access: GuestMemory | AddressSpace;
  /** A view of the first page. */
  readonly view: Buffer;
  bytes(): Uint8Array;
  pages(): number[];
}

function flat(): Subject {
  const memory = GuestMemory.allocate(SIZE);
  const dirty = new AddressSpace().addRam(0, memory, { trackDirty: true }).dirty!;
  return {
    name: "GuestMemory",
    access: memory,
    view: memory.slice(0, PAGE),
    bytes: () => memory.read(0, SIZE),
    pages: () => [...dirty.drain()],
  };
}

/** Two regions over different memories. */
function mapped(): Subject {
  const space = new AddressSpace();
  const low = space.addRam(0, PAGE, { trackDirty: true });
  const high = space.addRam(PAGE, 2 * PAGE, { trackDirty: true });
  return {
    name: "AddressSpace",
    access: space,
    view: low.memory.slice(0, PAGE),
    bytes: () => space.read(0, SIZE),
    pages: () => [...low.dirty!.drain(), ...[...high.dirty!.drain()].map((page) => page + 1)],
  };
}

function ranges(...pairs: [number | bigint, number | bigint][]): GuestRange[] {
  return pairs.map(([gpa, length]) => ({ gpa, length }));
}

/** The number of instances of GuestMemoryFault that an action creates. */
function faultsCreatedBy(action: () => void): number {
  let count = 0;
  const parent = Object.getPrototypeOf(GuestMemoryFault) as typeof Error;
  function Counting(this: unknown, ...args: unknown[]): object {
    count++;
    return Reflect.construct(parent, args, new.target) as object;
  }
  Counting.prototype = parent.prototype;
  Object.setPrototypeOf(GuestMemoryFault, Counting);
  try {
    action();
  } finally {
    Object.setPrototypeOf(GuestMemoryFault, parent);
  }
  return count;
}

for (const make of [flat, mapped]) {
  describe(`readVector and writeVector of ${make().name}`, () => {
    it("move the ranges in order, across regions, and mark the pages", () => {
      const { access, bytes, pages } = make();
      access.writeVector(
        ranges([PAGE - 2, 4], [10n, 0n], [10n, 3n], [2 * PAGE, 1]),
        Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      );
      expect([...bytes().subarray(PAGE - 2, PAGE + 2)]).to.deep.equal([1, 2, 3, 4]);
      expect([...bytes().subarray(9, 14)]).to.deep.equal([0, 5, 6, 7, 0]);
      expect(bytes()[2 * PAGE]).to.equal(8);
      expect(pages()).to.deep.equal([0, 1, 2]);
      const target = new DataView(new ArrayBuffer(12), 2, 6);
      expect(access.tryReadVector(ranges([12, 1], [PAGE - 1, 3], [12, 2]), target)).to.equal(OK);
      expect([...new Uint8Array(target.buffer)]).to.deep.equal([
        ...[0, 0, 7, 2, 3, 4, 7, 0, 0, 0, 0, 0],
      ]);
      expect(pages()).to.deep.equal([]);
    });

    it("do what a plain array does, also with views of the RAM itself", () => {
      const range = fc.record({ gpa: fc.nat(SIZE + 40), length: fc.nat(200) });
      const nearStart = fc.record({ gpa: fc.nat(300), length: fc.nat(100) });
      fc.assert(
        fc.property(
          fc.array(fc.oneof(nearStart, nearStart, range), { maxLength: 5 }),
          fc.nat(400),
          fc.boolean(),
          (list, at, own) => {
            const { access, bytes, view } = make();
            const model = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
            access.write(0, model);
            const total = list.reduce((sum, { length }) => sum + length, 0);
            // A space does not look up the address of an empty range.
            const anywhere = access instanceof AddressSpace ? 0 : -1;
            const fits = list.every(
              ({ gpa, length }) => length === anywhere || gpa + length <= SIZE,
            );
            const expectedResult = fits ? OK : FAULT_BOUNDARY;
            const buffer = own ? view.subarray(at, at + total) : new Uint8Array(total).fill(9);
            const gathered = Uint8Array.from(
              list.flatMap(({ gpa, length }) => [...model.subarray(gpa, gpa + length)]),
            );
            expect(access.tryReadVector(list, buffer)).to.equal(expectedResult);
            if (fits) {
              expect(Buffer.compare(buffer, gathered)).to.equal(0);
              if (own) {
                model.set(gathered, at);
              }
            }
            expect(Buffer.compare(bytes(), model)).to.equal(0);
            const source = own ? view.subarray(at, at + total) : gathered;
            const written = Uint8Array.from(source);
            if (written.length === total) {
              expect(access.tryWriteVector(list, source)).to.equal(expectedResult);
            }
            if (fits) {
              let done = 0;
              for (const { gpa, length } of list) {
                model.set(written.subarray(done, done + length), Math.min(gpa, SIZE));
                done += length;
              }
            }
            expect(Buffer.compare(bytes(), model)).to.equal(0);
          },
        ),
        { numRuns: 200 },
      );
    });

    it("change nothing if any range faults, and name that range in the fault", () => {
      const { access, bytes, pages } = make();
      const before = Uint8Array.from(bytes());
      const list = ranges([0, 4], [SIZE - 1, 2], [2n ** 64n - 1n, 2]);
      const view = new Uint8Array(8).fill(0x5a);
      expect(access.tryReadVector(list, view)).to.equal(FAULT_BOUNDARY);
      expect(access.tryWriteVector(list, view)).to.equal(FAULT_BOUNDARY);
      for (const [method, operation] of [
        ["readVector", "read"],
        ["writeVector", "write"],
      ] as const) {
        try {
          access[method](list, view);
          expect.fail("no fault");
        } catch (error) {
          expect(error).to.include({ result: 2, gpa: SIZE - 1, width: 2, operation });
        }
      }
      expect(Buffer.compare(bytes(), before)).to.equal(0);
      expect(view.every((byte) => byte === 0x5a)).to.equal(true);
      expect(pages()).to.deep.equal([]);
    });

    it("move nothing for no ranges and for empty ones", () => {
      const { access } = make();
      const empty = new Uint8Array(0);
      expect(access.tryReadVector([], empty)).to.equal(OK);
      expect(access.tryWriteVector(ranges([0, 0], [PAGE, 0]), empty)).to.equal(OK);
    });

    it("refuse a view of another length, and what is not a list of ranges", () => {
      const { access, bytes } = make();
      const before = Uint8Array.from(bytes());
      const { proxy, revoke } = Proxy.revocable({ gpa: 0, length: 4 }, {});
      revoke();
      for (const method of [
        "readVector",
        "writeVector",
        "tryReadVector",
        "tryWriteVector",
      ] as const) {
        const call = (list: unknown, view: unknown) =>
          thrown(() => access[method](list as GuestRange[], view as Uint8Array));
        const four = new Uint8Array(4).fill(1);
        for (const [list, length] of [
          [ranges([0, 4]), 3],
          [ranges([0, 4]), 5],
          [ranges([0, 2], [8, 1]), 4],
          [[], 1],
          [ranges([0, 2 ** 53 - 1], [0, 2 ** 53 - 1]), 4],
        ] as const) {
          expect(call(list, new Uint8Array(length).fill(1)), method).to.deep.equal(OUT_OF_RANGE);
        }
        for (const [i, list] of [
          undefined,
          null,
          4,
          "x",
          {},
          { 0: { gpa: 0, length: 4 }, length: 1 },
          [undefined],
          [null],
          [[0, 4]],
          [{ gpa: 0 }],
          [{ length: 4 }],
          [{ gpa: "0", length: 4 }],
          [{ gpa: 0, length: "4" }],
          [proxy],
          // eslint-disable-next-line no-sparse-arrays
          [, { gpa: 0, length: 4 }],
        ].entries()) {
          expect(call(list, four), `${method}, list ${i}`).to.deep.equal(WRONG_TYPE);
        }
        for (const [gpa, length] of [
          [-1, 4],
          [0.5, 4],
          [2 ** 53, 4],
          [2n ** 64n, 4],
          [0, -4],
          [0, NaN],
          [0, 2n ** 53n],
        ]) {
          expect(call([{ gpa, length }], four)).to.deep.equal(OUT_OF_RANGE);
        }
        expect(call(ranges([0, 4]), [1, 1, 1, 1])).to.deep.equal(WRONG_TYPE);
      }
      expect(Buffer.compare(bytes(), before)).to.equal(0);
    });

    it("read each range once, before they look at the view", () => {
      const { access } = make();
      let reads = 0;
      const shifting = {
        get gpa() {
          return reads++ === 0 ? 8 : SIZE;
        },
        length: 4,
      };
      access.writeVector([shifting], Uint8Array.of(1, 2, 3, 4));
      expect(access.readl(8)).to.equal(0x0403_0201);
      const view = new Uint8Array(4);
      const detaching = {
        gpa: 0,
        get length() {
          structuredClone(view.buffer, { transfer: [view.buffer] });
          return 4;
        },
      };
      expect(thrown(() => access.readVector([detaching], view))).to.deep.equal(OUT_OF_RANGE);
    });

    it("are ERROR_INTERNAL when a getter of a range destroys the memory", () => {
      const memory = GuestMemory.allocate(PAGE);
      const space = new AddressSpace();
      space.addRam(0, memory);
      const ending = {
        get gpa() {
          memory.destroy();
          return 0;
        },
        length: 4,
      };
      const access = make === flat ? memory : space;
      expect(access.tryWriteVector([ending], new Uint8Array(4))).to.equal(ERROR_INTERNAL);
    });
  });
}

describe("scatter-gather of an address space", () => {
  it("faults on ROM, devices and holes, and reads ROM", () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    space.addRom(PAGE, Uint8Array.of(1, 2, 3, 4));
    space.addMmio(3 * PAGE, 8, { readb: () => expect.fail("called") });
    const target = new Uint8Array(8);
    expect(space.tryReadVector(ranges([0, 4], [PAGE, 4]), target)).to.equal(OK);
    expect([...target]).to.deep.equal([0, 0, 0, 0, 1, 2, 3, 4]);
    for (const gpa of [PAGE, 2 * PAGE, 3 * PAGE, 2n ** 64n - 2n]) {
      const list = ranges([0, 4], [gpa, 4]);
      expect(space.tryWriteVector(list, Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9))).to.equal(
        FAULT_BOUNDARY,
      );
      expect(space.readl(0)).to.equal(0);
    }
  });

  it("calls watchpoints for each range: before a write, after a read", () => {
    const space = new AddressSpace();
    space.addRam(0, 2 * PAGE);
    const log: string[] = [];
    space.watch({ gpa: 4, length: 8 }, ({ gpa, width, kind, value }) => {
      log.push(`${kind} ${width} at ${gpa}: ${value}, byte 4 is ${space.readb(PAGE)}`);
    });
    const list = ranges([0, 8], [100, 8], [PAGE, 1], [8, 2]);
    space.writeVector(list, new Uint8Array(19).fill(7));
    expect(log).to.deep.equal([
      "write 8 at 0: undefined, byte 4 is 0",
      "write 2 at 8: undefined, byte 4 is 0",
    ]);
    log.length = 0;
    space.readVector(list, new Uint8Array(19));
    expect(log).to.deep.equal([
      "read 8 at 0: undefined, byte 4 is 7",
      "read 2 at 8: undefined, byte 4 is 7",
    ]);
    log.length = 0;
    expect(space.tryWriteVector(ranges([4, 4], [9 * PAGE, 4]), new Uint8Array(8))).to.equal(
      FAULT_BOUNDARY,
    );
    expect(log).to.deep.equal([]);
  });

  it("writes nothing if a listener destroys memory of a range or detaches the source", () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    const second = space.addRam(PAGE, PAGE);
    const list = ranges([0, 4], [PAGE + 8, 4]);
    const watchpoint = space.watch({ gpa: 0, length: 1, kinds: "write" }, () =>
      second.memory.destroy(),
    );
    try {
      space.writeVector(list, new Uint8Array(8).fill(1));
      expect.fail("no fault");
    } catch (error) {
      expect(error).to.include({ ...FAULT, result: ERROR_INTERNAL, gpa: PAGE + 8, width: 4 });
    }
    expect(space.readl(0)).to.equal(0);
    watchpoint.remove();
    space.remove(second);
    space.addRam(PAGE, PAGE);
    const source = new Uint8Array(8).fill(1);
    space.watch({ gpa: 0, length: 1, kinds: "write" }, () =>
      structuredClone(source.buffer, { transfer: [source.buffer] }),
    );
    expect(thrown(() => space.tryWriteVector(list, source))).to.deep.equal(OUT_OF_RANGE);
    expect([space.readl(0), space.readl(PAGE + 8)]).to.deep.equal([0, 0]);
  });
});

describe("bulk access by result code", () => {
  const CODES: [string, (access: GuestMemory | AddressSpace, at: number) => number][] = [
    ["tryReadInto", (access, at) => access.tryReadInto(at, new Uint8Array(8))],
    ["tryWrite", (access, at) => access.tryWrite(at, new Uint8Array(8).fill(1))],
    ["tryFill", (access, at) => access.tryFill(at, 8, 1)],
    ["tryCopy to", (access, at) => access.tryCopy(at, 0, 8)],
    ["tryCopy from", (access, at) => access.tryCopy(0, at, 8)],
    ["tryReadVector", (access, at) => access.tryReadVector(ranges([at, 8]), new Uint8Array(8))],
    ["tryWriteVector", (access, at) => access.tryWriteVector(ranges([at, 8]), new Uint8Array(8))],
  ];

  it("returns OK, FAULT_BOUNDARY or ERROR_INTERNAL, and creates no error on a fault", () => {
    for (const make of [flat, mapped]) {
      for (const [name, call] of CODES) {
        const { access, bytes } = make();
        expect(call(access, PAGE + 4), name).to.equal(OK);
        const before = Uint8Array.from(bytes());
        const faults = faultsCreatedBy(() => {
          expect(call(access, SIZE - 7), name).to.equal(FAULT_BOUNDARY);
        });
        expect(faults, name).to.equal(0);
        expect(faultsCreatedBy(() => thrown(() => access.fill(SIZE - 7, 8, 1)))).to.equal(1);
        expect(Buffer.compare(bytes(), before), name).to.equal(0);
        const memories = access instanceof GuestMemory ? [access] : [];
        if (access instanceof AddressSpace) {
          access.regions.forEach((region) => "memory" in region && memories.push(region.memory));
        }
        memories.forEach((memory) => memory.destroy());
        expect(call(access, PAGE), name).to.equal(ERROR_INTERNAL);
      }
    }
  });

  it("calls no watchpoint and marks nothing on a fault", () => {
    const { access, pages } = mapped();
    (access as AddressSpace).watch({ gpa: 0, length: SIZE }, () => expect.fail("called"));
    for (const [name, call] of CODES.filter(([name]) => name !== "tryCopy from")) {
      expect(call(access, SIZE - 7), name).to.equal(FAULT_BOUNDARY);
    }
    expect(pages()).to.deep.equal([]);
  });
});
