import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { checkBooleans, checkObject } from "../base/arguments.js";
import { typeError } from "../base/errors.js";
import { debugMachine, type MachineParts } from "../debug/machine.js";
import type { Stop } from "../debug/runner.js";
import type { GdbMachine } from "./machine.js";
import { DebuggedMemory } from "./memory.js";
import { Session } from "./session.js";

/** The server listens on this address only, so that no other machine can connect. */
const LOOPBACK = "127.0.0.1";

/** Options of {@link GdbServer.listen}. */
export interface GdbServerOptions extends MachineParts {
  /** The port to listen on, from 0 to 65535. 0, the default, chooses a free port. */
  readonly port?: number;
  /** The path of a Unix socket to listen on instead. */
  readonly path?: string;
  /**
   * Whether the debugger may access devices, which can change their state. By default, it sees RAM
   * and ROM only.
   */
  readonly devices?: boolean;
  /** Whether the guest runs before a debugger attaches; false by default: it waits for one. */
  readonly running?: boolean;
}

/**
 * Runs a machine under the control of gdb.
 *
 * The server executes the CPUs, in slices of about 5 ms, on the event loop of this thread. It
 * listens on the loopback address or a Unix socket, for one debugger at a time. Any program of this
 * computer that can connect can read and write the guest.
 *
 * The first packet of a debugger stops the guest. When it detaches or the connection ends, its
 * breakpoints and watchpoints are removed and the guest runs on. After `kill`, the guest stays
 * stopped.
 *
 * The debugger accesses memory by `peek` and `poke` of the space, which have no effect on devices
 * and call no watchpoint. Breakpoints are not written to memory. A watchpoint stops the machine
 * before the write, or at the instruction of the read.
 *
 * @example
 * ```ts
 * import { AddressSpace } from "pound-guest-memory";
 * import { GdbServer, type GdbCpu, riscvArchitecture } from "pound-guest-memory/gdb";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 65536);
 *
 * // A CPU whose only instruction adds its address to register 10.
 * const registers = new BigUint64Array(33);
 * registers[32] = 0x8000_0000n;
 * const cpu: GdbCpu = {
 *   readRegister: (number) => registers[number]!,
 *   writeRegister: (number, value) => void (registers[number] = value),
 *   run(limit, breakpoints) {
 *     do {
 *       registers[10]! += registers[32]!;
 *       registers[32]! += 4n;
 *     } while (--limit > 0 && !breakpoints.has(registers[32]!));
 *     return undefined;
 *   },
 * };
 *
 * const server = await GdbServer.listen({ space, cpus: [cpu], architecture: riscvArchitecture() });
 * console.log(`gdb-multiarch -ex "target remote ${server.address}"`);
 * await server.close();
 * ```
 */
export class GdbServer {
  readonly #machine: GdbMachine;
  readonly #server: Server;
  readonly #path: string | undefined;
  #socket: Socket | null = null;
  #isClosed = false;
  #resolveEnded!: (status: number | null) => void;
  #rejectEnded!: (error: unknown) => void;

  /**
   * The exit status of the guest; null if the server was closed before. Rejects with the error of a
   * CPU that fails while no debugger is attached.
   */
  readonly ended: Promise<number | null>;

  private constructor(machine: GdbMachine, path: string | undefined) {
    this.#machine = machine;
    this.#path = path;
    this.#server = createServer((socket) => this.#accept(socket));
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
  }

  /**
   * Starts a server, which keeps the process alive until {@link GdbServer.close}.
   *
   * @throws TypeError, RangeError for an invalid option; errors of the network, such as
   * `EADDRINUSE`.
   */
  static async listen(options: GdbServerOptions): Promise<GdbServer> {
    const { port = 0, path, devices = false, running = false } = checkObject(options, "options");
    if (path !== undefined && typeof path !== "string") {
      throw typeError("path must be a string");
    }
    checkBooleans({ devices, running });
    const machine = debugMachine(options, "virtual");
    const memory = new DebuggedMemory(options.space, devices);
    const server = new GdbServer({ ...machine, memory }, path);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      if (path === undefined) {
        server.#server.listen(port, LOOPBACK, resolve);
      } else {
        server.#server.listen(path, resolve);
      }
    });
    if (running) {
      server.#runDetached();
    }
    return server;
  }

  /** The address for gdb's `target remote`: `127.0.0.1:PORT`, or the path of the socket. */
  get address(): string {
    return this.#path ?? `${LOOPBACK}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stops the guest after the slice, ends the connection and stops listening. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#socket?.destroy();
    });
    await this.#machine.runner.interrupt();
    this.#machine.stops.clear();
    this.#resolveEnded(null);
  }

  #accept(socket: Socket): void {
    if (this.#socket !== null || this.#isClosed) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    socket.setNoDelay();
    const session = new Session(this.#machine, {
      send: (bytes) => send(socket, bytes),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
    });
    const handle = async (bytes: Buffer): Promise<void> => {
      try {
        await session.receive(bytes);
        this.#noteExit();
        if (session.end !== null) {
          socket.end();
          await this.#release(socket, session);
        }
      } catch {
        // Bytes that no debugger sends: there is nothing to answer.
        socket.destroy();
      }
    };
    socket.on("data", (bytes) => void handle(bytes));
    // The event "close" follows each error.
    socket.on("error", () => undefined);
    socket.on("close", () => void this.#release(socket, session));
  }

  /** Frees the server for the next debugger, and lets the guest run on if this one stopped it. */
  async #release(socket: Socket, session: Session): Promise<void> {
    if (this.#socket !== socket) {
      return;
    }
    this.#socket = null;
    session.abandon();
    if (!session.isAttached) {
      return;
    }
    const { runner, stops } = this.#machine;
    stops.clear();
    await runner.interrupt();
    this.#noteExit();
    // The next debugger may have connected meanwhile.
    if (session.end !== "kill" && this.#socket === null) {
      this.#runDetached();
    }
  }

  #runDetached(): void {
    if (!this.#isClosed && !this.#machine.runner.isRunning) {
      void this.#machine.runner.resumeAll().then((stop) => this.#settle(stop));
    }
  }

  #settle(stop: Stop): void {
    if (stop.kind === "error") {
      this.#rejectEnded(stop.error);
    }
    this.#noteExit();
  }

  #noteExit(): void {
    const { last } = this.#machine.runner;
    if (last.kind === "exit") {
      this.#resolveEnded(last.status);
    }
  }
}

/** Writes to a socket, and waits while it is full. */
function send(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || socket.write(bytes)) {
      resolve();
      return;
    }
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
