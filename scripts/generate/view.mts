import { QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** How the accessors of one class of the view path find the bytes of an access. */
export type ViewClass = Accessors & (Branching | Selecting);

/** Accessors that branch to the slow path at each check. */
interface Branching {
  readonly select?: undefined;
  /** Statements that compute `index`, the element of the access, from `gpa`. */
  readonly index: (row: WidthRow, operation: "read" | "write") => readonly string[];
  /** A condition to check before `index` is computed, and the statements before the condition. */
  readonly aligned?: (row: WidthRow) => { readonly before: string; readonly condition: string };
  /** The condition that the access is aligned and within the typed arrays. */
  readonly inReach: (row: WidthRow, operation: "read" | "write") => string;
}

/**
 * Accessors that use an index which no typed array has if a check fails. Their only branch to the
 * slow path is that the typed array does not have the index.
 */
interface Selecting {
  /** The element of an access to the integer `gpa` from 0 to 2^32 - 1. */
  readonly select: (row: WidthRow) => string;
}

interface Accessors {
  /** The typed array of a width. */
  readonly array: (row: WidthRow, operation: "read" | "write") => string;
  /**
   * How to refuse objects that only have the prototype of a typed array: by reading an internal
   * slot, which throws, or by `ArrayBuffer.isView`, which takes fewer bytes of bytecode.
   */
  readonly brand: "slots" | "isView";
  /** The statements after a store. */
  readonly stored?: string;
  /** The result code of a successful access. */
  readonly ok: string;
  /** The expressions for all accesses that are not within the typed arrays. */
  readonly slow: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow) => string;
    readonly tryWriteqFrom: string;
    readonly read: (row: WidthRow) => string;
  };
  /** The throwing form's slow write; by default it calls the `try…` form. */
  readonly slowWrite?: (row: WidthRow) => string;
}

const NUMBER = 'typeof gpa === "number"';

/** The accessors of one class of the view path. */
export function viewAccessors(path: ViewClass): string {
  return [
    ...WIDTHS.map((row) => tryRead(path, row)),
    ...WIDTHS.map((row) => tryWrite(path, row)),
    tryWriteqFrom(path),
    ...WIDTHS.map((row) => read(path, row)),
    ...WIDTHS.map((row) => write(path, row)),
  ].join("\n\n");
}

function tryRead(path: ViewClass, row: WidthRow): string {
  const { suffix, out } = row;
  const branded = ["out[0] !== undefined", `out instanceof ${out}`];
  const then = `out[0] = value; return ${path.ok};`;
  const body =
    path.brand === "slots"
      ? whereBranded(
          where(
            path,
            NUMBER,
            branded,
            (valid) => `
            this.checkSlots(out);
            ${load(path, row, valid, then).trim()}`,
          ),
        )
      : where(path, NUMBER, ["this.isView(out)", ...branded], (valid) =>
          load(path, row, valid, then),
        );
  return `
  tryRead${suffix}(gpa: Gpa, out: ${out}): GuestMemAccessResult {
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
  return whereAligned(
    path,
    row,
    `
      ${path.index(row, "read").join("\n")}
      if (${path.inReach(row, "read")}) {
        const value = ${path.array(row, "read")}[index];
        if (value !== undefined) { ${then} }
      }`,
  );
}

function selectIndex(index: string, valid: string): string {
  return `const index = ${valid} && gpa >>> 0 === gpa ? ${index} : -1;`;
}

function whereAligned(path: Branching, row: WidthRow, statements: string): string {
  if (path.aligned === undefined) {
    return statements;
  }
  const { before, condition } = path.aligned(row);
  return `
      ${before}
      if (${condition}) {
        ${statements}
      }`;
}

function tryWrite(path: ViewClass, row: WidthRow): string {
  return `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    ${whereFits(path, row, `return ${path.ok};`)}
    return ${path.slow.tryWrite(row)};
  }`;
}

function whereFits(path: ViewClass, row: WidthRow, then: string): string {
  return where(path, `${NUMBER} && ${row.fits}`, [], (valid) => store(path, row, valid, then));
}

function tryWriteqFrom(path: ViewClass): string {
  const then = `return ${path.ok};`;
  const branded = ["value !== undefined", "source instanceof BigUint64Array"].join(" && ");
  const body =
    path.brand === "slots"
      ? whereBranded(
          where(
            path,
            NUMBER,
            [],
            (valid) => `
            const value = source[0];
            if (${branded}) {
              this.checkSlots(source);
              ${store(path, QUAD_ROW, valid, then).trim()}
            }`,
          ),
        )
      : where(
          path,
          NUMBER,
          ["this.isView(source)"],
          (valid) => `
          const value = source[0];
          if (${branded}) {
            ${store(path, QUAD_ROW, valid, then).trim()}
          }`,
        );
  return `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    ${body}
    return ${path.slow.tryWriteqFrom};
  }`;
}

function write(path: ViewClass, row: WidthRow): string {
  const head = `write${row.suffix}(gpa: Gpa, value: ${row.value}): void {`;
  if (path.slowWrite === undefined) {
    return `
  ${head}
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write");
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
  return whereAligned(
    path,
    row,
    `
      ${path.index(row, "write").join("\n")}
      ${cells}
      if (${path.inReach(row, "write")} && cells[index] !== undefined) {
        ${stores}
      }`,
  );
}

/** The address of element `index`. It equals `gpa` if that was aligned. */
export function roundTrip(row: WidthRow, index: string): string {
  return row.shift === 0 ? index : `(${index} << ${row.shift}) >>> 0`;
}

/** An index of the width in units of 64 bits. */
export function inQuads(row: WidthRow): string {
  return row.shift === 3 ? "index" : `index >>> ${3 - row.shift}`;
}
