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
import { type AccessPolicy, checkPolicy, policyNumber, policyOf } from "../base/policy.js";
import { GuestMemAccessResult } from "../base/result.js";

/** The first bytes of a log. The version of the format follows. */
const MAGIC = Buffer.from("PGMOPS\0", "latin1");
const VERSION = 2;

// Offsets in the header.
const VERSION_AT = MAGIC.length;
const SIZE_AT = 8;
const POLICY_AT = 16;

/** Bytes of the header, by version. A log of version 1 has no policy. */
const HEADER_SIZES: Readonly<Record<number, number>> = { 1: 16, 2: 24 };

/** The most bytes of RAM of a log. A log of 16 bytes could ask for more, which takes minutes. */
const MAX_RAM = 2n ** 40n;

/** A list of operations, with the size and the access policy of the RAM that they were run on. */
export interface OpLog {
  /** Bytes of RAM. */
  readonly size: number;
  readonly ops: OpBuffer;
  /** The default is that of Pound's header. */
  readonly policy?: AccessPolicy;
}

/**
 * Encodes a log; docs/op-log.md describes the format.
 *
 * @throws TypeError, RangeError for an invalid log.
 */
export function encodeOpLog(log: OpLog): Buffer {
  const { size, ops, policy = {} } = checkObject(log, "log");
  toByteCount(size, "the size of RAM");
  const packed = OpBuffer.bytesOf(ops);
  const header = Buffer.alloc(HEADER_SIZES[VERSION]!);
  MAGIC.copy(header);
  header[VERSION_AT] = VERSION;
  header.writeBigUInt64LE(BigInt(size), SIZE_AT);
  header[POLICY_AT] = policyNumber(checkPolicy(policy));
  return Buffer.concat([header, packed]);
}

/**
 * Decodes a log of version 1 or 2.
 *
 * @throws TypeError if `bytes` is not a view; RangeError if the bytes are not a log, or a log that
 * is truncated or of another version.
 */
export function decodeOpLog(bytes: Uint8Array): Required<OpLog> {
  const log = asBuffer(bytesOf(bytes, "bytes"));
  const headerSize = HEADER_SIZES[log[VERSION_AT] ?? 0];
  if (
    headerSize === undefined ||
    log.length < headerSize ||
    !log.subarray(0, MAGIC.length).equals(MAGIC)
  ) {
    throw rangeError("not an operation log of version 1 or 2");
  }
  // Version 1 ends here. Together with the zero bytes after it, the policy is one integer.
  const policy = headerSize > POLICY_AT ? log.readBigUInt64LE(POLICY_AT) : 0n;
  if (policy > 3n) {
    throw rangeError("the operation log has an unknown access policy");
  }
  const body = log.subarray(headerSize);
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
  const size = log.readBigUInt64LE(SIZE_AT);
  if (size > MAX_RAM) {
    throw rangeError("the operation log is for RAM of more than 2^40 bytes");
  }
  return { size: Number(size), ops, policy: policyOf(Number(policy)) };
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
   * @param policy - The access policy of the memory.
   * @throws TypeError, RangeError for an invalid size or policy.
   */
  log(size: number, policy: AccessPolicy = {}): OpLog {
    toByteCount(size, "size");
    const checked = checkPolicy(policy);
    const ops = packOps(this.#ops);
    this.#results.forEach((result, i) => ops.setResult(i, result));
    return { size, ops, policy: checked };
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
