import { type WidthRow, WIDTHS } from "./widths.mjs";

/** The atomic operations that take one value and return the previous one. */
const EXCHANGES = ["Exchange", "Add", "And", "Or", "Xor"] as const;

/** Both forms of every atomic operation, over the lanes of one path. */
export function atomicForms(): string {
  const [exchange, ...arithmetic] = EXCHANGES;
  return [
    ...WIDTHS.map(
      (row) => `
  tryLoad${row.suffix}(gpa: Gpa, out: ${row.out}): GuestMemAccessResult {
    return resultInto(${lane(row)}, out${row.bits}(out), ${lane(row)}.load(gpa));
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  tryStore${row.suffix}(gpa: Gpa, value: ${row.value}): GuestMemAccessResult {
    return resultOf(${lane(row)}, ${lane(row)}.store(gpa, ${row.constant}.checkValue(value)));
  }`,
    ),
    ...tryExchanges(exchange),
    ...WIDTHS.map(
      (row) => `
  tryCompareExchange${row.suffix}(
    gpa: Gpa, expected: ${row.value}, replacement: ${row.value}, out: ${row.out},
  ): GuestMemAccessResult {
    return resultInto(${lane(row)}, out${row.bits}(out), ${compareExchange(row)});
  }`,
    ),
    ...arithmetic.flatMap(tryExchanges),
    ...WIDTHS.map(
      (row) => `
  load${row.suffix}(gpa: Gpa): ${row.value} {
    return valueOrThrow(${lane(row)}, gpa, "read", ${lane(row)}.load(gpa));
  }`,
    ),
    ...WIDTHS.map(
      (row) => `
  store${row.suffix}(gpa: Gpa, value: ${row.value}): void {
    valueOrThrow(${lane(row)}, gpa, "write", ${lane(row)}.store(gpa, ${row.constant}.checkValue(value)));
  }`,
    ),
    ...exchanges(exchange),
    ...WIDTHS.map(
      (row) => `
  compareExchange${row.suffix}(
    gpa: Gpa, expected: ${row.value}, replacement: ${row.value}): ${row.value} {
    return valueOrThrow(${lane(row)}, gpa, "write", ${compareExchange(row)});
  }`,
    ),
    ...arithmetic.flatMap(exchanges),
  ].join("\n\n");
}

function lane({ suffix }: WidthRow): string {
  return `this.${suffix}`;
}

function compareExchange(row: WidthRow): string {
  const check = `${row.constant}.checkValue`;
  return `${lane(row)}.compareExchange(gpa, ${check}(expected), ${check}(replacement))`;
}

function tryExchanges(operation: (typeof EXCHANGES)[number]): string[] {
  return WIDTHS.map(
    (row) => `
  try${operation}${row.suffix}(gpa: Gpa, value: ${row.value}, out: ${row.out}): GuestMemAccessResult {
    return resultInto(${lane(row)}, out${row.bits}(out), ${exchangeCall(operation, row)});
  }`,
  );
}

function exchanges(operation: (typeof EXCHANGES)[number]): string[] {
  return WIDTHS.map(
    (row) => `
  ${operation.toLowerCase()}${row.suffix}(gpa: Gpa, value: ${row.value}): ${row.value} {
    return valueOrThrow(${lane(row)}, gpa, "write", ${exchangeCall(operation, row)});
  }`,
  );
}

function exchangeCall(operation: (typeof EXCHANGES)[number], row: WidthRow): string {
  return `${lane(row)}.${operation.toLowerCase()}(gpa, ${row.constant}.checkValue(value))`;
}
