import { isBigUint64Array } from "../base/type-checks.js";
import type { AtomicLane } from "../atomics/lane.js";
import type { GuestAccessors } from "../base/access.js";
import { type Operation, rangeError, typeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import { runOn } from "../atomics/quad-halves.js";
import { atomicsPart } from "./atomics-part.js";
import type { Bus } from "./bus.js";
import { tryFetch } from "./fetch.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";

const { OK } = GuestMemAccessResult;

// The elements of a guest_exit_t (native/pound/kvm/guest_space.h).
const GPA = 0;
const VALUE = 1;
const WIDTH = 2;
const REASON = 3;
const STATE = 4;
const EXPECTED = 5;

/** The length of an exit. C++ keeps accesses of the instruction in the other elements. */
const LENGTH = 32;

// The reasons: members of guest_exit_reason_t. Those of the atomic operations follow in the order
// of atomics/operations.ts, in which each operation has a number for each width.
const READ = 1;
const WRITE = 2;
const FETCH = 3;
const ATOMIC_LOAD = 4;
const ATOMIC_STORE = 5;
const ATOMIC_XOR = 11;
const WIDTHS_PER_OPERATION = 4;

const PENDING = 1n;
const COMPLETED = 2n;

/** Makes the access of an exit of one width. */
interface Completer {
  complete(exit: BigUint64Array, reason: number): GuestMemAccessResult;
}

/** The accesses of one width, with values as bigints in exits. */
class ExitWidth<T extends Value, A extends Out> implements Completer {
  constructor(
    private readonly bus: Bus,
    private readonly space: GuestAccessors,
    private readonly kind: SpaceWidth<T, A>,
    private readonly lane: AtomicLane<T>,
    private readonly toValue: (value: bigint) => T,
    /** The slot of reads. A handler that completes another exit writes to it before, not after. */
    private readonly out: A,
  ) {}

  complete(exit: BigUint64Array, reason: number): GuestMemAccessResult {
    const { space, kind } = this;
    const far = exit[GPA]!;
    const gpa = far <= Number.MAX_SAFE_INTEGER ? Number(far) : far;
    let result: GuestMemAccessResult;
    switch (reason) {
      case READ:
        result = this.keep(exit, kind.tryRead(space, gpa as number, this.out));
        break;
      case WRITE:
        result = kind.tryWrite(space, gpa as number, this.toValue(exit[VALUE]!));
        break;
      case FETCH:
        result = this.keep(exit, tryFetch(this.bus, false, space, kind, gpa, this.out));
        break;
      default:
        result = this.atomic(exit, gpa, reason);
    }
    if (result === OK) {
      // So that the next access to the page does not exit.
      if (reason !== WRITE && reason !== ATOMIC_STORE) {
        this.open(gpa, reason === FETCH ? "fetch" : "read");
      }
      if (reason !== READ && reason !== FETCH && reason !== ATOMIC_LOAD) {
        this.open(gpa, "write");
      }
    }
    return result;
  }

  /** Opens the page table around an address, if the guest has the right. */
  private open(gpa: Gpa, kind: Operation | "fetch"): void {
    const { lookup, reaches } = this.bus;
    const region = lookup.find(gpa);
    if (region === null || region.kind === "mmio") {
      return;
    }
    if (kind === "fetch") {
      if (region.executable) {
        reaches.openFetches(region);
      }
    } else if (kind === "read" ? region.readable : region.writable) {
      reaches.of(region, kind);
    }
  }

  /** Stores the value of a read in the exit. */
  private keep(exit: BigUint64Array, result: GuestMemAccessResult): GuestMemAccessResult {
    if (result === OK) {
      exit[VALUE] = BigInt(this.out[0]!);
    }
    return result;
  }

  private atomic(exit: BigUint64Array, gpa: Gpa, reason: number): GuestMemAccessResult {
    const { lane } = this;
    const operation = (reason - ATOMIC_LOAD) * WIDTHS_PER_OPERATION;
    const value = this.toValue(exit[VALUE]!);
    const old = runOn(lane, operation, gpa, value, this.toValue(exit[EXPECTED]!));
    if (old === undefined) {
      return lane.code;
    }
    exit[VALUE] = BigInt(old);
    return OK;
  }
}

/** Makes the accesses that native cores leave to JavaScript. */
export class ExitServer {
  readonly #widths: ReadonlyMap<bigint, Completer>;

  constructor(bus: Bus, space: GuestAccessors) {
    const { b, w, l, q } = atomicsPart.get().spaceLanes(bus, "view");
    const unsigned = (bits: number) => (value: bigint) => Number(BigInt.asUintN(bits, value));
    this.#widths = new Map<bigint, Completer>([
      [1n, new ExitWidth(bus, space, SPACE_BYTE, b, unsigned(8), new Uint8Array(1))],
      [2n, new ExitWidth(bus, space, SPACE_WORD, w, unsigned(16), new Uint16Array(1))],
      [4n, new ExitWidth(bus, space, SPACE_LONG, l, unsigned(32), new Uint32Array(1))],
      [8n, new ExitWidth(bus, space, SPACE_QUAD, q, (value) => value, new BigUint64Array(1))],
    ]);
  }

  /**
   * Makes the access of an exit through the view path, and stores its result in the exit.
   *
   * @throws TypeError, RangeError for an invalid exit; what a handler of a device throws. The exit
   * stays pending then.
   */
  complete(exit: BigUint64Array): GuestMemAccessResult {
    if (!isBigUint64Array(exit)) {
      throw typeError("exit must be a BigUint64Array");
    }
    if (exit.length < LENGTH || exit[STATE] !== PENDING) {
      throw rangeError(`exit must have ${LENGTH} elements and must be pending`);
    }
    const width = this.#widths.get(exit[WIDTH]!);
    const reason = Number(exit[REASON]!);
    if (width === undefined || reason < READ || reason > ATOMIC_XOR) {
      throw rangeError("the width of the exit must be 1, 2, 4 or 8, and its reason from 1 to 11");
    }
    const result = width.complete(exit, reason);
    exit[STATE] = COMPLETED + BigInt(result);
    return result;
  }
}
