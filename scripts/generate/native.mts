import { QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** How a class of the native path calls C++. */
interface NativeClass {
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
    call: ({ suffix }, operation) => `this.prepare(gpa); ${operation}${suffix}();`,
    written: () => "this.marks.dirty === null ? result() : this.mark(gpa)",
    check: (code, { constant }, operation) =>
      `this.#check(${code}, ${constant}, gpa, "${operation}");`,
  });
}

/** The accessors of `NativePolicyAccess`. All of them call one function of C++. */
export function nativePolicyAccessors(): string {
  return accessors({
    // The kind is the number in `OpKind`, which takes fewer bytes of bytecode.
    call: ({ shift }, operation) =>
      `this.prepare(gpa, ${operation === "read" ? shift : shift + 4}); accessUnderPolicy();`,
    written: ({ bytes }) =>
      `this.access.marks.dirty === null ? result() : this.access.mark(gpa, ${bytes})`,
    check: (code, { bytes }, operation) => `check(${code}, ${bytes}, gpa, "${operation}");`,
  });
}

function accessors({ call, written, check }: NativeClass): string {
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
    ${cell(row)} = ${checked(row)};
    ${call(row, "write")}
    return ${written(row)};
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    ${cell(QUAD_ROW)} =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
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
  ].join("\n\n");
}

/** The field of the call block for a value of the width. */
function cell({ bits }: WidthRow): string {
  return `block${bits}[VALUE${bits}]`;
}

/** The value of a write, after its check. The store wraps a signed one. */
function checked({ constant, fits }: WidthRow): string {
  return constant === "QUAD"
    ? "QUAD.checkValue(value)"
    : `${fits} ? value : ${constant}.checkValue(value)`;
}

/** The accessors of `NativeSpaceAccess`: those of the memory of the address range used last. */
export function nativeSpaceAccessors(): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryRead${row.suffix}(this.readFrom + offset, out);
      }
    }
    return this.tryRead(SPACE_${row.constant}, gpa, out);
  }`,
    ),
    ...WIDTHS.map((row) =>
      tryWrite(
        `tryWrite${row.suffix}(gpa: Gpa, value: ${row.value})`,
        `tryWrite${row.suffix}(this.writeFrom + offset, value)`,
        `this.tryWrite(SPACE_${row.constant}, gpa, value)`,
      ),
    ),
    tryWrite(
      "tryWriteqFrom(gpa: Gpa, source: BigUint64Array)",
      "tryWriteqFrom(this.writeFrom + offset, source)",
      'this.tryWrite(SPACE_QUAD, gpa, checkOut(QUAD, source, "source")[0]!)',
    ),
    ...WIDTHS.map((row) => {
      const scratch = row.constant.toLowerCase();
      return `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (
        offset >= 0 &&
        offset < this.readLength &&
        this.readAccess!.tryRead${row.suffix}(this.readFrom + offset, ${scratch}) === OK
      ) {
        return ${scratch}[0]!;
      }
    }
    return this.read(SPACE_${row.constant}, gpa);
  }`;
    }),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write");
    }
  }`,
    ),
  ].join("\n\n");
}

function tryWrite(head: string, fast: string, slow: string): string {
  return `
  ${head}: GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.writeBase;
      if (offset >= 0 && offset < this.writeLength) {
        return this.writeAccess!.${fast};
      }
    }
    return ${slow};
  }`;
}
