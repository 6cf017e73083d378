import type { Contents } from "./image.js";
import { Pieces } from "./pieces.js";
import { contradiction, hexByte, RecordReader, startOf } from "./records.js";

/** The bytes of the address of each type of record. */
const ADDRESS_SIZES = [2, 2, 3, 4, 0, 2, 3, 4, 3, 2] as const;

/** Whether the first line that is not blank starts as S-records do. */
export function isSrec(file: Uint8Array): boolean {
  return /^\s*S[0-35-9][0-9a-fA-F]{8}/.test(startOf(file));
}

/**
 * Reads Motorola S-records.
 *
 * @param stopAt - The line with this byte of data is refused, because it contradicts an earlier
 * one.
 * @throws BadImageError with the line.
 */
export function parseSrec(file: Uint8Array, stopAt = Infinity): Contents {
  const reader = new RecordReader(file, "S", 2);
  const { data } = reader;
  const pieces = new Pieces(file.length >>> 1);
  let name: string | null = null;
  let records = 0;
  for (;;) {
    if (!reader.next()) {
      reader.fail("no S7, S8 or S9 record: the file may be truncated", file.length);
    }
    const type = checkRecord(reader);
    const addressSize = ADDRESS_SIZES[type]!;
    const first = 1 + addressSize;
    const size = reader.length - 1 - first;
    const address = reader.number(1, addressSize);
    switch (type) {
      case 0:
        name = textOf(data.subarray(first, first + size));
        break;
      case 1:
      case 2:
      case 3: {
        records++;
        if (address + size > 256 ** addressSize) {
          reader.fail("data past the last address");
        }
        pieces.startAt(address, size);
        const { bytes, length } = pieces;
        for (let i = 0; i < size; i++) {
          bytes[length + i] = data[first + i]!;
        }
        pieces.length = length + size;
        if (pieces.length > stopAt) {
          reader.fail("other bytes for addresses that have some");
        }
        break;
      }
      case 5:
      case 6:
        // A count has 16 or 24 bits, so that it may have wrapped.
        if (address !== records % 256 ** addressSize) {
          reader.fail(`${records} data records come before it, and it counts ${address}`);
        }
        break;
      default:
        reader.expectEnd(`S${type} record`);
        return {
          name,
          // Tools write 0 if there is no entry point.
          entry: address === 0 ? null : BigInt(address),
          segments: pieces.segments((index) => {
            throw contradiction(() => parseSrec(file, index));
          }),
        };
    }
  }
}

/** Checks the type, the length and the checksum of a record, and returns its type. */
function checkRecord(reader: RecordReader): number {
  const { data, file, start, length } = reader;
  const type = file[start + 1]! - 0x30;
  if (!(type >= 0 && type <= 9)) {
    reader.fail("a record that does not start with S and a digit");
  }
  if (type === 4) {
    reader.fail("a record of the reserved type S4");
  }
  const least = ADDRESS_SIZES[type]! + 2;
  if (length < least) {
    reader.fail(`a record of ${length} bytes: S${type} has at least ${least}`);
  }
  if (length !== data[0]! + 1) {
    reader.fail(`a record of ${length} bytes, not of ${data[0]! + 1} as its length says`);
  }
  if (type >= 5 && length !== least) {
    reader.fail(`a record S${type} with data`);
  }
  if ((reader.sum & 0xff) !== 0xff) {
    const found = data[length - 1]!;
    reader.fail(
      `the checksum is ${hexByte(found)}, and should be ` +
        hexByte((found + 0xff - (reader.sum & 0xff)) & 0xff),
    );
  }
  return type;
}

function textOf(bytes: Uint8Array): string | null {
  const text = Buffer.from(bytes).toString("latin1");
  return text.replace(/\0+$/, "") || null;
}
