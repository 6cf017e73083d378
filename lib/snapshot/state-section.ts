import { rangeError } from "../base/errors.js";
import { SnapshotFormatError } from "./errors.js";
import { MAX_NAME, MAX_STATE } from "./format.js";
import { sha256 } from "./page-checksum.js";
import type { MachineState } from "./state.js";

// The section of a snapshot file with the state of the machine: the last bytes of the file, after
// the pages. docs/snapshot-format.md specifies it.

const DIGEST_SIZE = 32;
const ENTRY_SIZE = 16;
/** The window of a block that the program has passed. */
const NO_WINDOW = 0xffff_ffff;

/**
 * Encodes the section, which is empty for a snapshot without state.
 *
 * @throws RangeError if the state exceeds the limits of the format.
 */
export function encodeState({ named, devices }: MachineState): Buffer {
  const blocks = [
    ...[...devices].map(([window, bytes]) => encodeBlock(window, "", bytes)),
    ...[...named].map(([name, bytes]) => encodeBlock(NO_WINDOW, name, bytes)),
  ];
  if (blocks.length === 0) {
    return Buffer.alloc(0);
  }
  const length = blocks.reduce((sum, block) => sum + block.length, DIGEST_SIZE);
  if (length > MAX_STATE) {
    throw rangeError("the state of the snapshot has more than 1 GiB");
  }
  const body = Buffer.concat(blocks);
  return Buffer.concat([sha256(body), body]);
}

/**
 * Decodes the section.
 *
 * @param offset - The offset of the section in the file, for errors.
 * @param windows - The number of windows of the snapshot.
 * @throws {@link SnapshotFormatError}
 */
export function decodeState(section: Buffer, offset: number, windows: number): MachineState {
  const named = new Map<string, Uint8Array>();
  const devices = new Map<number, Uint8Array>();
  if (section.length === 0) {
    return { named, devices };
  }
  const body = section.subarray(DIGEST_SIZE);
  if (!sha256(body).equals(section.subarray(0, DIGEST_SIZE))) {
    throw new SnapshotFormatError("the checksum of the state is wrong", offset);
  }
  for (let at = 0; at < body.length;) {
    const fail = (reason: string): SnapshotFormatError =>
      new SnapshotFormatError(reason, offset + DIGEST_SIZE + at);
    if (at + ENTRY_SIZE > body.length) {
      throw fail("the state ends in the middle of a block");
    }
    const window = body.readUInt32LE(at);
    const nameLength = body.readUInt32LE(at + 4);
    const length = body.readUInt32LE(at + 8);
    const reserved = body.readUInt32LE(at + 12);
    const start = at + ENTRY_SIZE + nameLength;
    if (nameLength > MAX_NAME || reserved !== 0 || start + length > body.length) {
      throw fail("a block of state does not lie in the state");
    }
    const name = body.toString("utf8", at + ENTRY_SIZE, start);
    const bytes = Uint8Array.from(body.subarray(start, start + length));
    const isNamed = window === NO_WINDOW;
    if (isNamed ? named.has(name) : devices.has(window) || name !== "" || window >= windows) {
      throw fail("a block of state has the name or the window of another, or no window");
    }
    if (isNamed) {
      named.set(name, bytes);
    } else {
      devices.set(window, bytes);
    }
    at = start + length;
  }
  return { named, devices };
}

function encodeBlock(window: number, name: string, bytes: Uint8Array): Buffer {
  const text = Buffer.from(name);
  if (text.length > MAX_NAME) {
    throw rangeError(`the name of a block of state must have at most ${MAX_NAME} bytes in UTF-8`);
  }
  if (bytes.length > MAX_STATE) {
    throw rangeError("a block of state has more than 1 GiB");
  }
  const entry = Buffer.alloc(ENTRY_SIZE);
  entry.writeUInt32LE(window, 0);
  entry.writeUInt32LE(text.length, 4);
  entry.writeUInt32LE(bytes.length, 8);
  return Buffer.concat([entry, text, bytes]);
}
