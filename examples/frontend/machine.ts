import { AddressSpace, type GuestMemory } from "pound-guest-memory";
import { type ElfImage, loadElf } from "pound-guest-memory/loader";
import { Cpu } from "./cpu/cpu.js";
import type { CodeRange, Hart } from "./cpu/hart.js";
import type { HartMemory } from "./cpu/port.js";
import { Clint } from "./devices/clint.js";
import { Display } from "./devices/display.js";
import { Finisher } from "./devices/finisher.js";
import { DeviceLog } from "./devices/logged.js";
import { Uart } from "./devices/uart.js";
import {
  CLINT,
  CLINT_SIZE,
  DISPLAY,
  FINISHER,
  FRAMEBUFFER,
  PAGE,
  RAM,
  ROM,
  UART,
  UART_SIZE,
} from "./memory-map.js";

/** The path by which the hart in TypeScript accesses memory. */
export type Path = "view" | "native";

export const RAM_SIZE = 0x100_0000;

/** Options of a {@link Machine}. */
export interface MachineOptions {
  readonly path: Path;
  /** The jumps after which code is compiled, as the constructor of {@link Cpu} has it. */
  readonly compileAfter?: number;
  /** Makes another hart than that in TypeScript. */
  readonly makeHart?: (space: AddressSpace, code: CodeRange) => Hart;
  /** The RAM, of {@link RAM_SIZE} bytes; new memory by default. */
  readonly ram?: GuestMemory;
  /** The value of a3 when the program starts; 0 by default. */
  readonly argument?: number;
  /** Called with each byte written to the serial port. */
  readonly onByte?: (byte: number) => void;
  /** Called when the guest has completed a frame. */
  readonly onFrame?: (display: Display) => void;
  /**
   * Returns the memory that the hart uses, given the machine's, so that a test can alter accesses.
   */
  readonly intercept?: (memory: HartMemory) => HartMemory;
}

/** A computer: a RISC-V hart, RAM, a boot ROM, a serial port, a timer, a display and a switch. */
export class Machine {
  readonly space = new AddressSpace();
  readonly cpu: Hart;
  readonly uart: Uart;
  readonly display: Display;
  readonly log: DeviceLog;
  readonly image: ElfImage;
  /** The guest's exit status; null while it runs. */
  status: number | null = null;

  /**
   * @param program - An ELF file for RISC-V.
   * @throws BadImageError if it cannot be loaded.
   */
  constructor(program: Uint8Array, options: MachineOptions) {
    const { path, argument = 0, intercept, makeHart, compileAfter } = options;
    const { space } = this;
    const memory = path === "view" ? space : space.native;
    const code = { base: RAM, size: RAM_SIZE };
    this.cpu =
      makeHart?.(space, code) ?? new Cpu(intercept?.(memory) ?? memory, code, null, compileAfter);
    this.uart = new Uart(options.onByte);
    this.display = new Display(() => options.onFrame?.(this.display));
    this.log = new DeviceLog(() => this.cpu.time);
    const finisher = new Finisher((status) => {
      this.status = status;
      this.cpu.stop();
    });

    space.addRam(RAM, options.ram ?? RAM_SIZE, { name: "ram" });
    space.addMmio(FINISHER, PAGE, this.log.watch(finisher), { name: "finisher" });
    space.addMmio(CLINT, CLINT_SIZE, this.log.watch(new Clint(this.cpu)), { name: "clint" });
    space.addMmio(UART, UART_SIZE, this.log.watch(this.uart), { name: "uart" });
    space.addMmio(DISPLAY, PAGE, this.log.watch(this.display.registers), { name: "display" });
    space.addMmio(FRAMEBUFFER, this.display.size, this.log.watch(this.display.framebuffer), {
      name: "framebuffer",
    });
    this.image = loadElf(space, program, { machine: "riscv" });
    if (this.image.entry === null) {
      throw new Error("the program names no entry point");
    }
    space.addRom(ROM, bootRom(this.image.entry, argument), { name: "rom" });
    this.cpu.pc = BigInt(ROM);
  }

  /** A copy of the RAM. */
  ram(): Buffer {
    return this.space.read(RAM, RAM_SIZE);
  }
}

/** Code that loads the argument into a3 and jumps to the entry point, followed by both values. */
function bootRom(entry: bigint, argument: number): Uint8Array {
  const rom = new DataView(new ArrayBuffer(PAGE));
  const code = [
    0x00000297, // auipc t0, 0
    0x0182b683, // ld    a3, 24(t0)
    0x0102b283, // ld    t0, 16(t0)
    0x00028067, // jr    t0
  ];
  code.forEach((instruction, i) => rom.setUint32(4 * i, instruction, true));
  rom.setBigUint64(16, entry, true);
  rom.setBigInt64(24, BigInt(argument), true);
  return new Uint8Array(rom.buffer);
}
