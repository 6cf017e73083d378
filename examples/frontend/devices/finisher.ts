import type { MmioDevice } from "pound-guest-memory";

const FAIL = 0x3333;
const PASS = 0x5555;
const RESET = 0x7777;

/** The guest's power switch, compatible with SiFive's test finisher: ends the run with a status. */
export class Finisher implements MmioDevice {
  /**
   * @param onEnd - Called with the status, which is 0 if the guest reports success.
   * @param onReset - Called when the guest asks for a reset.
   */
  constructor(
    private readonly onEnd: (status: number) => void,
    private readonly onReset: () => void = () => undefined,
  ) {}

  readl(): number {
    return 0;
  }

  writew(offset: number, value: number): void {
    this.writel(offset, value);
  }

  writel(offset: number, value: number): void {
    if (offset === 0 && (value & 0xffff) === PASS) {
      this.onEnd(0);
    } else if (offset === 0 && (value & 0xffff) === FAIL) {
      this.onEnd(value >>> 16);
    } else if (offset === 0 && (value & 0xffff) === RESET) {
      this.onReset();
    }
  }
}
