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
 * The accessors of `NativeSpaceAccess`: C++ looks the address up in the page table. The slow path
 * makes the accesses that C++ refuses.
 */
export function nativeSpaceAccessors(): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof ${row.out})) {
      checkOut(${row.constant}, out, "out");
    }
    if (typeof gpa === "number") {
      ${call(`spaceRead${row.suffix}`, "reads", `out[0] = ${cell(row)}!; return OK;`)}
    }
    return this.tryRead(SPACE_${row.constant}, gpa, out);
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    const checked = ${checked(row)};
    if (typeof gpa === "number") {
      ${call(`spaceWrite${row.suffix}`, "writes", "return OK;", `${cell(row)} = checked;`)}
    }
    return this.tryWrite(SPACE_${row.constant}, gpa, checked);
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (typeof gpa === "number") {
      ${call("spaceWriteq", "writes", "return OK;", `${cell(QUAD_ROW)} = value;`)}
    }
    return this.tryWrite(SPACE_QUAD, gpa, value);
  }`,
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    if (typeof gpa === "number") {
      ${call(`spaceRead${row.suffix}`, "reads", `return ${cell(row)}!;`)}
    }
    return this.read(SPACE_${row.constant}, gpa);
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write", this.#bus.outcome.reason);
    }
  }`,
    ),
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (${NO_HALVES}) {
      checkHalvesOut(out, at);
    }
    if (typeof gpa === "number") {
      ${call("spaceReadq", "reads", "out[at] = block[VALUE_LOW32]!; out[at + 1] = block[VALUE_HIGH32]!; return OK;")}
    }
    return this.#tryReadHalves(gpa, out, at);
  }`,
    `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    const checkedLow = ${checkedHalf("low")};
    const checkedHigh = ${checkedHalf("high")};
    if (typeof gpa === "number") {
      ${call("spaceWriteq", "writes", "return OK;", "block[VALUE_LOW32] = checkedLow; block[VALUE_HIGH32] = checkedHigh;")}
    }
    return this.tryWrite(SPACE_QUAD, gpa, quadOf(checkedLow, checkedHigh));
  }`,
    ...throwingHalves(", this.#bus.outcome.reason"),
  ].join("\n\n");
}

/**
 * A call of C++ with an address of an open page, and the statements for an access that C++ made.
 */
function call(accessor: string, entries: "reads" | "writes", made: string, before = ""): string {
  return `
      const address = gpa >>> 0;
      if (address === gpa && (this.${entries}[address >>> this.shift]! & 1) !== 0) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        ${before}
        ${accessor}();
        if (block[RESULT32] === OK) { ${made} }
      }`;
}
