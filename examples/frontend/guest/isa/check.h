/* Self-checks of the instruction set. */
#ifndef CHECK_H
#define CHECK_H

#include "machine.h"

/* Counts a check; prints its line and both values if they differ. */
void check(const char* name, int line, uint64_t got, uint64_t expected);

#define CHECK(name, got, expected) check(name, __LINE__, (uint64_t)(got), (uint64_t)(expected))

/* The result of exactly this instruction, which the compiler cannot replace by another. */
#define RR(op, a, b)                                                                               \
    ({                                                                                             \
        uint64_t result_;                                                                          \
        __asm__ volatile(#op " %0, %1, %2"                                                         \
                         : "=r"(result_)                                                           \
                         : "r"((uint64_t)(a)), "r"((uint64_t)(b)));                                \
        result_;                                                                                   \
    })
#define RI(op, a, immediate)                                                                       \
    ({                                                                                             \
        uint64_t result_;                                                                          \
        __asm__ volatile(#op " %0, %1, " #immediate : "=r"(result_) : "r"((uint64_t)(a)));         \
        result_;                                                                                   \
    })

#define CHECK_RR(op, a, b, expected) CHECK(#op, RR(op, a, b), expected)
#define CHECK_RI(op, a, immediate, expected) CHECK(#op, RI(op, a, immediate), expected)

void check_traps(void);

#endif
