// The system calls that init needs and nolibc does not have.
#pragma once

#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/time.h>

static void catch_signal(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    my_syscall4(__NR_rt_sigaction, number, &action, NULL, sizeof(sigset_t));
}

/** Sends SIGALRM after a time. */
static void alarm_after(long microseconds) {
    struct {
        long interval[2];
        long value[2];
    } timer = {.value = {0, microseconds}};
    my_syscall3(__NR_setitimer, ITIMER_REAL, &timer, NULL);
}

static void mprotect_none(void* start, size_t length) {
    my_syscall3(__NR_mprotect, start, length, PROT_NONE);
}

static void mprotect_all(void* start, size_t length) {
    my_syscall3(__NR_mprotect, start, length, PROT_READ | PROT_WRITE);
}

static int open_pipe(int ends[2]) {
    return my_syscall2(__NR_pipe2, ends, 0);
}

/**
 * Starts a thread, at whose end the kernel sets `*running` to 0.
 *
 * @param stack The end of its stack.
 */
static long start_thread(void (*run)(void), void* stack, int* running) {
    register long flags __asm__("a0") = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                        CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
    register void* top __asm__("a1") = stack;
    register long parent __asm__("a2") = 0;
    register long tls __asm__("a3") = 0;
    register int* child __asm__("a4") = running;
    register long number __asm__("a7") = __NR_clone;
    register void (*function)(void) __asm__("s1") = run;
    __asm__ volatile("ecall\n"
                     "bnez a0, 1f\n"
                     "jalr s1\n"
                     "li a0, 0\n"
                     "li a7, 93\n" // exit
                     "ecall\n"
                     "1:\n"
                     : "+r"(flags)
                     : "r"(top), "r"(parent), "r"(tls), "r"(child), "r"(number), "r"(function)
                     : "memory");
    return flags;
}

/** Waits for the end of a thread. */
static void join_thread(int* running) {
    while (__atomic_load_n(running, __ATOMIC_ACQUIRE) != 0) {
        my_syscall6(__NR_futex, running, FUTEX_WAIT, 1, NULL, NULL, 0);
    }
}
