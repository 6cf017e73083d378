import { expect } from "chai";
import { OpKind } from "pound-guest-memory";
import {
  type CheckedMmu,
  crosscheckMmu,
  type MakeMmu,
  type MmuOp,
  randomMmuOps,
} from "pound-guest-memory/crosscheck";
import { Mmu, type MmuOptions } from "pound-guest-memory/mmu";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nameOf, POLICIES } from "../support/policies.js";

/** Makes the view path, and lets a test spoil it. */
function spoiled(
  spoil: (mmu: Mmu) => Partial<CheckedMmu>,
  change: (options: MmuOptions) => MmuOptions = (options) => options,
): MakeMmu {
  return (space, options) => {
    const mmu = new Mmu(space, change(options));
    return { mmu, access: mmu, ...spoil(mmu) };
  };
}

/** An object with the methods of an MMU, some of which are others. */
function replaced(mmu: Mmu, methods: Partial<Mmu>): Mmu {
  return new Proxy(mmu, {
    get: (_, name) => {
      const value: unknown = Reflect.get(name in methods ? methods : mmu, name);
      return typeof value === "function" ? (value.bind(mmu) as unknown) : value;
    },
  });
}

describe("crosscheckMmu", () => {
  for (const policy of POLICIES) {
    it(`finds no difference between the paths, ${nameOf(policy)}`, () => {
      const counts: number[] = [];
      const result = crosscheckMmu(randomMmuOps({ seed: 5, count: 20_250 }), {
        policy,
        onProgress: (done) => void counts.push(done),
      });
      expect(result.difference?.report).to.equal(undefined);
      expect(result.operations).to.equal(20_250);
      expect(counts.at(-1)).to.equal(20_250);
    });
  }

  it("runs operations of all kinds, which succeed and fault in all ways", () => {
    const seen = new Set<string>();
    const makeSubject = spoiled((mmu) => ({
      mmu: {
        select: (mode, asid) => mmu.select(mode, asid),
        flushAll: () => mmu.flushAll(),
        flushAsid: (asid) => mmu.flushAsid(asid),
        flushPage: (va) => mmu.flushPage(va),
        get lastFault() {
          const fault = mmu.lastFault;
          seen.add(fault === null ? "none" : `${fault.kind} ${fault.reason}`);
          return fault;
        },
      },
    }));
    const source = randomMmuOps({ seed: 1, count: 20_000 });
    expect(
      crosscheckMmu(source, { makeSubject, policy: { alignment: "fault" } }).difference,
    ).to.equal(null);
    expect(seen).to.include.all.keys(
      ...["read", "write", "fetch"].flatMap((kind) => [
        `${kind} translation`,
        `${kind} alignment`,
        `${kind} hole`,
      ]),
      "write read-only",
      "fetch not-executable",
    );
    const kinds = new Set([...source()].flat().map((op) => op.do));
    expect(kinds.size).to.equal(15);
  });

  const WRONG: Record<string, MakeMmu> = {
    "a flush of a page that does nothing": spoiled((mmu) => ({
      mmu: replaced(mmu, { flushPage: () => undefined }),
    })),
    "a flush of an identifier that does nothing": spoiled((mmu) => ({
      mmu: replaced(mmu, { flushAsid: () => undefined }),
    })),
    "one set of tables for all modes": spoiled((mmu) => ({
      mmu: replaced(mmu, { select: () => undefined }),
    })),
    "fetches with the right to read": spoiled((mmu) => ({
      access: replaced(mmu, { tryFetchl: (va, out) => mmu.tryReadl(va, out) }),
    })),
    "a write that is one bit off": spoiled((mmu) => ({
      access: replaced(mmu, { tryWriteb: (va, value) => mmu.tryWriteb(va, value ^ 1) }),
    })),
    "superpages as pages": spoiled(
      () => ({}),
      (options) => ({
        ...options,
        walk: (va, kind, mode) => {
          const found = options.walk(va, kind, mode);
          return "fault" in found ? found : { ...found, size: 4096 };
        },
      }),
    ),
  };
  for (const [name, makeSubject] of Object.entries(WRONG)) {
    it(`finds ${name}`, () => {
      const { difference } = crosscheckMmu(randomMmuOps({ seed: 3, count: 20_000 }), {
        makeSubject,
        label: "seed 3",
      });
      expect(difference!.ops.length).to.be.lessThan(10);
      expect(difference!.report).to.include(`operation ${difference!.index} of seed 3`);
      expect(difference!.expected).not.to.equal(difference!.actual);
    });
  }

  it("reports the shortest sequence as code", () => {
    const va = 0x1000n;
    const read: MmuOp = { do: "access", op: { kind: OpKind.READL, gpa: va, value: 0n } };
    const map = (gpa: number): MmuOp => ({ do: "map", va, gpa, size: 4096, access: "rw" });
    const ops: MmuOp[] = [
      { do: "flushAll" },
      { do: "access", op: { kind: OpKind.WRITEL, gpa: va, value: 5n } },
      map(0),
      { do: "access", op: { kind: OpKind.WRITEL, gpa: va, value: 7n } },
      map(0x2000),
      { do: "flushPage", va },
      read,
      read,
    ];
    const makeSubject = spoiled((mmu) => ({ mmu: replaced(mmu, { flushPage: () => undefined }) }));
    const { operations, difference } = crosscheckMmu(() => [[], ops], { makeSubject });
    expect(operations).to.equal(6);
    expect(difference!.report).to.equal(`difference at operation 6; as short as it gets:

  map(0x1000n, { gpa: 0x0, size: 4096, access: "rw" });
  mmu.tryWritel(0x1000, 0x7);
  mmu.flushPage(0x1000n);
  mmu.tryReadl(0x1000, new Uint32Array(1));

  reference  OK, out 0x7; walk read 4096 0
  subject    OK, out 0x7
`);
  });

  it("refuses wrong arguments", () => {
    const source = randomMmuOps({ seed: 1, count: 10 });
    const calls: [unknown, unknown][] = [
      [5, {}],
      [source, 5],
      [source, { makeSubject: 5 }],
      [source, { onProgress: 5 }],
      [source, { policy: 5 }],
    ];
    for (const [first, second] of calls) {
      expect(thrown(() => crosscheckMmu(first as never, second as never))).to.deep.equal(
        WRONG_TYPE,
      );
    }
    expect(thrown(() => randomMmuOps({ seed: "1", count: 1 } as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => randomMmuOps({ seed: 0.5, count: 1 }))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => randomMmuOps({ seed: 1, count: -1 }))).to.deep.equal(OUT_OF_RANGE);
  });
});
