import type { MmioDevice } from "pound-guest-memory";

const FAIL = 0x3333;
const PASS = 0x5555;

/** The guest's power switch, as SiFive's test finisher: it ends the run with a status. */
export class Finisher implements MmioDevice {
  /** @param onEnd - Called with the status: 0 where the guest says that all went well. */
  constructor(private readonly onEnd: (status: number) => void) {}

  writel(offset: number, value: number): void {
    if (offset === 0 && (value & 0xffff) === PASS) {
      this.onEnd(0);
    } else if (offset === 0 && (value & 0xffff) === FAIL) {
      this.onEnd(value >>> 16);
    }
  }
}
