/*
 * The memory map: a part of that of QEMU's `virt` machine, so that the same programs run there. The
 * display is at addresses that QEMU leaves free.
 */
export const ROM = 0x1000;
export const FINISHER = 0x10_0000;
export const CLINT = 0x200_0000;
export const CLINT_SIZE = 0x1_0000;
export const PLIC = 0xc00_0000;
export const PLIC_SIZE = 0x60_0000;
export const UART = 0x1000_0000;
export const UART_SIZE = 0x100;
export const VIRTIO = 0x1000_1000;
export const DISPLAY = 0x5000_0000;
export const FRAMEBUFFER = 0x5100_0000;
export const RAM = 0x8000_0000;
/** Bytes of the registers of a device that needs few, and of the ROM. */
export const PAGE = 0x1000;
