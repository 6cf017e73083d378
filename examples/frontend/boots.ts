import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BUILT_GUESTS } from "./programs.js";
import type { Line } from "./typist.js";
import type { VirtOptions } from "./virt.js";

const OPENSBI = "/usr/lib/riscv64-linux-gnu/opensbi/generic";
const U_BOOT = "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin";
/** Bytes of the disk of a guest that has one. */
const DISK_SIZE = 2 ** 20;
const PROMPT = "=> ";

/** Software that the `virt` machine boots. */
interface Boot {
  /** Where the files are from. */
  readonly source: string;
  readonly firmware: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly bootArguments?: string;
  /** The first bytes of a disk of 1 MiB; none by default. */
  readonly disk?: string;
  /** Text to type when nobody is at the serial port. */
  readonly typed: readonly Line[];
  /** The instructions after which the guest has done all of that. */
  readonly limit: number;
}

/** What can be booted, by name. */
export const BOOTS = {
  opensbi: {
    source: "the Debian package opensbi",
    firmware: `${OPENSBI}/fw_jump.bin`,
    typed: [],
    limit: 8e6,
  },
  "u-boot": {
    source: "the Debian packages opensbi and u-boot-qemu",
    firmware: `${OPENSBI}/fw_dynamic.bin`,
    kernel: U_BOOT,
    typed: [
      { after: "autoboot: ", type: " " },
      { after: PROMPT, type: "version\n" },
      { after: PROMPT, type: "mw.q 84000000 123456789abcdef 8\n" },
      { after: PROMPT, type: "crc32 84000000 40\n" },
      { after: PROMPT, type: "bdinfo\n" },
      { after: PROMPT, type: "poweroff\n" },
    ],
    limit: 100e6,
  },
  linux: {
    source: "the Debian package opensbi, and npm run guests",
    firmware: `${OPENSBI}/fw_dynamic.bin`,
    kernel: join(BUILT_GUESTS, "linux/arch/riscv/boot/Image"),
    initrd: join(BUILT_GUESTS, "initramfs.cpio"),
    bootArguments: "console=ttyS0 earlycon",
    disk: "What is the answer?\0",
    typed: [],
    limit: 1e9,
  },
} as const satisfies Record<string, Boot>;

export type BootName = keyof typeof BOOTS;

/**
 * Reads the files of a guest.
 *
 * @throws Error if one is missing.
 */
export function readBoot(name: BootName): Omit<VirtOptions, "path"> {
  const { source, firmware, kernel, initrd, bootArguments, disk, typed }: Boot = BOOTS[name];
  try {
    return {
      firmware: readFileSync(firmware),
      typed,
      ...(kernel !== undefined && { kernel: readFileSync(kernel) }),
      ...(initrd !== undefined && { initrd: readFileSync(initrd) }),
      ...(bootArguments !== undefined && { bootArguments }),
      ...(disk !== undefined && { disk: Buffer.concat([Buffer.from(disk)], DISK_SIZE) }),
    };
  } catch (error) {
    throw new Error(`${name} needs the files of ${source}`, { cause: error });
  }
}
