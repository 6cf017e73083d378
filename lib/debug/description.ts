import { checkObject } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import type { Endian } from "../base/policy.js";

/** A register, as gdb shows it. */
export interface GdbRegister {
  /** The name, such as `"sp"`: letters, digits, `_` and `.`. */
  readonly name: string;
  /** Bits: a multiple of 8, from 8 to 2048. */
  readonly bits: number;
  /** A type of gdb, such as `"code_ptr"` and `"data_ptr"`; an integer by default. */
  readonly type?: string;
  /** The group of `info registers GROUP`, such as `"general"`, `"float"` and `"system"`. */
  readonly group?: string;
}

/** A group of registers that gdb knows by name, such as `"org.gnu.gdb.riscv.cpu"`. */
export interface GdbFeature {
  readonly name: string;
  readonly registers: readonly GdbRegister[];
}

/** A kind of CPU: its name in gdb, and its registers. */
export interface GdbArchitecture {
  /** The name in `set architecture`, such as `"riscv:rv64"`. */
  readonly name: string;
  /**
   * The registers. They are numbered from 0 in this order, through all features: the numbers that
   * {@link GdbCpu.readRegister} gets.
   */
  readonly features: readonly GdbFeature[];
  /** The name of the program counter's register. */
  readonly pc: string;
  /** The byte order of registers; `"little"` by default. */
  readonly endian?: Endian;
}

const NAME = /^[\w.:+-]{1,100}$/;
const MAX_REGISTERS = 10_000;

/** The checked description of a CPU: its XML for gdb, and the layout of its registers. */
export class TargetDescription {
  readonly registers: readonly GdbRegister[];
  /** The number of the program counter. */
  readonly pc: number;
  /** The document `target.xml`. */
  readonly xml: string;
  readonly #isBigEndian: boolean;

  /** @throws TypeError, RangeError for an invalid architecture. */
  constructor(architecture: GdbArchitecture) {
    const { name, features, pc, endian = "little" } = checkObject(architecture, "architecture");
    checkName(name, "the name of the architecture");
    if (!Array.isArray(features)) {
      throw typeError("features must be an array");
    }
    if (endian !== "little" && endian !== "big") {
      throw typeError('endian must be "little" or "big"');
    }
    const lines = features.map(describeFeature);
    this.registers = (features as readonly GdbFeature[]).flatMap(({ registers }) => registers);
    if (this.registers.length > MAX_REGISTERS) {
      throw rangeError(`there must be at most ${MAX_REGISTERS} registers`);
    }
    this.pc = this.registers.findIndex((register) => register.name === pc);
    if (this.pc === -1) {
      throw rangeError("pc must be the name of a register");
    }
    this.#isBigEndian = endian === "big";
    this.xml = [
      '<?xml version="1.0"?>',
      '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
      '<target version="1.0">',
      `<architecture>${name}</architecture>`,
      ...lines,
      "</target>",
      "",
    ].join("\n");
  }

  /** Bytes of a register. */
  size(number: number): number {
    return this.registers[number]!.bits / 8;
  }

  /** The bytes of a value, in the byte order of the CPU. Higher bits of it are ignored. */
  encode(number: number, value: bigint): Buffer {
    const { bits } = this.registers[number]!;
    const digits = BigInt.asUintN(bits, value).toString(16);
    const bytes = Buffer.from(digits.padStart(bits / 4, "0"), "hex");
    return this.#isBigEndian ? bytes : bytes.reverse();
  }

  /** The value of the bytes of a register. */
  decode(bytes: Uint8Array): bigint {
    const copy = Buffer.from(bytes);
    return BigInt(`0x${(this.#isBigEndian ? copy : copy.reverse()).toString("hex")}`);
  }
}

function describeFeature(feature: GdbFeature): string {
  const { name, registers } = checkObject(feature, "each feature");
  checkName(name, "the name of a feature");
  if (!Array.isArray(registers)) {
    throw typeError("registers must be an array");
  }
  return `<feature name="${name}">\n${registers.map(describeRegister).join("\n")}\n</feature>`;
}

function describeRegister(register: GdbRegister): string {
  const { name, bits, type = "int", group } = checkObject(register, "each register");
  checkName(name, "the name of a register");
  checkName(type, "the type of a register");
  if (typeof bits !== "number") {
    throw typeError("bits must be a number");
  }
  if (bits % 8 !== 0 || bits < 8 || bits > 2048) {
    throw rangeError("bits must be a multiple of 8, from 8 to 2048");
  }
  if (group !== undefined) {
    checkName(group, "the group of a register");
  }
  const inGroup = group === undefined ? "" : ` group="${group}"`;
  return `<reg name="${name}" bitsize="${bits}" type="${type}"${inGroup}/>`;
}

/** Checks a name, which becomes part of a document. */
function checkName(name: string, what: string): void {
  if (typeof name !== "string") {
    throw typeError(`${what} must be a string`);
  }
  if (!NAME.test(name)) {
    throw rangeError(`${what} must be 1 to 100 letters, digits and signs of "_.:+-"`);
  }
}
