import { throwingHalves } from "./view.mjs";
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
    ${cell(row)} = ${checked(row)};
    this.prepare(gpa);
    write${row.suffix}();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    ${cell(QUAD_ROW)} =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
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
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (
      typeof at !== "number" ||
      !isView(out) ||
      out[at] === undefined ||
      out[at + 1] === undefined ||
      !(out instanceof Uint32Array)
    ) {
      checkHalvesOut(out, at);
    }
    this.prepare(gpa);
    readq();
    const code = result();
    if (code === OK) {
      out[at] = block32[VALUE32]!;
      out[at + 1] = block32[VALUE_HIGH32]!;
    }
    return code;
  }`,
    `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    block32[VALUE32] = isInteger(low, 0xffff_ffff) ? low : LONG.checkValue(low, "low");
    block32[VALUE_HIGH32] = isInteger(high, 0xffff_ffff) ? high : LONG.checkValue(high, "high");
    this.prepare(gpa);
    writeq();
    return this.marks.dirty === null ? result() : this.mark(gpa);
  }`,
    ...throwingHalves(),
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
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      if (offset >= 0 && offset < this.readLength) {
        return this.readAccess!.tryReadqHalves(this.readFrom + offset, out, at);
      }
    }
    return this.#tryReadHalves(gpa, out, at);
  }`,
    tryWrite(
      "tryWriteqHalves(gpa: Gpa, low: number, high: number)",
      "tryWriteqHalves(this.writeFrom + offset, low, high)",
      "this.tryWrite(SPACE_QUAD, gpa, quadOf(low, high))",
    ),
    ...throwingHalves(),
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
