import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./debian.js";

/** A `PT_LOAD` header, as readelf prints it. */
export interface Load {
  readonly offset: number;
  readonly paddr: bigint;
  readonly fileSize: number;
  readonly size: bigint;
}

/** The names of Debian's binutils by the number of the machine; the host's for all others. */
const TRIPLETS: Readonly<Record<number, string>> = {
  4: "m68k-linux-gnu",
  8: "mips-linux-gnu",
  20: "powerpc-linux-gnu",
  22: "s390x-linux-gnu",
  40: "arm-linux-gnueabi",
  183: "aarch64-linux-gnu",
  243: "riscv64-linux-gnu",
};

/** Whether a file is an ELF file of the types that can be loaded. */
export function isExecutable(file: Buffer): boolean {
  if (file.length < 64 || file.toString("latin1", 0, 4) !== "\x7fELF") {
    return false;
  }
  const type = u16(file, 16);
  return type === 2 || type === 3;
}

function u16(file: Buffer, offset: number): number {
  return file[5] === 2 ? file.readUInt16BE(offset) : file.readUInt16LE(offset);
}

/** Runs readelf or objcopy, that of the file's machine if it is there. Null if it fails. */
function runFor(file: Buffer, program: string, args: readonly string[]): string | null {
  const triplet = TRIPLETS[u16(file, 18)];
  const output = triplet === undefined ? null : run(`${triplet}-${program}`, args);
  return output ?? run(program, args);
}

/** The segments and the symbols of an ELF file. */
export function readelf(path: string, file: Buffer): { loads: Load[]; symbols: string[] } {
  const text = runFor(file, "readelf", ["-lsW", path]) ?? "";
  const loads = [...text.matchAll(/^\s+LOAD\s+(\w+) \w+ (\w+) (\w+) (\w+)/gm)]
    .map(([, offset, paddr, fileSize, size]) => ({
      offset: Number(offset),
      paddr: BigInt(paddr!),
      fileSize: Number(fileSize),
      size: BigInt(size!),
    }))
    .filter(({ size }) => size > 0n);
  const tables = text.split("Symbol table '").slice(1);
  const table =
    tables.find((part) => part.startsWith(".symtab")) ??
    tables.find((part) => part.startsWith(".dynsym")) ??
    "";
  const row = /^ *\d+: (\w+)\s+(\w+) (\w+)\s+\w+\s+\w+\s+(?:\[.*\] +)?(\w+) (\S+)/gm;
  const symbols = [...table.matchAll(row)]
    .filter(
      ([, , , type, section, name]) =>
        !["UND", "COM"].includes(section!) &&
        !["SECTION", "FILE", "TLS"].includes(type!) &&
        !/^\$[a-z](\.|$)/.test(name!),
    )
    // readelf adds the version to a name, and prints large sizes in hexadecimal digits.
    .map(
      ([, value, size, , , name]) =>
        `${BigInt(`0x${value}`)} ${Number(size)} ${name!.split("@")[0]}`,
    );
  return { loads, symbols };
}

/** A file in three forms, as a tool has converted it. */
export interface Converted {
  readonly srec: Buffer;
  readonly hex: Buffer;
  /** The bytes from the lowest address to the highest, with 0xa5 in the gaps. */
  readonly raw: Buffer;
  /** The path of the S-records. */
  readonly path: string;
}

/**
 * Converts an ELF or a HEX file by objcopy.
 *
 * @returns Null if objcopy cannot read the file.
 */
export function objcopy(path: string, file: Buffer, folder: string): Converted | null {
  const input = isExecutable(file) ? [] : ["-I", "ihex"];
  const outputs = [
    ["srec", join(folder, "objcopy.srec")],
    ["ihex", join(folder, "objcopy.hex")],
    ["binary", join(folder, "objcopy.raw")],
  ] as const;
  for (const [format, target] of outputs) {
    const gap = format === "binary" ? ["--gap-fill", "0xa5"] : [];
    const args = [...input, "-O", format, ...gap, path, target];
    if ((isExecutable(file) ? runFor(file, "objcopy", args) : run("objcopy", args)) === null) {
      return null;
    }
  }
  const [srec, hex, raw] = outputs.map(([, target]) => readFileSync(target));
  return { srec: srec!, hex: hex!, raw: raw!, path: outputs[0][1] };
}
