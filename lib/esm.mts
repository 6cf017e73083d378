// The one implementation is CommonJS: two copies would have two GuestMemory classes.
export * from "./index.js";
