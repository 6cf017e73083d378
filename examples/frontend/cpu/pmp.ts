const ENTRIES = 16;
const LOCKED = 0x80;
/** The modes of address matching, in bits 3 and 4. */
const TOR = 1;
const NA4 = 2;
const NAPOT = 3;
const CONFIG_BITS = 0x9f;
const ADDRESS_MASK = (1n << 54n) - 1n;
const MAX_END = 1n << 64n;

const CONFIG_0 = 0x3a0;
const CONFIG_2 = 0x3a2;
const ADDRESS_0 = 0x3b0;

/** Bits of an entry's configuration, which are also the rights that {@link Pmp.rights} returns. */
export const PMP_READ = 1;
export const PMP_WRITE = 2;
export const PMP_EXECUTE = 4;
const ALL = PMP_READ | PMP_WRITE | PMP_EXECUTE;

/** A range of addresses, `start` to `end - 1`, with the same rights. */
export interface PmpRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly rights: number;
}

/** The physical memory protection of a hart: 16 entries with a granularity of 4 bytes. */
export class Pmp {
  private readonly config = new Uint8Array(ENTRIES);
  private readonly address = new Array<bigint>(ENTRIES).fill(0n);
  /** The last results of {@link Pmp.rangeAt}: for machine mode, and for the other modes. */
  private lastInMachine: PmpRange | null = null;
  private lastBelow: PmpRange | null = null;

  /** Reads a control register; undefined if it is none of these. */
  read(csr: number): bigint | undefined {
    if (csr === CONFIG_0 || csr === CONFIG_2) {
      const first = 4 * (csr - CONFIG_0);
      return new DataView(this.config.buffer).getBigUint64(first, true);
    }
    return csr >= ADDRESS_0 ? this.address[csr - ADDRESS_0] : undefined;
  }

  /** Writes a control register. Locked entries, and those below a locked TOR entry, keep values. */
  write(csr: number, value: bigint): void {
    this.lastInMachine = null;
    this.lastBelow = null;
    if (csr === CONFIG_0 || csr === CONFIG_2) {
      const first = 4 * (csr - CONFIG_0);
      for (let i = 0; i < 8; i++) {
        this.configure(first + i, Number((value >> BigInt(8 * i)) & 0xffn));
      }
      return;
    }
    const entry = csr - ADDRESS_0;
    const nextIsTop =
      entry + 1 < ENTRIES && this.isLocked(entry + 1) && this.mode(entry + 1) === TOR;
    if (!this.isLocked(entry) && !nextIsTop) {
      this.address[entry] = value & ADDRESS_MASK;
    }
  }

  save() {
    const { config, address } = this;
    return { config, address };
  }

  restore({ config, address }: ReturnType<Pmp["save"]>): void {
    // Copied, because the saved bytes may lie in the middle of a buffer.
    this.config.set(config);
    address.forEach((value, entry) => (this.address[entry] = value));
    this.lastInMachine = null;
    this.lastBelow = null;
  }

  /** The largest range around an address in which all addresses match the same entries. */
  rangeAt(gpa: bigint, machineMode: boolean): PmpRange {
    const last = machineMode ? this.lastInMachine : this.lastBelow;
    if (last !== null && gpa >= last.start && gpa < last.end) {
      return last;
    }
    const found = this.findRange(gpa, machineMode);
    if (machineMode) {
      this.lastInMachine = found;
    } else {
      this.lastBelow = found;
    }
    return found;
  }

  private findRange(gpa: bigint, machineMode: boolean): PmpRange {
    let start = 0n;
    let end = MAX_END;
    let rights: number | undefined;
    for (let entry = 0; entry < ENTRIES; entry++) {
      const [first, after] = this.matched(entry);
      if (first >= after) {
        continue;
      }
      for (const boundary of [first, after]) {
        if (boundary <= gpa) {
          start = boundary > start ? boundary : start;
        } else {
          end = boundary < end ? boundary : end;
        }
      }
      if (rights === undefined && gpa >= first && gpa < after) {
        const free = machineMode && !this.isLocked(entry);
        rights = free ? ALL : this.config[entry]! & ALL;
      }
    }
    return { start, end, rights: rights ?? (machineMode ? ALL : 0) };
  }

  /** All values, for a hash of the hart. */
  state(): bigint[] {
    return [this.read(CONFIG_0)!, this.read(CONFIG_2)!, ...this.address];
  }

  private configure(entry: number, value: number): void {
    // Write without read is reserved.
    if (!this.isLocked(entry) && (value & (PMP_READ | PMP_WRITE)) !== PMP_WRITE) {
      this.config[entry] = value & CONFIG_BITS;
    }
  }

  private isLocked(entry: number): boolean {
    return (this.config[entry]! & LOCKED) !== 0;
  }

  private mode(entry: number): number {
    return (this.config[entry]! >>> 3) & 3;
  }

  /** The first address that an entry matches, and that after the last one. */
  private matched(entry: number): readonly [bigint, bigint] {
    const address = this.address[entry]!;
    switch (this.mode(entry)) {
      case TOR:
        return [entry === 0 ? 0n : this.address[entry - 1]! << 2n, address << 2n];
      case NA4:
        return [address << 2n, (address + 1n) << 2n];
      case NAPOT: {
        // The number of trailing ones is the size: address ^ (address + 1) covers them and a zero.
        const low = address ^ (address + 1n);
        return [(address & ~low) << 2n, ((address | low) + 1n) << 2n];
      }
      default:
        return [0n, 0n];
    }
  }
}
