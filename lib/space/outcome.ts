import { type FaultReason, GuestMemoryFault, type Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { AccessFault, FaultListener } from "./options.js";

/** The outcome of the last access to an address space, and the calls of its listener of faults. */
export class Outcome {
  /** The result of the last read, and of every access that has faulted. */
  result: GuestMemAccessResult = OK;
  /** The reason of the fault that `result` describes. */
  reason: FaultReason = "hole";
  /** The last fault that was returned or thrown; null before the first. */
  lastFault: AccessFault | null = null;
  /** Whether the listener is running. */
  #isListening = false;

  constructor(private readonly listener: FaultListener | null) {}

  /** Sets `result` and `reason` of an access that faults, and returns the result. */
  refuse(result: GuestMemAccessResult, reason: FaultReason): GuestMemAccessResult {
    this.reason = reason;
    return (this.result = result);
  }

  /**
   * Calls the listener of faults, if there is one, for the fault that `result` and `reason`
   * describe.
   *
   * @returns Whether to make the access again. If not, the fault is recorded as the last.
   */
  mayRetry(gpa: Gpa, width: number, operation: Operation): boolean {
    const { listener } = this;
    if (listener !== null && !this.#isListening) {
      const { result, reason } = this;
      this.#isListening = true;
      try {
        if (listener({ result, gpa, width, operation, reason }) === "retry") {
          return true;
        }
      } finally {
        this.#isListening = false;
      }
      this.refuse(result, reason);
    }
    this.recordFault(gpa, width, operation);
    return false;
  }

  /** Throws the fault that `result` and `reason` describe. */
  fault(gpa: Gpa, width: number, operation: Operation): never {
    throw new GuestMemoryFault(this.result, gpa, width, operation, this.reason);
  }

  /** Records the fault that `result` and `reason` describe as the last. */
  recordFault(gpa: Gpa, width: number, operation: Operation): void {
    const { result, reason } = this;
    this.lastFault = { result, gpa, width, operation, reason };
  }
}
