import { BadImageError } from "./bad-image.js";

/** The value of each hexadecimal digit; 255 for other bytes. */
const DIGITS = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) {
  const digit = i.toString(16);
  DIGITS[digit.charCodeAt(0)] = i;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = i;
}

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;

/**
 * Reads the lines of a text file as a mark of one or two characters and hexadecimal digits, the
 * form of Intel HEX and S-records.
 */
export class RecordReader {
  /** The number of the current line, from 1. */
  line = 0;
  /** The file offset of the current line. */
  start = 0;
  /** The bytes of the current record, from 0 to {@link RecordReader.length}. */
  readonly data = new Uint8Array(260);
  length = 0;
  /** The sum of the bytes of the current record. */
  sum = 0;
  #at = 0;

  /**
   * @param file - All bytes of the file.
   * @param mark - The first character of each record.
   * @param markSize - The number of characters before the digits.
   */
  constructor(
    readonly file: Uint8Array,
    readonly mark: string,
    readonly markSize: 1 | 2,
  ) {}

  /**
   * Goes to the next line that is not blank and reads its record.
   *
   * @returns False at the end of the file.
   * @throws BadImageError for an odd number of digits, another character, or a record that is
   * longer than any.
   */
  next(): boolean {
    const { file, data } = this;
    const end = file.length;
    let at = this.#at;
    for (;;) {
      if (at >= end) {
        this.#at = at;
        return false;
      }
      this.line++;
      this.start = at;
      const first = file[at]!;
      if (first !== LF && first !== CR && first !== SPACE && first !== TAB) {
        break;
      }
      at = this.#skipBlanks(at);
    }
    if (file[at] !== this.mark.charCodeAt(0)) {
      this.fail(`a record that does not start with ${this.mark}`);
    }
    at = Math.min(at + this.markSize, end);
    let length = 0;
    let sum = 0;
    while (at + 1 < end) {
      const high = DIGITS[file[at]!]!;
      const low = DIGITS[file[at + 1]!]!;
      if ((high | low) > 15) {
        break;
      }
      if (length === 260) {
        this.fail("a record is longer than its length can say");
      }
      const byte = (high << 4) | low;
      data[length++] = byte;
      sum += byte;
      at += 2;
    }
    this.length = length;
    this.sum = sum;
    this.#at = this.#skipBlanks(at);
    return true;
  }

  /** Skips blanks to the end of the line, and the line's end. */
  #skipBlanks(from: number): number {
    const { file } = this;
    let at = from;
    while (file[at] === SPACE || file[at] === TAB) {
      at++;
    }
    if (file[at] === CR) {
      at += file[at + 1] === LF ? 2 : 1;
    } else if (file[at] === LF) {
      at++;
    } else if (at < file.length) {
      this.fail(
        DIGITS[file[at]!]! < 16 ? "an odd number of hexadecimal digits" : "not a hexadecimal digit",
        at,
      );
    }
    return at;
  }

  /** Throws a BadImageError for the current line. */
  fail(reason: string, offset = this.start): never {
    throw new BadImageError(offset, reason, Math.max(1, this.line));
  }

  /** The number of `count` bytes of the record at an index, the most significant byte first. */
  number(index: number, count: number): number {
    let value = 0;
    for (let i = index; i < index + count; i++) {
      value = value * 256 + this.data[i]!;
    }
    return value;
  }

  /** Throws if anything but blank lines is left. */
  expectEnd(after: string): void {
    if (this.next()) {
      this.fail(`a record after the ${after}`);
    }
  }
}

/** The start of a file as text. */
export function startOf(file: Uint8Array): string {
  return Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, 64)).toString("latin1");
}

/** The error that reading the file again throws at the line of a contradiction. */
export function contradiction(again: () => unknown): unknown {
  try {
    return again();
  } catch (error) {
    return error;
  }
}

/** A byte as two digits, as in the file. */
export function hexByte(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, "0");
}
