import { expect } from "chai";
import fc from "fast-check";
import { HeatTable, NO_HEAT } from "../../lib/snapshot/page-heat.js";
import { NO_PAGES, type Page } from "../../lib/snapshot/page-table.js";

const FAR = 2 ** 40;

/** Page numbers: close together, scattered, or mixed. */
const numbers = fc
  .oneof(
    fc.array(fc.nat(3000), { maxLength: 1500 }),
    fc.array(
      fc.nat({ max: 2 ** 31 - 1 }).map((n) => n * 512),
      { maxLength: 60 },
    ),
    fc.array(fc.constantFrom(0, 1, 511, 512, 513, FAR - 1, FAR), { maxLength: 6 }),
    fc
      .tuple(fc.nat(2000), fc.nat(1200))
      .map(([from, n]) => [...Array(n).keys()].map((i) => from + i)),
  )
  .map((list) => [...new Set(list)].sort((a, b) => a - b));

describe("the heat table", () => {
  it("agrees with a map of counts, and does not change earlier tables", () => {
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 8 }), (generations) => {
        let table = NO_HEAT;
        const model = new Map<number, { changes: number; changedIn: number }>();
        generations.forEach((pages, i) => {
          const before = [...table.entries()];
          const next = table.after(pages, i + 1);
          expect([...table.entries()]).to.deep.equal(before);
          table = next;
          for (const page of pages) {
            model.set(page, { changes: (model.get(page)?.changes ?? 0) + 1, changedIn: i + 1 });
          }
        });
        const expected = [...model].sort(([a], [b]) => a - b);
        expect([...table.entries()]).to.deep.equal(expected);
        expect([...HeatTable.of(expected).entries()]).to.deep.equal(expected);
        for (const page of [0, 1, 512, FAR, ...model.keys()].flatMap((n) => [n, n + 1])) {
          expect(table.get(page)).to.deep.equal(model.get(page) ?? { changes: 0, changedIn: 0 });
        }
      }),
      { numRuns: 60 },
    );
  });

  it("saturates at the largest count", () => {
    const table = HeatTable.of([[7, { changes: 0xffff_ffff, changedIn: 1 }]]).after([7], 2);
    expect(table.get(7)).to.deep.equal({ changes: 0xffff_ffff, changedIn: 2 });
  });
});

describe("the page table", () => {
  const page = (byte: number): Page => new Uint8Array(4096).fill(byte);
  const some = [page(1), page(2), null];

  it("agrees with a map, whatever is set in whatever order", () => {
    const edits = fc.array(
      fc.array(
        fc.tuple(
          fc.oneof(
            fc.nat(1100),
            fc.nat(40).map((n) => n * 512),
          ),
          fc.nat(2),
        ),
        {
          maxLength: 300,
        },
      ),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(edits, (rounds) => {
        let table = NO_PAGES;
        let model = new Map<number, Page>();
        for (const round of rounds) {
          const edit = table.edit();
          const next = new Map(model);
          for (const [number, which] of round) {
            const bytes = some[which]!;
            edit.set(number, bytes);
            if (bytes === null) {
              next.delete(number);
            } else {
              next.set(number, bytes);
            }
          }
          const edited = edit.finish();
          const changed = [...new Set([...model.keys(), ...next.keys()])]
            .filter((number) => model.get(number) !== next.get(number))
            .sort((a, b) => a - b);
          expect([...table.changedPages(edited)]).to.deep.equal(changed);
          expect([...edited.changedPages(table)]).to.deep.equal(changed);
          table = edited;
          model = next;
          const expected = [...model].sort(([a], [b]) => a - b);
          const entries = [...table.entries()];
          expect(entries.map(([number]) => number)).to.deep.equal(expected.map(([n]) => n));
          expect(entries.every(([, bytes], i) => bytes === expected[i]![1])).to.equal(true);
          expect(table.stored).to.equal(model.size);
          for (const number of [0, 511, 512, ...model.keys()]) {
            expect(table.get(number) === (model.get(number) ?? null)).to.equal(true);
            const leaf = Math.floor(number / 512);
            const isThere = expected.some(([n]) => Math.floor(n / 512) === leaf);
            expect(table.hasLeaf(leaf)).to.equal(isThere);
          }
        }
      }),
      { numRuns: 60 },
    );
    expect(NO_PAGES.edit().finish()).to.equal(NO_PAGES);
  });
});
