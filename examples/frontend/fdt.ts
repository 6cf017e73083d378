const MAGIC = 0xd00dfeed;
const VERSION = 17;
const COMPATIBLE_VERSION = 16;
/** Bytes of the header, and of the list of reserved memory, which has only its end. */
const HEADER = 40;
const RESERVATIONS = 16;

// Tokens of the structure.
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROPERTY = 3;
const END = 9;

/**
 * The value of a property: a string, several, cells of 32 bits, or null for a property that is only
 * present.
 */
type Value = string | readonly string[] | readonly number[] | null;

/** A node of a device tree: its properties by name, and its children by name and unit address. */
export interface FdtNode {
  readonly properties: Readonly<Record<string, Value>>;
  readonly children?: Readonly<Record<string, FdtNode>>;
}

/** Encodes a flattened device tree, version 17 of the Devicetree Specification. */
export function encodeFdt(root: FdtNode): Buffer {
  const structure: Buffer[] = [];
  const strings: string[] = [];
  encodeNode("", root, structure, strings);
  structure.push(cells(END));
  const struct = Buffer.concat(structure);
  const names = text(strings);
  const structAt = HEADER + RESERVATIONS;
  const namesAt = structAt + struct.length;
  const total = namesAt + names.length;
  const header = cells(
    ...[MAGIC, total, structAt, namesAt, HEADER, VERSION, COMPATIBLE_VERSION],
    ...[0, names.length, struct.length],
  );
  return Buffer.concat([header, Buffer.alloc(RESERVATIONS), struct, names]);
}

function encodeNode(name: string, node: FdtNode, out: Buffer[], strings: string[]): void {
  out.push(cells(BEGIN_NODE), padded(text([name])));
  for (const [property, value] of Object.entries(node.properties)) {
    const bytes = encodeValue(value);
    if (!strings.includes(property)) {
      strings.push(property);
    }
    const nameAt = text(strings.slice(0, strings.indexOf(property))).length;
    out.push(cells(PROPERTY, bytes.length, nameAt), padded(bytes));
  }
  for (const [child, content] of Object.entries(node.children ?? {})) {
    encodeNode(child, content, out, strings);
  }
  out.push(cells(END_NODE));
}

function encodeValue(value: Value): Buffer {
  if (value === null) {
    return Buffer.alloc(0);
  }
  if (typeof value === "string") {
    return text([value]);
  }
  return value.every((item) => typeof item === "string") ? text(value) : cells(...value);
}

/** Strings, each with a zero at its end. */
function text(strings: readonly string[]): Buffer {
  return Buffer.from(strings.map((string) => `${string}\0`).join(""));
}

function cells(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

/** Bytes, with zeros up to a multiple of 4. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
