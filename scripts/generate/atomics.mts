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
    ...halves("Load"),
    ...halves("Store"),
    ...halves(exchange),
    ...halves("CompareExchange"),
    ...arithmetic.flatMap(halves),
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

/** Both forms of a 64-bit operation with values in halves. */
function halves(
  operation: "Load" | "Store" | "CompareExchange" | (typeof EXCHANGES)[number],
): string[] {
  const values = {
    Load: [],
    CompareExchange: ["expectedLow", "expectedHigh", "replacementLow", "replacementHigh"],
  }[operation as string] ?? ["low", "high"];
  const checked = values.map((value) => `half(${value}, "${value}")`);
  const args = ["gpa", ...Array<string>(4 - values.length).fill("0"), ...checked].join(", ");
  const constant = `ATOMIC_${operation.replace(/(?<=.)[A-Z]/g, "_$&").toUpperCase()}`;
  const name = `${operation[0]!.toLowerCase()}${operation.slice(1)}qHalves`;
  const tried = `try${operation}qHalves`;
  const declared = values.map((value) => `${value}: number, `).join("");
  const passed = values.map((value) => `${value}, `).join("");
  const kind = operation === "Load" ? "read" : "write";
  const run = `this.halves.run(${constant}, ${args})`;
  if (operation === "Store") {
    return [
      `
  ${tried}(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return ${run};
  }`,
      `
  ${name}(gpa: Gpa, low: number, high: number): void {
    throwFault(this.${tried}(gpa, low, high), gpa, "${kind}");
  }`,
    ];
  }
  return [
    `
  ${tried}(gpa: Gpa, ${declared}out: Uint32Array, at: number): GuestMemAccessResult {
    return halvesInto(outHalves(out, at), at, ${run});
  }`,
    `
  ${name}(gpa: Gpa, ${declared}out: Uint32Array, at: number): void {
    throwFault(this.${tried}(gpa, ${passed}out, at), gpa, "${kind}");
  }`,
  ];
}
