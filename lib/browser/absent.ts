/** The module that takes the place of those which bundles for browsers leave out. */
export const absent = true;
