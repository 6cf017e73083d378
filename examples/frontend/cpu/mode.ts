/** The privilege modes of a hart, by their numbers in control registers. */
export const enum Mode {
  USER = 0,
  SUPERVISOR = 1,
  MACHINE = 3,
}
