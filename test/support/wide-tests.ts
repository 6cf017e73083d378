import { itNative } from "./native-tests.js";

/** Whether a process of 64 bits runs the tests. */
export const IS_WIDE = process.arch !== "arm" && process.arch !== "ia32";

/** `GUEST_RAM_ALIGNMENT` of the core. */
export const RAM_ALIGNMENT = IS_WIDE ? 16 : 8;

/** `it`, for tests of RAM that only a process of 64 bits has room for. */
export const itWide = IS_WIDE ? it : it.skip;

/** `it`, for tests of what only the addon can do with RAM that needs a process of 64 bits. */
export const itWideNative = IS_WIDE ? itNative : it.skip;

/** `describe`, for tests of RAM that only a process of 64 bits has room for. */
export const describeWide = IS_WIDE ? describe : describe.skip;
