import { type FaultReason, GuestMemoryFault, reasonOfResult } from "../base/errors.js";
import type { GuestAccessors } from "../base/access.js";
import { gpaAt } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import { checkHalvesOut, quadOf, storeHalves } from "../base/halves.js";
import type { GuestRange } from "../base/ranges.js";
import { GuestMemAccessResult } from "../base/result.js";
import { checkOut, type Out, QUAD, type Value } from "../base/widths.js";
import type { AddressSpace } from "../space/address-space.js";
import type { Bus } from "../space/bus.js";
import { tryFetch } from "../space/fetch.js";
import {
  SPACE_BYTE,
  SPACE_LONG,
  SPACE_QUAD,
  SPACE_WORD,
  type SpaceWidth,
} from "../space/widths.js";
import type { TranslationKind } from "./tlb.js";
import { nextPage, type Translator } from "./translator.js";
import { offsetIn, toVirtual, type VirtualAddress } from "./virtual-address.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;

type AnyWidth = SpaceWidth<Value, Out>;

/** The widths, by the binary logarithm of their bytes. */
const WIDTHS = [SPACE_BYTE, SPACE_WORD, SPACE_LONG, SPACE_QUAD] as unknown as readonly AnyWidth[];

const bytes = new Uint8Array(8);
const view = new DataView(bytes.buffer);

/** Guest physical addresses of the first byte of an access, and of its first byte in page two. */
interface Places {
  readonly first: Gpa;
  readonly second: Gpa;
}

function ranges({ first, second }: Places, room: number, kind: AnyWidth): GuestRange[] {
  return [
    { gpa: first, length: room },
    { gpa: second, length: kind.bytes - room },
  ];
}

/** The translated accesses that the fast path of an MMU does not make, on one of the paths. */
export class TranslatedAccess {
  private readonly access: GuestAccessors;

  constructor(
    private readonly bus: Bus,
    private readonly space: AddressSpace,
    private readonly translator: Translator,
    private readonly isNative: boolean,
  ) {
    this.access = isNative ? space.native : space;
  }

  tryRead(log2: number, va: VirtualAddress, out: Out): GuestMemAccessResult {
    return this.#tryLoad("read", log2, va, out);
  }

  tryFetch(log2: number, va: VirtualAddress, out: Out): GuestMemAccessResult {
    return this.#tryLoad("fetch", log2, va, out);
  }

  read(log2: number, va: VirtualAddress): number {
    return this.#loaded("read", log2, va) as number;
  }

  readQuad(va: VirtualAddress): bigint {
    return this.#loaded("read", 3, va) as bigint;
  }

  fetch(log2: number, va: VirtualAddress): number {
    return this.#loaded("fetch", log2, va) as number;
  }

  tryWrite(log2: number, va: VirtualAddress, value: Value): GuestMemAccessResult {
    return this.#access("write", WIDTHS[log2]!, va, value);
  }

  write(log2: number, va: VirtualAddress, value: Value): void {
    this.check(this.tryWrite(log2, va, value), va);
  }

  tryWriteqFrom(va: VirtualAddress, source: BigUint64Array): GuestMemAccessResult {
    return this.tryWrite(3, va, checkOut(QUAD, source, "source")[0]!);
  }

  tryReadqHalves(va: VirtualAddress, out: Uint32Array, at: number): GuestMemAccessResult {
    checkHalvesOut(out, at);
    const result = this.#access("read", SPACE_QUAD, va);
    if (result === OK) {
      storeHalves(out, at, SPACE_QUAD.scratch[0]!);
    }
    return result;
  }

  tryWriteqHalves(va: VirtualAddress, low: number, high: number): GuestMemAccessResult {
    return this.tryWrite(3, va, quadOf(low, high));
  }

  /**
   * @param va - The address that the caller passed.
   * @throws {@link GuestMemoryFault} for the last fault, if a result is not `OK`.
   */
  check(result: GuestMemAccessResult, va: VirtualAddress): void {
    if (result !== OK) {
      const { width, kind, reason } = this.translator.lastFault!;
      const gpa = va < 0 ? BigInt.asUintN(64, BigInt(va)) : va;
      throw new GuestMemoryFault(result, gpa, width, kind === "write" ? "write" : "read", reason);
    }
  }

  #tryLoad(
    access: "read" | "fetch",
    log2: number,
    va: VirtualAddress,
    out: Out,
  ): GuestMemAccessResult {
    const kind = WIDTHS[log2]!;
    checkOut(kind.width, out, "out");
    const result = this.#access(access, kind, va);
    if (result === OK) {
      kind.width.store(out, kind.scratch[0]!);
    }
    return result;
  }

  #loaded(access: "read" | "fetch", log2: number, va: VirtualAddress): Value {
    const kind = WIDTHS[log2]!;
    this.check(this.#access(access, kind, va), va);
    return kind.scratch[0]!;
  }

  /**
   * Makes an access. A read or fetch leaves its value in `kind.scratch`.
   *
   * This is one function, and checks the arguments too, because V8 does not inline functions of
   * more than 460 bytes of bytecode. If V8 inlined it into an accessor, which it does while many
   * accesses miss, then the accessor would be too large to be inlined into a loop.
   *
   * @param value - The value of a write.
   */
  #access(
    access: TranslationKind,
    kind: AnyWidth,
    passed: VirtualAddress,
    value: Value = 0,
  ): GuestMemAccessResult {
    const { space, access: physical, translator } = this;
    const va = toVirtual(passed);
    const checked = access === "write" ? kind.width.checkValue(value) : value;
    const { pageSize } = translator;
    const room = pageSize - offsetIn(va, pageSize);
    let gpa: Gpa | undefined;
    let result: GuestMemAccessResult;
    if (room >= kind.bytes) {
      gpa = this.#translate(access, kind, va);
      if (gpa === undefined) {
        return FAULT_BOUNDARY;
      }
      result =
        access === "write"
          ? kind.tryWrite(physical, gpa as number, checked)
          : this.#loadAt(access, kind, gpa);
      if (result === OK) {
        translator.open(access, va, gpa);
        return OK;
      }
      return this.#refuse(result, access, kind, va);
    }
    const places = this.#translateBoth(access, kind, va);
    if (places === null) {
      return this.translator.lastFault!.result;
    }
    const { first, second } = places;
    const target = bytes.subarray(0, kind.bytes);
    if (gpaAt(first, room) === second) {
      result =
        access === "write"
          ? kind.tryWrite(physical, first as number, checked)
          : this.#loadAt(access, kind, first);
    } else if (access === "write") {
      const source = new Uint8Array(kind.bytes);
      kind.width.set(new DataView(source.buffer), 0, checked, this.#isLittleEndian);
      // Checks all bytes before it changes one.
      result = space.tryWriteVector(ranges(places, room, kind), source);
    } else {
      result =
        access === "read"
          ? space.tryReadVector(ranges(places, room, kind), target)
          : this.#fetchBytes(places, room, kind);
      if (result === OK) {
        kind.width.store(kind.scratch, kind.width.get(view, 0, this.#isLittleEndian));
      }
    }
    return result === OK ? OK : this.#refuse(result, access, kind, va);
  }

  #loadAt(access: "read" | "fetch", kind: AnyWidth, gpa: Gpa): GuestMemAccessResult {
    return access === "read"
      ? kind.tryRead(this.access, gpa as number, kind.scratch)
      : tryFetch(this.bus, this.isNative, this.access, kind, gpa, kind.scratch);
  }

  /** Fetches the bytes of an access to `bytes`. */
  #fetchBytes({ first, second }: Places, room: number, kind: AnyWidth): GuestMemAccessResult {
    for (let i = 0; i < kind.bytes; i++) {
      const gpa = i < room ? gpaAt(first, i) : gpaAt(second, i - room);
      const result = this.#loadAt("fetch", WIDTHS[0]!, gpa);
      if (result !== OK) {
        return result;
      }
      bytes[i] = SPACE_BYTE.scratch[0]!;
    }
    return OK;
  }

  get #isLittleEndian(): boolean {
    return this.bus.policy.policy.endian === "little";
  }

  /** Translates both pages of an access. Returns null if it faults. */
  #translateBoth(access: TranslationKind, kind: AnyWidth, va: VirtualAddress): Places | null {
    const first = this.#translate(access, kind, va);
    if (first === undefined) {
      return null;
    }
    const next = nextPage(va, this.translator.pageSize);
    const second = this.#translate(access, kind, next);
    if (second === undefined) {
      return null;
    }
    if (this.bus.policy.policy.alignment === "fault") {
      this.#fault(FAULT_UNALIGNED, "alignment", access, kind, va, undefined);
      return null;
    }
    return { first, second };
  }

  /** Translates one page of an access. Returns undefined if that faults. */
  #translate(access: TranslationKind, kind: AnyWidth, va: VirtualAddress): Gpa | undefined {
    const gpa = this.translator.translate(access, va);
    if (gpa === undefined) {
      const { guestFault } = this.translator;
      this.#fault(FAULT_BOUNDARY, "translation", access, kind, va, guestFault);
    }
    return gpa;
  }

  /** Records the fault of an access to the space. */
  #refuse(
    result: GuestMemAccessResult,
    access: TranslationKind,
    kind: AnyWidth,
    va: VirtualAddress,
  ): GuestMemAccessResult {
    const { outcome } = this.bus;
    const reason = outcome.result === result ? outcome.reason : reasonOfResult(result);
    this.#fault(result, reason, access, kind, va, undefined);
    return result;
  }

  #fault(
    result: GuestMemAccessResult,
    reason: FaultReason,
    access: TranslationKind,
    { bytes: width }: AnyWidth,
    va: VirtualAddress,
    guestFault: unknown,
  ): void {
    this.translator.lastFault = { result, reason, va, width, kind: access, guestFault };
  }
}
