export const SECTION_NAMES: readonly string[];
