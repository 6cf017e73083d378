import { createRequire } from "node:module";
import { join } from "node:path";
import { type AddressSpace, GuestMemAccessResult, resultName } from "pound-guest-memory";
import { type CodeRange, type Hart, hashRegisters } from "../frontend/cpu/hart.js";
import type { MachineOptions } from "../frontend/machine.js";

/** The addon, which is compiled from the sources in `hart/`. */
interface Addon {
  readonly Hart: new (
    space: AddressSpace["handle"],
    state: BigUint64Array,
    exit: BigUint64Array,
    base: number,
    size: number,
  ) => {
    /** Runs to a time. Returns a result code, or {@link EXIT}. */
    run(end: number): number;
  };
}

// The compiled file is in build-example-core/native-core.
const addon = createRequire(__filename)(
  join(__dirname, "../../examples/native-core/hart/build/Release/hart.node"),
) as Addon;

/** GUEST_SPACE_EXIT of kvm/guest_space.h. */
const EXIT = 4;
/** The elements of a guest_exit_t. */
const EXIT_LENGTH = 32;

// The elements of State in hart/state.h. The registers are the first 32.
const PC = 33;
const TIME = 34;
const ALARM = 36;
const SOFTWARE = 37;
const STOPPED = 38;
const CSRS = 39;
const STATE_LENGTH = 48;

/** mstatus after a reset: the privilege mode before a trap is machine mode. */
const RESET_STATUS = 3n << 11n;
const MAX_U64 = 2n ** 64n - 1n;

/** A RISC-V hart in C++. It runs until an access needs JavaScript, which then makes the access. */
export class CoreHart implements Hart {
  private readonly state = new BigUint64Array(STATE_LENGTH);
  /** The halves of the registers. */
  private readonly x = new Int32Array(this.state.buffer, 0, 64);
  private readonly exit = new BigUint64Array(EXIT_LENGTH);
  private readonly core: InstanceType<Addon["Hart"]>;

  constructor(
    private readonly space: AddressSpace,
    { base, size }: CodeRange,
  ) {
    this.state[CSRS] = RESET_STATUS;
    this.state[ALARM] = MAX_U64;
    this.core = new addon.Hart(space.handle, this.state, this.exit, base, size);
  }

  get time(): number {
    return Number(this.state[TIME]!);
  }

  get pc(): bigint {
    return this.state[PC]!;
  }

  set pc(value: bigint) {
    this.state[PC] = value;
  }

  setAlarm(time: number): void {
    this.state[ALARM] = time < 2 ** 64 ? BigInt(time) : MAX_U64;
  }

  setSoftwareInterrupt(pending: boolean): void {
    this.state[SOFTWARE] = pending ? 1n : 0n;
  }

  stop(): void {
    this.state[STOPPED] = 1n;
  }

  run(limit: number): boolean {
    const end = this.time + limit;
    for (;;) {
      const result = this.core.run(end);
      if (result === GuestMemAccessResult.OK) {
        return this.state[STOPPED] === 0n;
      }
      if (result !== EXIT) {
        throw new Error(`guest memory failed: ${resultName(result as GuestMemAccessResult)}`);
      }
      this.space.complete(this.exit);
    }
  }

  register(number: number): bigint {
    return this.state[number]!;
  }

  hash(): number {
    return hashRegisters(this.x, [this.pc, ...this.state.subarray(CSRS)]);
  }
}

/** The options of a machine with a hart in C++. */
export function withCore(argument: number): MachineOptions {
  return { path: "view", argument, makeHart: (space, code) => new CoreHart(space, code) };
}
