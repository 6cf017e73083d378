import { hex, printable } from "../base/printable.js";
import type { Image, ImageSegment } from "../loader/image.js";

/** What an image is, as lines of text. */
export function describeImage(image: Image, listsSymbols: boolean): string {
  const { elf, entry, families } = image;
  const lines = [
    `format:   ${formatText(image)}`,
    ...(image.compression.length > 0 ? [`packed:   ${image.compression.join(", ")}`] : []),
    ...(image.name === null ? [] : [`name:     ${printable(image.name)}`]),
    ...(elf?.interpreter == null ? [] : [`linker:   ${printable(elf.interpreter)}`]),
    ...(elf?.buildId == null ? [] : [`build id: ${elf.buildId}`]),
    ...(families.some((family) => family !== null)
      ? [`families: ${families.map(familyText).join(", ")}`]
      : []),
    ...(image.parts.length > 0
      ? [`files:    ${image.parts.map(({ length }) => `${length} bytes`).join(", ")}`]
      : []),
    `entry:    ${entry === null ? "none" : hex(entry) + symbolText(image, entry)}`,
    "segments:",
    ...mapOf(image),
  ];
  if (elf?.symbols) {
    lines.push(`symbols:  ${elf.symbols.size}`);
    if (listsSymbols) {
      for (const { address, size, kind, name } of elf.symbols) {
        lines.push(
          `  ${hex(address)} ${String(size).padStart(8)} ${kind.padEnd(8)} ${printable(name)}`,
        );
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The same as an object for JSON. Addresses are hexadecimal texts. */
export function imageAsJson(image: Image, listsSymbols: boolean): unknown {
  const { format, compression, name, entry, families, elf } = image;
  return {
    format,
    compression,
    name,
    entry: entry === null ? null : hex(entry),
    families,
    parts: image.parts.map(({ length }) => length),
    segments: image.segments.map((segment, i) => ({
      gpa: hex(segment.gpa),
      size: Number(segment.size),
      fileSize: segment.bytes.length,
      ...(elf === null ? {} : { vaddr: hex(elf.segments[i]!.vaddr), access: accessText(image, i) }),
    })),
    elf: elf && {
      bits: elf.bits,
      endian: elf.endian,
      type: elf.type,
      machine: elf.machine,
      flags: elf.flags,
      interpreter: elf.interpreter,
      buildId: elf.buildId,
    },
    ...(listsSymbols && elf?.symbols
      ? {
          symbols: [...elf.symbols].map((symbol) => ({
            name: symbol.name,
            address: hex(symbol.address),
            size: Number(symbol.size),
            kind: symbol.kind,
            global: symbol.global,
            section: symbol.section?.name ?? null,
          })),
        }
      : {}),
  };
}

function familyText(family: number | null): string {
  return family === null ? "none" : hex(family);
}

function formatText({ format, elf }: Image): string {
  if (elf === null) {
    return format;
  }
  const kind = elf.type === "exec" ? "fixed addresses" : "position-independent";
  return `ELF${elf.bits}, ${elf.endian}-endian, ${elf.machine}, ${kind}`;
}

/** The segments, one a line, with the gaps between them. */
function mapOf(image: Image): string[] {
  const lines: string[] = [];
  let end: bigint | null = null;
  image.segments.forEach((segment, i) => {
    const { gpa, size, bytes } = segment;
    if (end !== null && gpa > end) {
      lines.push(`  (${gpa - end} bytes free)`);
    }
    const zeros = size - BigInt(bytes.length);
    lines.push(
      `  ${hex(gpa)}-${hex(gpa + size - 1n)} ${accessText(image, i)} ${bytes.length} bytes` +
        (zeros > 0n ? ` + ${zeros} zeros` : "") +
        linkText(image, segment, i),
    );
    end = gpa + size;
  });
  return lines;
}

function linkText({ elf }: Image, { gpa }: ImageSegment, i: number): string {
  const vaddr = elf?.segments[i]?.vaddr;
  return vaddr === undefined || vaddr === gpa ? "" : `, linked at ${hex(vaddr)}`;
}

function accessText({ elf }: Image, i: number): string {
  const segment = elf?.segments[i];
  if (segment === undefined) {
    return "---";
  }
  const { readable, writable, executable } = segment;
  return `${readable ? "r" : "-"}${writable ? "w" : "-"}${executable ? "x" : "-"}`;
}

function symbolText({ elf }: Image, gpa: bigint): string {
  const match = elf?.symbols?.atGpa(gpa);
  if (match == null) {
    return "";
  }
  return ` ${printable(match.symbol.name)}${match.offset === 0n ? "" : `+${match.offset}`}`;
}
