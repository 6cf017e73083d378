import { QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** How the accessors of one class of the view path find the bytes of an access. */
export interface ViewClass {
  /** Statements that compute `index`, the element of the access, from `gpa`. */
  readonly index: (row: WidthRow, operation: "read" | "write") => readonly string[];
  /** A condition to check before `index` is computed, and the statements before the condition. */
  readonly aligned?: (row: WidthRow) => { readonly before: string; readonly condition: string };
  /** The condition that the access is aligned and within the typed arrays. */
  readonly inReach: (row: WidthRow, operation: "read" | "write") => string;
  /** The typed array of a width. */
  readonly array: (row: WidthRow, operation: "read" | "write") => string;
  /**
   * How to refuse objects that only have the prototype of a typed array: by reading an internal
   * slot, which throws, or by `ArrayBuffer.isView`, which takes fewer bytes of bytecode.
   */
  readonly brand: "slots" | "isView";
  /** The statements after a store. */
  readonly stored?: (row: WidthRow) => string;
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

/** The accessors of one class of the view path. */
export function viewAccessors(path: ViewClass): string {
  return [
    ...WIDTHS.map((row) => tryRead(path, row)),
    ...tryWrites(path),
    ...WIDTHS.map((row) => read(path, row)),
    ...WIDTHS.map((row) => write(path, row)),
  ].join("\n\n");
}

/** The writing accessors of one class of the view path. */
export function viewWrites(path: ViewClass): string {
  return [...tryWrites(path), ...WIDTHS.map((row) => write(path, row))].join("\n\n");
}

function tryWrites(path: ViewClass): string[] {
  return [...WIDTHS.map((row) => tryWrite(path, row)), tryWriteqFrom(path)];
}

function tryRead(path: ViewClass, row: WidthRow): string {
  const { suffix, out } = row;
  const fast = load(path, row, `out[0] = value; return ${path.ok};`);
  const body =
    path.brand === "slots"
      ? whereBranded(`
        if (typeof gpa === "number" && out[0] !== undefined && out instanceof ${out}) {
          this.checkSlots(out);
          ${fast.trim()}
        }`)
      : `
      if (
        typeof gpa === "number" &&
        this.isView(out) &&
        out[0] !== undefined &&
        out instanceof ${out}
      ) {
        ${fast}
      }`;
  return `
  tryRead${suffix}(gpa: Gpa, out: ${out}): GuestMemAccessResult {
    ${body}
    return ${path.slow.tryRead(row)};
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
    if (typeof gpa === "number") {
      ${load(path, row, "return value;")}
    }
    return ${path.slow.read(row)};
  }`;
}

function load(path: ViewClass, row: WidthRow, then: string): string {
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

function whereAligned(path: ViewClass, row: WidthRow, statements: string): string {
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
    if (typeof gpa === "number" && ${row.fits}) {
      ${store(path, row, `return ${path.ok};`)}
    }
    return ${path.slow.tryWrite(row)};
  }`;
}

function tryWriteqFrom(path: ViewClass): string {
  const fast = store(path, QUAD_ROW, `return ${path.ok};`);
  const body =
    path.brand === "slots"
      ? whereBranded(`
        if (typeof gpa === "number") {
          const value = source[0];
          if (value !== undefined && source instanceof BigUint64Array) {
            this.checkSlots(source);
            ${fast.trim()}
          }
        }`)
      : `
      if (typeof gpa === "number" && this.isView(source)) {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          ${fast.trim()}
        }
      }`;
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
    if (typeof gpa === "number" && ${row.fits}) {
      ${store(path, row, "return;")}
    }
    ${path.slowWrite(row)};
  }`;
}

function store(path: ViewClass, row: WidthRow, then: string): string {
  // A variable, since two loads of the field would take five more bytes of bytecode.
  return whereAligned(
    path,
    row,
    `
      ${path.index(row, "write").join("\n")}
      const cells = ${path.array(row, "write")};
      if (${path.inReach(row, "write")} && cells[index] !== undefined) {
        cells[index] = value;${path.stored?.(row) ?? ""}
        ${then}
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
