import type { ErrorCode } from "../base/errors.js";
import { printable } from "../base/printable.js";

/**
 * The kind of access of one line of a trace: an instruction fetch, a load, a store, or a modify (a
 * load, then a store). The values index tables and are part of the encoding of a {@link Batch}.
 */
export const AccessKind = { FETCH: 0, LOAD: 1, STORE: 2, MODIFY: 3 } as const;
export type AccessKind = (typeof AccessKind)[keyof typeof AccessKind];

/** The widest access that a line may have, in bytes. Lackey itself writes at most 512. */
export const MAX_ACCESS_SIZE = 4096;

/** Receives the accesses of a trace, in order, from a {@link LackeyParser}. */
export interface AccessSink {
  /**
   * @param kind - The kind of access.
   * @param high - Bits 32 to 63 of its address, as an unsigned number.
   * @param low - Bits 0 to 31 of its address, as an unsigned number.
   * @param size - Its length in bytes, 1 to `MAX_ACCESS_SIZE`.
   */
  access(kind: AccessKind, high: number, low: number, size: number): void;
}

/** Options of {@link LackeyParser}. */
export interface LackeyOptions {
  /**
   * Whether to skip and count lines that are neither accesses nor Valgrind's own, such as output of
   * the traced program in the same stream. By default the first such line is an error.
   */
  readonly skipForeign?: boolean;
}

/** Thrown for a line of a trace that is neither an access nor one of Valgrind's own lines. */
export class LackeySyntaxError extends Error {
  override readonly name = "LackeySyntaxError";
  readonly code = "ERR_LACKEY_SYNTAX" satisfies ErrorCode;

  /**
   * @param line - The number of the line, from 1.
   * @param reason - What is wrong with the line.
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
/** Precedes a message once for each outer Valgrind, where Valgrind runs under Valgrind. */
const NESTED = 0x3e;
/**
 * Messages start with two of one of these: `=` for users, `-` for debugging, `*` of the program.
 */
const MESSAGES = Buffer.from("=-*");
const MESSAGE_START = Buffer.from("==");
const NOT_HEX = 16;
const NOT_A_KIND = 255;
const MAX_HEX_DIGITS = 16;

// Lines of accesses are far shorter. A longer line that is not noise is an error, so that a line
// without an end cannot make the parser buffer it all.
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
 * Parses the text that `valgrind --tool=lackey --trace-mem=yes` writes, in chunks of any size, and
 * passes each access to a sink. The parser buffers at most one short line.
 *
 * A line is `I  addr,size`, ` L addr,size`, ` S addr,size` or ` M addr,size`: the address in 1 to
 * 16 hexadecimal digits, the size in decimal. Noise is counted and skipped: blank lines, the
 * superblocks that `--trace-superblocks=yes` adds (`SB addr`), and Valgrind's messages, which start
 * with `==`, `--` or `**` after a `>` for each outer Valgrind. Lines may end in CRLF, and the last
 * one may have no end.
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

  /** The number of lines read, noise included. */
  get lines(): number {
    return this.#lines;
  }

  /** The number of lines that were Valgrind's own, or blank. */
  get noise(): number {
    return this.#noise;
  }

  /** The number of lines that were skipped as foreign. */
  get foreign(): number {
    return this.#foreign;
  }

  /**
   * Parses the lines that the chunk completes.
   *
   * @throws {@link LackeySyntaxError} at the first line that is neither an access nor noise. The
   * parser cannot be used after that.
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
   * Parses a last line that has no newline.
   *
   * @throws {@link LackeySyntaxError} as {@link push} does.
   */
  end(): void {
    if (this.#carry.length !== 0) {
      this.push(Buffer.from("\n"));
    }
  }

  /** Completes the buffered line from the chunk. Returns the offset of the next line. */
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

  /** Buffers the start of a line until the next chunk. */
  #keep(tail: Buffer): void {
    if (tail.length === 0) {
      return;
    }
    // This copies, since the owner of the chunk may reuse its memory.
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

  /** Parses whole lines. The byte before `end` is a newline, so no scan below passes it. */
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

  /** Counts a line of noise. Returns the offset of the next line. */
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

  /** Counts a foreign line. Returns the offset of the next line. */
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

/** Whether an access ends above 2^64. */
function wraps(high: number, low: number, size: number): boolean {
  return high === 0xffffffff && low + size > 0x1_0000_0000;
}

/** Whether a line starts like a message of Valgrind's. */
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
 * Unpacks a stream that starts with the magic bytes of gzip, and passes any other stream on as it
 * is. It reads at most one chunk ahead of its consumer.
 *
 * @throws the errors of `source`; zlib's errors (`Z_DATA_ERROR`, `Z_BUF_ERROR`) if gzipped data is
 * damaged or truncated.
 */
export async function* gunzipIfPacked(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  const head = await readHead(chunks);
  const whole = prepend(head, chunks);
  yield* head[0] === 0x1f && head[1] === 0x8b ? unpack(whole, "createGunzip") : whole;
}

/**
 * The text of the trace in a file: as {@link gunzipIfPacked}, and unpacked by Brotli, whose data
 * have no magic bytes, if the name of the file ends with `.br`.
 *
 * @throws the errors of `source`; zlib's errors if packed data is damaged or truncated.
 */
export function unpackTrace(
  name: string,
  source: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  return name.endsWith(".br") ? unpack(source, "createBrotliDecompress") : gunzipIfPacked(source);
}

async function* unpack(
  source: AsyncIterable<Uint8Array>,
  create: "createGunzip" | "createBrotliDecompress",
): AsyncGenerator<Uint8Array, void, undefined> {
  // These take longer to load than the rest of the package, so only packed traces load them.
  const { pipeline, Readable } = await import("node:stream");
  const { [create]: createUnpacked } = await import("node:zlib");
  const unpacked = createUnpacked();
  // The loop below throws the pipeline's error, so the callback does nothing.
  pipeline(Readable.from(source, { objectMode: false }), unpacked, () => undefined);
  yield* unpacked as AsyncIterable<Uint8Array>;
}

/** Reads chunks until they hold the two magic bytes of gzip. */
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
    // A consumer that stops early must close the source, for instance a file.
    await chunks.return?.();
  }
}
