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
import { nativeAccessors, nativeSpaceAccessors } from "./generate/native.mjs";
import { inQuads, roundTrip, type ViewClass, viewAccessors, viewWrites } from "./generate/view.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const REGION = /(\/\/ #region generated: npm run generate\n)[^]*?(\n *\/\/ #endregion)/g;

/**
 * The parts that the classes with the hot paths share. `OK` is written as 0, which takes fewer bytes
 * of bytecode than a variable of the module.
 */
const HOT: Pick<ViewClass, "ok" | "slow" | "slowWrite"> = {
  ok: "0",
  slow: {
    tryRead: ({ suffix }) => `this.general.tryRead${suffix}(gpa, out)`,
    tryWrite: ({ suffix }) => `this.general.tryWrite${suffix}(gpa, value)`,
    tryWriteqFrom: "this.general.tryWriteqFrom(gpa, source)",
    read: ({ suffix }) => `this.general.read${suffix}(gpa)`,
  },
  slowWrite: ({ suffix }) => `this.general.write${suffix}(gpa, value)`,
};

/** The view path of flat RAM. */
const FLAT: ViewClass = {
  index: ({ shift }) => [`const index = gpa >>> ${shift};`],
  inReach: (row, operation) =>
    `${roundTrip(row, "index")} === gpa && ${inQuads(row)} < this.${bound(operation)}`,
  array: ({ bits }) => `this.u${bits}`,
  brand: "slots",
  ...HOT,
};

/** The text of the generated region of each file. */
const GENERATED: Readonly<Record<string, () => string>> = {
  "lib/memory/guest-memory.ts": () => viewAccessors(FLAT),
  "lib/memory/tracked-writes.ts": () =>
    viewWrites({
      ...FLAT,
      index: ({ shift }) => [
        `const index = gpa >>> ${shift};`,
        `const page = index >>> ${12 - shift};`,
        "const { marks } = this;",
      ],
      inReach: (row) => `${roundTrip(row, "index")} === gpa && marks[page] !== undefined`,
      stored: () => " marks[page] = 1;",
    }),
  "lib/memory/general-access.ts": () =>
    viewAccessors({
      index: ({ shift }) => [`const index = gpa >>> ${shift};`],
      inReach: (row, operation) =>
        `${roundTrip(row, "index")} === gpa - this.base && ${inQuads(row)} < this.${bound(operation)}`,
      array: ({ bits }) => `this.u${bits}`,
      brand: "slots",
      ok: "OK",
      slow: {
        tryRead: ({ constant }) => `this.#tryRead(${constant}, gpa, out)`,
        tryWrite: ({ constant }) => `this.#tryWrite(${constant}, gpa, value)`,
        tryWriteqFrom: 'this.#tryWrite(QUAD, gpa, checkOut(QUAD, source, "source")[0]!)',
        read: ({ constant }) => `this.#read(${constant}, gpa)`,
      },
    }),
  "lib/space/address-space.ts": () =>
    viewAccessors({
      aligned: (row) =>
        row.shift === 0
          ? { before: "const address = gpa >>> 0;", condition: "address === gpa" }
          : {
              before: `const unit = gpa >>> ${row.shift};`,
              condition: `${roundTrip(row, "unit")} === gpa`,
            },
      // Below the start of that RAM, the index is negative, and as unsigned it exceeds every bound.
      index: ({ shift }) =>
        shift === 0
          ? ["const index = (address - this.first8) >>> 0;"]
          : [`const index = unit - this.first${8 << shift};`],
      inReach: (row, operation) =>
        `${row.shift === 3 ? "index >>> 0" : inQuads(row)} < this.${operation}Quads`,
      array: ({ bits }) => `this.u${bits}`,
      brand: "isView",
      ...HOT,
    }),
  "lib/space/general-access.ts": () =>
    viewAccessors({
      index: ({ shift }, operation) => [
        `const offset = gpa - this.${operation}Base;`,
        `const index = offset >>> ${shift};`,
      ],
      inReach: (row, operation) =>
        `${roundTrip(row, "index")} === offset && ${inQuads(row)} < this.${operation}Quads`,
      array: ({ bits }, operation) => `this.${operation === "read" ? "r" : "w"}${bits}`,
      brand: "slots",
      stored: () => " const { marks } = this; if (marks !== null) { marks[offset >>> 12] = 1; }",
      ok: "OK",
      slow: {
        tryRead: ({ constant }) => `this.#tryRead(SPACE_${constant}, gpa, out)`,
        tryWrite: ({ constant }) => `this.#tryWrite(SPACE_${constant}, gpa, value)`,
        tryWriteqFrom: 'this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!)',
        read: ({ constant }) => `this.#read(SPACE_${constant}, gpa)`,
      },
    }),
  "lib/native/access.ts": nativeAccessors,
  "lib/space/native-access.ts": nativeSpaceAccessors,
  "lib/atomics/forms.ts": atomicForms,
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
