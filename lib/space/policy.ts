import type { GuestAccessors } from "../base/access.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import type { MemoryOfRegion } from "./backed.js";
import type { SpaceWidth } from "./widths.js";

/** The access policy of an address space, and the accesses to its memories under the policy. */
export class SpacePolicy {
  /** See policyNumber. */
  readonly number: number;
  /** Whether unaligned accesses are made. */
  readonly unaligned: boolean;
  readonly littleEndian: boolean;

  constructor(readonly policy: Readonly<Required<AccessPolicy>>) {
    this.number = policyNumber(policy);
    this.unaligned = policy.alignment === "allow";
    this.littleEndian = policy.endian === "little";
  }

  /** The accessors of a memory on one path. */
  accessOf(native: boolean, memory: GuestMemory): GuestAccessors {
    if (this.number === 0) {
      return native ? memory.native : memory;
    }
    const access = memory.withPolicy(this.policy);
    return native ? access.native : access;
  }

  /** Makes a write to a memory on one path. The caller has checked its alignment. */
  store<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    { memory, internals }: MemoryOfRegion,
    offset: number,
    value: T,
  ): GuestMemAccessResult {
    const { marks } = internals;
    if (native || this.number !== 0 || marks.guards === null) {
      return kind.tryWrite(this.accessOf(native, memory), offset, value);
    }
    // Not by an accessor of the memory, which would leave its fast form: see accessor-forms.ts.
    const result = internals.prepareWrite(offset, kind.bytes);
    if (result === OK) {
      kind.width.set(internals.windowAt(offset).data, offset % WINDOW_SIZE, value);
      marks.mark(offset, kind.bytes);
    }
    return result;
  }
}
