import type { Bytes } from "../base/bytes.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import { GuestMemoryFault, type Operation } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import type { RangeList } from "../base/ranges.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { checkStillThere, newBuffer } from "../memory/bulk.js";
import type { Bus } from "./bus.js";
import { callGuards, unguarded } from "./guarded-write.js";
import type { Piece } from "./pieces.js";

/** A part of the range of a `peek` or a `poke` that could not be accessed. */
export interface InaccessibleRange {
  /** Offset of its first byte from the start of the accessed range. */
  readonly offset: number;
  /** Bytes, at least 1. */
  readonly length: number;
}

/**
 * The bulk access of an address space. The arguments are checked, except the addresses.
 *
 * The result of every method is a result code. `check` throws the fault of the code that the last
 * method has returned, so that the forms without exceptions create none.
 */
export class SpaceBulk {
  // The range of the last fault.
  #faultGpa: Gpa = 0;
  #faultLength = 0;
  #faultOperation: Operation = "read";

  constructor(private readonly bus: Bus) {}

  /** @throws {@link GuestMemoryFault} if `result`, which a method has just returned, is not OK. */
  check(result: GuestMemAccessResult): void {
    if (result !== OK) {
      throw new GuestMemoryFault(
        result,
        this.#faultGpa,
        this.#faultLength,
        this.#faultOperation,
        this.bus.outcome.reason,
      );
    }
  }

  /** @throws {@link GuestMemoryFault}; RangeError if no Buffer has `length` bytes. */
  read(gpa: Gpa, length: number): Bytes {
    const pieces: Piece[] = [];
    this.check(this.#locate(gpa, length, "read", pieces));
    const target = newBuffer(length);
    copyOut(pieces, target);
    this.bus.watches.notifyRange(gpa, length, "read");
    return target;
  }

  readInto(gpa: Gpa, target: Uint8Array): GuestMemAccessResult {
    const { length } = target;
    const pieces: Piece[] = [];
    const result = this.#locate(gpa, length, "read", pieces);
    if (result === OK) {
      copyOut(pieces, target);
      this.bus.watches.notifyRange(gpa, length, "read");
    }
    return result;
  }

  write(gpa: Gpa, source: Uint8Array): GuestMemAccessResult {
    const { length } = source;
    const pieces: Piece[] = [];
    let result = this.#locate(gpa, length, "write", pieces);
    if (result === OK) {
      this.bus.watches.notifyRange(gpa, length, "write");
      callGuards(pieces);
      checkStillThere(source, length);
      result = this.#recheck(pieces, gpa, length, "write");
    }
    if (result === OK) {
      unguarded(pieces, () => {
        copyIn(pieces, source);
      });
    }
    return result;
  }

  fill(gpa: Gpa, length: number, value: number): GuestMemAccessResult {
    const pieces: Piece[] = [];
    let result = this.#locate(gpa, length, "write", pieces);
    if (result === OK) {
      this.bus.watches.notifyRange(gpa, length, "write");
      callGuards(pieces);
      result = this.#recheck(pieces, gpa, length, "write");
    }
    if (result === OK) {
      unguarded(pieces, () => {
        for (const { memory, offset, length: part } of pieces) {
          memory.fill(offset, part, value);
        }
      });
    }
    return result;
  }

  /** @throws RangeError if it needs a temporary copy that no Buffer holds. */
  copy(target: Gpa, source: Gpa, length: number): GuestMemAccessResult {
    const from: Piece[] = [];
    const to: Piece[] = [];
    let result = this.#locate(source, length, "read", from);
    if (result === OK) {
      result = this.#locate(target, length, "write", to);
    }
    if (result === OK) {
      this.bus.watches.notifyRange(source, length, "read");
      this.bus.watches.notifyRange(target, length, "write");
      callGuards(to);
      result = this.#recheck(from, source, length, "read");
    }
    if (result === OK) {
      result = this.#recheck(to, target, length, "write");
    }
    if (result === OK) {
      unguarded(to, () => {
        move(from, to, length);
      });
    }
    return result;
  }

  readVector({ gpas, lengths }: RangeList, target: Uint8Array): GuestMemAccessResult {
    const pieces: Piece[] = [];
    for (let i = 0; i < gpas.length; i++) {
      const result = this.#locate(gpas[i]!, lengths[i]!, "read", pieces);
      if (result !== OK) {
        return result;
      }
    }
    copyOut(pieces, target);
    for (let i = 0; i < gpas.length; i++) {
      this.bus.watches.notifyRange(gpas[i]!, lengths[i]!, "read");
    }
    return OK;
  }

  writeVector({ gpas, lengths }: RangeList, source: Uint8Array): GuestMemAccessResult {
    const { length } = source;
    const pieces: Piece[] = [];
    /** The number of pieces of each range and of those before it. */
    const ends: number[] = [];
    for (let i = 0; i < gpas.length; i++) {
      const result = this.#locate(gpas[i]!, lengths[i]!, "write", pieces);
      if (result !== OK) {
        return result;
      }
      ends.push(pieces.length);
    }
    for (let i = 0; i < gpas.length; i++) {
      this.bus.watches.notifyRange(gpas[i]!, lengths[i]!, "write");
    }
    callGuards(pieces);
    checkStillThere(source, length);
    if (this.bus.pieces.recheck(pieces) !== OK) {
      for (let i = 0; i < gpas.length; i++) {
        const parts = pieces.slice(ends[i - 1] ?? 0, ends[i]);
        const result = this.#recheck(parts, gpas[i]!, lengths[i]!, "write");
        if (result !== OK) {
          return result;
        }
      }
    }
    unguarded(pieces, () => {
      copyIn(pieces, source);
    });
    return OK;
  }

  /** Copies the bytes of RAM and ROM in a range to `target`, and returns the other parts. */
  peek(gpa: Gpa, target: Uint8Array): InaccessibleRange[] {
    const { pieces, inaccessible } = this.#survey(gpa, target.length);
    // Copied first, if the copy of one piece could overwrite source bytes of the next.
    const stable = pieces.length > 1 && mayAlias(pieces, target) ? new Uint8Array(target) : target;
    for (const { memory, offset, length, position } of pieces) {
      memory.readInto(offset, partOf(stable, position, length));
    }
    if (stable !== target) {
      target.set(stable);
    }
    return inaccessible;
  }

  /**
   * Copies `source` to RAM and ROM in a range, and returns the other parts.
   *
   * @throws RangeError if a listener has detached the source; {@link GuestMemoryFault} if it has
   * destroyed the memory.
   */
  poke(gpa: Gpa, source: Uint8Array): InaccessibleRange[] {
    const { length } = source;
    const { pieces, inaccessible } = this.#survey(gpa, length);
    callGuards(pieces);
    checkStillThere(source, length);
    const stable = pieces.length > 1 && mayAlias(pieces, source) ? new Uint8Array(source) : source;
    unguarded(pieces, () => {
      for (const { memory, offset, length: part, position } of pieces) {
        memory.write(offset, partOf(stable, position, part));
      }
    });
    return inaccessible;
  }

  /** Divides a range into the parts that are RAM or ROM and the parts that are not accessible. */
  #survey(
    gpa: Gpa,
    length: number,
  ): { pieces: (Piece & { position: number })[]; inaccessible: InaccessibleRange[] } {
    toAddress(gpa);
    const pieces: (Piece & { position: number })[] = [];
    const inaccessible: { offset: number; length: number }[] = [];
    for (let position = 0; position < length;) {
      const at = gpaAt(gpa, position);
      const left = length - position;
      const region = at <= MAX_U64 ? this.bus.lookup.find(at) : null;
      const { offset } = this.bus.lookup;
      const part = at <= MAX_U64 ? Math.min(left, this.bus.lookup.extent(at)) : left;
      if (
        region !== null &&
        region.kind !== "mmio" &&
        region.internals.checkRange(offset, part) === OK
      ) {
        const { memory, internals } = region;
        pieces.push({ memory, internals, offset, length: part, position });
      } else {
        const last = inaccessible.at(-1);
        if (last !== undefined && last.offset + last.length === position) {
          last.length += part;
        } else {
          inaccessible.push({ offset: position, length: part });
        }
      }
      position += part;
    }
    return { pieces, inaccessible };
  }

  #locate(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    return this.#fault(
      this.bus.pieces.split(gpa, length, operation, pieces),
      gpa,
      length,
      operation,
    );
  }

  #recheck(
    pieces: readonly Piece[],
    gpa: Gpa,
    length: number,
    operation: Operation,
  ): GuestMemAccessResult {
    const result = this.bus.pieces.recheck(pieces);
    if (result !== OK) {
      this.bus.outcome.recordFault(gpa, length, operation);
    }
    return this.#fault(result, gpa, length, operation);
  }

  /** Remembers the range of a fault for `check`. */
  #fault(
    result: GuestMemAccessResult,
    gpa: Gpa,
    length: number,
    operation: Operation,
  ): GuestMemAccessResult {
    if (result !== OK) {
      this.#faultGpa = gpa;
      this.#faultLength = length;
      this.#faultOperation = operation;
    }
    return result;
  }
}

/** As `subarray`, at half the cost: that looks up the species constructor. */
function partOf(bytes: Uint8Array, start: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
}

/** Whether a view may have bytes of the memory of a piece. */
function mayAlias(pieces: readonly Piece[], bytes: Uint8Array): boolean {
  return pieces.some(({ internals }) => internals.mayAlias(bytes));
}

function copyOut(pieces: readonly Piece[], target: Uint8Array): void {
  if (pieces.length === 1) {
    const { memory, offset } = pieces[0]!;
    memory.readInto(offset, target);
    return;
  }
  // If the target is a view of RAM, copying one piece could overwrite the source of the next.
  const stable = mayAlias(pieces, target) ? new Uint8Array(target.length) : target;
  let done = 0;
  for (const { memory, offset, length } of pieces) {
    memory.readInto(offset, partOf(stable, done, length));
    done += length;
  }
  if (stable !== target) {
    target.set(stable);
  }
}

function copyIn(pieces: readonly Piece[], source: Uint8Array): void {
  if (pieces.length === 1) {
    const { memory, offset } = pieces[0]!;
    memory.write(offset, source);
    return;
  }
  // If the source is a view of RAM, copying one piece could overwrite the rest of it.
  const stable = mayAlias(pieces, source) ? new Uint8Array(source) : source;
  let done = 0;
  for (const { memory, offset, length } of pieces) {
    memory.write(offset, partOf(stable, done, length));
    done += length;
  }
}

/** Copies the bytes of some pieces to others. */
function move(from: readonly Piece[], to: readonly Piece[], length: number): void {
  const [first, second] = [from[0], to[0]];
  if (from.length === 1 && to.length === 1 && first!.memory === second!.memory) {
    first!.memory.copy(second!.offset, first!.offset, length);
  } else {
    // Through a temporary copy: several regions may map the same bytes.
    const bytes = newBuffer(length);
    copyOut(from, bytes);
    copyIn(to, bytes);
  }
}
