import { Op } from "../decode.js";
import { NUMBER_HIGH, SIGN } from "../port.js";
import { addressOf, high, low } from "./emit.js";
import type { Extended } from "./facts.js";
import type { Instruction } from "./region.js";

/** A load or store: its bytes, and the accessor with its second argument. */
interface Access {
  readonly width: number;
  readonly method: string;
  readonly argument: string;
}

const LOADS: Partial<Record<Op, Access & { readonly value: string; readonly high: string }>> = {
  [Op.LB]: loads(1, "tryReadb", "byte", "(byte[0] << 24) >> 24", ">> 31"),
  [Op.LBU]: loads(1, "tryReadb", "byte", "byte[0]", ">> 31"),
  [Op.LH]: loads(2, "tryReadw", "word", "(word[0] << 16) >> 16", ">> 31"),
  [Op.LHU]: loads(2, "tryReadw", "word", "word[0]", ">> 31"),
  [Op.LW]: loads(4, "tryReadl", "long", "long[0] | 0", ">> 31"),
  [Op.LWU]: loads(4, "tryReadl", "long", "long[0] | 0", "& 0"),
  [Op.LD]: loads(8, "tryReadq", "quad", "halves[0]", ""),
};

function loads(width: number, method: string, argument: string, value: string, high: string) {
  return { width, method, argument, value, high };
}

const STORES: Partial<Record<Op, Access>> = {
  [Op.SB]: { width: 1, method: "tryWriteb", argument: "s & 0xff" },
  [Op.SH]: { width: 2, method: "tryWritew", argument: "s & 0xffff" },
  [Op.SW]: { width: 4, method: "tryWritel", argument: "s >>> 0" },
  [Op.SD]: { width: 8, method: "tryWriteqFrom", argument: "quad" },
};

/** Which accesses of a function are fast. The others are right too. */
export type FastAccess = "physical" | "virtual";

/** Code that leaves the function, given the offset to continue at, for each way to do so. */
export interface Leave {
  /** The access failed. */
  readonly fault: string;
  /** The access has changed the interrupts, the code or the power switch. */
  readonly attention: string;
}

/**
 * JavaScript for a load or store.
 *
 * The port's conditions are checked here, and not in its methods, since V8 inlines only so many
 * bytes of bytecode into a function.
 */
export function emitAccess(
  one: Instruction,
  extended: Extended,
  fast: FastAccess,
  leave: Leave,
): string {
  const { op, rd, rs2 } = one;
  const load = LOADS[op];
  const store = STORES[op];
  const { width, method, argument } = (load ?? store)!;
  const kind = load === undefined ? "write" : "read";
  const outside =
    load === undefined
      ? `port.storeOutside(${width}, t, u, ${width === 8 ? 0 : "s"})`
      : `port.loadOutside(${width}, t, u)`;
  const value =
    load !== undefined
      ? ""
      : width === 8
        ? `halves[0] = ${low(rs2)}; halves[1] = ${high(rs2, extended)};`
        : `s = ${low(rs2)};`;
  const result =
    load === undefined || rd === 0
      ? ""
      : `a${rd} = ${load.value}; b${rd} = ${width === 8 ? "halves[1]" : `a${rd} ${load.high}`};`;
  const [isFast, accessor] =
    fast === "virtual"
      ? [
          `port.translated !== null && u >= ${-NUMBER_HIGH} && u < ${NUMBER_HIGH}`,
          `virtual.${method}(u * ${2 ** 32} + (t >>> 0), ${argument})`,
        ]
      : [
          `u === 0 && ((t - port.${kind}Base) ^ ${SIGN}) < port.${kind}Size`,
          `memory.${method}(t >>> 0, ${argument})`,
        ];
  return `${addressOf(one, extended)} ${value}
    r = ${isFast} ? ${accessor} : ${outside};
    if (r !== 0) { ${leave.fault} }
    ${result}
    if (hart.attention) { ${leave.attention} }`;
}
