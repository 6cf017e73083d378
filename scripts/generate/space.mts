import { throwingHalves } from "./view.mjs";
import { fits, HALVES_READABLE, LONG_ROW, QUAD_ROW, type WidthRow, WIDTHS } from "./widths.mjs";

type Operation = "read" | "write";

/** How the accessors of one class find the bytes of an access in a DataView. */
export interface SpaceClass {
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
  readonly stored: (row: WidthRow) => string;
  /**
   * The expression for the argument of the DataView's methods: whether values are little-endian.
   */
  readonly littleEndian: string;
  /** The offsets of the low and the high half of a 64-bit value that starts at `start`. */
  readonly halves: { readonly low: string; readonly high: string };
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
    /** By default, the class has no `write…`: it inherits the form that calls `tryWrite…`. */
    readonly write?: (row: WidthRow) => string;
  };
}

/** An access policy that the accessors of a class have as constants. */
export interface SpacePolicy {
  readonly alignment: "fault" | "allow";
  readonly endian: "little" | "big";
}

const DEFAULT_POLICY: SpacePolicy = { alignment: "fault", endian: "little" };

const POLICY_FIELDS = { reads: "policyReads", writes: "policyWrites" };

const LITTLE = { low: "start", high: "start + 4" };
const BIG = { low: "start + 4", high: "start" };

/**
 * The accessors of an address space, through its page table. The lowest bits of an inverted entry
 * are 0 unless the page takes the slow path, so one test of the address and the entry together
 * checks the alignment too. `!(bits)` takes 6 bytes of bytecode less than `(bits) === 0`.
 *
 * Under `alignment: "allow"`, the test is that the first and the last byte of the access have the
 * same page. A mask takes less time than a shift by a variable count. Writes take less time with
 * one branch than with two; reads do not, and `||` takes fewer bytes of bytecode than `|`.
 */
function throughTable(
  { alignment, endian }: SpacePolicy,
  { reads = "reads", writes = "writes", shift = "shift", marks = false } = {},
): SpaceClass {
  const open = ({ bytes }: WidthRow, operation: Operation): string => {
    if (bytes === 1) {
      return "!(distance & 1)";
    }
    if (alignment === "fault") {
      return `!((address | distance) & ${bytes - 1})`;
    }
    const crossed = `(address ^ (address + ${bytes - 1})) & this.pageBits`;
    return operation === "read"
      ? `!(distance & 1 || ${crossed})`
      : `!((distance & 1) | (${crossed}))`;
  };
  return {
    where: (row, operation, then) => {
      const entries = operation === "read" ? reads : writes;
      // The other way round, V8 would check that the sum is not negative before it marks the page.
      const access = marks
        ? `const place = (address + distance) | 0; ${then("this.markedView", "place >>> 0")}`
        : then("this.view", "(address + distance) >>> 0");
      return `
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.${entries}[address >>> this.${shift}]!;
          if (${open(row, operation)}) { ${access} }
        }`;
    },
    // A DataView, since V8 needs fewer loads for it than for a typed array.
    stored: () => (marks ? "this.marks.setUint8(place >>> 12, 1);" : ""),
    littleEndian: String(endian === "little"),
    halves: endian === "little" ? LITTLE : BIG,
    ok: "0",
    slow: {
      tryRead: ({ suffix }) => `this.general.tryRead${suffix}(gpa, out)`,
      tryWrite: ({ suffix }) => `this.general.tryWrite${suffix}(gpa, value)`,
      tryWriteqFrom: "this.general.tryWriteqFrom(gpa, source)",
      tryReadqHalves: "this.general.tryReadqHalves(gpa, out, at)",
      tryWriteqHalves: "this.general.tryWriteqHalves(gpa, low, high)",
      // With `>>> 0`, V8 keeps the 32 bits of both ways in a register. Otherwise it makes an object
      // of each value from 2^31 on once the slow path has run. The accessors under
      // `alignment: "allow"` would exceed what V8 inlines on Node 26.
      read: ({ suffix, bits }) => {
        const toUint32 = bits === 32 && alignment === "fault" ? " >>> 0" : "";
        return `this.general.read${suffix}(gpa)${toUint32}`;
      },
      write: ({ suffix }) => `this.general.write${suffix}(gpa, value)`,
    },
  };
}

/** The accessors of `AddressSpace`. */
export function tableAccessors(): string {
  return [
    spaceAccessors(throughTable(DEFAULT_POLICY)),
    ...throwingHalves(", this.#bus.outcome.reason"),
  ].join("\n\n");
}

/**
 * The writing accessors of an address space whose home buffer has marks: a byte for each page of
 * it.
 */
export function markingTableWrites(): string {
  const fields = { writes: "markedWrites", shift: "markedShift", marks: true };
  return spaceWrites(throughTable(DEFAULT_POLICY, fields)).join("\n\n");
}

/** The classes of lib/space/policy-accessors.ts, one per policy other than the default. */
export function spacePolicyClasses(): string {
  return (
    [
      ["AllowLittle", { alignment: "allow", endian: "little" }],
      ["FaultBig", { alignment: "fault", endian: "big" }],
      ["AllowBig", { alignment: "allow", endian: "big" }],
    ] as const
  )
    .map(([name, policy]) => {
      const accessors = spaceAccessors(throughTable(policy, POLICY_FIELDS));
      return `class ${name} extends PolicyAccessors {${accessors}\n}`;
    })
    .join("\n\n");
}

/** How the accessors of a class treat alignment and byte order within the cached bytes. */
interface ReachPolicy extends Pick<SpaceClass, "stored" | "littleEndian" | "halves"> {
  /** The condition that an access is aligned, or may be unaligned. */
  readonly aligned: (row: WidthRow) => string;
}

/** The accessors of `SpaceAccess`. */
export function reachAccessors(): string {
  return [
    cachedAccessors({
      aligned: ({ bytes }) => `(address & ${bytes - 1}) === 0`,
      stored: () => "const { marks } = this; if (marks !== null) { marks[place >>> 12] = 1; }",
      littleEndian: "true",
      halves: LITTLE,
    }),
    ...WIDTHS.map(
      ({ suffix, value, constant }) => `
  write${suffix}(gpa: Gpa, value: ${value}): void {
    if (this.tryWrite${suffix}(gpa, value) !== OK) {
      this.fault(SPACE_${constant}, gpa, "write");
    }
  }`,
    ),
    ...throwingHalves(", this.bus.outcome.reason"),
  ].join("\n\n");
}

/** The accessors of `PolicySpaceAccess`, which has its policy in fields. */
export function policyReachAccessors(): string {
  return cachedAccessors({
    aligned: ({ bytes }) => `(address & this.aligned & ${bytes - 1}) === 0`,
    stored: ({ bytes }) => `
      const { marks } = this;
      if (marks !== null) {
        marks[place >>> 12] = 1;
        ${bytes === 1 ? "" : `marks[(place + ${bytes - 1}) >>> 12] = 1;`}
      }`,
    littleEndian: "this.littleEndian",
    halves: { low: "start + this.lowAt", high: "start + 4 - this.lowAt" },
  }).replaceAll(/^ {2}(?=\w+\(gpa: Gpa)/gm, "  override ");
}

/**
 * The accessors of an address space, within the bytes around the last access of each kind. The
 * comparisons use integers of 32 bits, because floating-point numbers take longer. `gpa - address`
 * is the rest of the address, if it is an integer.
 */
function cachedAccessors({ aligned, ...policy }: ReachPolicy): string {
  return spaceAccessors({
    where: (row, operation, then) => {
      const isAligned = row.bytes === 1 ? "" : ` && ${aligned(row)}`;
      const access = then(`this.${operation}View`, "place");
      return `
        const address = gpa >>> 0;
        const index = (address - this.${operation}Low) >>> 0;
        if (index <= this.${operation}Last >>> 0${isAligned} && gpa - address === this.${operation}High) {
          const place = (address + this.${operation}Distance) >>> 0;
          ${access}
        }`;
    },
    ...policy,
    ok: "OK",
    device: {
      tryRead: ({ constant }) => `
        const found = this.devices.read(SPACE_${constant}, gpa);
        if (found >= 0) { out[0] = found; return OK; }
        if (found !== -1) { return this.bus.outcome.result; }`,
      tryWrite: ({ constant, bits }) => `
        const unsigned = ${bits === 32 ? "value >>> 0" : `value & ${2 ** bits - 1}`};
        const result = this.devices.write(SPACE_${constant}, gpa, unsigned);
        if (result !== -1) { return result; }`,
      read: ({ constant }) => `
        const found = this.devices.read(SPACE_${constant}, gpa);
        if (found >= 0) { return found; }
        if (found !== -1) { this.fault(SPACE_${constant}, gpa); }`,
    },
    slow: {
      tryRead: ({ constant }) => `this.tryRead(SPACE_${constant}, gpa, out)`,
      tryWrite: ({ constant }) => `this.tryWrite(SPACE_${constant}, gpa, value)`,
      tryWriteqFrom: 'this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!)',
      tryReadqHalves: "this.tryReadHalves(gpa, out, at)",
      tryWriteqHalves: "this.tryWrite(SPACE_QUAD, gpa, quadOf(low, high))",
      read: ({ constant }) => `this.read(SPACE_${constant}, gpa)`,
    },
  });
}

export function spaceAccessors(path: SpaceClass): string {
  return [
    ...WIDTHS.map(
      (row) => `
  tryRead${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    ${guarded(
      (checked) => `
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof ${row.out}) {
        this.checkSlots(out);
        ${path.where(row, "read", (view, at) => `out[0] = ${load(path, row, view, at)}; return ${path.ok};`)}
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
        ${path.where(row, "read", (view, at) => `return ${load(path, row, view, at)};`)}
      }`,
    )}
    ${row.bytes < 8 && path.device !== undefined ? path.device.read(row) : ""}
    return ${path.slow.read(row)};
  }`,
    ),
    ...writes(path),
    tryReadqHalves(path),
    tryWriteqHalves(path),
  ].join("\n\n");
}

/** The writing accessors. */
function spaceWrites(path: SpaceClass): string[] {
  return [...tryWrites(path), ...writes(path), tryWriteqHalves(path)];
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

function writes(path: SpaceClass): string[] {
  return WIDTHS.flatMap((row) => {
    const slow = path.slow.write?.(row);
    return slow === undefined ? [] : [write(path, row, slow)];
  });
}

function write(path: SpaceClass, row: WidthRow, slow: string): string {
  return `
  write${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    ${guarded(
      () => `
      if (typeof gpa === "number" && ${fits(row)}) {
        ${store(path, row, "return;")}
      }`,
    )}
    ${slow};
  }`;
}

function tryReadqHalves(path: SpaceClass): string {
  const read = path.where(
    QUAD_ROW,
    "read",
    (view, offset) => `
      const view = ${view};
      const start = ${offset};
      const low = view.getUint32(${path.halves.low}, ${path.littleEndian});
      out[at + 1] = view.getUint32(${path.halves.high}, ${path.littleEndian});
      out[at] = low;
      return ${path.ok};`,
  );
  return `
  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    ${guarded(
      () => `
      if (${HALVES_READABLE}) {
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
      view.setUint32(${path.halves.low}, low, ${path.littleEndian});
      view.setUint32(${path.halves.high}, high, ${path.littleEndian});
      ${path.stored(QUAD_ROW)}
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

function load(path: SpaceClass, row: WidthRow, view: string, at: string): string {
  return `${view}.get${elementOf(row)}(${at}${order(path, row)})`;
}

function store(path: SpaceClass, row: WidthRow, then: string): string {
  return path.where(
    row,
    "write",
    (view, at) =>
      `${view}.set${elementOf(row)}(${at}, value${order(path, row)}); ${path.stored(row)} ${then}`,
  );
}

/** The name of the element type in the methods of a DataView. */
function elementOf({ bits, bytes }: WidthRow): string {
  return `${bytes === 8 ? "Big" : ""}Uint${bits}`;
}

function order({ littleEndian }: SpaceClass, { bytes }: WidthRow): string {
  return bytes === 1 ? "" : `, ${littleEndian}`;
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
