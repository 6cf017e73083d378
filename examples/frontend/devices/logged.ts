import { deserialize, serialize } from "node:v8";
import type { BusError, MmioDevice } from "pound-guest-memory";

/**
 * A log of the accesses to devices: their number, and a hash over all of them in order, each with
 * its device, offset, value and time.
 */
export class DeviceLog {
  accesses = 0;
  hash = 0;
  private devices = 0;

  /** @param now - Returns the time of an access. */
  constructor(private readonly now: () => number) {}

  save(): Uint8Array {
    const { accesses, hash } = this;
    return serialize({ accesses, hash });
  }

  load(state: Uint8Array): void {
    Object.assign(this, deserialize(state));
  }

  /** Wraps a device so that its accesses are logged. */
  watch(device: MmioDevice): MmioDevice {
    const number = this.devices++;
    const note = (kind: number, offset: number, value: number | bigint | BusError) => {
      this.accesses++;
      this.add((number << 8) | kind);
      this.add(offset);
      this.add(this.now());
      if (typeof value === "number") {
        this.add(value);
      } else if (typeof value === "bigint") {
        this.add(Number(value & 0xffff_ffffn));
        this.add(Number(value >> 32n));
      }
    };
    const reader =
      <T extends number | bigint | BusError>(kind: number, read: (offset: number) => T) =>
      (offset: number): T => {
        const value = read.call(device, offset);
        note(kind, offset, value);
        return value;
      };
    const writer =
      <T extends number | bigint>(kind: number, write: (offset: number, value: T) => unknown) =>
      (offset: number, value: T): unknown => {
        note(kind, offset, value);
        return write.call(device, offset, value);
      };
    // An access of a width without a handler is a bus error, so the wrapper must not add handlers.
    return {
      ...(device.save && { save: () => device.save!() }),
      ...(device.load && { load: (state: Uint8Array) => device.load!(state) }),
      ...(device.readb && { readb: reader(0, device.readb) }),
      ...(device.readw && { readw: reader(1, device.readw) }),
      ...(device.readl && { readl: reader(2, device.readl) }),
      ...(device.readq && { readq: reader(3, device.readq) }),
      ...(device.writeb && { writeb: writer(4, device.writeb) }),
      ...(device.writew && { writew: writer(5, device.writew) }),
      ...(device.writel && { writel: writer(6, device.writel) }),
      ...(device.writeq && { writeq: writer(7, device.writeq) }),
    };
  }

  private add(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x9e3779b1) ^ (this.hash >>> 15);
  }
}
