import { withCode } from "../base/errors.js";

/** RAM that maps a file. */
export interface MappedRam {
  readonly destroyed: boolean;
  /** Whether an access found that bytes of the file are gone. */
  hasLost(): boolean;
  /** Ends the RAM. */
  lose(): void;
}

/** Milliseconds between two checks. */
const INTERVAL = 100;

/** Weak references, so that RAM that nobody uses is freed. */
const watched = new Set<WeakRef<MappedRam>>();
let timer: NodeJS.Timeout | undefined;

/**
 * Ends RAM soon after an access has found that bytes of its file are gone. The signal handler that
 * notices it may do almost nothing, so the event loop looks at what it has recorded.
 */
export function watchForLoss(ram: MappedRam): void {
  watched.add(new WeakRef(ram));
  timer ??= setInterval(check, INTERVAL).unref();
}

function check(): void {
  for (const reference of watched) {
    const ram = reference.deref();
    if (ram === undefined || ram.destroyed) {
      watched.delete(reference);
    } else if (ram.hasLost()) {
      watched.delete(reference);
      ram.lose();
    }
  }
  if (watched.size === 0) {
    clearInterval(timer);
    timer = undefined;
  }
}

/** The error of RAM whose file has lost bytes. */
export function fileLostError(): Error {
  return withCode(
    new Error("a mapped file was made shorter, or cannot be read: its memory has ended"),
    "ERR_MAPPED_FILE_LOST",
  );
}
