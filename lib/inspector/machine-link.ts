import type { MessagePort } from "node:worker_threads";
import { checkFunction, checkObject } from "../base/arguments.js";
import { RequestError } from "./request-error.js";

/** Milliseconds that the machine may take for an answer. */
const PATIENCE_MS = 3000;
/** The most requests that may wait for the machine. */
const MAX_WAITING = 256;

/** The machine as the server uses it. */
export interface MachineLink {
  /** @throws {@link RequestError} */
  ask(path: string, query: string): Promise<object>;
}

interface Question {
  readonly id: number;
  readonly path: string;
  readonly query: string;
}

type Reply =
  | { readonly id: number; readonly answer: object }
  | {
      readonly id: number;
      readonly status: number;
      readonly code: string;
      readonly message: string;
    };

/** @throws TypeError if `port` has not the methods of a MessagePort. */
export function checkPort(port: MessagePort, what: string): MessagePort {
  checkObject(port, what);
  checkFunction(port.postMessage, `${what}.postMessage`);
  checkFunction(port.on, `${what}.on`);
  checkFunction(port.off, `${what}.off`);
  return port;
}

/** Answers the questions that come through a port. */
export function serveOver(port: MessagePort, machine: MachineLink): void {
  checkPort(port, "port");
  port.on("message", ({ id, path, query }: Question) => {
    machine.ask(path, query).then(
      (answer) => port.postMessage({ id, answer } satisfies Reply),
      (error: unknown) => {
        const { status, code, message } = RequestError.from(error);
        port.postMessage({ id, status, code, message } satisfies Reply);
      },
    );
  });
}

interface Waiting {
  readonly resolve: (answer: object) => void;
  readonly reject: (error: RequestError) => void;
  readonly timer: NodeJS.Timeout;
}

/** A machine in another thread. */
export class RemoteMachine implements MachineLink {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  readonly #listener = (reply: Reply): void => {
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) {
      return;
    }
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if ("answer" in reply) {
      waiting.resolve(reply.answer);
    } else {
      waiting.reject(new RequestError(reply.status, reply.code, reply.message));
    }
  };

  constructor(port: MessagePort) {
    this.#port = checkPort(port, "machine");
    port.on("message", this.#listener);
  }

  ask(path: string, query: string): Promise<object> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.size >= MAX_WAITING) {
        reject(new RequestError(503, "ERR_BUSY", "too many requests wait for the machine"));
        return;
      }
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new RequestError(504, "ERR_NO_ANSWER", "the machine does not answer"));
      }, PATIENCE_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#port.postMessage({ id, path, query } satisfies Question);
    });
  }

  /** Stops listening to the port, and rejects what waits. */
  close(): void {
    this.#port.off("message", this.#listener);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new RequestError(503, "ERR_CLOSED", "the inspector is closed"));
    }
    this.#waiting.clear();
  }
}
