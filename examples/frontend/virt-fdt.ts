import { encodeFdt, type FdtNode } from "./fdt.js";
import {
  CLINT,
  CLINT_SIZE,
  FINISHER,
  PAGE,
  PLIC,
  PLIC_SIZE,
  RAM,
  UART,
  UART_SIZE,
  VIRTIO,
} from "./memory-map.js";

/** The interrupt sources of the serial port and the disk. */
export const UART_SOURCE = 10;
export const DISK_SOURCE = 1;
const SOURCES = 96;
/** Ticks of the clock in a second, for the guest. */
const TIMEBASE = 10_000_000;
const UART_CLOCK = 3_686_400;

// References between the nodes.
const CPU_INTERRUPTS = 1;
const PLIC_HANDLE = 2;
const FINISHER_HANDLE = 3;

/** What the device tree of a `virt` machine depends on. */
export interface VirtFdtOptions {
  readonly ramSize: number;
  readonly hasDisk: boolean;
  /** The command line of the kernel. */
  readonly bootArguments?: string | undefined;
  /** The first address of the initramfs, and that after the last. */
  readonly initrd?: readonly [number, number] | undefined;
}

/** The device tree of the `virt` machine. */
export function virtFdt(options: VirtFdtOptions): Buffer {
  const { ramSize, hasDisk, bootArguments, initrd } = options;
  return encodeFdt({
    properties: {
      "#address-cells": [2],
      "#size-cells": [2],
      compatible: "riscv-virtio",
      model: "riscv-virtio,qemu",
    },
    children: {
      chosen: {
        properties: {
          "stdout-path": `/soc/${named("serial", UART)}`,
          ...(bootArguments !== undefined && { bootargs: bootArguments }),
          ...(initrd !== undefined && {
            "linux,initrd-start": cellsOf(initrd[0]),
            "linux,initrd-end": cellsOf(initrd[1]),
          }),
        },
      },
      poweroff: syscon("syscon-poweroff", 0x5555),
      reboot: syscon("syscon-reboot", 0x7777),
      [named("memory", RAM)]: { properties: { device_type: "memory", reg: range(RAM, ramSize) } },
      cpus: {
        properties: {
          "#address-cells": [1],
          "#size-cells": [0],
          "timebase-frequency": [TIMEBASE],
        },
        children: { "cpu@0": cpu() },
      },
      soc: {
        properties: {
          "#address-cells": [2],
          "#size-cells": [2],
          compatible: "simple-bus",
          ranges: null,
        },
        children: devices(hasDisk),
      },
    },
  });
}

function cpu(): FdtNode {
  return {
    properties: {
      device_type: "cpu",
      reg: [0],
      status: "okay",
      compatible: "riscv",
      "riscv,isa": "rv64imac_zicsr_zifencei",
      "mmu-type": "riscv,sv48",
    },
    children: {
      "interrupt-controller": {
        properties: {
          "#interrupt-cells": [1],
          "interrupt-controller": null,
          compatible: "riscv,cpu-intc",
          phandle: [CPU_INTERRUPTS],
        },
      },
    },
  };
}

function devices(hasDisk: boolean): Record<string, FdtNode> {
  const disk: FdtNode = {
    properties: {
      compatible: "virtio,mmio",
      reg: range(VIRTIO, PAGE),
      interrupts: [DISK_SOURCE],
      "interrupt-parent": [PLIC_HANDLE],
    },
  };
  return {
    ...(hasDisk && { [named("virtio_mmio", VIRTIO)]: disk }),
    [named("serial", UART)]: {
      properties: {
        compatible: "ns16550a",
        reg: range(UART, UART_SIZE),
        interrupts: [UART_SOURCE],
        "interrupt-parent": [PLIC_HANDLE],
        "clock-frequency": [UART_CLOCK],
      },
    },
    [named("test", FINISHER)]: {
      properties: {
        compatible: ["sifive,test1", "sifive,test0", "syscon"],
        reg: range(FINISHER, PAGE),
        phandle: [FINISHER_HANDLE],
      },
    },
    [named("plic", PLIC)]: {
      properties: {
        compatible: ["sifive,plic-1.0.0", "riscv,plic0"],
        reg: range(PLIC, PLIC_SIZE),
        "interrupts-extended": [CPU_INTERRUPTS, 11, CPU_INTERRUPTS, 9],
        "interrupt-controller": null,
        "#interrupt-cells": [1],
        "#address-cells": [0],
        "riscv,ndev": [SOURCES - 1],
        phandle: [PLIC_HANDLE],
      },
    },
    [named("clint", CLINT)]: {
      properties: {
        compatible: ["sifive,clint0", "riscv,clint0"],
        reg: range(CLINT, CLINT_SIZE),
        "interrupts-extended": [CPU_INTERRUPTS, 3, CPU_INTERRUPTS, 7],
      },
    },
  };
}

/** A register of the power switch and the value that the guest writes to it. */
function syscon(compatible: string, value: number): FdtNode {
  return {
    properties: { compatible, regmap: [FINISHER_HANDLE], offset: [0], value: [value] },
  };
}

function named(name: string, gpa: number): string {
  return `${name}@${gpa.toString(16)}`;
}

/** An address and a size, two cells each. */
function range(gpa: number, size: number): number[] {
  return [gpa, size].flatMap(cellsOf);
}

/** A number of 64 bits. */
function cellsOf(value: number): number[] {
  return [Math.floor(value / 2 ** 32), value % 2 ** 32];
}
