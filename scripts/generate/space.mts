import { throwingHalves } from "./view.mjs";
import { fits, LONG_ROW, QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

type Operation = "read" | "write";

/** How the accessors of one class find the bytes of an access in a DataView. */
interface SpaceClass {
  /**
   * Statements that run `then` if the fast path has the bytes. `then` gets the expressions for the
   * view and for the offset in it.
   */
  readonly where: (
    row: WidthRow,
    operation: Operation,
    then: (view: string, at: string) => string,
  ) => string;
  /** Statements after a store. */
  readonly stored: string;
  /** The result code of a successful access. */
  readonly ok: string;
  /**
   * Statements for up to 32 bits that return the result of an access to a device, before the slow
   * path. The arguments of the access are valid. A handler is called outside the `try` statement.
   */
  readonly device?: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow) => string;
    readonly read: (row: WidthRow) => string;
  };
  /** The expressions for the accesses that take the slow path. */
  readonly slow: {
    readonly tryRead: (row: WidthRow) => string;
    readonly tryWrite: (row: WidthRow) => string;
    readonly tryWriteqFrom: string;
    readonly tryReadqHalves: string;
    readonly tryWriteqHalves: string;
    readonly read: (row: WidthRow) => string;
    /** By default, the throwing form calls the `try…` form. */
    readonly write?: (row: WidthRow) => string;
  };
}

/**
 * The accessors of an address space, through its page table. The lowest bits of an inverted entry
 * are 0 unless the page takes the slow path, so one test of the address and the entry together
 * checks the alignment too. `!(bits)` takes 6 bytes of bytecode less than `(bits) === 0`.
 */
export function tableAccessors(): string {
  return spaceAccessors(throughTable(false));
}

/**
 * The writing accessors of an address space whose home buffer has marks: a byte for each page of it.
 */
export function markingTableWrites(): string {
  return spaceWrites(throughTable(true)).join("\n\n");
}

/** @param marks - Whether writes mark the pages; reads are not needed then. */
function throughTable(marks: boolean): SpaceClass {
  const shift = marks ? "this.markedShift" : "this.shift";
  return {
    where: ({ bytes }, operation, then) => {
      const open = bytes === 1 ? "!(distance & 1)" : `!((address | distance) & ${bytes - 1})`;
      const entries = marks ? "this.markedWrites" : `this.${operation}s`;
      // The other way round, V8 would check that the sum is not negative before it marks the page.
      const access = marks
        ? `const place = (address + distance) | 0; ${then("this.markedView", "place >>> 0")}`
        : then("this.view", "(address + distance) >>> 0");
      return `
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~${entries}[address >>> ${shift}]!;
          if (${open}) { ${access} }
        }`;
    },
    // A DataView, since V8 needs fewer loads for it than for a typed array.
    stored: marks ? "this.marks.setUint8(place >>> 12, 1);" : "",
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
  };
}

/**
 * The accessors of an address space, within the bytes around the last access of each kind. The
 * comparisons use integers of 32 bits, because floating-point numbers take longer. `gpa - address`
 * is the rest of the address, if it is an integer.
 */
export function reachAccessors(): string {
  return spaceAccessors({
    where: ({ bytes }, operation, then) => {
      const aligned = bytes === 1 ? "" : ` && (address & ${bytes - 1}) === 0`;
      const access = then(`this.${operation}View`, "place");
      return `
        const address = gpa >>> 0;
        const index = (address - this.${operation}Low) >>> 0;
        if (index <= this.${operation}Last >>> 0${aligned} && gpa - address === this.${operation}High) {
          const place = (address + this.${operation}Distance) >>> 0;
          ${access}
        }`;
    },
    stored: "const { marks } = this; if (marks !== null) { marks[place >>> 12] = 1; }",
    ok: "OK",
    device: {
      tryRead: ({ constant }) => `
        const found = this.devices.read(SPACE_${constant}, gpa);
        if (found >= 0) { out[0] = found; return OK; }
        if (found !== -1) { return this.#bus.outcome.result; }`,
      tryWrite: ({ constant, bits }) => `
        const unsigned = ${bits === 32 ? "value >>> 0" : `value & ${2 ** bits - 1}`};
        const result = this.devices.write(SPACE_${constant}, gpa, unsigned);
        if (result !== -1) { return result; }`,
      read: ({ constant }) => `
        const found = this.devices.read(SPACE_${constant}, gpa);
        if (found >= 0) { return found; }
        if (found !== -1) { this.#fault(SPACE_${constant}, gpa); }`,
    },
    slow: {
      tryRead: ({ constant }) => `this.#tryRead(SPACE_${constant}, gpa, out)`,
      tryWrite: ({ constant }) => `this.#tryWrite(SPACE_${constant}, gpa, value)`,
      tryWriteqFrom: 'this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!)',
      tryReadqHalves: "this.#tryReadHalves(gpa, out, at)",
      tryWriteqHalves: "this.#tryWrite(SPACE_QUAD, gpa, quadOf(low, high))",
      read: ({ constant }) => `this.#read(SPACE_${constant}, gpa)`,
    },
  });
}

function spaceAccessors(path: SpaceClass): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    ${guarded(
      (checked) => `
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof ${row.out}) {
        this.checkSlots(out);
        ${path.where(row, "read", (view, at) => `out[0] = ${load(row, view, at)}; return ${path.ok};`)}
        ${checked}
      }`,
      row.bytes < 8 ? path.device?.tryRead(row) : undefined,
    )}
    return ${path.slow.tryRead(row)};
  }`,
    ),
    ...tryWrites(path),
    ...WIDTHS.map(
      (row) => `
  read${row.suffix}(gpa: Gpa): ${row.value} {
    ${guarded(
      () => `
      if (typeof gpa === "number") {
        ${path.where(row, "read", (view, at) => `return ${load(row, view, at)};`)}
      }`,
    )}
    ${row.bytes < 8 && path.device !== undefined ? path.device.read(row) : ""}
    return ${path.slow.read(row)};
  }`,
    ),
    ...WIDTHS.map((row) => write(path, row)),
    tryReadqHalves(path),
    tryWriteqHalves(path),
    ...throwingHalves(", this.#bus.outcome.reason"),
  ].join("\n\n");
}

/** The writing accessors. */
function spaceWrites(path: SpaceClass): string[] {
  return [...tryWrites(path), ...WIDTHS.map((row) => write(path, row)), tryWriteqHalves(path)];
}

function tryWrites(path: SpaceClass): string[] {
  return [
    ...WIDTHS.map(
      (row) => `
  tryWrite${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    ${guarded(
      (checked) => `
      if (typeof gpa === "number" && ${fits(row)}) {
        ${store(path, row, `return ${path.ok};`)}
        ${checked}
      }`,
      row.bytes < 8 ? path.device?.tryWrite(row) : undefined,
    )}
    return ${path.slow.tryWrite(row)};
  }`,
    ),
    `
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    ${guarded(
      () => `
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          ${store(path, QUAD_ROW, `return ${path.ok};`)}
        }
      }`,
    )}
    return ${path.slow.tryWriteqFrom};
  }`,
  ];
}

function write(path: SpaceClass, row: WidthRow): string {
  const head = `write${row.suffix}(gpa: Gpa, value: ${row.value}): void {`;
  if (path.slow.write === undefined) {
    return `
  ${head}
    const result = this.tryWrite${row.suffix}(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, ${row.bytes}, "write", this.#bus.outcome.reason);
    }
  }`;
  }
  return `
  ${head}
    ${guarded(
      () => `
      if (typeof gpa === "number" && ${fits(row)}) {
        ${store(path, row, "return;")}
      }`,
    )}
    ${path.slow.write(row)};
  }`;
}

function tryReadqHalves(path: SpaceClass): string {
  const read = path.where(
    QUAD_ROW,
    "read",
    (view, offset) => `
      const view = ${view};
      const start = ${offset};
      const low = view.getUint32(start, true);
      out[at + 1] = view.getUint32(start + 4, true);
      out[at] = low;
      return ${path.ok};`,
  );
  return `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    ${guarded(
      () => `
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        ${read}
      }`,
    )}
    return ${path.slow.tryReadqHalves};
  }`;
}

function tryWriteqHalves(path: SpaceClass): string {
  const write = path.where(
    QUAD_ROW,
    "write",
    (view, offset) => `
      const view = ${view};
      const start = ${offset};
      view.setUint32(start, low, true);
      view.setUint32(start + 4, high, true);
      ${path.stored}
      return ${path.ok};`,
  );
  return `
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    ${guarded(
      () => `
      if (typeof gpa === "number" && ${fits(LONG_ROW, "low")} && ${fits(LONG_ROW, "high")}) {
        ${write}
      }`,
    )}
    return ${path.slow.tryWriteqHalves};
  }`;
}

function load({ bits, bytes }: WidthRow, view: string, at: string): string {
  const big = bytes === 8 ? "Big" : "";
  return `${view}.get${big}Uint${bits}(${at}${bytes === 1 ? "" : ", true"})`;
}

function store(path: SpaceClass, row: WidthRow, then: string): string {
  const big = row.bytes === 8 ? "Big" : "";
  const order = row.bytes === 1 ? "" : ", true";
  return path.where(
    row,
    "write",
    (view, at) => `${view}.set${big}Uint${row.bits}(${at}, value${order}); ${path.stored} ${then}`,
  );
}

/**
 * Statements that throw if `out` is not a typed array, or if the buffer of a view is detached.
 *
 * @param statements - Called with the statement that enables `then`.
 * @param then - Statements to run afterwards.
 */
function guarded(statements: (enable: string) => string, then?: string): string {
  const [declaration, enable, after] =
    then === undefined
      ? ["", "", ""]
      : ["let isChecked = false;", "isChecked = true;", `if (isChecked) { ${then} }`];
  return `
    ${declaration}
    try {
      ${statements(enable)}
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    ${after}`;
}
