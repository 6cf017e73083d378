/* Runs code with all registers given, until a trap after which `handle` does not let it go on. */
    .text
    .globl run
run: /* (struct context*, mepc, mstatus) */
    addi sp, sp, -112
    sd ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd s\n, 8 * \n + 8(sp)
    .endr
    la t0, runner_stack
    sd sp, 0(t0)
    la t0, body_trap
    csrw mtvec, t0
    csrw mepc, a1
    csrw mstatus, a2
    csrw mscratch, a0
    mv sp, a0
resume:
    ld x1, 8(sp)
    .irp n, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ld x\n, 8 * \n(sp)
    .endr
    ld sp, 16(sp)
    mret

    .balign 4
body_trap:
    csrrw sp, mscratch, sp
    sd x1, 8(sp)
    .irp n, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd x\n, 8 * \n(sp)
    .endr
    mv a0, sp
    csrrw t0, mscratch, sp
    sd t0, 16(sp)
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la t0, runner_stack
    ld sp, 0(t0)
    mv s0, a0
    call handle
    mv t0, sp
    mv sp, s0
    bnez a0, resume
    mv sp, t0
    ld ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld s\n, 8 * \n + 8(sp)
    .endr
    addi sp, sp, 112
    ret

    /* All data follows, and so lies on other pages than the code. */
    .data
    .balign 4096
runner_stack:
    .quad 0
