/* The machine that the programs run on. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Bits of mstatus and mie; numbers of interrupts. */
#define MSTATUS_MIE (1ul << 3)
#define SOFTWARE_INTERRUPT 3
#define TIMER_INTERRUPT 7
#define INTERRUPT_CAUSE (1ul << 63)

#define MSIP (*(volatile uint32_t*)0x02000000)
#define MTIMECMP (*(volatile uint64_t*)0x02004000)
#define MTIME (*(volatile uint64_t*)0x0200bff8)

#define DISPLAY_WIDTH (*(volatile uint32_t*)0x50000000)
#define DISPLAY_HEIGHT (*(volatile uint32_t*)0x50000004)
#define DISPLAY_FRAME (*(volatile uint32_t*)0x50000008)
#define FRAMEBUFFER ((volatile uint32_t*)0x51000000)

#define csr_read(csr)                                                                              \
    ({                                                                                             \
        uint64_t value_;                                                                           \
        __asm__ volatile("csrr %0, " #csr : "=r"(value_));                                         \
        value_;                                                                                    \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " #csr ", %0" ::"r"(value) : "memory")
#define csr_set(csr, bits) __asm__ volatile("csrs " #csr ", %0" ::"r"(bits) : "memory")
#define csr_clear(csr, bits) __asm__ volatile("csrc " #csr ", %0" ::"r"(bits) : "memory")

/* Sends text to the serial port: %d (int64_t), %x (uint64_t), %s and %%. */
void print(const char* format, ...);

/* Ends the run with a status; 0 is success. */
_Noreturn void power_off(int status);

/* Called on every trap, with mcause, mepc and mtval; returns the address to continue at. */
uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval);

#endif
