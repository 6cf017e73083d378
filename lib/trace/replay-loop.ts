import type { GuestMemoryAccess } from "../base/access.js";
import { AccessKind } from "./lackey.js";
import { HIGH_HALF, LOW_HALF } from "../base/host.js";
import { mix, SCATTER } from "../base/mix.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Batch } from "./workload.js";

const { OK } = GuestMemAccessResult;

/**
 * The hot loop of a replay, which carries out operations on one memory.
 *
 * V8 inlines a memory's accessors here only while it has seen memories of one class here, so
 * {@link freshReplayLoop} loads a copy of this module for each memory.
 */
export class ReplayLoop {
  /**
   * Depends on every value loaded so far and on their order. Stores write values derived from it.
   */
  accumulator = 0;
  /** Faults, indexed by `GuestMemAccessResult`. */
  readonly faults = new Float64Array(4);

  // Private to TypeScript only, as in GuestMemory: V8 folds such fields better.
  private readonly byte = new Uint8Array(1);
  private readonly word = new Uint16Array(1);
  private readonly long = new Uint32Array(1);
  private readonly quad = new BigUint64Array(1);
  // The halves of the quad, so that no 64-bit value needs arithmetic on bigints.
  private readonly halves = new Uint32Array(this.quad.buffer);

  constructor(private readonly memory: GuestMemoryAccess) {}

  run({ length, codes, gpas }: Batch): void {
    for (let i = 0; i < length; i++) {
      const code = codes[i]!;
      const gpa = gpas[i]!;
      const kind = code >> 2;
      if (kind !== AccessKind.STORE) {
        this.load(code & 3, gpa);
      }
      if (kind >= AccessKind.STORE) {
        this.store(code & 3, gpa);
      }
    }
  }

  private load(width: number, gpa: number): void {
    let result: GuestMemAccessResult;
    let value: number;
    switch (width) {
      case 0:
        result = this.memory.tryReadb(gpa, this.byte);
        value = this.byte[0]!;
        break;
      case 1:
        result = this.memory.tryReadw(gpa, this.word);
        value = this.word[0]!;
        break;
      case 2:
        result = this.memory.tryReadl(gpa, this.long);
        value = this.long[0]!;
        break;
      default:
        result = this.memory.tryReadq(gpa, this.quad);
        value = mix(this.halves[LOW_HALF]!, this.halves[HIGH_HALF]!);
    }
    if (result === OK) {
      this.accumulator = mix(this.accumulator, value);
    } else {
      this.countFault(result);
    }
  }

  private store(width: number, gpa: number): void {
    // The accumulator changes, so that two stores in a row write different values.
    const value = mix(this.accumulator, SCATTER);
    this.accumulator = value;
    let result: GuestMemAccessResult;
    switch (width) {
      case 0:
        result = this.memory.tryWriteb(gpa, value & 0xff);
        break;
      case 1:
        result = this.memory.tryWritew(gpa, value & 0xffff);
        break;
      case 2:
        result = this.memory.tryWritel(gpa, value >>> 0);
        break;
      default:
        this.halves[LOW_HALF] = value;
        this.halves[HIGH_HALF] = Math.imul(value, SCATTER);
        result = this.memory.tryWriteq(gpa, this.quad[0]!);
    }
    if (result !== OK) {
      this.countFault(result);
    }
  }

  private countFault(result: GuestMemAccessResult): void {
    this.faults[result] = this.faults[result]! + 1;
  }
}

/**
 * A replay loop that shares no type feedback with any other, so that a memory of one class does not
 * slow down a memory of another. It loads this module again for that.
 */
export function freshReplayLoop(memory: GuestMemoryAccess): ReplayLoop {
  const cached = require.cache[__filename];
  Reflect.deleteProperty(require.cache, __filename);
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import is cached
    const copy = require(__filename) as typeof import("./replay-loop.js");
    return new copy.ReplayLoop(memory);
  } finally {
    require.cache[__filename] = cached;
  }
}
