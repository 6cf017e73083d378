import { deserialize, serialize } from "node:v8";
import type { MmioDevice } from "pound-guest-memory";

// Registers. The first two are the divisor while the latch bit of the line control is set.
const DATA = 0;
const INTERRUPT_ENABLE = 1;
const INTERRUPT_ID = 2;
const LINE_CONTROL = 3;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;
const MODEM_STATUS = 6;
const SCRATCH = 7;

const DIVISOR_LATCH = 0x80;
const FIFO_ENABLE = 1;
const CLEAR_RECEIVED = 2;
const ENABLE_RECEIVED = 1;
const ENABLE_EMPTY = 2;
/** The line status with the holding register and the shift register empty. */
const READY_TO_SEND = 0x60;
const DATA_READY = 1;
/** Carrier detect, data set ready and clear to send. */
const CONNECTED = 0xb0;

// Values of the interrupt identification.
const NO_INTERRUPT = 1;
const EMPTY = 2;
const RECEIVED = 4;
const FIFOS_ENABLED = 0xc0;

/** A 16550. It sends every byte at once, and receives a byte as soon as the last one was read. */
export class Uart implements MmioDevice {
  private readonly sent: number[] = [];
  private readonly received: number[] = [];
  private divisor = 0;
  private enabled = 0;
  private fifos = 0;
  private lineControl = 0;
  private modemControl = 0;
  private scratch = 0;
  /** Whether the transmitter has become empty since the guest last read that from the register. */
  private isEmptyNews = false;

  /**
   * @param onByte - Called with each byte that the guest sends.
   * @param onInterrupt - Called with the level of the interrupt when it may have changed.
   */
  constructor(
    private readonly onByte: (byte: number) => void = () => undefined,
    private readonly onInterrupt: (level: boolean) => void = () => undefined,
  ) {}

  /** All bytes sent so far, as text. */
  get output(): string {
    return Buffer.from(this.sent).toString();
  }

  /** Adds text to what the guest receives. */
  receive(text: string): void {
    this.received.push(...Buffer.from(text));
    this.update();
  }

  save(): Uint8Array {
    const { sent, received, divisor, enabled, fifos } = this;
    const { lineControl, modemControl, scratch, isEmptyNews } = this;
    return serialize({
      ...{ sent, received, divisor, enabled, fifos },
      ...{ lineControl, modemControl, scratch, isEmptyNews },
    });
  }

  load(state: Uint8Array): void {
    Object.assign(this, deserialize(state));
  }

  readb(offset: number): number {
    switch (offset) {
      case DATA: {
        if (this.latched) {
          return this.divisor & 0xff;
        }
        const byte = this.received.shift() ?? 0;
        this.update();
        return byte;
      }
      case INTERRUPT_ENABLE:
        return this.latched ? this.divisor >>> 8 : this.enabled;
      case INTERRUPT_ID: {
        const id = this.interrupt;
        if (id === EMPTY) {
          this.isEmptyNews = false;
          this.update();
        }
        return id | this.fifos;
      }
      case LINE_CONTROL:
        return this.lineControl;
      case MODEM_CONTROL:
        return this.modemControl;
      case LINE_STATUS:
        return READY_TO_SEND | (this.received.length > 0 ? DATA_READY : 0);
      case MODEM_STATUS:
        return CONNECTED;
      case SCRATCH:
        return this.scratch;
      default:
        return 0;
    }
  }

  writeb(offset: number, value: number): void {
    switch (offset) {
      case DATA:
        if (this.latched) {
          this.divisor = (this.divisor & 0xff00) | value;
        } else {
          this.sent.push(value);
          this.isEmptyNews = true;
          this.onByte(value);
        }
        break;
      case INTERRUPT_ENABLE:
        if (this.latched) {
          this.divisor = (this.divisor & 0xff) | (value << 8);
        } else {
          this.isEmptyNews ||= (value & ~this.enabled & ENABLE_EMPTY) !== 0;
          this.enabled = value & 0xf;
        }
        break;
      case INTERRUPT_ID:
        // Here, this is the FIFO control register.
        this.fifos = (value & FIFO_ENABLE) === 0 ? 0 : FIFOS_ENABLED;
        if ((value & CLEAR_RECEIVED) !== 0) {
          this.received.length = 0;
        }
        break;
      case LINE_CONTROL:
        this.lineControl = value;
        break;
      case MODEM_CONTROL:
        this.modemControl = value & 0x1f;
        break;
      case SCRATCH:
        this.scratch = value;
        break;
      default:
    }
    this.update();
  }

  private get latched(): boolean {
    return (this.lineControl & DIVISOR_LATCH) !== 0;
  }

  private get interrupt(): number {
    if ((this.enabled & ENABLE_RECEIVED) !== 0 && this.received.length > 0) {
      return RECEIVED;
    }
    return (this.enabled & ENABLE_EMPTY) !== 0 && this.isEmptyNews ? EMPTY : NO_INTERRUPT;
  }

  private update(): void {
    this.onInterrupt(this.interrupt !== NO_INTERRUPT);
  }
}
