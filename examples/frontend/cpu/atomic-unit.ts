import { GuestMemAccessResult } from "pound-guest-memory";
import { ExclusiveMonitor, type GuestAtomicAccess } from "pound-guest-memory/atomics";

const { OK } = GuestMemAccessResult;

/** The operations, in the five highest bits of an instruction. */
const ADD = 0;
const SWAP = 1;
export const LOAD_RESERVED = 2;
const STORE_CONDITIONAL = 3;
const XOR = 4;
const OR = 8;
const AND = 12;
const MIN = 16;
const MAX = 20;
const MIN_UNSIGNED = 24;
const MAX_UNSIGNED = 28;

const OPERATIONS: readonly number[] = [
  ...[ADD, SWAP, LOAD_RESERVED, STORE_CONDITIONAL, XOR, OR, AND],
  ...[MIN, MAX, MIN_UNSIGNED, MAX_UNSIGNED],
];

/** Whether an instruction with the opcode of AMO is one of RV64A. */
export function isAtomic(instruction: number): boolean {
  const width = (instruction >>> 12) & 7;
  const operation = instruction >>> 27;
  const loadsWithOperand = operation === LOAD_RESERVED && ((instruction >>> 20) & 31) !== 0;
  return (width === 2 || width === 3) && OPERATIONS.includes(operation) && !loadsWithOperand;
}

/** The A extension of a hart: operations on RAM, and a reservation. */
export class AtomicUnit {
  /** The value for the destination register, after an operation with the result `OK`. */
  value = 0n;
  private readonly monitor: ExclusiveMonitor;
  private readonly long = new Uint32Array(1);
  private readonly quad = new BigUint64Array(1);

  /** @param atomics - The atomic accessors of either path. */
  constructor(private readonly atomics: GuestAtomicAccess) {
    this.monitor = new ExclusiveMonitor(atomics);
  }

  /**
   * Executes an instruction.
   *
   * @param gpa - The physical address.
   * @param operand - The value of rs2.
   */
  execute(instruction: number, gpa: number | bigint, operand: bigint): GuestMemAccessResult {
    const operation = instruction >>> 27;
    const isWord = ((instruction >>> 12) & 7) === 2;
    switch (operation) {
      case LOAD_RESERVED:
        return isWord
          ? this.keep(this.monitor.tryLoadExclusivel(gpa, this.long))
          : this.keepQuad(this.monitor.tryLoadExclusiveq(gpa, this.quad));
      case STORE_CONDITIONAL:
        return this.keep(
          isWord
            ? this.monitor.tryStoreExclusivel(gpa, Number(BigInt.asUintN(32, operand)), this.long)
            : this.monitor.tryStoreExclusiveq(gpa, BigInt.asUintN(64, operand), this.long),
        );
      default:
        return isWord
          ? this.modifyWord(operation, gpa, operand)
          : this.modifyQuad(operation, gpa, operand);
    }
  }

  private keep(result: GuestMemAccessResult): GuestMemAccessResult {
    this.value = BigInt(this.long[0]! | 0);
    return result;
  }

  private keepQuad(result: GuestMemAccessResult): GuestMemAccessResult {
    this.value = this.quad[0]!;
    return result;
  }

  private modifyWord(operation: number, gpa: number | bigint, operand: bigint) {
    const { atomics, long } = this;
    let result = atomics.tryLoadl(gpa, long);
    while (result === OK) {
      const before = long[0]!;
      const after = Number(BigInt.asUintN(32, combine(operation, 32, BigInt(before), operand)));
      result = atomics.tryCompareExchangel(gpa, before, after, long);
      if (long[0] === before) {
        break;
      }
    }
    return this.keep(result);
  }

  private modifyQuad(operation: number, gpa: number | bigint, operand: bigint) {
    const { atomics, quad } = this;
    let result = atomics.tryLoadq(gpa, quad);
    while (result === OK) {
      const before = quad[0]!;
      const after = BigInt.asUintN(64, combine(operation, 64, before, operand));
      result = atomics.tryCompareExchangeq(gpa, before, after, quad);
      if (quad[0] === before) {
        break;
      }
    }
    return this.keepQuad(result);
  }
}

/**
 * The value that an operation stores. Only its lowest `bits` bits count, as those of `a` and `b`.
 */
function combine(operation: number, bits: number, a: bigint, b: bigint): bigint {
  const signedLess = BigInt.asIntN(bits, a) < BigInt.asIntN(bits, b);
  const unsignedLess = BigInt.asUintN(bits, a) < BigInt.asUintN(bits, b);
  switch (operation) {
    case ADD:
      return a + b;
    case SWAP:
      return b;
    case XOR:
      return a ^ b;
    case OR:
      return a | b;
    case AND:
      return a & b;
    case MIN:
      return signedLess ? a : b;
    case MAX:
      return signedLess ? b : a;
    case MIN_UNSIGNED:
      return unsignedLess ? a : b;
    default:
      return unsignedLess ? b : a;
  }
}
