// The layout of the addon's call block, which passes the arguments and the result of one native
// access. Fields, in host byte order: gpa_low, memory, gpa_high, result (u32), value, expected
// (u64), operation (u32). Each constant is the index of a field in a typed array whose elements
// have the width that the name ends with. native/addon/environment.h asserts the same layout of
// `CallBlock`.
//
// This module must contain constants only. The bundler then replaces each use by its number. A
// variable would take up to eight of the 920 bytes of bytecode that V8 inlines into one function.
export const GPA_LOW32 = 0;
export const MEMORY32 = 1;
export const GPA_HIGH32 = 2;
export const RESULT32 = 3;
export const VALUE8 = 16;
export const VALUE16 = 8;
export const VALUE32 = 4;
export const VALUE64 = 2;
export const EXPECTED8 = 24;
export const OPERATION32 = 8;

/** Set in the field `memory` if `gpa_high` counts too. If not, the address is `gpa_low`. */
export const WIDE_ADDRESS = 0x8000_0000;

/**
 * The result of an access through a page table that takes the slow path. It is no
 * `GuestMemAccessResult`; native/addon/space_binding.cpp has the same number.
 */
export const NOT_MADE = 4;

/** The memory number that no memory has; native/addon/environment.h reserves it. */
export const NO_MEMORY = 0;
