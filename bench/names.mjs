// Names that stand in the files of figures.

/** The way that the others are compared with. */
export const CPP = "C++ accessors, looped in C++";

/** The sections of the bench, in the order in which they run. */
export const SECTION_NAMES = [
  "startup",
  "large",
  "allocation",
  "sizes",
  "tracking",
  "bulk",
  "loading",
  "forks",
  "snapshots",
  "policies",
  "addressSpace",
  "clients",
  "accesses",
];
