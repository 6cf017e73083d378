import { fits, LONG_ROW, QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** How the accessors of one class of the view path find the bytes of an access. */
export type ViewClass = Accessors & (Branching | Selecting);

/** Accessors that branch to the slow path at each check. */
interface Branching {
  readonly select?: undefined;
  /** Statements that compute `index`, the element of the access, from `gpa`. */
  readonly index: (row: WidthRow, operation: "read" | "write") => readonly string[];
  /** The condition that the access is aligned and within the typed arrays. */
  readonly inReach: (row: WidthRow, operation: "read" | "write") => string;
  /**
   * As `index`, `inReach` and `array`, for 64 bits as two elements of 32 bits: `index` is the one
   * of the low half. That both elements exist is checked elsewhere.
   */
  readonly halves: (operation: "read" | "write") => {
    readonly before: readonly string[];
    readonly inReach: string;
    readonly array: string;
  };
}

/**
 * Accessors that use an index which no typed array has if a check fails. Their only branch to the
 * slow path is that the typed array does not have the index.
 */
interface Selecting {
  /** The element of an access to the integer `gpa` from 0 to 2^32 - 1. */
  readonly select: (row: WidthRow) => string;
  /** As `select`, for the low half of 64 bits as two elements of 32 bits. */
  readonly selectHalves: string;
}

interface Accessors {
  /** The typed array of a width. */
  readonly array: (row: WidthRow, operation: "read" | "write") => string;
  /** The statements after a store. */
  readonly stored?: string;
  /** The result code of a successful access. */
  readonly ok: string;
  /** The expressions for all accesses that are not within the typed arrays. */
  readonly slow: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow) => string;
    readonly tryWriteqFrom: string;
    readonly tryReadqHalves: string;
    readonly tryWriteqHalves: string;
    readonly read: (row: WidthRow) => string;
  };
  /** The expression for the reason of a fault; by default, the result code determines it. */
  readonly reason?: string;
  /** The throwing form's slow write; by default it calls the `try…` form. */
  readonly slowWrite?: (row: WidthRow) => string;
}

const NUMBER = 'typeof gpa === "number"';

/** The accessors of one class of the view path. */
export function viewAccessors(path: ViewClass): string {
  return [
    ...WIDTHS.map((row) => tryRead(path, row)),
    ...tryWrites(path),
    ...WIDTHS.map((row) => read(path, row)),
    ...WIDTHS.map((row) => write(path, row)),
    tryReadqHalves(path),
    tryWriteqHalves(path),
    ...throwingHalves(),
  ].join("\n\n");
}

/** The accessors of `BigEndianAccess`, which call those of another object. */
export function forwardingAccessors(): string {
  const tries = WIDTHS.flatMap(({ suffix, out, value }): [string, string, string][] => [
    [`tryRead${suffix}`, `out: ${out}`, "GuestMemAccessResult"],
    [`tryWrite${suffix}`, `value: ${value}`, "GuestMemAccessResult"],
    [`read${suffix}`, "", value],
    [`write${suffix}`, `value: ${value}`, "void"],
  ]);
  const [outHalves, halves] = ["out: Uint32Array, at: number", "low: number, high: number"];
  const all: [name: string, parameters: string, result: string][] = [
    ...tries,
    ["tryWriteqFrom", "source: BigUint64Array", "GuestMemAccessResult"],
    ["tryReadqHalves", outHalves, "GuestMemAccessResult"],
    ["tryWriteqHalves", halves, "GuestMemAccessResult"],
    ["readqHalves", outHalves, "void"],
    ["writeqHalves", halves, "void"],
  ];
  return all
    .map(([name, parameters, result]) => {
      const names = ["gpa", ...parameters.split(", ").filter((one) => one !== "")];
      const given = names.map((one) => one.replace(/:.*/, "")).join(", ");
      const parts = ["gpa: Gpa", ...names.slice(1)].join(", ");
      return `
  ${name}(${parts}): ${result} {
    ${result === "void" ? "" : "return "}this.byView().${name}(${given});
  }`;
    })
    .join("\n");
}

/** The writing accessors of one class of the view path. */
export function viewWrites(path: ViewClass): string {
  return [...tryWrites(path), ...WIDTHS.map((row) => write(path, row)), tryWriteqHalves(path)].join(
    "\n\n",
  );
}

function tryWrites(path: ViewClass): string[] {
  return [...WIDTHS.map((row) => tryWrite(path, row)), tryWriteqFrom(path)];
}

function tryRead(path: ViewClass, row: WidthRow): string {
  const { suffix, out } = row;
  const branded = ["out[0] !== undefined", `out instanceof ${out}`];
  const then = `out[0] = value; return ${path.ok};`;
  const body = whereBranded(
    where(
      path,
      numberInTry(path),
      branded,
      (valid) => `
      this.checkSlots(out);
      ${load(path, row, valid, then).trim()}`,
    ),
  );
  return `
  tryRead${suffix}(gpa: ${gpaInTry(path)}, out: ${out}): GuestMemAccessResult {
    ${body}
    return ${path.slow.tryRead(row)};
  }`;
}

/**
 * Statements for arguments that satisfy conditions. If the class selects its index, the statements
 * must check `valid` themselves.
 */
function where(
  path: ViewClass,
  valid: string,
  others: readonly string[],
  statements: (valid: string) => string,
): string {
  const conditions = [...(path.select === undefined ? [valid] : []), ...others];
  return conditions.length === 0
    ? statements(valid)
    : `
    if (${conditions.join(" && ")}) {
      ${statements(valid)}
    }`;
}

/** Statements that throw if an object is not a typed array. */
function whereBranded(statements: string): string {
  return `
    try {
      ${statements}
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }`;
}

function read(path: ViewClass, row: WidthRow): string {
  return `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    ${where(path, NUMBER, [], (valid) => load(path, row, valid, "return value;"))}
    return ${path.slow.read(row)};
  }`;
}

function load(path: ViewClass, row: WidthRow, valid: string, then: string): string {
  if (path.select !== undefined) {
    return `
      ${selectIndex(path.select(row), valid)}
      const cells = ${path.array(row, "read")};
      if (index in cells) {
        const value = cells[index]!;
        ${then}
      }`;
  }
  return `
      ${path.index(row, "read").join("\n")}
      if (${path.inReach(row, "read")}) {
        const value = ${path.array(row, "read")}[index];
        if (value !== undefined) { ${then} }
      }`;
}

/** @param valid - Further conditions on the arguments. */
function selectIndex(index: string, valid: string): string {
  const conditions = [valid, "gpa >>> 0 === gpa"].filter((condition) => condition !== "");
  return `const index = ${conditions.join(" && ")} ? ${index} : -1;`;
}

/**
 * The condition on the type of `gpa` in an accessor with a try. A shift throws if `gpa` is a
 * bigint, and the condition takes six bytes of bytecode, so an accessor that begins with a shift
 * has none.
 */
function numberInTry(path: ViewClass): string {
  return path.select === undefined ? NUMBER : "";
}

/** The type of `gpa` in such an accessor. */
function gpaInTry(path: ViewClass): string {
  return path.select === undefined ? "Gpa" : "number";
}

function tryWrite(path: ViewClass, row: WidthRow): string {
  return `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    ${whereFits(path, row, `return ${path.ok};`)}
    return ${path.slow.tryWrite(row)};
  }`;
}

function whereFits(path: ViewClass, row: WidthRow, then: string): string {
  const { before, condition } = fitting(path, row, "value");
  const body = where(path, `${NUMBER} && ${condition}`, [], (valid) =>
    store(path, row, valid, then),
  );
  return `${before} ${body}`;
}

/**
 * The condition that the width can hold a variable, and the statements before it.
 *
 * An operation that has never run makes V8 compile a branch out of the caller's loop. Therefore the
 * accessors that select their index compute the conditions of both signs.
 */
function fitting(
  path: ViewClass,
  row: WidthRow,
  variable: string,
): { readonly before: string; readonly condition: string } {
  if (path.select === undefined || row.holds.length === 1) {
    return { before: "", condition: fits(row, variable) };
  }
  const names = ["Unsigned", "Signed"].map((sign) => `${variable}${sign}`);
  const before = names.map((name, i) => `const ${name} = ${fits(row, variable, [row.holds[i]!])};`);
  return { before: before.join("\n"), condition: `(${names.join(" || ")})` };
}

function tryWriteqFrom(path: ViewClass): string {
  const then = `return ${path.ok};`;
  const branded = ["value !== undefined", "source instanceof BigUint64Array"].join(" && ");
  const body = whereBranded(
    where(
      path,
      numberInTry(path),
      [],
      (valid) => `
      const value = source[0];
      if (${branded}) {
        this.checkSlots(source);
        ${store(path, QUAD_ROW, valid, then).trim()}
      }`,
    ),
  );
  return `
  tryWriteqFrom(gpa: ${gpaInTry(path)}, source: BigUint64Array): GuestMemAccessResult {
    ${body}
    return ${path.slow.tryWriteqFrom};
  }`;
}

function write(path: ViewClass, row: WidthRow): string {
  const head = `write${row.suffix}(gpa: Gpa, value: ${row.value}): void {`;
  if (path.slowWrite === undefined) {
    const reason = path.reason === undefined ? "" : `, ${path.reason}`;
    return `
  ${head}
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write"${reason});
    }
  }`;
  }
  return `
  ${head}
    ${whereFits(path, row, "return;")}
    ${path.slowWrite(row)};
  }`;
}

function store(path: ViewClass, row: WidthRow, valid: string, then: string): string {
  const stores = `cells[index] = value;${path.stored ?? ""} ${then}`;
  // A variable, since two loads of the field would take five more bytes of bytecode.
  const cells = `const cells = ${path.array(row, "write")};`;
  if (path.select !== undefined) {
    return `
      ${selectIndex(path.select(row), valid)}
      ${cells}
      if (index in cells) { ${stores} }`;
  }
  return `
      ${path.index(row, "write").join("\n")}
      ${cells}
      if (${path.inReach(row, "write")} && cells[index] !== undefined) {
        ${stores}
      }`;
}

// Short code is worth more here than the order of the statements: with the accessors of the other
// widths, these must fit into the 920 bytes of bytecode. Therefore `at` is not optional, `isView`
// replaces `checkSlots` and its try, and `!` replaces the comparison with 0.

interface HalvesPath {
  /** Conditions to check before the other statements. */
  readonly valid: readonly string[];
  /** Statements that compute `index`. */
  readonly before: readonly string[];
  /** The condition that `cells` has the low half. */
  readonly inReach: string;
  readonly array: string;
}

function halvesOf(path: ViewClass, operation: "read" | "write", valid: string): HalvesPath {
  return path.select === undefined
    ? { valid: [valid], ...path.halves(operation) }
    : {
        valid: [],
        before: [selectIndex(path.selectHalves, valid)],
        inReach: "index in cells",
        array: path.array(LONG_ROW, operation),
      };
}

function tryReadqHalves(path: ViewClass): string {
  const { valid, before, inReach, array } = halvesOf(path, "read", NUMBER);
  const places = [
    "out[at] !== undefined",
    "out[at + 1] !== undefined",
    "out instanceof Uint32Array",
  ];
  const load = `
      ${before.join("\n")}
      const cells = ${array};
      if (${inReach}) {
        const high = cells[index + 1];
        if (high !== undefined) {
          out[at] = cells[index]!;
          out[at + 1] = high;
          return ${path.ok};
        }
      }`;
  const conditions = (isView: readonly string[]) =>
    [...valid, 'typeof at === "number"', ...isView, ...places].join(" && ");
  const body =
    path.select === undefined
      ? `if (${conditions(["this.isView(out)"])}) { ${load} }`
      : whereBranded(`if (${conditions([])}) { this.checkSlots(out); ${load.trim()} }`);
  return `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    ${body}
    return ${path.slow.tryReadqHalves};
  }`;
}

function tryWriteqHalves(path: ViewClass): string {
  const low = fitting(path, LONG_ROW, "low");
  const high = fitting(path, LONG_ROW, "high");
  const fit = `${NUMBER} && ${low.condition} && ${high.condition}`;
  const { valid, before, inReach, array } = halvesOf(path, "write", fit);
  const store = `
      ${low.before} ${high.before} ${before.join("\n")}
      const cells = ${array};
      if (${inReach} && cells[index + 1] !== undefined) {
        cells[index] = low;
        cells[index + 1] = high;${path.stored ?? ""}
        return ${path.ok};
      }`;
  return `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    ${valid.length === 0 ? store : `if (${valid.join(" && ")}) { ${store} }`}
    return ${path.slow.tryWriteqHalves};
  }`;
}

/** The throwing forms of the halves, which are the same on both paths. */
export function throwingHalves(reason = ""): string[] {
  return [
    `
  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read"${reason});
    }
  }`,
    `
  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write"${reason});
    }
  }`,
  ];
}

/**
 * The address of element `index`. It equals `gpa` if that was aligned. A product takes three bytes
 * of bytecode less than a shift and its conversion to unsigned.
 */
export function roundTrip(row: WidthRow, index: string): string {
  return row.shift === 0 ? index : `${index} * ${row.bytes}`;
}

/** An index of the width in units of 64 bits. */
export function inQuads(row: WidthRow): string {
  return row.shift === 3 ? "index" : `index >>> ${3 - row.shift}`;
}
