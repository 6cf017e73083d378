import type { MmioDevice } from "pound-guest-memory";

const DATA = 0;
const LINE_STATUS = 5;
/** Both the register and the shifter behind it are empty. */
const READY_TO_SEND = 0x60;

/** The part of a 16550 that sends: every byte is sent at once, and none ever comes in. */
export class Uart implements MmioDevice {
  private readonly sent: number[] = [];

  /** @param onByte - Called with each byte that the guest sends. */
  constructor(private readonly onByte: (byte: number) => void = () => undefined) {}

  /** All that was sent. */
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
