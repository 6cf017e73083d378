import { deserialize, serialize } from "node:v8";
import { AddressSpace, type GuestMemory } from "pound-guest-memory";
import { Rewind, type Snapshot } from "pound-guest-memory/snapshot";
import { CODE_PAGE } from "./cpu/code-cache.js";
import { Cpu } from "./cpu/cpu.js";
import { Clint } from "./devices/clint.js";
import { Finisher } from "./devices/finisher.js";
import { DeviceLog } from "./devices/logged.js";
import { Plic } from "./devices/plic.js";
import { Uart } from "./devices/uart.js";
import { VirtioBlock } from "./devices/virtio-block.js";
import type { Path } from "./machine.js";
import {
  CLINT,
  CLINT_SIZE,
  FINISHER,
  PAGE,
  PLIC,
  PLIC_SIZE,
  RAM,
  ROM,
  UART,
  UART_SIZE,
  VIRTIO,
} from "./memory-map.js";
import { type Line, Typist } from "./typist.js";
import { DISK_SOURCE, UART_SOURCE, virtFdt } from "./virt-fdt.js";

const MIB = 2 ** 20;
/** Where the firmware continues. */
const KERNEL = RAM + 2 * MIB;
/** The device tree is below this address, and at a multiple of {@link FDT_ALIGNMENT}. */
const FDT_END = 3 * 1024 * MIB;
const FDT_ALIGNMENT = 2 * MIB;
const LEAST_RAM = 8 * MIB;
/** The interrupts of the PLIC's two contexts, as bit numbers of mip. */
const MACHINE_EXTERNAL = 11;
const SUPERVISOR_EXTERNAL = 9;

/** Options of a {@link VirtMachine}. */
export interface VirtOptions {
  readonly path: Path;
  /** The jumps after which code is compiled, as the constructor of {@link Cpu} has it. */
  readonly compileAfter?: number;
  /** Bytes of RAM: a multiple of 2 MiB, 8 MiB at least; 128 MiB by default. */
  readonly ramSize?: number;
  /** The raw image of a firmware that starts at the start of RAM, in machine mode. */
  readonly firmware: Uint8Array;
  /** The raw image that OpenSBI starts, 2 MiB above the firmware. */
  readonly kernel?: Uint8Array;
  /** The initramfs of the kernel, and its command line. */
  readonly initrd?: Uint8Array;
  readonly bootArguments?: string;
  /** The bytes of a disk, which the guest changes. */
  readonly disk?: Uint8Array;
  /** Text for the serial port. */
  readonly typed?: readonly Line[];
  /** Called with each byte written to the serial port. */
  readonly onByte?: (byte: number) => void;
}

/**
 * A subset of QEMU's `virt` machine, which starts firmware and operating systems: a hart of
 * RV64IMAC with three privilege modes, RAM, the interrupt controllers CLINT and PLIC, a 16550 and a
 * power switch. A device tree describes it to the guest.
 */
export class VirtMachine {
  readonly space = new AddressSpace({ alignment: "allow" });
  readonly cpu: Cpu;
  readonly uart: Uart;
  readonly log: DeviceLog;
  /** Bytes of RAM. */
  readonly ramSize: number;
  private readonly clint: Clint;
  private readonly dram: GuestMemory;
  private readonly block: VirtioBlock | null;
  /** The guest's exit status; null while it runs. */
  status: number | null = null;
  /** Whether the guest has asked for a reset, at which the machine stops. */
  wantsReset = false;

  /** @throws RangeError if the RAM has no valid size, or an image does not fit into it. */
  constructor(options: VirtOptions) {
    const { path, ramSize = 128 * MIB, firmware, kernel, initrd, disk, typed = [] } = options;
    if (!Number.isSafeInteger(ramSize) || ramSize < LEAST_RAM || ramSize % FDT_ALIGNMENT !== 0) {
      throw new RangeError("the size of RAM must be a multiple of 2 MiB, and 8 MiB at least");
    }
    this.ramSize = ramSize;
    const fdtEnd = Math.min(RAM + ramSize, FDT_END);
    const fdtAt = fdtEnd - FDT_ALIGNMENT;
    const initrdSize = initrd?.length ?? 0;
    const initrdAt = Math.floor((fdtAt - initrdSize) / PAGE) * PAGE;
    const fdt = virtFdt({
      ramSize,
      hasDisk: disk !== undefined,
      bootArguments: options.bootArguments,
      initrd: initrd && [initrdAt, initrdAt + initrdSize],
    });

    const { space } = this;
    const memory = path === "view" ? space : space.native;
    this.cpu = new Cpu(
      memory,
      { base: RAM, size: ramSize },
      {
        space,
        path,
        guarder: (gpa, onWrite) => space.guardCode(gpa, CODE_PAGE, onWrite),
      },
      options.compileAfter,
    );
    const { cpu } = this;
    const plic = new Plic(
      (pending) => cpu.setInterrupt(MACHINE_EXTERNAL, pending),
      (pending) => cpu.setInterrupt(SUPERVISOR_EXTERNAL, pending),
    );
    const typist = new Typist(typed, (text) => this.uart.receive(text));
    this.uart = new Uart(
      (byte) => {
        options.onByte?.(byte);
        typist.see(byte);
      },
      (level) => plic.setLevel(UART_SOURCE, level),
    );
    this.log = new DeviceLog(() => cpu.time);
    const finisher = new Finisher(
      (status) => {
        this.status = status;
        cpu.stop();
      },
      () => {
        this.wantsReset = true;
        cpu.stop();
      },
    );

    this.clint = new Clint(cpu);
    this.dram = space.addRam(RAM, ramSize, { name: "ram" }).memory;
    space.addMmio(FINISHER, PAGE, this.log.watch(finisher), { name: "finisher" });
    space.addMmio(CLINT, CLINT_SIZE, this.log.watch(this.clint), { name: "clint" });
    space.addMmio(PLIC, PLIC_SIZE, this.log.watch(plic), { name: "plic" });
    space.addMmio(UART, UART_SIZE, this.log.watch(this.uart), { name: "uart" });
    const setDiskLevel = (level: boolean) => plic.setLevel(DISK_SOURCE, level);
    this.block = disk === undefined ? null : new VirtioBlock(space, disk, setDiskLevel);
    if (this.block !== null) {
      space.addMmio(VIRTIO, PAGE, this.log.watch(this.block), { name: "disk" });
    }
    space.addRom(ROM, bootRom(fdtAt), { name: "rom" });
    for (const [image, from, end] of [
      [firmware, RAM, kernel === undefined ? initrdAt : KERNEL],
      [kernel ?? new Uint8Array(), KERNEL, initrdAt],
      [initrd ?? new Uint8Array(), initrdAt, fdtAt],
      [fdt, fdtAt, fdtEnd],
    ] as const) {
      if (from + image.length > end) {
        throw new RangeError(
          `an image of ${image.length} bytes does not fit at 0x${from.toString(16)}`,
        );
      }
      space.write(from, image);
    }
    cpu.pc = BigInt(ROM);
  }

  /** The memory, the hart and the devices. */
  save(): Snapshot {
    return this.space.snapshot({ state: this.state() });
  }

  /**
   * Takes the state of another machine with the same options.
   *
   * @throws Error if the snapshot is of another machine, or of one with other options.
   */
  restore(snapshot: Snapshot): void {
    stateIn(snapshot);
    this.space.restore(snapshot);
    this.load(snapshot);
  }

  /**
   * The latest states of the machine, to go back in time.
   *
   * @param budget - The most bytes that they take together.
   */
  history(budget: number): Rewind {
    this.dram.startTracking("auto");
    return new Rewind(this.space, {
      budget,
      save: () => this.state(),
      load: (snapshot) => this.load(snapshot),
    });
  }

  /** The state beside memory and devices. */
  private state(): { hart: Uint8Array; log: Uint8Array } {
    return { hart: serialize(this.cpu.save()), log: this.log.save() };
  }

  private load(snapshot: Snapshot): void {
    const { hart, log } = stateIn(snapshot);
    this.cpu.restore(deserialize(hart) as ReturnType<Cpu["save"]>);
    this.log.load(log);
  }

  /** A copy of the RAM. */
  ram(): Buffer {
    return this.space.read(RAM, this.ramSize);
  }
}

/** What `state` has put into a snapshot. */
function stateIn(snapshot: Snapshot): { hart: Uint8Array; log: Uint8Array } {
  const hart = snapshot.state("hart");
  const log = snapshot.state("log");
  if (hart === null || log === null) {
    throw new Error("the snapshot has no hart");
  }
  return { hart, log };
}

/**
 * Code that jumps to the start of RAM with the number of the hart in a0, the address of the device
 * tree in a1, and that of OpenSBI's `fw_dynamic_info` in a2.
 */
function bootRom(fdtAt: number): Uint8Array {
  const rom = new DataView(new ArrayBuffer(PAGE));
  const code = [
    0x0000_0297, // auipc t0, 0
    0x0282_8613, // addi  a2, t0, 40
    0xf140_2573, // csrr  a0, mhartid
    0x0202_b583, // ld    a1, 32(t0)
    0x0182_b283, // ld    t0, 24(t0)
    0x0002_8067, // jr    t0
  ];
  code.forEach((instruction, i) => rom.setUint32(4 * i, instruction, true));
  const magic = 0x4942_534f;
  const version = 2;
  const supervisor = 1;
  const [options, bootHart] = [0, 0];
  const words = [RAM, fdtAt, magic, version, KERNEL, supervisor, options, bootHart];
  words.forEach((word, i) => rom.setBigUint64(24 + 8 * i, BigInt(word), true));
  return new Uint8Array(rom.buffer);
}
