// Places in the call block of the addon, `CallBlock` in C++, in host byte order: gpa_low, memory,
// gpa_high, result (u32), value, expected (u64), operation (u32). The number in a name is the width
// of the elements that it counts.
//
// A module of nothing but constants, since the bundler writes those into the code as numbers: as
// variables of the bundle each use would take up to eight of the 920 bytes of bytecode that V8
// inlines into a function.
export const GPA_LOW32 = 0;
export const MEMORY32 = 1;
export const GPA_HIGH32 = 2;
export const RESULT32 = 3;
export const VALUE8 = 16;
export const VALUE16 = 8;
export const VALUE32 = 4;
export const VALUE64 = 2;
/** The number of no memory. */
export const NO_MEMORY = 0;
