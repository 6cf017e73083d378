import { readFileSync, writeFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Image, ImageFormat } from "../loader/image.js";
import { checkImageOptions, FORMATS, type ImageOptions, readChecked } from "../loader/read.js";
import { extentOf, toIntelHex, toRaw, toSrec, toUf2 } from "../loader/write.js";
import { CliError } from "./failure.js";
import { describeImage, imageAsJson } from "./image-report.js";
import { print } from "./terminal.js";

const TARGETS = ["raw", "hex", "srec", "uf2"] as const;
/** The most bytes of a raw file. */
const MAX_RAW = 2n ** 30n;

interface Flags {
  readonly json?: boolean;
  readonly symbols?: boolean;
  readonly format?: ImageFormat;
  readonly gpa?: bigint;
  readonly bias?: bigint;
  readonly virtual?: boolean;
  readonly family?: bigint;
  readonly to?: (typeof TARGETS)[number];
  readonly output?: string;
  readonly fill: bigint;
}

/** Adds the command `image` to a program. */
export function registerImage(program: Command): void {
  program
    .command("image")
    .description("show what an executable or firmware file is, or convert it")
    .argument("<file>", "an ELF, Intel HEX, S-record, UF2, uImage, Linux Image or raw file")
    .option("--json", "print JSON")
    .option("--symbols", "list the symbols of an ELF file")
    .addOption(new Option("--format <name>", "read the file as this format").choices(FORMATS))
    .option(
      "--gpa <n>",
      "the address of a raw image, or the start of RAM of a Linux Image",
      bits(64),
    )
    .option("--bias <n>", "move a position-independent ELF file up", bits(64))
    .option("--virtual", "put the segments of an ELF file at their virtual addresses")
    .option("--family <n>", "the UF2 family to read, or to write", bits(32))
    .addOption(new Option("--to <name>", "convert to this format").choices(TARGETS))
    .option("-o, --output <file>", "the file to write, for --to")
    .option("--fill <n>", "the byte between the segments of a raw file", bits(8), 0n)
    .action((file: string, flags: Flags) => {
      if ((flags.to === undefined) !== (flags.output === undefined)) {
        throw new CliError("--to and --output need one another");
      }
      // At address 0, a file that names no address shows its offsets.
      const settings = { ...checkImageOptions(optionsOf(flags)), fallback: 0n };
      const { image } = readChecked(readFileSync(file), settings);
      if (flags.to !== undefined) {
        writeFileSync(flags.output!, converted(image, flags.to, flags));
      } else if (flags.json === true) {
        print(`${JSON.stringify(imageAsJson(image, flags.symbols === true), null, 2)}\n`);
      } else {
        print(describeImage(image, flags.symbols === true));
      }
    });
}

function optionsOf({ format, gpa, bias, virtual, family, to }: Flags): ImageOptions {
  return {
    ...(gpa === undefined ? {} : { gpa }),
    addresses: virtual === true ? "virtual" : "physical",
    allowInterpreter: true,
    symbols: to === undefined,
    ...(format === undefined ? {} : { format }),
    ...(bias === undefined ? {} : { bias }),
    // For --to uf2, it is the family of the result.
    ...(family === undefined || to === "uf2" ? {} : { family: Number(family) }),
  };
}

function converted(
  { segments, entry }: Image,
  to: (typeof TARGETS)[number],
  { fill, family }: Flags,
): string | Buffer {
  const { start, end } = extentOf(segments);
  if (to === "raw") {
    if (end - start > MAX_RAW) {
      throw new CliError(`a raw file would have ${end - start} bytes: more than ${MAX_RAW}`);
    }
    return toRaw(segments, Number(fill));
  }
  if (end > 2n ** 32n || (entry ?? 0n) >= 2n ** 32n) {
    throw new CliError(`${to} has addresses of 32 bits, and the image ends at ${end}`);
  }
  switch (to) {
    case "hex":
      return toIntelHex(segments, entry);
    case "srec":
      return toSrec(segments, entry);
    case "uf2":
      return toUf2(segments, family === undefined ? undefined : Number(family));
  }
}

/** A parser of numbers of up to some bits. */
function bits(count: number): (text: string) => bigint {
  return (text) => {
    if (!/^(\d+|0x[\da-f]+)$/i.test(text) || BigInt(text) >> BigInt(count) !== 0n) {
      throw new InvalidArgumentError(`It must be a number from 0 to 2^${count} - 1, such as 0x80.`);
    }
    return BigInt(text);
  };
}
