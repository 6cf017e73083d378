// The atomic operations of 8 bits. The numbers of 16, 32 and 64 bits follow each of them.
// native/addon/atomic_binding.cpp asserts the same numbers of its table.
//
// This module must contain constants only, for the reason given in lib/native/call-block.ts.
export const ATOMIC_LOAD = 0;
export const ATOMIC_STORE = 4;
export const ATOMIC_EXCHANGE = 8;
export const ATOMIC_COMPARE_EXCHANGE = 12;
export const ATOMIC_ADD = 16;
export const ATOMIC_AND = 20;
export const ATOMIC_OR = 24;
export const ATOMIC_XOR = 28;
