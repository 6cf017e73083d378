import { withFetches } from "./fetches.mjs";
import { throwingHalves } from "./view.mjs";
import { fits, LONG_ROW, QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** How a class of the native path calls C++. */
interface NativeClass {
  /** The statement that calls the guards of a write, before the call block gets the value. */
  readonly guard: (row: WidthRow) => string;
  /** The statements that make the call, once the call block has the value. */
  readonly call: (row: WidthRow, operation: "read" | "write") => string;
  /** The result code of a write, after the marks of its pages. */
  readonly written: (row: WidthRow) => string;
  /** The statement that throws if a result code is not `OK`. */
  readonly check: (code: string, row: WidthRow, operation: "read" | "write") => string;
}

/** The accessors of `NativeAccess`: each stores its arguments in the call block and calls C++. */
export function nativeAccessors(): string {
  return accessors({
    guard: ({ bytes }) => `if (this.marks.guards !== null) { this.callGuards(gpa, ${bytes}); }`,
    call: ({ suffix }, operation) => `this.prepare(gpa); ${operation}${suffix}();`,
    written: () => "this.marks.dirty === null ? result() : this.mark(gpa)",
    check: (code, { constant }, operation) =>
      `this.#check(${code}, ${constant}, gpa, "${operation}");`,
  });
}

/** The accessors of `NativePolicyAccess`. All of them call one function of C++. */
export function nativePolicyAccessors(): string {
  return accessors({
    guard: ({ bytes }) =>
      `if (this.access.marks.guards !== null) { this.callGuards(gpa, ${bytes}); }`,
    // The kind is the number in `OpKind`, which takes fewer bytes of bytecode.
    call: ({ shift }, operation) =>
      `this.prepare(gpa, ${operation === "read" ? shift : shift + 4}); accessUnderPolicy();`,
    written: ({ bytes }) =>
      `this.access.marks.dirty === null ? result() : this.access.mark(gpa, ${bytes})`,
    check: (code, { bytes }, operation) => `check(${code}, ${bytes}, gpa, "${operation}");`,
  });
}

function accessors({ guard, call, written, check }: NativeClass): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof ${row.out})) {
      checkOut(${row.constant}, out, "out");
    }
    ${call(row, "read")}
    const code = result();
    if (code === OK) {
      out[0] = ${cell(row)}!;
    }
    return code;
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    const checked = ${checked(row)};
    ${guard(row)}
    ${cell(row)} = checked;
    ${call(row, "write")}
    return ${written(row)};
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    ${guard(QUAD_ROW)}
    ${cell(QUAD_ROW)} = value;
    ${call(QUAD_ROW, "write")}
    return ${written(QUAD_ROW)};
  }`,
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    ${call(row, "read")}
    ${check("result()", row, "read")}
    return ${cell(row)}!;
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    ${check(`this.tryWrite${row.suffix}(gpa, value)`, row, "write")}
  }`,
    ),
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (${NO_HALVES}) {
      checkHalvesOut(out, at);
    }
    ${call(QUAD_ROW, "read")}
    const code = result();
    if (code === OK) {
      out[at] = block32[VALUE_LOW32]!;
      out[at + 1] = block32[VALUE_HIGH32]!;
    }
    return code;
  }`,
    `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    const checkedLow = ${checkedHalf("low")};
    const checkedHigh = ${checkedHalf("high")};
    ${guard(QUAD_ROW)}
    block32[VALUE_LOW32] = checkedLow;
    block32[VALUE_HIGH32] = checkedHigh;
    ${call(QUAD_ROW, "write")}
    return ${written(QUAD_ROW)};
  }`,
    ...throwingHalves(),
  ].join("\n\n");
}

/** The condition that `out` cannot receive two halves at `at`. */
const NO_HALVES =
  'typeof at !== "number" || !isView(out) || out[at] === undefined || out[at + 1] === undefined || !(out instanceof Uint32Array)';

/** The expression that checks half of a value. */
function checkedHalf(half: "low" | "high"): string {
  return `${fits(LONG_ROW, half)} ? ${half} : LONG.checkValue(${half}, "${half}")`;
}

/** The field of the call block for a value of the width. */
function cell({ bits }: WidthRow): string {
  return `block${bits}[VALUE${bits}]`;
}

/** The value of a write, after its check. The store wraps a signed one. */
function checked(row: WidthRow): string {
  const { constant } = row;
  return constant === "QUAD"
    ? "QUAD.checkValue(value)"
    : `${fits(row)} ? value : ${constant}.checkValue(value)`;
}

/**
 * How a class finds out that C++ can make an access through a page table, and what else it does.
 */
interface NativeTable {
  /** Statements that call C++ if it may make the access, after `before`; and `made` if it did. */
  readonly call: (
    row: WidthRow,
    operation: "read" | "write",
    made: string,
    before?: string,
  ) => string;
  /** The expressions for the accesses that C++ has not made. */
  readonly slow: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow, value: string) => string;
    readonly tryReadqHalves: string;
    readonly read: (row: WidthRow) => string;
  };
  /** The statements of a write that throws. */
  readonly write: (row: WidthRow) => string;
  /** The throwing accessors with halves. */
  readonly throwingHalves: readonly string[];
}

/**
 * The accessors of `NativeSpaceAccess`: C++ looks the address up in the page table. The slow path
 * makes the accesses that C++ refuses.
 */
export function nativeSpaceAccessors(): string {
  const reason = ", this.#bus.outcome.reason";
  return throughTable({
    call: ({ suffix }, operation, made, before = "") => `if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && (this.${operation}s[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        ${before}
        space${operation === "read" ? "Read" : "Write"}${suffix}();
        if (block[RESULT32] === OK) { ${made} }
      }
    }`,
    slow: {
      tryRead: (row) => `this.tryRead${kindOf(row)}(SPACE_${row.constant}, gpa, out)`,
      tryWrite: (row, value) => `this.tryWrite${kindOf(row)}(SPACE_${row.constant}, gpa, ${value})`,
      tryReadqHalves: "this.#tryReadHalves(gpa, out, at)",
      read: (row) => `this.read${kindOf(row)}(SPACE_${row.constant}, gpa)`,
    },
    write: ({ suffix, bytes }) => `const result = this.tryWrite${suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${bytes}, "write"${reason});
    }`,
    throwingHalves: throwingHalves(reason),
  });
}

/** The part of a name of a method for values of the width's type. */
function kindOf({ bytes }: WidthRow): "Number" | "" {
  return bytes === 8 ? "" : "Number";
}

/**
 * The accessors of `NativeMmuAccess`: C++ translates the address by the TLB, and looks it up in the
 * page table.
 */
export function nativeMmuAccessors(): string {
  const check = (result: string): string => `this.general.check(${result}, gpa);`;
  const accessors = throughTable({
    call: ({ suffix }, operation, made, before = "") => `if (this.prepare(gpa)) {
      const block = block32;
      ${before}
      mmu${operation === "read" ? "Read" : "Write"}${suffix}();
      if (block[RESULT32] === OK) { ${made} }
    }`,
    slow: {
      tryRead: ({ shift }) => `this.general.tryRead(${shift}, gpa, out)`,
      tryWrite: ({ shift }, value) => `this.general.tryWrite(${shift}, gpa, ${value})`,
      tryReadqHalves: "this.general.tryReadqHalves(gpa, out, at)",
      read: ({ shift }) =>
        shift === 3 ? "this.general.readQuad(gpa)" : `this.general.read(${shift}, gpa)`,
    },
    write: ({ suffix }) => check(`this.tryWrite${suffix}(gpa, value)`),
    throwingHalves: [
      `
  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    ${check("this.tryReadqHalves(gpa, out, at)")}
  }`,
      `
  writeqHalves(gpa: Gpa, low: number, high: number): void {
    ${check("this.tryWriteqHalves(gpa, low, high)")}
  }`,
    ],
  });
  return withFetches(accessors, (text) => text.replace(/\bmmuRead/, "mmuFetch"));
}

function throughTable({ call, slow, write, throwingHalves }: NativeTable): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof ${row.out})) {
      checkOut(${row.constant}, out, "out");
    }
    ${call(row, "read", `out[0] = ${cell(row)}!; return OK;`)}
    return ${slow.tryRead(row)};
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    const checked = ${checked(row)};
    ${call(row, "write", "return OK;", `${cell(row)} = checked;`)}
    return ${slow.tryWrite(row, "checked")};
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    ${call(QUAD_ROW, "write", "return OK;", `${cell(QUAD_ROW)} = value;`)}
    return ${slow.tryWrite(QUAD_ROW, "value")};
  }`,
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    ${call(row, "read", `return ${cell(row)}!;`)}
    return ${slow.read(row)};
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    ${write(row)}
  }`,
    ),
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (${NO_HALVES}) {
      checkHalvesOut(out, at);
    }
    ${call(QUAD_ROW, "read", "out[at] = block[VALUE_LOW32]!; out[at + 1] = block[VALUE_HIGH32]!; return OK;")}
    return ${slow.tryReadqHalves};
  }`,
    `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    const checkedLow = ${checkedHalf("low")};
    const checkedHigh = ${checkedHalf("high")};
    ${call(QUAD_ROW, "write", "return OK;", "block[VALUE_LOW32] = checkedLow; block[VALUE_HIGH32] = checkedHigh;")}
    return ${slow.tryWrite(QUAD_ROW, "quadOf(checkedLow, checkedHigh)")};
  }`,
    ...throwingHalves,
  ].join("\n\n");
}
