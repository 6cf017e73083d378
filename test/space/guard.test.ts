import { inspect } from "node:util";
import { expect } from "chai";
import {
  type AccessPolicy,
  AddressSpace,
  BUS_ERROR,
  type CodeWrite,
  GuestMemAccessResult,
  type GuestAtomicAccess,
  type GuestHalvesAccessors,
  GuestMemory,
  OpKind,
  packOps,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { loadRaw } from "pound-guest-memory/loader";
import { runAlone } from "../support/alone.js";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { WIDTHS_AND_HALVES } from "../support/widths.js";
import { nameOf, POLICIES } from "../support/policies.js";
import { itNative } from "../support/native-tests.js";
import { PATHS, nativeOf, pathsOf } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;

/** Guest physical address of the RAM. */
const BASE = 0x8000_0000;
/** Offset of the guarded page in the memory. */
const PAGE = 0x2000;
/** The written bytes: offset in the memory and guest physical address. */
const AT = PAGE + 0x10;
const GPA = BASE + AT;
const ONES = 0x0101_0101_0101_0101n;
const BYTES = new Uint8Array(8).fill(1);

function machine(policy: AccessPolicy = {}) {
  const memory = GuestMemory.allocate(0x10000);
  const space = new AddressSpace(policy);
  const region = space.addRam(BASE, memory);
  // Opens the page on both paths.
  space.writeb(GPA, 0);
  nativeOf(space).writeb(GPA, 0);
  return { memory, space, region };
}

type Machine = ReturnType<typeof machine>;

/** The ways to write ones to the 8 bytes at `AT`. */
const WRITES: Record<string, (machine: Machine) => void> = {};

/** Ones in the low and the high half. */
const HALF = 0x0101_0101;

/** The writes by the accessors of one path with an address in halves. */
const BY_HALVES: Record<string, (halves: GuestHalvesAccessors, at: number) => void> = {
  writeb: (halves, at) => {
    for (let i = 0; i < 8; i++) {
      halves.writeb(at + i, 0, 1);
    }
  },
  writew: (halves, at) => {
    for (let i = 0; i < 8; i += 2) {
      halves.writew(at + i, 0, 0x0101);
    }
  },
  writel: (halves, at) => {
    halves.writel(at, 0, HALF);
    halves.writel(at + 4, 0, HALF);
  },
  writeq: (halves, at) => {
    halves.writeq(at, 0, HALF, HALF);
  },
};

/** The atomic writes with values in halves. */
const ATOMIC_HALVES: Record<string, (atomics: GuestAtomicAccess, at: number) => void> = {
  store: (atomics, at) => {
    atomics.storeqHalves(at, HALF, HALF);
  },
  exchange: (atomics, at) => {
    atomics.exchangeqHalves(at, HALF, HALF, new Uint32Array(2), 0);
  },
  comparison: (atomics, at) => {
    atomics.compareExchangeqHalves(at, 0, 0, HALF, HALF, new Uint32Array(2), 0);
  },
  addition: (atomics, at) => {
    atomics.addqHalves(at, HALF, HALF, new Uint32Array(2), 0);
  },
};

for (const { suffix, bytes, write, tryWrite } of WIDTHS_AND_HALVES) {
  const each = (action: (at: number, value: bigint) => void) => {
    for (let i = 0; i < 8; i += bytes) {
      action(i, BigInt.asUintN(8 * bytes, ONES));
    }
  };
  for (const path of PATHS) {
    const of = (target: AddressSpace | GuestMemory) => (path === "view" ? target : target.native);
    WRITES[`write${suffix} of the space, ${path}`] = ({ space }) => {
      each((i, value) => {
        write(of(space), GPA + i, value);
      });
    };
    WRITES[`tryWrite${suffix} of the space with a bigint, ${path}`] = ({ space }) => {
      each((i, value) => tryWrite(of(space), BigInt(GPA + i), value));
    };
    WRITES[`write${suffix} of the memory, ${path}`] = ({ memory }) => {
      each((i, value) => {
        write(of(memory), AT + i, value);
      });
    };
    for (const policy of POLICIES) {
      const name = `${nameOf(policy)}, ${path}`;
      WRITES[`write${suffix} under a policy, ${name}`] = ({ memory }) => {
        const access = memory.withPolicy(policy);
        each((i, value) => {
          write(path === "view" ? access : access.native, AT + i, value);
        });
      };
    }
  }
}

for (const path of PATHS) {
  const of = (target: AddressSpace | GuestMemory) => (path === "view" ? target : target.native);
  Object.assign(WRITES, {
    [`tryWriteqFrom of the space, ${path}`]: ({ space }: Machine) =>
      of(space).tryWriteqFrom(GPA, BigUint64Array.of(ONES)),
    [`tryWriteqFrom of the memory, ${path}`]: ({ memory }: Machine) =>
      of(memory).tryWriteqFrom(AT, BigUint64Array.of(ONES)),
  });
  for (const target of ["space", "memory"] as const) {
    const at = target === "space" ? GPA : AT;
    const atomics = (of_: Machine) => of(of_[target]).atomics;
    for (const [name, write] of Object.entries(BY_HALVES)) {
      WRITES[`${name} by halves, ${target}, ${path}`] = (of_) => {
        write(of(of_[target]).halves, at);
      };
    }
    for (const [name, write] of Object.entries(ATOMIC_HALVES)) {
      WRITES[`an atomic ${name} of halves, ${target}, ${path}`] = (of_) => {
        write(atomics(of_), at);
      };
    }
    Object.assign(WRITES, {
      [`an atomic store, ${target}, ${path}`]: (of_: Machine) => atomics(of_).storeq(at, ONES),
      [`an atomic exchange, ${target}, ${path}`]: (of_: Machine) =>
        atomics(of_).exchangeq(at, ONES),
      [`an atomic comparison, ${target}, ${path}`]: (of_: Machine) =>
        atomics(of_).compareExchangeq(at, 0n, ONES),
      [`an atomic addition, ${target}, ${path}`]: (of_: Machine) => atomics(of_).addq(at, ONES),
      [`an atomic or, ${target}, ${path}`]: (of_: Machine) => atomics(of_).orq(at, ONES),
      [`an atomic exclusive or, ${target}, ${path}`]: (of_: Machine) => atomics(of_).xorq(at, ONES),
      [`a store-exclusive, ${target}, ${path}`]: (of_: Machine) => {
        const monitor = new ExclusiveMonitor(atomics(of_));
        monitor.tryLoadExclusiveq(at, new BigUint64Array(1));
        monitor.tryStoreExclusiveq(at, ONES, new Uint32Array(1));
      },
    });
  }
}

Object.assign(WRITES, {
  "write of the space": ({ space }: Machine) => {
    space.write(GPA, BYTES);
  },
  "write of the space, other pages too": ({ space }: Machine) => {
    space.write(BASE + PAGE - 0x1000, new Uint8Array(0x4000).fill(1));
  },
  "fill of the space": ({ space }: Machine) => {
    space.fill(GPA, 8, 1);
  },
  "copy of the space": ({ space }: Machine) => {
    space.write(BASE, BYTES);
    space.copy(GPA, BASE, 8);
  },
  "writeVector of the space": ({ space }: Machine) => {
    const ranges = [
      { gpa: BASE, length: 2 },
      { gpa: GPA, length: 8 },
    ];
    space.writeVector(ranges, new Uint8Array(10).fill(1));
  },
  poke: ({ space }: Machine) => space.poke(GPA, BYTES),
  "write of the memory": ({ memory }: Machine) => {
    memory.write(AT, BYTES);
  },
  "fill of the memory": ({ memory }: Machine) => {
    memory.fill(AT, 8, 1);
  },
  "copy of the memory": ({ memory }: Machine) => {
    memory.write(0, BYTES);
    memory.copy(AT, 0, 8);
  },
  "writeVector of the memory": ({ memory }: Machine) => {
    memory.writeVector([{ gpa: AT, length: 8 }], BYTES);
  },
  ...(GuestMemory.hasNative && {
    "a batch": ({ memory }: Machine) =>
      memory.native.run(packOps([{ kind: OpKind.WRITEQ, gpa: BigInt(AT), value: ONES }])),
    "a batch under a policy": ({ memory }: Machine) =>
      memory
        .withPolicy({ alignment: "allow" })
        .native.run(packOps([{ kind: OpKind.WRITEQ, gpa: BigInt(AT), value: ONES }])),
  }),
  "unaligned writes": ({ memory }: Machine) => {
    const access = memory.withPolicy({ alignment: "allow" });
    access.writew(AT - 1, 0x0100);
    access.writel(AT + 1, HALF);
    nativeOf(access).writel(AT + 4, HALF);
  },
  "a mirror in the space": ({ space, memory }: Machine) => {
    if (space.regionAt(0x1000_0000) === null) {
      space.addRam(0x1000_0000, memory);
    }
    space.writeq(0x1000_0000 + AT, ONES);
    space.writeq(0x1000_0000 + AT, ONES);
  },
  "a repeated window": ({ space, memory }: Machine) => {
    const window = { offset: PAGE, length: 0x1000, repeat: 4 };
    const repeated = space.regionAt(0x1000_0000) ?? space.addRam(0x1000_0000, memory, window);
    expect(repeated.size).to.equal(0x4000n);
    space.writeq(0x1000_2010, ONES);
  },
  "another space, native": ({ memory }: Machine) => {
    const other = new AddressSpace();
    other.addRam(0, memory);
    nativeOf(other).writeq(AT, ONES);
  },
  "ROM over the memory, poked": ({ space, memory }: Machine) => {
    if (space.regionAt(0x1000_0000) === null) {
      space.addRom(0x1000_0000, memory);
    }
    space.poke(0x1000_0000 + AT, BYTES);
  },
  "a loader": ({ space }: Machine) => {
    loadRaw(space, GPA, BYTES);
  },
  "restoring a snapshot": ({ space, memory }: Machine) => {
    const other = new AddressSpace();
    other.addRam(BASE, 0x10000).memory.write(AT, BYTES);
    space.restore(other.snapshot());
    expect(memory.readq(AT)).to.equal(ONES);
  },
});

describe("code guards", () => {
  let made: Machine;
  let calls: CodeWrite[];
  /** The bytes at `AT` at each call. */
  let seen: bigint[];

  const listener = (write: CodeWrite) => {
    calls.push(write);
    seen.push(made.memory.readq(AT));
  };

  beforeEach(() => {
    made = machine();
    calls = [];
    seen = [];
  });

  for (const [name, write] of Object.entries(WRITES)) {
    it(`are called once, before the bytes change: ${name}`, () => {
      const guard = made.space.guardCode(GPA, 4, listener);
      write(made);
      expect(made.memory.readq(AT)).to.equal(ONES);
      expect(seen).to.deep.equal([0n]);
      expect(guard.armed).to.equal(false);
      expect(calls[0]).to.include({ cause: "write", guard });
      const [from, end] = [Number(calls[0]!.gpa), Number(calls[0]!.gpa) + calls[0]!.length];
      expect(from).to.be.within(BASE + PAGE, GPA);
      expect(end).to.be.within(GPA + 1, BASE + PAGE + 0x1000);

      made.memory.writeq(AT, 0n);
      expect(calls.length).to.equal(1);
      made.space.guardCode(GPA, 4, listener);
      made.space.readq(GPA);
      expect(calls.length).to.equal(1);
      write(made);
      expect(seen).to.deep.equal([0n, 0n]);
    });

    it(`stop the write when they throw: ${name}`, () => {
      const guard = made.space.guardCode(GPA, 4, () => {
        throw new Error("stop");
      });
      expect(thrown(() => write(made)).name).to.equal("Error");
      expect(made.memory.readq(AT)).to.equal(0n);
      expect(guard.armed).to.equal(false);
    });

    it(`are not called when removed: ${name}`, () => {
      const guard = made.space.guardCode(GPA, 4, listener);
      guard.remove();
      guard.remove();
      write(made);
      expect(calls).to.deep.equal([]);
      expect(made.memory.readq(AT)).to.equal(ONES);
    });
  }

  describe("of other memory, called once by each write", () => {
    const variants: Record<string, (machine: Machine) => void> = {
      "tracked memory": ({ memory }) => {
        memory.startTracking();
      },
      "memory with marks that threads share": ({ memory }) => {
        expect(memory.startTracking().buffer.byteLength).to.be.above(0);
      },
      "memory whose tracking has ended": ({ memory }) => {
        memory.startTracking();
        memory.stopTracking();
      },
      "a watched page": ({ space }) => {
        space.watch({ gpa: GPA, length: 8 }, () => {});
        // The next access uses the reach of this one.
        space.writeb(GPA, 0);
        nativeOf(space).writeb(GPA, 0);
      },
    };
    const run = (prepare: (machine: Machine) => void, policy?: AccessPolicy) => {
      for (const [name, write] of Object.entries(WRITES)) {
        made = machine(policy);
        calls = [];
        seen = [];
        prepare(made);
        const { space, memory } = made;
        memory.dirty?.drain();
        const guard = space.guardCode(GPA, 4, listener);
        write(made);
        expect(seen, name).to.deep.equal([0n]);
        expect(guard.armed, name).to.equal(false);
        expect(memory.readq(AT), name).to.equal(ONES);
        expect(memory.dirty?.drain().includes(PAGE / 4096) ?? true, name).to.equal(true);
      }
    };
    for (const [variant, prepare] of Object.entries(variants)) {
      it(variant, () => {
        run(prepare);
      });
    }
    for (const policy of POLICIES.slice(1)) {
      it(`a space under ${nameOf(policy)}`, () => {
        run(() => {}, policy);
        run(({ space, memory }) => {
          memory.startTracking();
          variants["a watched page"]!({ space } as Machine);
        }, policy);
      });
    }
  });

  describe("and unaligned writes", () => {
    const range = ({ gpa, length }: CodeWrite) => [Number(gpa) - BASE, length];

    for (const endian of ["little", "big"] as const) {
      for (const path of PATHS) {
        const of = (target: AddressSpace) => (path === "view" ? target : target.native);
        /** The bytes of 0x0102030405060708 in RAM. */
        const written = [1, 2, 3, 4, 5, 6, 7, 8];
        if (endian === "little") {
          written.reverse();
        }

        it(`are called for the bytes in the guarded pages, before any byte: ${endian}, ${path}`, () => {
          for (const [start, first, length, pages] of [
            [PAGE - 3, PAGE, 5, [1, 2]],
            [PAGE + 1, PAGE + 1, 8, [1, 2]],
            [PAGE + 0xffd, PAGE + 0xffd, 3, [1, 2, 3]],
          ] as const) {
            for (const tracked of [false, true]) {
              made = machine({ alignment: "allow", endian });
              const { memory, space } = made;
              of(space).writeq(BASE + start, 0n);
              if (tracked) {
                memory.startTracking();
              }
              let before: Uint8Array | null = null;
              space.guardCode(GPA, 4, (write) => {
                calls.push(write);
                before = memory.read(start, 8);
              });
              of(space).writeq(BASE + start, 0x0102_0304_0506_0708n);
              of(space).writew(BASE + PAGE - 1, 0);
              expect(calls.splice(0).map(range)).to.deep.equal([[first, length]]);
              expect([...before!]).to.deep.equal(Array(8).fill(0));
              of(space).writeq(BASE + start, 0x0102_0304_0506_0708n);
              expect([...memory.read(start, 8)]).to.deep.equal(written);
              expect(memory.dirty === null || [...memory.dirty.drain()]).to.deep.equal(
                tracked ? pages : true,
              );
            }
          }
        });

        it(`are called for both pages, and stop a write of several windows: ${endian}, ${path}`, () => {
          const memories = [1, 2].map(() => GuestMemory.allocate(4096));
          const space = new AddressSpace({ alignment: "allow", endian });
          memories.forEach((memory, i) => space.addRam(BASE + 4096 * i, memory));
          const order: string[] = [];
          space.guardCode(BASE, 1, ({ gpa, length }) => order.push(`${gpa} ${length}`));
          const second = space.guardCode(BASE + 4096, 1, () => {
            throw new Error("stop");
          });
          const write = () => of(space).writel(BASE + 4094, 0x0101_0101);
          expect(thrown(write).name).to.equal("Error");
          expect(order).to.deep.equal([`${BASE + 4094} 2`]);
          expect(second.armed).to.equal(false);
          expect([...space.read(BASE + 4094, 4)]).to.deep.equal([0, 0, 0, 0]);
          write();
          expect([...space.read(BASE + 4094, 4)]).to.deep.equal([1, 1, 1, 1]);
        });

        it(`are not called by a write that a device refuses: ${endian}, ${path}`, () => {
          const space = new AddressSpace({ alignment: "allow", endian });
          space.addRam(BASE, 4096);
          let answer: unknown = BUS_ERROR;
          space.addMmio(BASE + 4096, 16, { write: () => answer });
          const guard = space.guardCode(BASE, 1, listener);
          expect(of(space).tryWritel(BASE + 4094, 1)).to.equal(FAULT_BOUNDARY);
          expect(of(space).tryWritel(BASE - 2, 1)).to.equal(FAULT_BOUNDARY);
          expect(guard.armed).to.equal(true);
          answer = undefined;
          of(space).writel(BASE + 4094, 1);
          expect(calls.map(range)).to.deep.equal([[4094, 2]]);
        });

        it(`fault if the listener destroys one of the memories: ${endian}, ${path}`, () => {
          const space = new AddressSpace({ alignment: "allow", endian });
          const { memory } = space.addRam(BASE, 4096);
          const other = space.addRam(BASE + 4096, 4096);
          space.guardCode(BASE, 1, () => {
            other.memory.destroy();
          });
          expect(of(space).tryWritel(BASE + 4094, -1)).to.equal(ERROR_INTERNAL);
          expect(memory.readw(4094)).to.equal(0);
          expect(space.lastFault).to.include({ reason: "destroyed", width: 4 });
        });
      }
    }
  });

  itNative("see writes of both forms of the accessors, and leave the first form in use", () => {
    const { status, output } = runAlone(`
      const { AddressSpace, GuestMemory } = require("pound-guest-memory");
      const memory = GuestMemory.allocate(65536);
      const space = new AddressSpace();
      space.addRam(0, memory);
      const calls = [];
      const hasFirst = () => !Object.hasOwn(GuestMemory.prototype, "readl");
      const value = BigUint64Array.of(1n);
      const writes = {
        tryWriteb: [1], tryWritew: [1], tryWritel: [1], tryWriteq: [1n], tryWriteqFrom: [value],
        writeb: [1], writew: [1], writel: [1], writeq: [1n],
        tryWriteqHalves: [1, 0], writeqHalves: [1, 0],
      };
      const each = (access) => {
        for (const [name, operands] of Object.entries(writes)) {
          access[name](0x2000, ...operands);
          access[name](0x4000, ...operands);
          calls.push(0);
          space.guardCode(0x2000, 8, () => calls[calls.length - 1]++);
          access[name](0x4000, ...operands);
          access[name](0x2000, ...operands);
          access[name](0x2000, ...operands);
        }
      };
      each(space);
      each(space.native);
      memory.writel(8, 1);
      calls.push(hasFirst());
      // The first form stays where the prototype is frozen.
      Object.freeze(GuestMemory.prototype);
      each(memory);
      calls.push(hasFirst());
      console.log(calls.join(""));`);
    expect(status, output).to.equal(0);
    expect(output.trim()).to.equal(`${"1".repeat(22)}true${"1".repeat(11)}true`);
  });

  it("cover the pages that the range touches, and no other byte", () => {
    for (const pageSize of [256, 4096]) {
      const space = new AddressSpace({ pageSize });
      const { memory } = space.addRam(0, 0x10000);
      const count = (offset: number) => {
        let fired = 0;
        const guard = space.guardCode(0x2000 + pageSize - 2, 4, () => fired++);
        expect([guard.gpa, guard.length]).to.deep.equal([0x2000n, BigInt(2 * pageSize)]);
        for (const access of [space, space.native, memory, memory.native]) {
          access.writeb(offset, 1);
        }
        guard.remove();
        return fired;
      };
      const offsets = [0x1fff, 0x2000, 0x2000 + 2 * pageSize - 1, 0x2000 + 2 * pageSize];
      expect(offsets.map(count)).to.deep.equal([0, 1, 1, 0]);
    }
  });

  it("guard a page of which a window shows a part", () => {
    const space = new AddressSpace({ pageSize: 256 });
    const memory = GuestMemory.allocate(0x4000);
    space.addRam(0, memory, { offset: 0x1008, length: 0x200 });
    space.guardCode(0x100, 1, listener);
    memory.writeb(0x1107, 1);
    memory.writeb(0x1208, 1);
    expect(calls).to.deep.equal([]);
    memory.writeb(0x1108, 1);
    expect(calls.map(({ gpa, length }) => [gpa, length])).to.deep.equal([[0x100n, 1]]);
  });

  it("report the first address and the length of the write in the guarded pages", () => {
    const { space } = made;
    const report = (write: () => void) => {
      space.guardCode(GPA, 1, listener);
      write();
      const { gpa, length } = calls.pop()!;
      return [Number(gpa) - BASE, length];
    };
    expect(report(() => space.writel(GPA + 4, 1))).to.deep.equal([AT + 4, 4]);
    expect(report(() => space.fill(BASE, 0x8000, 1))).to.deep.equal([PAGE, 0x1000]);
    expect(report(() => space.fill(BASE + PAGE + 0xff0, 0x100, 1))).to.deep.equal([
      PAGE + 0xff0,
      0x10,
    ]);
  });

  it("of one page are all called, in the order in which they were armed", () => {
    const order: number[] = [];
    const guards = [1, 2, 3].map((n) =>
      made.space.guardCode(GPA, n, () => {
        order.push(n);
        guards[2]!.remove();
      }),
    );
    made.space.writeb(GPA, 1);
    made.space.writeb(GPA, 1);
    expect(order).to.deep.equal([1, 2]);
  });

  it("stay armed if an earlier one throws", () => {
    made.space.guardCode(GPA, 1, () => {
      throw new Error("stop");
    });
    made.space.guardCode(GPA, 1, listener);
    expect(thrown(() => made.space.writeb(GPA, 1)).name).to.equal("Error");
    expect(calls).to.deep.equal([]);
    made.space.writeb(GPA, 1);
    expect(calls.length).to.equal(1);
  });

  it("of several pages are called by the first write to one of them", () => {
    made.space.guardCode(BASE, 0x10000, listener);
    made.space.writeb(BASE + 0xffff, 1);
    made.space.fill(BASE, 0x10000, 1);
    expect(calls.map(({ gpa }) => Number(gpa))).to.deep.equal([BASE + 0xffff]);
  });

  it("that are armed in the listener are not called by the same write", () => {
    const arm = () =>
      made.space.guardCode(GPA, 1, (write) => {
        listener(write);
        arm();
      });
    arm();
    for (const write of [
      () => made.space.writeq(GPA, 1n),
      () => nativeOf(made.space).writeq(GPA, 1n),
      () => made.space.fill(GPA, 8, 1),
      () => made.space.write(GPA, BYTES),
      () => made.space.copy(GPA, BASE, 8),
      () => made.space.poke(GPA, BYTES),
      () => made.space.writeVector([{ gpa: GPA, length: 8 }], BYTES),
      () => made.space.atomics.addq(GPA, 1n),
      () => nativeOf(made.space).atomics.addq(GPA, 1n),
      () => made.memory.fill(AT, 8, 1),
      () => nativeOf(made.memory).writeb(AT, 1),
    ]) {
      calls = [];
      write();
      expect(calls.length).to.equal(1);
    }
  });

  it("are not called by accesses that fault or have invalid arguments", () => {
    const { space, memory } = made;
    const small = GuestMemory.allocate(0x1001);
    space.addRam(0, small);
    const guards = [space.guardCode(GPA, 1, listener), space.guardCode(0x1000, 1, listener)];
    const value = BigUint64Array.of(1n);
    for (const access of pathsOf(space)) {
      expect(access.tryWritel(GPA + 1, 1)).to.equal(FAULT_UNALIGNED);
      expect(access.tryWriteqFrom(GPA + 4, value)).to.equal(FAULT_UNALIGNED);
      expect(access.tryWritew(0x1000, 1)).to.equal(FAULT_BOUNDARY);
      expect(thrown(() => access.writeb(GPA, 256))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => access.atomics.addl(GPA + 2, 1))).to.deep.equal(FAULT);
    }
    for (const access of pathsOf(memory)) {
      expect(access.tryWritel(AT + 1, 1)).to.equal(FAULT_UNALIGNED);
      expect(thrown(() => access.writeb(AT, 256))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => access.atomics.addl(AT + 2, 1))).to.deep.equal(FAULT);
    }
    expect(small.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
    expect(small.native.tryWritel(0x1000, 1)).to.equal(FAULT_BOUNDARY);
    expect(space.tryFill(BASE, 0x10001, 1)).to.equal(FAULT_BOUNDARY);
    expect(memory.tryFill(0, 0x10001, 1)).to.equal(FAULT_BOUNDARY);
    memory.native.run(packOps([{ kind: OpKind.WRITEL, gpa: BigInt(AT + 1), value: 1n }]));
    space.write(GPA, new Uint8Array(0));
    expect(guards.map(({ armed }) => armed)).to.deep.equal([true, true]);
    expect(calls).to.deep.equal([]);
  });

  it("keep all operands of an access when their listener makes accesses", () => {
    const { space, memory } = made;
    const disturb = () => {
      nativeOf(memory).writeq(0x8000, 0xdeadn);
      memory.native.atomics.compareExchangeq(0x8000, 0xdeadn, 0xbeefn);
      memory.atomics.addb(0x9001, 3);
      nativeOf(space).readq(BASE);
    };
    for (const access of pathsOf(space)) {
      space.guardCode(GPA, 1, disturb);
      access.writeq(GPA, 0x1234n);
      expect(memory.readq(AT)).to.equal(0x1234n);
      space.guardCode(GPA, 1, disturb);
      expect(access.atomics.compareExchangeq(GPA, 0x1234n, 0x5678n)).to.equal(0x1234n);
      expect(memory.readq(AT)).to.equal(0x5678n);
      space.guardCode(GPA, 1, disturb);
      expect(access.atomics.addw(GPA, 1)).to.equal(0x5678);
      expect(memory.readq(AT)).to.equal(0x5679n);
    }
  });

  it("survive a listener that destroys the memory or detaches the source", () => {
    for (const write of [
      (memory: GuestMemory) => memory.tryWriteb(AT, 1),
      (memory: GuestMemory) => memory.native.tryWriteb(AT, 1),
      (memory: GuestMemory) => memory.atomics.tryStoreb(AT, 1),
      (memory: GuestMemory) => memory.tryFill(AT, 1, 1),
      (memory: GuestMemory) => memory.tryWriteVector([{ gpa: AT, length: 8 }], BYTES),
    ]) {
      const { space, memory } = machine();
      const other = space.guardCode(BASE, 1, listener);
      space.guardCode(GPA, 1, () => {
        memory.destroy();
      });
      expect(write(memory)).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
      expect(other.armed).to.equal(false);
    }
    const { space, memory } = made;
    for (const write of [
      (source: Uint8Array) => space.write(GPA, source),
      (source: Uint8Array) => space.poke(GPA, source),
      (source: Uint8Array) => memory.write(AT, source),
      (source: Uint8Array) => memory.writeVector([{ gpa: AT, length: 8 }], source),
    ]) {
      const source = new Uint8Array(8).fill(7);
      space.guardCode(GPA, 1, () => structuredClone(source.buffer, { transfer: [source.buffer] }));
      expect(thrown(() => write(source))).to.deep.equal(OUT_OF_RANGE);
      expect(memory.readq(AT)).to.equal(0n);
    }
  });

  it("see writes to memory above 4 GiB, outside the home buffer and at large addresses", () => {
    const { space } = made;
    const far = GuestMemory.allocate(0x4000);
    for (const gpa of [0x1_0000_0000, 2n ** 63n, 2n ** 64n - 0x4000n]) {
      const region = space.addRam(gpa, far);
      for (const access of pathsOf(space)) {
        const at = BigInt(gpa) + 0x3ff8n;
        access.writeq(at, 0n);
        calls = [];
        space.guardCode(at, 8, listener);
        access.writeb(BigInt(gpa), 1);
        expect(calls).to.deep.equal([]);
        access.writeq(at, 1n);
        access.writeq(at, 1n);
        expect(calls.map((call) => [call.gpa, call.length])).to.deep.equal([[at, 8]]);
      }
      space.remove(region);
    }
  });

  it("leave the other pages on the path that they had", () => {
    const { space } = made;
    const entries = (space as unknown as { writes: Int32Array }).writes;
    for (let page = 0; page < 16; page++) {
      space.writeb(BASE + page * 4096, 0);
    }
    const open = () =>
      Array.from({ length: 16 }, (_, page) => Number(entries[BASE / 4096 + page] !== 0)).join("");
    space.guardCode(GPA, 1, listener);
    expect(open()).to.equal("1101111111111111");
    space.writeb(GPA + 0x1000, 1);
    expect(open()).to.equal("1101111111111111");
    space.writeb(GPA, 1);
    space.writeb(GPA, 1);
    expect(open()).to.equal("1111111111111111");
    const { generation } = space;
    space.guardCode(GPA, 1, listener);
    expect(space.generation).to.equal(generation);
  });

  it("are found by a space that maps the memory later, and by the bank that shows it later", () => {
    const bank = made.space.addRam(0x1000_0000, made.memory, { offset: 0x8000, length: 0x1000 });
    made.space.writeb(0x1000_0010, 1);
    made.space.guardCode(GPA, 1, listener);
    bank.select(PAGE);
    expect(calls).to.deep.equal([]);
    made.space.writeb(0x1000_0020, 1);
    expect(calls.map(({ gpa }) => Number(gpa))).to.deep.equal([BASE + PAGE + 0x20]);
    made.space.guardCode(GPA, 1, listener);
    const later = new AddressSpace();
    later.addRam(0x4000, made.memory);
    later.writeb(0x4000 + AT, 1);
    expect(calls.length).to.equal(2);
  });

  it("call once for a write through several guards' spaces", () => {
    const other = new AddressSpace();
    other.addRam(0, made.memory);
    other.guardCode(AT, 1, listener);
    made.space.guardCode(GPA, 1, listener);
    made.space.writeb(GPA, 1);
    expect(calls.map(({ gpa }) => Number(gpa))).to.deep.equal([AT, GPA]);
    made.space.writeb(GPA, 1);
    expect(calls.length).to.equal(2);
  });

  describe("when the map changes", () => {
    it("are called before a bank switch, once", () => {
      const { space, region, memory } = made;
      const other = GuestMemory.allocate(0x10000);
      other.writeq(AT, 5n);
      space.guardCode(GPA, 1, (write) => {
        listener(write);
        expect(space.readq(GPA)).to.equal(0n);
      });
      region.select(0);
      expect(calls).to.deep.equal([]);
      region.select(0, other);
      region.select(0, memory);
      expect(calls.map(({ gpa, length, cause }) => [Number(gpa), length, cause])).to.deep.equal([
        [BASE + PAGE, 0x1000, "map"],
      ]);
      space.guardCode(GPA, 1, () => {
        throw new Error("stop");
      });
      expect(thrown(() => region.select(0, other)).name).to.equal("Error");
      expect(region.memory).to.equal(memory);
      expect(space.readq(GPA)).to.equal(0n);
    });

    it("let their listener switch the bank or remove the region", () => {
      const { space, region, memory } = made;
      const [b, c] = [GuestMemory.allocate(0x10000), GuestMemory.allocate(0x10000)];
      space.guardCode(GPA, 1, () => {
        region.select(0, b);
      });
      region.select(0, c);
      c.writeq(AT, 3n);
      expect([space.readq(GPA), nativeOf(space).readq(GPA)]).to.deep.equal([3n, 3n]);
      // The links to the memories are right: tracking of each is seen.
      for (const bank of [b, memory, c]) {
        region.select(0, bank);
        space.writeq(GPA, 1n);
        const dirty = region.startTracking();
        space.writeq(GPA, 2n);
        expect(dirty.count).to.equal(1);
        region.stopTracking();
      }
      space.guardCode(GPA, 1, () => {
        space.remove(region);
      });
      expect(thrown(() => space.remove(region))).to.deep.equal(OUT_OF_RANGE);
      expect(space.regions).to.deep.equal([]);
    });

    it("are called before regions are added or removed that change what they show", () => {
      const { space, memory } = made;
      const events = () => calls.splice(0).map(({ gpa, cause }) => [Number(gpa) - BASE, cause]);
      const arm = () => space.guardCode(GPA, 1, listener);
      arm();
      // Not visible at the guarded page.
      const below = space.addRam(BASE, 0x10000, { priority: -1 });
      const beside = space.addRam(BASE + 0x3000, 0x1000, { priority: 1 });
      space.remove(below);
      space.remove(beside);
      expect(events()).to.deep.equal([]);
      const above = space.addMmio(GPA, 4, { readl: () => 0 }, { priority: 1 });
      expect(events()).to.deep.equal([[AT, "map"]]);
      arm();
      space.remove(above);
      expect(events()).to.deep.equal([[AT, "map"]]);
      const guard = arm();
      expect(thrown(() => space.addRam(BASE, memory))).to.deep.equal(OUT_OF_RANGE);
      expect(guard.armed).to.equal(true);
      space.remove(space.regions[0]!);
      expect(events()).to.deep.equal([[PAGE, "map"]]);
    });

    it("are called when a region is added at unmapped guarded addresses", () => {
      const { space } = made;
      const guard = space.guardCode(0x5000, 0x2000, listener);
      space.addRam(0x4000, 0x1000);
      space.addRam(0x7000, 0x1000);
      expect(guard.armed).to.equal(true);
      const ram = space.addRam(0x6000, 0x1000);
      expect(calls.map(({ gpa, length }) => [gpa, length])).to.deep.equal([[0x6000n, 0x1000]]);
      expect(space.regionAt(0x6000)).to.equal(ram);
    });

    it("refuse a region that the listener has put another in place of", () => {
      const { space } = made;
      space.guardCode(0x5000, 1, () => space.addRam(0x5000, 0x1000));
      expect(thrown(() => space.addRam(0x5000, 0x1000))).to.deep.equal(OUT_OF_RANGE);
      expect(space.tryWriteb(0x5000, 1)).to.equal(OK);
    });
  });

  it("mark tracked pages and call watchpoints as without guards", () => {
    const { space, region } = made;
    const dirty = region.startTracking();
    const order: string[] = [];
    space.watch({ gpa: GPA, length: 1, kinds: "write" }, () => order.push("watchpoint"));
    space.guardCode(GPA, 1, () => order.push("guard"));
    space.writeb(GPA, 1);
    space.writeb(GPA, 1);
    expect(order).to.deep.equal(["watchpoint", "guard", "watchpoint"]);
    expect([...dirty.drain()]).to.deep.equal([PAGE / 4096]);
    region.stopTracking();
    space.guardCode(GPA, 1, () => order.push("guard"));
    space.writeb(GPA, 1);
    expect(order.slice(3)).to.deep.equal(["watchpoint", "guard"]);
  });

  it("refuse invalid arguments, and change nothing", () => {
    const { space } = made;
    for (const [gpa, length, onWrite] of [
      ["0", 1, listener],
      [0, "1", listener],
      [0, 1, {}],
      [0, 1, undefined],
    ] as unknown as [number, number, () => void][]) {
      expect(thrown(() => space.guardCode(gpa, length, onWrite))).to.deep.equal(WRONG_TYPE);
    }
    for (const [gpa, length] of [
      [-1, 1],
      [0.5, 1],
      [2n ** 64n, 1],
      [0, 0],
      [0, -1],
      [0, 2n ** 53n],
      [2n ** 64n - 1n, 2],
    ] as const) {
      expect(thrown(() => space.guardCode(gpa, length, listener))).to.deep.equal(OUT_OF_RANGE);
    }
    space.writeb(GPA, 1);
    expect(calls).to.deep.equal([]);
  });

  it("print their range and state", () => {
    const guard = made.space.guardCode(GPA, 1, listener);
    expect(inspect(guard)).to.equal("CodeGuard { gpa: 0x80002000, length: 4096, armed: true }");
  });
});
