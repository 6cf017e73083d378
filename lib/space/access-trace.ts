import { checkFunction, checkObject, toAddress, toByteCount } from "../base/arguments.js";
import { type Operation, outOfMemoryError, rangeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { PAGE_SIZE } from "../base/page.js";
import type { AccessPolicy } from "../base/policy.js";
import type { Value } from "../base/widths.js";
import { OpBuffer, OpKind } from "../native/op-buffer.js";
import type { AccessRecorder, Watchpoint, WatchRange } from "./watchpoint.js";

const DEFAULT_CAPACITY = 65536;
const MAX_CAPACITY = 2 ** 24;

/** The most bytes of RAM that a log may be for: `decodeOpLog` refuses more. */
const MAX_LOG_SIZE = 2n ** 40n;

// An access takes four slots of 8 bytes. A slot holds a double or, if its flag is set, a u64.
const SLOTS = 4;
const WIDTH = 0;
const GPA = 1;
const TAG = 2;
const VALUE = 3;

const IS_WRITE = 1;
const HAS_VALUE = 2;
/** The flag of a slot that holds a u64, shifted left by the slot. */
const IS_BIGINT = 4;

/** Options of {@link AddressSpace.trace}. */
export interface TraceOptions {
  /** The addresses to record. They need not be mapped. */
  readonly range: Pick<WatchRange, "gpa" | "length">;
  /** The kinds of access to record. `"access"`, the default, is both reads and writes. */
  readonly kinds?: Operation | "access";
  /**
   * Returns the tag of an access, such as the guest's pc: from 0 to 2^64 - 1. It is called for each
   * access that is recorded. If it throws, the access throws the same error, as for a
   * {@link WatchListener}. By default, the tag is 0.
   */
  readonly tag?: () => Gpa;
  /**
   * The number of accesses to keep, from 1 to 2^24; 65536 by default. Each takes 33 bytes. The next
   * access replaces the oldest.
   */
  readonly capacity?: number;
}

/** A recorded access. */
export interface TracedAccess {
  /** First guest physical address of the access, which may lie outside the range. */
  readonly gpa: bigint;
  /** Bytes of the access: 1, 2, 4 or 8, or the length of a bulk access. */
  readonly width: number;
  readonly kind: Operation;
  readonly tag: bigint;
  /** The value that was read or written, unsigned; a bigint for 8 bytes. */
  readonly value?: number | bigint;
}

/** Recorded accesses as an operation log, for `encodeOpLog` of `pound-guest-memory/crosscheck`. */
export interface TraceLog {
  /** The guest physical address of address 0 in the log, a multiple of 4096. */
  readonly base: bigint;
  /** Bytes of RAM from `base` to the last page that was accessed. */
  readonly size: number;
  readonly ops: OpBuffer;
  readonly policy: AccessPolicy;
  /** The number of accesses without a value, which the log cannot contain. */
  readonly omitted: number;
}

/** A ring of the last accesses to a range. Made by {@link AddressSpace.trace}. */
export class AccessTrace {
  /** The most accesses that the ring keeps. */
  readonly capacity: number;
  readonly #policy: AccessPolicy;
  readonly #ring: Ring;
  readonly #watchpoint: Watchpoint;

  /** @internal */
  constructor(
    options: TraceOptions,
    policy: AccessPolicy,
    watch: (range: WatchRange, recorder: AccessRecorder) => Watchpoint,
  ) {
    const { range, kinds = "access", tag = () => 0 } = checkObject(options, "options");
    const { gpa, length } = checkObject(range, "range");
    // After the check of `range`: an object of another class may have a getter of this name.
    const { capacity = DEFAULT_CAPACITY } = options;
    checkFunction(tag, "tag");
    this.capacity = toByteCount(capacity, "capacity");
    if (this.capacity === 0 || this.capacity > MAX_CAPACITY) {
      throw rangeError(`capacity must be from 1 to ${MAX_CAPACITY}`);
    }
    this.#policy = policy;
    this.#ring = new Ring(this.capacity, tag);
    this.#watchpoint = watch({ gpa, length, kinds }, this.#ring);
  }

  /** First guest physical address of the range. */
  get gpa(): bigint {
    return this.#watchpoint.gpa;
  }

  /** Length of the range in bytes. */
  get length(): bigint {
    return this.#watchpoint.length;
  }

  /** The kinds of access that are recorded. */
  get kinds(): Operation | "access" {
    return this.#watchpoint.kinds;
  }

  /** The number of accesses since the start, with those that the ring no longer has. */
  get recorded(): number {
    return this.#ring.recorded;
  }

  /** Whether {@link AccessTrace.stop} has been called. */
  get stopped(): boolean {
    return this.#watchpoint.removed;
  }

  /**
   * Ends the recording. What is recorded stays available. A second call has no effect.
   *
   * @throws RangeError if there are less than 64 KiB of free stack. Nothing changes then.
   */
  stop(): void {
    this.#watchpoint.remove();
  }

  /** The accesses that the ring has, from the oldest to the newest. */
  accesses(): TracedAccess[] {
    const ring = this.#ring;
    const count = Math.min(ring.recorded, this.capacity);
    return Array.from({ length: count }, (_, i) => ring.at(ring.recorded - count + i));
  }

  /**
   * The accesses that the ring has, as a log that `crosscheck --log` replays on both paths. It
   * omits accesses without a value: bulk accesses, and the writes of atomic operations whose new
   * value depends on the old one.
   *
   * @throws RangeError if more than 2^40 bytes lie between the accesses.
   */
  log(): TraceLog {
    const all = this.accesses();
    const kept = all.filter(({ value }) => value !== undefined);
    const page = BigInt(PAGE_SIZE);
    let low = kept.length === 0 ? this.gpa : kept[0]!.gpa;
    let end = low + 1n;
    for (const { gpa, width } of kept) {
      low = gpa < low ? gpa : low;
      end = gpa + BigInt(width) > end ? gpa + BigInt(width) : end;
    }
    const base = low - (low % page);
    const size = ((end - base + page - 1n) / page) * page;
    if (size > MAX_LOG_SIZE) {
      throw rangeError("the accesses lie more than 2^40 bytes apart");
    }
    const ops = new OpBuffer(kept.length);
    for (const { gpa, width, kind, value } of kept) {
      ops.push(opKindOf(kind, width), gpa - base, value);
    }
    const omitted = all.length - kept.length;
    return { base, size: Number(size), ops, policy: this.#policy, omitted };
  }
}

function opKindOf(kind: Operation, width: number): OpKind {
  return (Math.log2(width) | (kind === "write" ? OpKind.WRITEB : OpKind.READB)) as OpKind;
}

/** The recorded accesses. */
class Ring implements AccessRecorder {
  recorded = 0;
  readonly #capacity: number;
  readonly #tag: () => Gpa;
  readonly #doubles: Float64Array;
  /** The same bytes. */
  readonly #bigints: BigUint64Array;
  readonly #flags: Uint8Array;
  /** The index of the next access. */
  #next = 0;

  constructor(capacity: number, tag: () => Gpa) {
    this.#capacity = capacity;
    this.#tag = tag;
    try {
      this.#doubles = new Float64Array(SLOTS * capacity);
      this.#flags = new Uint8Array(capacity);
    } catch {
      throw outOfMemoryError(`there is no memory for ${capacity} accesses`);
    }
    this.#bigints = new BigUint64Array(this.#doubles.buffer);
  }

  record(gpa: Gpa, width: number, kind: Operation, value: Value | undefined): void {
    const tag = this.#tag();
    toAddress(tag, "the tag");
    // After the call, which may have made accesses.
    const index = this.#next;
    this.#next = index + 1 === this.#capacity ? 0 : index + 1;
    this.recorded++;
    let flags = kind === "write" ? IS_WRITE : 0;
    this.#doubles[SLOTS * index + WIDTH] = width;
    flags |= this.#set(index, GPA, gpa) | this.#set(index, TAG, tag);
    if (value !== undefined) {
      flags |= HAS_VALUE | this.#set(index, VALUE, value);
    }
    this.#flags[index] = flags;
  }

  /** Stores a number or a bigint, and returns the flag of the slot. */
  #set(index: number, slot: number, value: Gpa): number {
    if (typeof value === "number") {
      this.#doubles[SLOTS * index + slot] = value;
      return 0;
    }
    this.#bigints[SLOTS * index + slot] = value;
    return IS_BIGINT << slot;
  }

  /** @param number - That of an access which the ring still has, from 0. */
  at(number: number): TracedAccess {
    const index = number % this.#capacity;
    const flags = this.#flags[index]!;
    const get = (slot: number): bigint =>
      (flags & (IS_BIGINT << slot)) === 0
        ? BigInt(this.#doubles[SLOTS * index + slot]!)
        : this.#bigints[SLOTS * index + slot]!;
    const width = this.#doubles[SLOTS * index + WIDTH]!;
    const access = {
      gpa: get(GPA),
      width,
      kind: (flags & IS_WRITE) === 0 ? ("read" as const) : ("write" as const),
      tag: get(TAG),
    };
    if ((flags & HAS_VALUE) === 0) {
      return access;
    }
    const value = BigInt.asUintN(8 * width, get(VALUE));
    return { ...access, value: width === 8 ? value : Number(value) };
  }
}
