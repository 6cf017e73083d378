import type { Contents } from "./image.js";
import { Pieces } from "./pieces.js";
import { contradiction, hexByte, RecordReader, startOf } from "./records.js";

const DATA = 0;
const END_OF_FILE = 1;
const SEGMENT = 2;
const START_SEGMENT = 3;
const LINEAR = 4;
const START_LINEAR = 5;

/** The bytes of data that each other type of record has. */
const SIZES: readonly (number | undefined)[] = [undefined, 0, 2, 4, 2, 4];

/** Whether the first line that is not blank starts as in Intel HEX. */
export function isIntelHex(file: Uint8Array): boolean {
  return /^\s*:[0-9a-fA-F]{10}/.test(startOf(file));
}

/**
 * Reads an Intel HEX file.
 *
 * @param stopAt - The line with this byte of data is refused, because it contradicts an earlier
 * one.
 * @throws BadImageError with the line.
 */
export function parseIntelHex(file: Uint8Array, stopAt = Infinity): Contents {
  const reader = new RecordReader(file, ":", 1);
  const { data } = reader;
  const pieces = new Pieces(file.length >>> 1);
  let base = 0;
  let isSegmented = false;
  let entry: bigint | null = null;
  for (;;) {
    if (!reader.next()) {
      reader.fail("no end-of-file record: the file may be truncated", file.length);
    }
    const type = checkRecord(reader);
    const size = data[0]!;
    const offset = reader.number(1, 2);
    switch (type) {
      case DATA: {
        // The address wraps in a segment of 64 KiB, or at the end of 32-bit addresses.
        const limit = isSegmented ? 0x1_0000 - offset : 0x1_0000_0000 - base - offset;
        const whole = Math.min(size, limit);
        if (whole <= 0) {
          addData(pieces, data, 0, size, (base + offset) % 0x1_0000_0000);
        } else {
          addData(pieces, data, 0, whole, base + offset);
          addData(pieces, data, whole, size - whole, isSegmented ? base : 0);
        }
        if (pieces.length > stopAt) {
          reader.fail("other bytes for addresses that have some");
        }
        break;
      }
      case END_OF_FILE:
        reader.expectEnd("end-of-file record");
        return {
          entry,
          segments: pieces.segments((index) => {
            throw contradiction(() => parseIntelHex(file, index));
          }),
        };
      case SEGMENT:
        base = reader.number(4, 2) * 16;
        isSegmented = true;
        break;
      case LINEAR:
        base = reader.number(4, 2) * 0x1_0000;
        isSegmented = false;
        break;
      case START_SEGMENT:
        entry = BigInt(reader.number(4, 2) * 16 + reader.number(6, 2));
        break;
      case START_LINEAR:
        entry = BigInt(reader.number(4, 4));
        break;
    }
  }
}

/** Checks the length, the checksum and the type of a record, and returns the type. */
function checkRecord(reader: RecordReader): number {
  const { data, length } = reader;
  if (length < 5 || length !== data[0]! + 5) {
    reader.fail(
      length === 0
        ? "a record without a length"
        : `a record of ${length} bytes, not of ${data[0]! + 5} as its length says`,
    );
  }
  if ((reader.sum & 0xff) !== 0) {
    const found = data[length - 1]!;
    reader.fail(
      `the checksum is ${hexByte(found)}, and should be ${hexByte((found - reader.sum) & 0xff)}`,
    );
  }
  const type = data[3]!;
  if (type > START_LINEAR) {
    reader.fail(`an unknown type of record: ${hexByte(type)}`);
  }
  const size = SIZES[type];
  if (size !== undefined && data[0] !== size) {
    reader.fail(`a record of type ${hexByte(type)} with ${data[0]!} bytes of data, not ${size}`);
  }
  return type;
}

/** Adds some of the data of a record, which starts at its byte 4. */
function addData(
  pieces: Pieces,
  record: Uint8Array,
  from: number,
  size: number,
  gpa: number,
): void {
  pieces.startAt(gpa, size);
  const { bytes, length } = pieces;
  for (let i = 0; i < size; i++) {
    bytes[length + i] = record[4 + from + i]!;
  }
  pieces.length = length + size;
}
