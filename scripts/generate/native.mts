import { QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/** The accessors of `NativeAccess`: each stores its arguments in the call block and calls C++. */
export function nativeAccessors(): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof ${row.out})) {
      checkOut(${row.constant}, out, "out");
    }
    this.prepare(gpa);
    read${row.suffix}();
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
    if (this.marks.guards !== null) {
      this.callGuards(gpa, ${row.bytes});
    }
    ${cell(row)} = checked;
    this.prepare(gpa);
    write${row.suffix}();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (this.marks.guards !== null) {
      this.callGuards(gpa, 8);
    }
    ${cell(QUAD_ROW)} = value;
    this.prepare(gpa);
    writeq();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }`,
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    this.prepare(gpa);
    read${row.suffix}();
    this.#check(result(), ${row.constant}, gpa, "read");
    return ${cell(row)}!;
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    this.#check(this.tryWrite${row.suffix}(gpa, value), ${row.constant}, gpa, "write");
  }`,
    ),
  ].join("\n\n");
}

/** The field of the call block for a value of the width. */
function cell({ bits }: WidthRow): string {
  return `block${bits}[VALUE${bits}]`;
}

function checked({ constant, bits }: WidthRow): string {
  return constant === "QUAD"
    ? "QUAD.checkValue(value)"
    : `isInteger(value, 0x${(2 ** bits - 1).toString(16).replace(/(?=(.{4})+$)(?!^)/g, "_")}) ? value : ${constant}.checkValue(value)`;
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
      ${call(`spaceRead${row.suffix}`, `out[0] = ${cell(row)}!; return OK;`)}
    }
    return this.tryRead(SPACE_${row.constant}, gpa, out);
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    const checked = ${checked(row)};
    if (typeof gpa === "number") {
      ${call(`spaceWrite${row.suffix}`, "return OK;", `${cell(row)} = checked;`)}
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
      ${call("spaceWriteq", "return OK;", `${cell(QUAD_ROW)} = value;`)}
    }
    return this.tryWrite(SPACE_QUAD, gpa, value);
  }`,
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    if (typeof gpa === "number") {
      ${call(`spaceRead${row.suffix}`, `return ${cell(row)}!;`)}
    }
    return this.read(SPACE_${row.constant}, gpa);
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write", this.#bus.reason);
    }
  }`,
    ),
  ].join("\n\n");
}

/** A call of C++ with an address below 4 GiB, and the statements for an access that C++ made. */
function call(accessor: string, made: string, before = ""): string {
  return `
      const address = gpa >>> 0;
      if (address === gpa) {
        const block = block32;
        block[GPA_LOW32] = address;
        block[MEMORY32] = this.number;
        ${before}
        ${accessor}();
        if (block[RESULT32] === OK) { ${made} }
      }`;
}
