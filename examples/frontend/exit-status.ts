/** Runs a command: the exit status is 0 if it returns true, 1 for false and 2 for an error. */
export function runCommand(main: () => Promise<boolean>): void {
  main().then(
    (good) => {
      process.exitCode = good ? 0 : 1;
    },
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 2;
    },
  );
}
