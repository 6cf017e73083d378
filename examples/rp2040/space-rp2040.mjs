// The machine of rp2040js on an address space, instead of its own arrays and its own dispatch.
import { AddressSpace } from "pound-guest-memory";
import { RP2040 } from "rp2040js";

const KIB = 1024;
const MIB = 1024 * KIB;
const FLASH = 0x1000_0000;
const MIRRORS = FLASH + 16 * MIB;
const DPRAM = 0x5010_0000;

export class SpaceRP2040 extends RP2040 {
  space = new AddressSpace({
    arena: 17 * MIB,
    // The methods of RP2040 log a warning. Reads return all ones, and writes do nothing.
    unmapped: {
      read: (gpa, width) => super.readUint32(Number(gpa) & ~3) >>> (32 - 8 * width),
      write: (gpa, value) => super.writeUint32(Number(gpa) & ~3, Number(value)),
    },
  });

  /** @param {RP2040["clock"]} [clock] */
  constructor(clock) {
    super(clock);
    const { space } = this;
    const flash = space.addRam(FLASH, 16 * MIB).memory;
    space.addRom(MIRRORS, flash, {
      repeat: 3,
      onWrite: (offset, value) => super.writeUint32((MIRRORS + offset) & ~3, Number(value)),
    });
    const sram = space.addRam(0x2000_0000, 264 * KIB).memory;
    const bootrom = space.addRam(0, 16 * KIB).memory;
    // Its buffer controls take effect when they are written.
    const dpram = space.addRom(DPRAM, new Uint8Array(4 * KIB), {
      onWrite: (offset, value, width) => {
        dpram[width === 1 ? "writeb" : width === 2 ? "writew" : "writel"](offset, Number(value));
        this.usbCtrl.DPRAMUpdated(offset & ~3, dpram.readl(offset & ~3));
      },
    }).memory;

    for (const [page, peripheral] of Object.entries(this.peripherals)) {
      space.addMmio(Number(page) * 4096, 0x4000, {
        impl: { min: 4, max: 4, narrowWrites: "replicate" },
        readl: (offset) => peripheral.readUint32(offset) >>> 0,
        writel: (offset, value) =>
          peripheral.writeUint32Atomic(offset & 0xfff, value, offset >>> 12),
      });
    }
    for (const { gpa, size, registers } of [
      { gpa: 0xd000_0000, size: 0x1000_0000, registers: this.sio },
      { gpa: 0xe000_e000, size: 0x1000, registers: this.ppb },
    ]) {
      space.addMmio(gpa, size, {
        impl: { min: 4, max: 4, narrowWrites: "merge" },
        readl: (offset) => registers.readUint32(offset) >>> 0,
        writel: (offset, value) => registers.writeUint32(offset, value),
      });
    }

    // The arrays of RP2040 become views of the same bytes, for its loaders and its USB controller.
    Object.assign(this, {
      bootrom: new Uint32Array(bootrom.buffer.buffer, bootrom.buffer.byteOffset, 4 * KIB),
      sram: sram.buffer,
      sramView: viewOf(sram.buffer),
      flash: flash.buffer,
      flash16: new Uint16Array(flash.buffer.buffer, flash.buffer.byteOffset, 8 * MIB),
      flashView: viewOf(flash.buffer),
      usbDPRAM: dpram.buffer,
      usbDPRAMView: viewOf(dpram.buffer),
    });
    this.reset();
  }

  /**
   * The constructor of RP2040 calls it before there is an address space.
   *
   * @override
   */
  reset() {
    if (this.space !== undefined) {
      super.reset();
    }
  }

  // The address space refuses unaligned accesses, but RP2040 makes them.

  /**
   * @override
   * @param {number} address
   */
  readUint32(address) {
    return (address & 3) === 0 ? this.space.readl(address >>> 0) : super.readUint32(address);
  }

  /**
   * @override
   * @param {number} address
   */
  readUint16(address) {
    return (address & 1) === 0 ? this.space.readw(address >>> 0) : super.readUint16(address);
  }

  /**
   * @override
   * @param {number} address
   */
  readUint8(address) {
    return this.space.readb(address >>> 0);
  }

  /**
   * @override
   * @param {number} address
   * @param {number} value
   */
  writeUint32(address, value) {
    if ((address & 3) === 0) {
      this.space.writel(address >>> 0, value >>> 0);
    } else {
      super.writeUint32(address, value);
    }
  }

  /**
   * @override
   * @param {number} address
   * @param {number} value
   */
  writeUint16(address, value) {
    if ((address & 1) === 0) {
      this.space.writew(address >>> 0, value & 0xffff);
    } else {
      super.writeUint16(address, value);
    }
  }

  /**
   * @override
   * @param {number} address
   * @param {number} value
   */
  writeUint8(address, value) {
    this.space.writeb(address >>> 0, value & 0xff);
  }
}

/** @param {Buffer} bytes */
function viewOf({ buffer, byteOffset, byteLength }) {
  return new DataView(buffer, byteOffset, byteLength);
}
