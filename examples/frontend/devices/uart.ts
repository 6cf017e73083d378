import type { MmioDevice } from "pound-guest-memory";

const DATA = 0;
const LINE_STATUS = 5;
/** The line status with the holding register and the shift register empty. */
const READY_TO_SEND = 0x60;

/** The sending half of a 16550. It sends every byte at once, and never receives one. */
export class Uart implements MmioDevice {
  private readonly sent: number[] = [];

  /** @param onByte - Called with each byte that the guest sends. */
  constructor(private readonly onByte: (byte: number) => void = () => undefined) {}

  /** All bytes sent so far, as text. */
  get output(): string {
    return Buffer.from(this.sent).toString();
  }

  readb(offset: number): number {
    return offset === LINE_STATUS ? READY_TO_SEND : 0;
  }

  writeb(offset: number, value: number): void {
    if (offset === DATA) {
      this.sent.push(value);
      this.onByte(value);
    }
  }
}
