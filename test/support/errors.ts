/** Runs `action` and returns the name and the code of the error that it throws. */
export function thrown(action: () => unknown): { name: string; code: unknown } {
  try {
    action();
  } catch (error) {
    const { name, code } = error as Error & { code?: unknown };
    return { name, code };
  }
  return { name: "nothing", code: undefined };
}

export const WRONG_TYPE = { name: "TypeError", code: "ERR_INVALID_ARG_TYPE" };
export const WRONG_HANDLE = { name: "TypeError", code: "ERR_INVALID_HANDLE" };
export const OUT_OF_RANGE = { name: "RangeError", code: "ERR_OUT_OF_RANGE" };
export const EXHAUSTED = { name: "RangeError", code: "ERR_ARENA_EXHAUSTED" };
export const DESTROYED = { name: "Error", code: "ERR_DESTROYED" };
export const NO_MEMORY = { name: "Error", code: "ERR_OUT_OF_MEMORY" };
export const FAULT = { name: "GuestMemoryFault", code: "ERR_GUEST_MEMORY_FAULT" };
