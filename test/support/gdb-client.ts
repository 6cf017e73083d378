import { connect, type Socket } from "node:net";
import { encodePacket } from "../../lib/gdb/packets.js";

/** A debugger's end of a connection. */
export class GdbClient {
  private received = "";
  private wake: (() => void) | null = null;
  isClosed = false;

  private constructor(readonly socket: Socket) {
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.received += text;
      this.wake?.();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
      this.wake?.();
    });
  }

  /** Connects to the address of a `GdbServer`. */
  static async connect(address: string): Promise<GdbClient> {
    const port = /^127\.0\.0\.1:(\d+)$/.exec(address)?.[1];
    const socket = port === undefined ? connect(address) : connect(Number(port), "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return new GdbClient(socket);
  }

  /** Sends bytes as they are. */
  raw(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Sends a packet. */
  send(payload: string): void {
    this.raw(encodePacket(Buffer.from(payload, "latin1")));
  }

  /** Sends a packet and returns the payload of the reply. */
  ask(payload: string): Promise<string> {
    this.send(payload);
    return this.reply();
  }

  /** The payload of the next packet, without acknowledgements before it. */
  async reply(): Promise<string> {
    const match = await this.next(/^[+-]*\$([^#]*)#[\da-f]{2}/);
    return match[1]!;
  }

  /** Waits until the bytes received match, and removes these. Rejects if the connection ends. */
  async next(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.received);
      if (match !== null) {
        this.received = this.received.slice(match.index + match[0].length);
        return match;
      }
      if (this.isClosed) {
        throw new Error("the server has closed the connection");
      }
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    while (!this.isClosed) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
