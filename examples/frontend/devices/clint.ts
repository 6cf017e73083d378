import { deserialize, serialize } from "node:v8";
import type { MmioDevice } from "pound-guest-memory";

const MSIP = 0;
const MTIMECMP = 0x4000;
const MTIME = 0xbff8;

const LOW_HALF = 0xffff_ffffn;

/** The hart as its interruptor uses it. */
export interface InterruptedHart {
  readonly time: number;
  setAlarm(time: number): void;
  setSoftwareInterrupt(pending: boolean): void;
}

/**
 * The core-local interruptor of one hart, compatible with SiFive's: a clock, the time of the timer
 * interrupt, and a software interrupt. The clock ticks once per instruction.
 */
export class Clint implements MmioDevice {
  private compare = 2n ** 64n - 1n;
  private software = 0;

  constructor(private readonly hart: InterruptedHart) {}

  save(): Uint8Array {
    const { compare, software } = this;
    return serialize({ compare, software });
  }

  load(state: Uint8Array): void {
    Object.assign(this, deserialize(state));
  }

  readq(offset: number): bigint {
    switch (offset) {
      case MTIMECMP:
        return this.compare;
      case MTIME:
        return BigInt(this.hart.time);
      default:
        return 0n;
    }
  }

  readl(offset: number): number {
    if (offset === MSIP) {
      return this.software;
    }
    const whole = this.readq(offset & ~7);
    return Number((offset & 4) === 0 ? whole & LOW_HALF : whole >> 32n);
  }

  writeq(offset: number, value: bigint): void {
    if (offset === MTIMECMP) {
      this.compare = value;
      // Values above 2^53 are rounded, but no run lasts that long.
      this.hart.setAlarm(Number(value));
    }
  }

  writel(offset: number, value: number): void {
    if (offset === MSIP) {
      this.software = value & 1;
      this.hart.setSoftwareInterrupt(this.software === 1);
    } else if (offset === MTIMECMP) {
      this.writeq(MTIMECMP, (this.compare & ~LOW_HALF) | BigInt(value));
    } else if (offset === MTIMECMP + 4) {
      this.writeq(MTIMECMP, (this.compare & LOW_HALF) | (BigInt(value) << 32n));
    }
  }
}
