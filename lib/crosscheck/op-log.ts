import { asBuffer } from "../memory/bulk.js";
import { bytesOf } from "../base/view.js";
import { rangeError } from "../base/errors.js";
import { checkObject, toByteCount } from "../base/arguments.js";
import {
  checkTryAccess,
  type Op,
  OP_SIZE,
  OpBuffer,
  OpKind,
  opWrites,
  packOps,
  type TryAccess,
} from "../native/op-buffer.js";
import { GuestMemAccessResult } from "../base/result.js";

/** The first eight bytes of a log. The last of them is the version of the format. */
const MAGIC = Buffer.from("PGMOPS\0\x01", "latin1");
const HEADER_SIZE = 16;

/** The most bytes of RAM of a log. A log of 16 bytes could ask for more, which takes minutes. */
const MAX_RAM = 2n ** 40n;

/** A list of operations, and the size of the RAM that they were run on. */
export interface OpLog {
  /** Bytes of RAM. */
  readonly size: number;
  readonly ops: OpBuffer;
}

/**
 * Encodes a log; docs/op-log.md describes the format.
 *
 * @throws TypeError, RangeError for an invalid log.
 */
export function encodeOpLog(log: OpLog): Buffer {
  const { size, ops } = checkObject(log, "log");
  toByteCount(size, "the size of RAM");
  const packed = OpBuffer.bytesOf(ops);
  const header = Buffer.alloc(HEADER_SIZE);
  MAGIC.copy(header);
  header.writeBigUInt64LE(BigInt(size), MAGIC.length);
  return Buffer.concat([header, packed]);
}

/**
 * Decodes a log.
 *
 * @throws TypeError if `bytes` is not a view; RangeError if the bytes are not a log, or a log that
 * is truncated or of another version.
 */
export function decodeOpLog(bytes: Uint8Array): OpLog {
  const log = asBuffer(bytesOf(bytes, "bytes"));
  if (log.length < HEADER_SIZE || !log.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw rangeError("not an operation log of version 1");
  }
  const body = log.subarray(HEADER_SIZE);
  if (body.length % OP_SIZE !== 0) {
    throw rangeError("the operation log ends in the middle of an operation");
  }
  const ops = new OpBuffer(body.length / OP_SIZE);
  ops.pushPacked(body);
  for (let i = 0; i < ops.length; i++) {
    if (ops.kind(i) > OpKind.WRITEQ) {
      throw rangeError(`operation ${i} of the log is of unknown kind ${ops.kind(i)}`);
    }
  }
  const size = log.readBigUInt64LE(MAGIC.length);
  if (size > MAX_RAM) {
    throw rangeError("the operation log is for RAM of more than 2^40 bytes");
  }
  return { size: Number(size), ops };
}

/** A wrapper around a memory that records every operation made through it, with its outcome. */
export class OpRecorder implements TryAccess {
  readonly #memory: TryAccess;
  readonly #ops: Op[] = [];
  readonly #results: GuestMemAccessResult[] = [];

  /**
   * @param memory - Carries out the operations.
   * @throws TypeError if it lacks one of the eight `try…` methods.
   */
  constructor(memory: TryAccess) {
    this.#memory = checkTryAccess(memory, "memory");
  }

  /**
   * The recorded operations, as a log of RAM of `size` bytes.
   *
   * @throws TypeError, RangeError for an invalid size.
   */
  log(size: number): OpLog {
    toByteCount(size, "size");
    const ops = packOps(this.#ops);
    this.#results.forEach((result, i) => ops.setResult(i, result));
    return { size, ops };
  }

  tryReadb: TryAccess["tryReadb"] = (gpa, out) =>
    this.#record(OpKind.READB, gpa, this.#memory.tryReadb(gpa, out), out);
  tryReadw: TryAccess["tryReadw"] = (gpa, out) =>
    this.#record(OpKind.READW, gpa, this.#memory.tryReadw(gpa, out), out);
  tryReadl: TryAccess["tryReadl"] = (gpa, out) =>
    this.#record(OpKind.READL, gpa, this.#memory.tryReadl(gpa, out), out);
  tryReadq: TryAccess["tryReadq"] = (gpa, out) =>
    this.#record(OpKind.READQ, gpa, this.#memory.tryReadq(gpa, out), out);
  tryWriteb: TryAccess["tryWriteb"] = (gpa, value) =>
    this.#record(OpKind.WRITEB, gpa, this.#memory.tryWriteb(gpa, value), [value]);
  tryWritew: TryAccess["tryWritew"] = (gpa, value) =>
    this.#record(OpKind.WRITEW, gpa, this.#memory.tryWritew(gpa, value), [value]);
  tryWritel: TryAccess["tryWritel"] = (gpa, value) =>
    this.#record(OpKind.WRITEL, gpa, this.#memory.tryWritel(gpa, value), [value]);
  tryWriteq: TryAccess["tryWriteq"] = (gpa, value) =>
    this.#record(OpKind.WRITEQ, gpa, this.#memory.tryWriteq(gpa, value), [value]);

  #record(
    kind: OpKind,
    gpa: number | bigint,
    result: GuestMemAccessResult,
    values: ArrayLike<number | bigint>,
  ): GuestMemAccessResult {
    const known = opWrites(kind) || result === GuestMemAccessResult.OK;
    this.#ops.push({ kind, gpa: BigInt(gpa), value: known ? BigInt(values[0]!) : 0n });
    this.#results.push(result);
    return result;
  }
}
