/**
 * Text to type as soon as the guest has sent other text, so that it comes at the same instruction.
 */
export interface Line {
  /** The text that the guest sends. */
  readonly after: string;
  readonly type: string;
}

/** Types lines at a serial port, one after the other. */
export class Typist {
  private sent = "";
  private next = 0;

  /** @param type - Receives the text of each line. */
  constructor(
    private readonly lines: readonly Line[],
    private readonly type: (text: string) => void,
  ) {}

  /** Takes a byte that the guest has sent. */
  see(byte: number): void {
    const line = this.lines[this.next];
    if (line === undefined) {
      return;
    }
    this.sent += String.fromCharCode(byte);
    if (this.sent.endsWith(line.after)) {
      this.sent = "";
      this.next++;
      this.type(line.type);
    }
  }
}
