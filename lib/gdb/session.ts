import { CommandError } from "../debug/command-error.js";
import { Commands } from "./commands.js";
import type { GdbMachine } from "./machine.js";
import { encodePacket, PacketReader, ProtocolViolation, type Received } from "./packets.js";

/** The most packets that may wait while the guest runs. A debugger waits for the stop reply. */
const MAX_WAITING = 16;
/** The most times in a row that a debugger may reject a reply. */
const MAX_REJECTIONS = 8;
/** The number of an error that is not one of the command. */
const EPERM = 1;

/** The connection of a session. */
export interface Connection {
  /** Sends bytes. The promise resolves when the connection accepts more. */
  send(bytes: Buffer): Promise<void>;
  /** Stops calling {@link Session.receive}, and does not notice the end of the connection. */
  pause(): void;
  resume(): void;
}

/** Why a session has ended: the debugger has detached, or has left the guest stopped. */
export type End = "detach" | "kill";

/** The conversation with one debugger. */
export class Session {
  readonly #machine: GdbMachine;
  readonly #connection: Connection;
  readonly #commands: Commands;
  readonly #reader = new PacketReader();
  #queue: Received[] = [];
  #isBusy = false;
  #acknowledges = true;
  #rejections = 0;
  #lastPacket: Buffer = Buffer.alloc(0);
  #isAttached = false;
  #end: End | null = null;

  constructor(machine: GdbMachine, connection: Connection) {
    this.#machine = machine;
    this.#connection = connection;
    this.#commands = new Commands(machine);
  }

  /** Whether the session has stopped the guest, which its first packet does. */
  get isAttached(): boolean {
    return this.#isAttached;
  }

  /** Null while the session lasts. */
  get end(): End | null {
    return this.#end;
  }

  /** Ends the session without the debugger: the connection has ended. */
  abandon(): void {
    this.#end ??= "detach";
    this.#queue = [];
  }

  /**
   * Handles bytes of the debugger, after those of earlier calls. The promise resolves when no
   * packet waits; a call while an earlier one handles packets resolves at once.
   *
   * @throws ProtocolViolation for bytes that no debugger sends.
   */
  async receive(bytes: Uint8Array): Promise<void> {
    const { runner } = this.#machine;
    for (const received of this.#reader.read(bytes)) {
      const isInterrupt = received.kind === "interrupt";
      if (isInterrupt && this.#isBusy && runner.isRunning) {
        void runner.interrupt();
      } else if (!isInterrupt || this.#queue.at(-1)?.kind !== "interrupt") {
        this.#queue.push(received);
      }
    }
    if (this.#queue.length > MAX_WAITING) {
      this.#checkFlood();
      this.#connection.pause();
    }
    if (this.#isBusy) {
      return;
    }
    this.#isBusy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        await this.#handle(next);
        if (this.#end !== null) {
          this.abandon();
        }
      }
    } finally {
      this.#isBusy = false;
      this.#connection.resume();
    }
  }

  #checkFlood(): void {
    if (this.#machine.runner.isRunning && this.#queue.length > MAX_WAITING) {
      throw new ProtocolViolation("there are too many packets while the guest runs");
    }
  }

  async #handle(received: Received): Promise<void> {
    switch (received.kind) {
      case "acknowledged":
        this.#rejections = 0;
        return;
      case "interrupt":
        // The guest is stopped already.
        return;
      case "rejected":
        this.#rejections++;
        if (!this.#acknowledges || this.#rejections > MAX_REJECTIONS) {
          throw new ProtocolViolation("the debugger rejects a packet");
        }
        await this.#connection.send(this.#lastPacket);
        return;
      case "bad-checksum":
        if (!this.#acknowledges) {
          throw new ProtocolViolation("a packet has a wrong checksum");
        }
        await this.#connection.send(Buffer.from("-"));
        return;
      case "packet":
        if (this.#acknowledges) {
          await this.#connection.send(Buffer.from("+"));
        }
        await this.#execute(received.payload);
    }
  }

  async #execute(payload: Buffer): Promise<void> {
    const { runner } = this.#machine;
    if (!this.#isAttached) {
      this.#isAttached = true;
      await runner.interrupt();
    }
    try {
      const outcome = await this.#commands.execute(payload);
      if (outcome.kind === "resume") {
        await this.#resume(outcome.actions);
        return;
      }
      await this.#reply(outcome.reply);
      if (outcome.kind === "no-ack") {
        this.#acknowledges = false;
      } else if (outcome.kind !== "reply") {
        this.#end = outcome.kind;
      }
    } catch (error) {
      if (error instanceof ProtocolViolation) {
        throw error;
      }
      const number = error instanceof CommandError ? error.number : EPERM;
      await this.#reply(`E${number.toString(16).padStart(2, "0")}`);
    }
  }

  async #resume(actions: Parameters<GdbMachine["runner"]["resume"]>[0]): Promise<void> {
    const { runner } = this.#machine;
    const stopping = runner.resume(actions);
    // An interrupt, or a flood, may have come in the same bytes.
    const interrupt = this.#queue.findIndex(({ kind }) => kind === "interrupt");
    if (interrupt !== -1) {
      this.#queue.splice(interrupt, 1);
    }
    if (interrupt !== -1 || this.#queue.length > MAX_WAITING) {
      void runner.interrupt();
    }
    try {
      this.#checkFlood();
      this.#connection.resume();
    } finally {
      await stopping;
    }
    const stop = runner.last;
    if (stop.kind === "error") {
      const message = `the CPU failed: ${String(stop.error)}\n`.slice(0, 1000);
      await this.#reply(`O${Buffer.from(message).toString("hex")}`);
    }
    await this.#reply(this.#commands.stopReply());
  }

  #reply(text: string): Promise<void> {
    this.#lastPacket = encodePacket(Buffer.from(text, "latin1"));
    return this.#connection.send(this.#lastPacket);
  }
}
