import type { ErrorCode } from "pound-guest-memory";

/** The class of the errors of each code. The compiler checks that no code is missing. */
export const ERROR_CLASSES: Record<ErrorCode, string> = {
  ERR_INVALID_ARG_TYPE: "TypeError",
  ERR_OUT_OF_RANGE: "RangeError",
  ERR_INVALID_HANDLE: "TypeError",
  ERR_ARENA_EXHAUSTED: "RangeError",
  ERR_OUT_OF_MEMORY: "Error",
  ERR_DESTROYED: "Error",
  ERR_BUSY: "Error",
  ERR_NOT_FORKED: "Error",
  ERR_GUEST_MEMORY_FAULT: "GuestMemoryFault",
  ERR_BAD_IMAGE: "BadImageError",
  ERR_SNAPSHOT_INVALID: "SnapshotFormatError",
  ERR_SNAPSHOT_MISMATCH: "Error",
  ERR_NOT_REGULAR_FILE: "Error",
  ERR_LACKEY_SYNTAX: "LackeySyntaxError",
  ERR_NO_ADDON: "Error",
  ERR_NOT_IMPORTED: "Error",
  ERR_TRACKING_UNAVAILABLE: "Error",
  ERR_MAPPED_FILE_LOST: "Error",
  ERR_SHARING_UNAVAILABLE: "Error",
};
