import { readFileSync } from "node:fs";
import type { Line } from "./typist.js";
import type { VirtOptions } from "./virt.js";

const OPENSBI = "/usr/lib/riscv64-linux-gnu/opensbi/generic";
const U_BOOT = "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin";
const PROMPT = "=> ";

/** Software that the `virt` machine boots, from files of Debian's packages. */
interface Boot {
  /** The Debian packages. */
  readonly packages: string;
  readonly firmware: string;
  readonly kernel?: string;
  /** Text to type when nobody is at the serial port. */
  readonly typed: readonly Line[];
  /** The instructions after which the guest has done all of that. */
  readonly limit: number;
}

/** What can be booted, by name. */
export const BOOTS = {
  opensbi: {
    packages: "opensbi",
    firmware: `${OPENSBI}/fw_jump.bin`,
    typed: [],
    limit: 8e6,
  },
  "u-boot": {
    packages: "opensbi and u-boot-qemu",
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
} as const satisfies Record<string, Boot>;

export type BootName = keyof typeof BOOTS;

/**
 * Reads the files of a guest.
 *
 * @throws Error if a package is not installed.
 */
export function readBoot(name: BootName): Pick<VirtOptions, "firmware" | "kernel"> {
  const { packages, firmware, kernel }: Boot = BOOTS[name];
  try {
    return {
      firmware: readFileSync(firmware),
      ...(kernel !== undefined && { kernel: readFileSync(kernel) }),
    };
  } catch (error) {
    throw new Error(`${name} needs the Debian packages ${packages}`, { cause: error });
  }
}
