/** The exit status of a comparison that found a difference. */
export const EXIT_DIFFERENT = 1;

/** The exit status of a command that could not do its work: wrong usage, or an unusable file. */
export const EXIT_FAILURE = 2;
