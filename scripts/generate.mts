/*
 * Generates the accessors that exist once per width, in place: it replaces the text between
 * `// #region generated` and `// #endregion` in each class. With `--check`, it changes nothing and
 * fails if a file is not up to date.
 *
 * Each class needs its own text, because V8 inlines only accessors with type feedback of their own.
 * A mixin per width costs 8 times as much, a generic base class 1.3 times (docs/performance.md).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { atomicForms } from "./generate/atomics.mjs";
import { halvesAccessors } from "./generate/halves.mjs";
import { mmuHalvesAccessors, translatedAccessors } from "./generate/mmu.mjs";
import {
  nativeAccessors,
  nativeMmuAccessors,
  nativePolicyAccessors,
  nativeSpaceAccessors,
} from "./generate/native.mjs";
import { flatPolicyClasses, generalPolicyAccessors } from "./generate/policy.mjs";
import {
  markingTableWrites,
  policyReachAccessors,
  reachAccessors,
  spacePolicyClasses,
  tableAccessors,
} from "./generate/space.mjs";
import {
  forwardingAccessors,
  inQuads,
  roundTrip,
  type ViewClass,
  viewAccessors,
  viewWrites,
} from "./generate/view.mjs";
import type { WidthRow } from "./generate/widths.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const REGION = /(\/\/ #region generated: npm run generate\n)[^]*?(\n *\/\/ #endregion)/g;

/**
 * The parts that the classes with the hot paths share. `OK` is written as 0, which takes fewer
 * bytes of bytecode than a variable of the module.
 */
const HOT: Pick<ViewClass, "ok" | "slow" | "slowWrite"> = {
  ok: "0",
  slow: {
    tryRead: ({ suffix }) => `this.general.tryRead${suffix}(gpa, out)`,
    tryWrite: ({ suffix }) => `this.general.tryWrite${suffix}(gpa, value)`,
    tryWriteqFrom: "this.general.tryWriteqFrom(gpa, source)",
    tryReadqHalves: "this.general.tryReadqHalves(gpa, out, at)",
    tryWriteqHalves: "this.general.tryWriteqHalves(gpa, low, high)",
    // `>>> 0` as in scripts/generate/space.mts.
    read: ({ suffix, bits }) => `this.general.read${suffix}(gpa)${bits === 32 ? " >>> 0" : ""}`,
  },
  slowWrite: ({ suffix }) => `this.general.write${suffix}(gpa, value)`,
};

/** The parts that the accessors of flat RAM which branch have in common. */
const FLAT = {
  index: ({ shift }: WidthRow) => [`const index = gpa >>> ${shift};`],
  array: ({ bits }: WidthRow) => `this.u${bits}`,
  ...HOT,
} as const;

const MARKS = "const { marks } = this;";

/** The text of the generated region of each file. */
const GENERATED: Readonly<Record<string, () => string>> = {
  "lib/memory/selecting-access.ts": () =>
    viewAccessors({
      // The bits that must be 0 in an aligned address become the highest bits of its index.
      select: ({ shift }) =>
        shift === 0 ? "gpa | 0" : `(gpa >>> ${shift}) | (gpa << ${32 - shift})`,
      selectHalves: "(gpa >>> 2) | (gpa << 29)",
      array: ({ bits }, operation) => `this.${operation === "read" ? "u" : "w"}${bits}`,
      ...HOT,
    }),
  "lib/memory/big-endian-access.ts": forwardingAccessors,
  "lib/memory/branching-access.ts": () =>
    viewAccessors({
      inReach: (row, operation) =>
        `${roundTrip(row, "index")} === gpa && ${inQuads(row)} < this.${bound(operation)}`,
      halves: (operation) => ({
        before: ["const index = gpa >>> 2;"],
        inReach:
          "!(gpa & 7) && gpa >>> 0 === gpa" +
          (operation === "read" ? "" : " && index >>> 1 < this.writeQuads"),
        array: "this.u32",
      }),
      ...FLAT,
    }),
  "lib/memory/tracked-writes.ts": () =>
    viewWrites({
      ...FLAT,
      index: (row) => [...FLAT.index(row), `const page = index >>> ${12 - row.shift};`, MARKS],
      inReach: (row) => `${roundTrip(row, "index")} === gpa && marks[page] !== undefined`,
      halves: () => ({
        before: ["const index = gpa >>> 2;", "const page = index >>> 10;", MARKS],
        inReach: "!(gpa & 7) && gpa >>> 0 === gpa && marks[page] !== undefined",
        array: "this.u32",
      }),
      stored: " marks[page] = 1;",
    }),
  "lib/memory/general-access.ts": () =>
    viewAccessors({
      index: ({ shift }) => [`const index = gpa >>> ${shift};`],
      inReach: (row, operation) =>
        `${roundTrip(row, "index")} === gpa - this.base && ${inQuads(row)} < this.${bound(operation)}`,
      halves: (operation) => ({
        before: ["const index = gpa >>> 2;"],
        inReach: `!(gpa & 7) && gpa >>> 0 === gpa - this.base && index >>> 1 < this.${bound(operation)}`,
        array: "this.u32",
      }),
      array: ({ bits }) => `this.u${bits}`,
      ok: "OK",
      slow: {
        tryRead: ({ constant }) => `this.#tryRead(${constant}, gpa, out)`,
        tryWrite: ({ constant }) => `this.#tryWrite(${constant}, gpa, value)`,
        tryWriteqFrom: 'this.#tryWrite(QUAD, gpa, checkOut(QUAD, source, "source")[0]!)',
        tryReadqHalves: "this.#tryReadHalves(gpa, out, at)",
        tryWriteqHalves: "this.#tryWriteHalves(gpa, low, high)",
        read: ({ constant }) => `this.#read(${constant}, gpa)`,
      },
    }),
  "lib/space/address-space.ts": tableAccessors,
  "lib/space/marking-writes.ts": markingTableWrites,
  "lib/space/general-access.ts": reachAccessors,
  "lib/space/policy-accessors.ts": spacePolicyClasses,
  "lib/space/policy-space-access.ts": policyReachAccessors,
  "lib/base/halves-access.ts": halvesAccessors,
  "lib/native/access.ts": nativeAccessors,
  "lib/native/policy-access.ts": nativePolicyAccessors,
  "lib/memory/policy-access.ts": flatPolicyClasses,
  "lib/memory/general-policy-access.ts": generalPolicyAccessors,
  "lib/space/native-access.ts": nativeSpaceAccessors,
  "lib/atomics/forms.ts": atomicForms,
  "lib/mmu/mmu.ts": translatedAccessors,
  "lib/mmu/native-access.ts": nativeMmuAccessors,
  "lib/mmu/halves.ts": mmuHalvesAccessors,
};

/** The field that bounds the fast accesses of a memory, in units of 64 bits. */
function bound(operation: "read" | "write"): string {
  return operation === "read" ? "quads" : "writeQuads";
}

const check = process.argv.includes("--check");
for (const [file, generate] of Object.entries(GENERATED)) {
  const path = join(ROOT, file);
  const before = readFileSync(path, "utf8");
  if ([...before.matchAll(REGION)].length !== 1) {
    throw new Error(`${file} must have one region of generated accessors`);
  }
  const text = before.replace(
    REGION,
    (_, start: string, end: string) => `${start}${generate()}\n${end}`,
  );
  const after = await format(text, { ...(await resolveConfig(path)), filepath: path });
  if (after === before) {
    continue;
  }
  if (check) {
    console.error(`${file} is not what scripts/generate gives: run npm run generate`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, after);
    console.log(`wrote ${file}`);
  }
}
