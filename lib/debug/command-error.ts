/** Numbers of errors of commands: those of POSIX. */
export const EFAULT = 14;
export const EINVAL = 22;
export const ENOSPC = 28;

/** Thrown for a command of a debugger that cannot be executed. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  /** @param number - From 0 to 255. */
  constructor(
    readonly number: number,
    message = `error ${number}`,
  ) {
    super(message);
  }
}
