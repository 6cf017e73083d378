import { block32 } from "./block-views.js";
import { RESULT32 } from "./call-block.js";
import type { GuestMemAccessResult } from "../base/result.js";

/** The result code of the last call. */
export function result(): GuestMemAccessResult {
  return block32[RESULT32] as GuestMemAccessResult;
}
