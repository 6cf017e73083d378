import { withFetches } from "./fetches.mjs";
import { spaceAccessors, type SpaceClass } from "./space.mjs";
import { WIDTHS, type WidthRow } from "./widths.mjs";

/** The accessors of `Mmu`, through its tables. */
const TRANSLATED: SpaceClass = {
  where: ({ bytes }, operation, then) => {
    const offset = `address & this.offsetBits${bytes === 1 ? "" : ` & -${bytes}`}`;
    return `
      const address = gpa >>> 0;
      const tlb = this.${operation}Tlb;
      const entry = (address >>> this.entryShift) & this.entryBits;
      if (tlb.getFloat64(entry, true) === gpa - (${offset})) {
        ${then("this.view", "(address + tlb.getInt32(entry + 8, true)) >>> 0")}
      }`;
  },
  stored: () => "",
  littleEndian: "true",
  halves: { low: "start", high: "start + 4" },
  ok: "0",
  slow: {
    tryRead: ({ shift }) => `this.general.tryRead(${shift}, gpa, out)`,
    tryWrite: ({ shift }) => `this.general.tryWrite(${shift}, gpa, value)`,
    tryWriteqFrom: "this.general.tryWriteqFrom(gpa, source)",
    tryReadqHalves: "this.general.tryReadqHalves(gpa, out, at)",
    tryWriteqHalves: "this.general.tryWriteqHalves(gpa, low, high)",
    read: ({ shift }) =>
      shift === 3 ? "this.general.readQuad(gpa)" : `this.general.read(${shift}, gpa)`,
    write: ({ shift }) => `this.general.write(${shift}, gpa, value)`,
  },
};

/** The accessors of `Mmu`. */
export function translatedAccessors(): string {
  return withFetches(spaceAccessors(TRANSLATED), (text) =>
    text.replaceAll("this.readTlb", "this.fetchTlb"),
  );
}

/**
 * The accessors of `MmuHalves`: those of the MMU, with the address as a number if that is exact.
 */
export function mmuHalvesAccessors(): string {
  return WIDTHS.flatMap((row) => [
    halves(`tryRead${row.suffix}`, reading(row), "GuestMemAccessResult", row),
    halves(`tryWrite${row.suffix}`, writing(row), "GuestMemAccessResult", row),
    halves(
      `read${row.suffix}`,
      row.suffix === "q" ? reading(row) : [],
      row.suffix === "q" ? "void" : "number",
      row,
    ),
    halves(`write${row.suffix}`, writing(row), "void", row),
  ]).join("\n\n");
}

type Parameters = readonly (readonly [name: string, type: string])[];

function reading({ suffix, out }: WidthRow): Parameters {
  return suffix === "q"
    ? [
        ["out", "Uint32Array"],
        ["at", "number"],
      ]
    : [["out", out]];
}

function writing({ suffix }: WidthRow): Parameters {
  return suffix === "q"
    ? [
        ["low", "number"],
        ["high", "number"],
      ]
    : [["value", "number"]];
}

function halves(name: string, parameters: Parameters, result: string, row: WidthRow): string {
  const declared = parameters.map(([parameter, type]) => `, ${parameter}: ${type}`).join("");
  const passed = parameters.map(([parameter]) => `, ${parameter}`).join("");
  const whole = `this.mmu.${name}${row.suffix === "q" ? "Halves" : ""}`;
  const give = result === "void" ? "" : "return ";
  const after = result === "void" ? " return;" : "";
  return `
  ${name}(vaLow: number, vaHigh: number${declared}): ${result} {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      ${give}${whole}(upper * 0x100000000 + vaLow${passed});${after}
    }
    ${give}${whole}(virtualOf(vaLow, vaHigh)${passed});
  }`;
}
