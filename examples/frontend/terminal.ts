/** The key that comes before a command. Twice, it sends itself. */
const ESCAPE = "\u0001";

/** The terminal of the process as a serial console, without echo and line editing. */
export class Terminal {
  private output: number[] = [];
  private escaped = false;

  /**
   * Starts to read keys.
   *
   * @param onText - Called with the text of keys.
   * @param commands - Called for Ctrl-A and a key, which is a lower-case letter here.
   */
  open(
    onText: (text: string) => void,
    commands: Readonly<Record<string, (() => void) | undefined>>,
  ): void {
    const { stdin } = process;
    if (stdin.isTTY) {
      stdin.setRawMode(true);
    }
    stdin.setEncoding("utf8");
    stdin.on("data", (text: string) => {
      for (const key of text) {
        const command = this.escaped ? commands[key.toLowerCase()] : undefined;
        if (command !== undefined) {
          command();
        } else if (!this.escaped && key === ESCAPE) {
          this.escaped = true;
          continue;
        } else {
          onText(key);
        }
        this.escaped = false;
      }
    });
  }

  /** Adds a byte to the output, which appears at the next {@link Terminal.flush}. */
  write(byte: number): void {
    this.output.push(byte);
  }

  /** Writes the output, and takes the keys that were pressed. */
  flush(): Promise<void> {
    if (this.output.length > 0) {
      process.stdout.write(Buffer.from(this.output));
      this.output = [];
    }
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }

  /** Gives the terminal back. */
  close(): void {
    const { stdin } = process;
    if (stdin.isTTY) {
      stdin.setRawMode(false);
    }
    stdin.destroy();
  }
}
