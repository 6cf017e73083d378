import type { ErrorCode } from "../base/errors.js";
import { printable } from "../base/printable.js";

/**
 * What one line of a trace did: fetched an instruction, loaded, stored, or modified (loaded, then
 * stored) memory. The values index tables and are part of a {@link Batch}'s encoding.
 */
export const AccessKind = { FETCH: 0, LOAD: 1, STORE: 2, MODIFY: 3 } as const;
export type AccessKind = (typeof AccessKind)[keyof typeof AccessKind];

/** The widest access that a line may name, in bytes; lackey itself stops at 512. */
export const MAX_ACCESS_SIZE = 4096;

/** Takes the accesses of a trace, in order, from a {@link LackeyParser}. */
export interface AccessSink {
  /**
   * @param kind - What the access did.
   * @param high - Bits 32 to 63 of its address, as an unsigned number.
   * @param low - Bits 0 to 31 of its address, as an unsigned number.
   * @param size - Its length in bytes, 1 to `MAX_ACCESS_SIZE`.
   */
  access(kind: AccessKind, high: number, low: number, size: number): void;
}

/** How a memory trace of lackey is read. */
export interface LackeyOptions {
  /**
   * Whether lines that are neither accesses nor Valgrind's own are skipped and counted, such as what
   * the traced program wrote to the same stream. By default the first one is an error.
   */
  readonly skipForeign?: boolean;
}

/** A line of a trace that is neither an access nor Valgrind's own noise. */
export class LackeySyntaxError extends Error {
  override readonly name = "LackeySyntaxError";
  readonly code = "ERR_LACKEY_SYNTAX" satisfies ErrorCode;

  /**
   * @param line - The line's number, from 1.
   * @param reason - What is wrong with it.
   */
  constructor(
    readonly line: number,
    reason: string,
  ) {
    super(`line ${line}: ${printable(reason)}`);
  }
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const COMMA = 0x2c;
/** Stands in front of messages once for each Valgrind that the tracing one runs in. */
const NESTED = 0x3e;
/** What messages start with, twice: `=` to users, `-` for debugging, `*` of the traced program. */
const MESSAGES = Buffer.from("=-*");
const MESSAGE_START = Buffer.from("==");
const NOT_HEX = 16;
const NOT_A_KIND = 255;
const MAX_HEX_DIGITS = 16;

// No access's line is nearly this long, so what is longer and no noise is an error: that bounds
// what a line without end can make the parser hold.
const MAX_LINE = 256;
const MAX_EXCERPT = 60;

const HEX = new Uint8Array(256).fill(NOT_HEX);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  HEX[text.charCodeAt(0)] = digit;
  HEX[text.toUpperCase().charCodeAt(0)] = digit;
}

const KINDS = new Uint8Array(256).fill(NOT_A_KIND);
for (const [index, letter] of ["I", "L", "S", "M"].entries()) {
  KINDS[letter.charCodeAt(0)] = index;
}

/**
 * Parses the text that `valgrind --tool=lackey --trace-mem=yes` writes, pushed to it in chunks cut
 * anywhere, and hands each access to a sink. It holds no more of the text than one short line.
 *
 * A line is `I  addr,size`, ` L addr,size`, ` S addr,size` or ` M addr,size`: the address in 1 to
 * 16 hexadecimal digits, the size in decimal. Counted as noise are blank lines, the superblocks that
 * `--trace-superblocks=yes` adds (`SB addr`) and Valgrind's messages: `==`, `--` or `**` first, behind
 * a `>` for each Valgrind that this one runs in. Lines may end in CRLF, and the last one in nothing.
 */
export class LackeyParser {
  #lines = 0;
  #noise = 0;
  #foreign = 0;
  #carry: Buffer = Buffer.alloc(0);
  readonly #sink: AccessSink;
  readonly #skipForeign: boolean;

  constructor(sink: AccessSink, { skipForeign = false }: LackeyOptions = {}) {
    this.#sink = sink;
    this.#skipForeign = skipForeign;
  }

  /** How many lines were read, noise among them. */
  get lines(): number {
    return this.#lines;
  }

  /** How many of the lines were Valgrind's own, or blank. */
  get noise(): number {
    return this.#noise;
  }

  /** How many of the lines were skipped as foreign. */
  get foreign(): number {
    return this.#foreign;
  }

  /**
   * Parses the lines that the chunk completes.
   *
   * @throws {@link LackeySyntaxError} at the first line that is neither an access nor noise; the
   * parser is of no use after that.
   */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const first = this.#carry.length === 0 ? 0 : this.#endCarriedLine(bytes);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end > first) {
      this.#parse(bytes, first, end);
    }
    this.#keep(bytes.subarray(Math.max(first, end)));
  }

  /**
   * Parses a last line that no newline ended.
   *
   * @throws {@link LackeySyntaxError} as {@link push} does.
   */
  end(): void {
    if (this.#carry.length !== 0) {
      this.push(Buffer.from("\n"));
    }
  }

  /** Ends the line carried over with the chunk's first bytes; returns where the next one starts. */
  #endCarriedLine(bytes: Buffer): number {
    const end = bytes.indexOf(NEWLINE) + 1;
    if (end === 0) {
      return 0;
    }
    const line = Buffer.concat([this.#carry, bytes.subarray(0, end)]);
    this.#carry = Buffer.alloc(0);
    this.#parse(line, 0, line.length);
    return end;
  }

  /** Carries the start of a line over to the next chunk. */
  #keep(tail: Buffer): void {
    if (tail.length === 0) {
      return;
    }
    // A copy: the chunk's owner may reuse its memory.
    const start = Buffer.concat([this.#carry, tail]);
    if (isMessage(start, 0, start.length)) {
      this.#carry = MESSAGE_START;
    } else if (start.length <= MAX_LINE) {
      this.#carry = start;
    } else if (this.#skipForeign) {
      this.#carry = start.subarray(0, MAX_LINE + 1);
    } else {
      throw new LackeySyntaxError(this.#lines + 1, notAnAccess(start, 0, start.length));
    }
  }

  /** Parses whole lines: the byte before `end` is a newline, so no scan below runs past it. */
  #parse(bytes: Buffer, start: number, end: number): void {
    const sink = this.#sink;
    let at = start;
    while (at < end) {
      const line = at;
      let byte = bytes[at]!;
      if (byte === SPACE) {
        byte = bytes[++at]!;
      }
      const kind = KINDS[byte]!;
      if (kind === NOT_A_KIND || bytes[at + 1] !== SPACE) {
        at = this.#skipOther(bytes, line);
        continue;
      }
      at += 2;
      byte = bytes[at]!;
      if (byte === SPACE) {
        byte = bytes[++at]!;
      }

      const address = at;
      let high = 0;
      let low = 0;
      for (let digit = HEX[byte]!; digit !== NOT_HEX; digit = HEX[byte]!) {
        high = (high << 4) | (low >>> 28);
        low = (low << 4) | digit;
        byte = bytes[++at]!;
      }
      const digits = at - address;
      if (byte !== COMMA || digits === 0 || digits > MAX_HEX_DIGITS) {
        at = this.#takeForeign(bytes, line);
        continue;
      }

      const number = ++at;
      let size = 0;
      byte = bytes[at]!;
      while (byte >= 0x30 && byte <= 0x39) {
        size = size * 10 + (byte - 0x30);
        byte = bytes[++at]!;
      }
      const sizeDigits = at - number;
      if (byte === RETURN) {
        byte = bytes[++at]!;
      }
      if (byte !== NEWLINE || sizeDigits === 0 || at - line > MAX_LINE) {
        at = this.#takeForeign(bytes, line);
        continue;
      }
      at++;
      this.#lines++;
      high >>>= 0;
      low >>>= 0;
      if (size === 0 || size > MAX_ACCESS_SIZE || wraps(high, low, size)) {
        this.#rejectSize(size);
      }
      sink.access(kind as AccessKind, high, low, size);
    }
  }

  /** Counts a line of noise; returns where the next line starts. */
  #skipOther(bytes: Buffer, start: number): number {
    const end = bytes.indexOf(NEWLINE, start);
    if (
      !isMessage(bytes, start, end) &&
      !isSuperblock(bytes, start, end) &&
      !isBlank(bytes, start, end)
    ) {
      return this.#takeForeign(bytes, start);
    }
    this.#lines++;
    this.#noise++;
    return end + 1;
  }

  /** Counts a foreign line; returns where the next line starts. */
  #takeForeign(bytes: Buffer, start: number): number {
    const end = bytes.indexOf(NEWLINE, start);
    this.#lines++;
    if (!this.#skipForeign) {
      throw new LackeySyntaxError(this.#lines, notAnAccess(bytes, start, end));
    }
    this.#foreign++;
    return end + 1;
  }

  #rejectSize(size: number): never {
    const reason =
      size === 0 || size > MAX_ACCESS_SIZE
        ? `an access's size must be 1 to ${MAX_ACCESS_SIZE} bytes, not ${size}`
        : "the access runs past the end of the 64-bit address space";
    throw new LackeySyntaxError(this.#lines, reason);
  }
}

/** True if an access reaches beyond the last of the 2^64 addresses. */
function wraps(high: number, low: number, size: number): boolean {
  return high === 0xffffffff && low + size > 0x1_0000_0000;
}

/** Whether a line starts as Valgrind's messages do. */
function isMessage(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && bytes[at] === NESTED) {
    at++;
  }
  const byte = bytes[at]!;
  return end - at >= 2 && MESSAGES.includes(byte) && bytes[at + 1] === byte;
}

/** Whether a line is `SB` and the address of a superblock. */
function isSuperblock(bytes: Buffer, start: number, end: number): boolean {
  return (
    bytes[start] === 0x53 &&
    bytes[start + 1] === 0x42 &&
    end - start <= MAX_LINE &&
    /^SB [\da-f]{1,16}\r?$/i.test(bytes.toString("latin1", start, end))
  );
}

function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte !== SPACE && byte !== TAB && byte !== RETURN) {
      return false;
    }
  }
  return end - start <= MAX_LINE;
}

function notAnAccess(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("latin1", start, Math.min(end, start + MAX_EXCERPT));
  return (
    `neither an access nor a line of Valgrind's: ${JSON.stringify(text)} ` +
    "(the option skipForeign, or --skip-foreign, skips such lines)"
  );
}

/**
 * A trace's text, from its bytes as they are stored: unpacked if they start as gzip does, passed
 * on untouched if not. It reads no further ahead than its consumer does, but for one chunk.
 *
 * @throws The source's own error, or zlib's (`Z_DATA_ERROR`, `Z_BUF_ERROR`) if what starts as gzip
 * is damaged or cut short.
 */
export async function* gunzipIfPacked(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks);
  const whole = prepend(head, chunks);
  if (head[0] !== 0x1f || head[1] !== 0x8b) {
    yield* whole;
    return;
  }
  // Only here: they take longer to load than the rest of the package.
  const { pipeline, Readable } = await import("node:stream");
  const { createGunzip } = await import("node:zlib");
  const unpacked = createGunzip();
  // The loop below sees the pipeline's failure as its own, so the callback has nothing to add.
  pipeline(Readable.from(whole, { objectMode: false }), unpacked, () => undefined);
  yield* unpacked as AsyncIterable<Uint8Array>;
}

/** The first chunks of a stream, until they hold the two bytes that name a format. */
async function readHead(chunks: AsyncIterator<Uint8Array>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done === true) {
      break;
    }
    head = Buffer.concat([head, next.value]);
  }
  return head;
}

async function* prepend(
  head: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield head;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      yield next.value;
    }
  } finally {
    // An early end must close the source, a file among others.
    await chunks.return?.();
  }
}
