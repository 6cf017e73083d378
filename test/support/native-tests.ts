import { GuestMemory } from "pound-guest-memory";

/** `it`, for tests of what only the addon can do. */
export const itNative = GuestMemory.hasNative ? it : it.skip;

/** `describe`, for tests of what only the addon can do. */
export const describeNative = GuestMemory.hasNative ? describe : describe.skip;
