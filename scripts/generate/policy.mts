import { throwingHalves } from "./view.mjs";
import { fits, HALVES_READABLE, LONG_ROW, QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

/**
 * How the accessors of one class of the view path find the bytes of an access in a DataView. A
 * DataView makes unaligned accesses and accesses of both byte orders at the same cost.
 */
export interface PolicyClass {
  /** Statements that compute `at`, the offset of the access in the view, from the number `gpa`. */
  readonly find: (row: WidthRow, operation: "read" | "write") => readonly string[];
  /** The condition that the hot path makes the access: in RAM, and aligned if the policy asks. */
  readonly inReach: (row: WidthRow, operation: "read" | "write") => string;
  /** The DataView. */
  readonly view: (operation: "read" | "write") => string;
  readonly littleEndian: boolean;
  /** The statements after a store. */
  readonly stored?: string;
  /** The result code of a successful access. */
  readonly ok: string;
  /** The expressions for all accesses that the hot path does not make. */
  readonly slow: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow) => string;
    readonly tryWriteqFrom: string;
    readonly tryReadqHalves: string;
    readonly tryWriteqHalves: string;
    readonly read: (row: WidthRow) => string;
    readonly write: (row: WidthRow) => string;
  };
}

/** The accessors of one class of the view path that has one access policy. */
export function policyAccessors(path: PolicyClass): string {
  return [
    ...WIDTHS.map((row) => tryRead(path, row)),
    ...WIDTHS.map((row) => tryWrite(path, row)),
    tryWriteqFrom(path),
    ...WIDTHS.map((row) => read(path, row)),
    ...WIDTHS.map((row) => write(path, row)),
    tryReadqHalves(path),
    tryWriteqHalves(path),
    ...throwingHalves(),
  ].join("\n\n");
}

/** What the slow path handles after an exception. */
const CAUGHT = `catch {
      // The buffer is detached, or an argument is not a typed array. The slow path handles both.
    }`;

function tryRead(path: PolicyClass, row: WidthRow): string {
  const { suffix, out } = row;
  return `
  tryRead${suffix}(gpa: Gpa, out: ${out}): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof ${out}) {
        this.checkSlots(out);
        ${path.find(row, "read").join("\n")}
        if (${path.inReach(row, "read")}) {
          out[0] = ${load(path, row)};
          return ${path.ok};
        }
      }
    } ${CAUGHT}
    return ${path.slow.tryRead(row)};
  }`;
}

function read(path: PolicyClass, row: WidthRow): string {
  return `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    if (typeof gpa === "number") {
      ${path.find(row, "read").join("\n")}
      if (${path.inReach(row, "read")}) {
        try {
          return ${load(path, row)};
        } catch {
          // The buffer is detached.
        }
      }
    }
    return ${path.slow.read(row)};
  }`;
}

function tryWrite(path: PolicyClass, row: WidthRow): string {
  return `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    if (typeof gpa === "number" && ${fits(row)}) {
      ${store(path, row, `return ${path.ok};`)}
    }
    return ${path.slow.tryWrite(row)};
  }`;
}

function write(path: PolicyClass, row: WidthRow): string {
  return `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    if (typeof gpa === "number" && ${fits(row)}) {
      ${store(path, row, "return;")}
    }
    ${path.slow.write(row)};
  }`;
}

function store(path: PolicyClass, row: WidthRow, then: string): string {
  return `
      ${path.find(row, "write").join("\n")}
      if (${path.inReach(row, "write")}) {
        try {
          ${set(path, row)}
          ${then}
        } catch {
          // The buffer is detached.
        }
      }`;
}

function tryWriteqFrom(path: PolicyClass): string {
  return `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          ${path.find(QUAD_ROW, "write").join("\n")}
          if (${path.inReach(QUAD_ROW, "write")}) {
            ${set(path, QUAD_ROW)}
            return ${path.ok};
          }
        }
      }
    } ${CAUGHT}
    return ${path.slow.tryWriteqFrom};
  }`;
}

/** The offsets of the low and the high half of a 64-bit access. */
function halfPlaces({ littleEndian }: PolicyClass): { low: string; high: string } {
  return littleEndian ? { low: "place", high: "place + 4" } : { low: "place + 4", high: "place" };
}

/** As `find`, with the offset in `place`: `at` is a parameter of the accessors with halves. */
function findPlace(path: PolicyClass, operation: "read" | "write"): string {
  return path
    .find(QUAD_ROW, operation)
    .map((line) => line.replace("const at ", "const place "))
    .join("\n");
}

function tryReadqHalves(path: PolicyClass): string {
  const { low, high } = halfPlaces(path);
  const view = path.view("read");
  return `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (${HALVES_READABLE}) {
        this.checkSlots(out);
        ${findPlace(path, "read")}
        if (${path.inReach(QUAD_ROW, "read").replace(/\bat\b/g, "place")}) {
          const low = ${view}.getUint32(${low}, ${path.littleEndian});
          out[at + 1] = ${view}.getUint32(${high}, ${path.littleEndian});
          out[at] = low;
          return ${path.ok};
        }
      }
    } ${CAUGHT}
    return ${path.slow.tryReadqHalves};
  }`;
}

function tryWriteqHalves(path: PolicyClass): string {
  const { low, high } = halfPlaces(path);
  const view = path.view("write");
  return `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (typeof gpa === "number" && ${fits(LONG_ROW, "low")} && ${fits(LONG_ROW, "high")}) {
      ${findPlace(path, "write")}
      if (${path.inReach(QUAD_ROW, "write").replace(/\bat\b/g, "place")}) {
        try {
          ${view}.setUint32(${low}, low, ${path.littleEndian});
          ${view}.setUint32(${high}, high, ${path.littleEndian});${path.stored ?? ""}
          return ${path.ok};
        } catch {
          // The buffer is detached.
        }
      }
    }
    return ${path.slow.tryWriteqHalves};
  }`;
}

function load(path: PolicyClass, row: WidthRow): string {
  return `${path.view("read")}.get${element(row)}(${["at", ...order(path, row)].join(", ")})`;
}

function set(path: PolicyClass, row: WidthRow): string {
  const call = `${path.view("write")}.set${element(row)}(${["at", "value", ...order(path, row)].join(", ")});`;
  return `${call}${path.stored ?? ""}`;
}

/** The name of the element type in the methods of a DataView. */
function element({ out }: WidthRow): string {
  return out.replace("Array", "");
}

function order({ littleEndian }: PolicyClass, { bytes }: WidthRow): string[] {
  return bytes === 1 ? [] : [String(littleEndian)];
}

/** The four classes of lib/memory/policy-access.ts, one per combination of alignment and order. */
export function flatPolicyClasses(): string {
  return (["Fault", "Allow"] as const)
    .flatMap((alignment) =>
      (["Little", "Big"] as const).map((endian) => {
        const accessors = policyAccessors({
          // Together, the mask and the comparison refuse fractions, negative numbers, addresses of
          // 4 GiB and above and, under "fault", unaligned addresses.
          find: ({ bytes }) =>
            alignment === "Fault" && bytes > 1
              ? [`const at = (gpa & -${bytes}) >>> 0;`]
              : ["const at = gpa >>> 0;"],
          inReach: (_, operation) =>
            `at === gpa && at >>> 3 < this.${operation === "read" ? "units" : "writeUnits"}`,
          view: () => "this.view",
          littleEndian: endian === "Little",
          ok: "0",
          slow: {
            tryRead: ({ suffix }) => `this.general.tryRead${suffix}(gpa, out)`,
            tryWrite: ({ suffix }) => `this.general.tryWrite${suffix}(gpa, value)`,
            tryWriteqFrom: "this.general.tryWriteqFrom(gpa, source)",
            tryReadqHalves: "this.general.tryReadqHalves(gpa, out, at)",
            tryWriteqHalves: "this.general.tryWriteqHalves(gpa, low, high)",
            read: ({ suffix }) => `this.general.read${suffix}(gpa)`,
            write: ({ suffix }) => `this.general.write${suffix}(gpa, value)`,
          },
        });
        return `class ${alignment}${endian} extends PolicyAccess {${accessors}\n}`;
      }),
    )
    .join("\n\n");
}

/** The accessors of lib/memory/general-policy-access.ts, which call its generic methods. */
export function generalPolicyAccessors(): string {
  return [
    `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    return this.#tryReadHalves(gpa, out, at);
  }`,
    `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return this.#tryWrite(QUAD, gpa, quadOf(low, high));
  }`,
    ...throwingHalves(),
    ...WIDTHS.map(
      ({ suffix, out, constant }) => `
  tryRead${suffix}(gpa: Gpa, out: ${out}): GuestMemAccessResult {
    return this.#tryRead(${constant}, gpa, out);
  }`,
    ),
    ...WIDTHS.map(
      ({ suffix, value, constant }) => `
  tryWrite${suffix}(gpa: Gpa, value: ${value}): GuestMemAccessResult {
    return this.#tryWrite(${constant}, gpa, value);
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    return this.#tryWrite(QUAD, gpa, checkOut(QUAD, source, "source")[0]!);
  }`,
    ...WIDTHS.map(
      ({ suffix, value, constant }) => `
  read${suffix}(gpa: Gpa): ${value} {
    return this.#read(${constant}, gpa);
  }`,
    ),
    ...WIDTHS.map(
      ({ suffix, value, constant }) => `
  write${suffix}(gpa: Gpa, value: ${value}): void {
    this.#write(${constant}, gpa, value);
  }`,
    ),
  ].join("\n\n");
}
