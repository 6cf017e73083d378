import { type WidthRow, WIDTHS } from "./widths.mjs";

/** The arguments of an access after the address: as parameters, and as passed on. */
interface Arguments {
  readonly declared: string;
  readonly passed: string;
}

/** The accessors of `HalvesAccess`: those of the memory of the range used last. */
export function halvesAccessors(): string {
  return [
    ...WIDTHS.map((row) => tryAccess("read", row, reading(row))),
    ...WIDTHS.map((row) => tryAccess("write", row, writing(row))),
    ...WIDTHS.map((row) => (row.suffix === "q" ? access("read", row, reading(row)) : read(row))),
    ...WIDTHS.map((row) => access("write", row, writing(row))),
    ...WIDTHS.map((row) => slowAccess("read", row, reading(row))),
    ...WIDTHS.map((row) => slowAccess("write", row, writing(row))),
  ].join("\n\n");
}

function reading({ suffix, out }: WidthRow): Arguments {
  return suffix === "q"
    ? { declared: "out: Uint32Array, at: number", passed: "out, at" }
    : { declared: `out: ${out}`, passed: "out" };
}

function writing({ suffix }: WidthRow): Arguments {
  return suffix === "q"
    ? { declared: "low: number, high: number", passed: "low, high" }
    : { declared: "value: number", passed: "value" };
}

function tryAccess(operation: "read" | "write", row: WidthRow, values: Arguments): string {
  const kind = operation === "read" ? "Read" : "Write";
  const whole = `try${kind}${row.suffix}${row.suffix === "q" ? "Halves" : ""}`;
  return `
  try${kind}${row.suffix}(gpaLow: number, gpaHigh: number, ${values.declared}): GuestMemAccessResult {
    if (gpaHigh === this.${operation}High && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.${operation}Low) >>> 0;
      if (
        offset < this.${operation}Length &&
        this.${operation}Access.${whole}((gpaLow + this.${operation}Shift) >>> 0, ${values.passed}) === OK
      ) {
        return OK;
      }
    }
    return this.slow${kind}${row.suffix}(gpaLow, gpaHigh, ${values.passed});
  }`;
}

/** The throwing form of a read of up to 32 bits, which returns the value. */
function read(row: WidthRow): string {
  const scratch = row.constant.toLowerCase();
  return `
  read${row.suffix}(gpaLow: number, gpaHigh: number): number {
    const result = this.tryRead${row.suffix}(gpaLow, gpaHigh, ${scratch});
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), ${row.bytes}, "read", this.reason());
    }
    return ${scratch}[0]!;
  }`;
}

/** The throwing form of an access that returns no value. */
function access(operation: "read" | "write", row: WidthRow, values: Arguments): string {
  const kind = operation === "read" ? "Read" : "Write";
  return `
  ${operation}${row.suffix}(gpaLow: number, gpaHigh: number, ${values.declared}): void {
    const result = this.try${kind}${row.suffix}(gpaLow, gpaHigh, ${values.passed});
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), ${row.bytes}, "${operation}", this.reason());
    }
  }`;
}

/** An access outside the cached range, in a method of its own, which V8 need not inline. */
function slowAccess(operation: "read" | "write", row: WidthRow, values: Arguments): string {
  const kind = operation === "read" ? "Read" : "Write";
  const whole = `try${kind}${row.suffix}${row.suffix === "q" ? "Halves" : ""}`;
  return `
  private slow${kind}${row.suffix}(
    gpaLow: number, gpaHigh: number, ${values.declared}): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "${operation}");
    const result = this.located.${whole}(gpa, ${values.passed});
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.${whole}(gpaOf(gpaLow, gpaHigh), ${values.passed});
  }`;
}
