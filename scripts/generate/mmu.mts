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
  const accessors = spaceAccessors(TRANSLATED);
  return `${accessors}\n\n${fetches(accessors)}`
    .replaceAll("gpa: Gpa", "va: VirtualAddress")
    .replaceAll(/\bgpa\b/g, "va");
}

/** The fetches of up to 32 bits: the reads, through another table. */
function fetches(accessors: string): string {
  const reads = accessors
    .split(/\n\n(?= {2}\w+\(|\n {2}\w+\()/)
    .filter((text) => /^\s*(tryRead|read)[bwl]\(/.test(text));
  return reads
    .map((text) => {
      const isTry = /^\s*try/.test(text);
      const bits = { b: 8, w: 16, l: 32 }[/ead([bwl])\(/.exec(text)![1]!];
      const comment = isTry
        ? `  /** Fetches ${bits} bits of an instruction, with the right to execute instead of the right to read. */`
        : `  /** As \`tryFetch\`, but returns the value. @throws {@link GuestMemoryFault} */`;
      return `${comment}\n${text
        .replace(/^\s*\n/, "")
        .replace(/\btryRead(?=[bwl]\()/, "tryFetch")
        .replace(/\bread(?=[bwl]\()/, "fetch")
        .replaceAll("this.readTlb", "this.fetchTlb")
        .replaceAll("this.general.tryRead", "this.general.tryFetch")
        .replaceAll("this.general.read", "this.general.fetch")}`;
    })
    .join("\n\n");
}

/** The accessors of `MmuHalves`: those of the MMU, with the address as a number if that is exact. */
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
