import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { MessagePort } from "node:worker_threads";
import { checkObject, isInstance } from "../base/arguments.js";
import { typeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { checkSpace } from "../debug/machine.js";
import type { AddressSpace } from "../space/address-space.js";
import { type Api, SnapshotApi } from "./api.js";
import { LiveApi } from "./live-api.js";
import { InspectedMachine } from "./machine.js";
import { RemoteMachine } from "./machine-link.js";
import { Parameters } from "./parameters.js";
import type { ErrorInfo } from "./protocol.js";
import { RequestError } from "./request-error.js";

/** The server listens on this address only, so that no other machine can connect. */
const LOOPBACK = "127.0.0.1";

/** The folder of the page's files below the package's root. The build makes them. */
const PAGE_FOLDER = join("dist", "inspector-page");

/** The files of the page, by path. The server sends no other file. */
const PAGE_FILES: Readonly<Record<string, readonly [name: string, type: string]>> = {
  "/": ["index.html", "text/html"],
  "/style.css": ["style.css", "text/css"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
  "/main.mjs": ["main.mjs", "text/javascript"],
};

/**
 * The page loads nothing from other origins, the browser caches nothing, and no other site can
 * frame the page or read its responses.
 */
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};

/** The header of requests for data of a running machine. Node has its name in lower case. */
const TOKEN_HEADER = "x-inspector-token";

/** The most connections. A browser opens up to 6 for a page. */
const MAX_CONNECTIONS = 64;
/** Milliseconds after which a connection ends whose client does not send or receive. */
const IDLE_MS = 30_000;

/** The most bytes of the snapshots that the page takes of a running machine, by default. */
const DEFAULT_BUDGET = 256 * 2 ** 20;

/** A running inspector server. */
export interface Inspector {
  /**
   * The address of the page, such as `http://127.0.0.1:40123/`. That of a running machine has a
   * token, without which the server answers nothing: whoever knows the address controls the guest.
   */
  readonly url: string;
  /** Stops the server, ends all connections and closes the files. */
  close(): Promise<void>;
}

/** Options of {@link serveInspector} for snapshot files. */
export interface InspectorOptions {
  /** The path of the snapshot file. */
  readonly snapshot: string;
  /** The path of another snapshot of the same regions, to compare with. */
  readonly other?: string;
  /** The port to listen on, from 0 to 65535. 0, the default, chooses a free port. */
  readonly port?: number;
}

/** Options of {@link serveInspector} for a running machine. */
export interface LiveInspectorOptions {
  /**
   * The memory of the machine, at guest physical addresses. The server starts dirty tracking of its
   * RAM and ROM, if they are not tracked yet.
   */
  readonly space: AddressSpace;
  /**
   * The machine to control: one of this thread, or the port to one of another thread
   * ({@link InspectedMachine.connect}). By default, the page shows and changes memory only.
   */
  readonly machine?: InspectedMachine | MessagePort;
  /**
   * The most bytes of the snapshots that the page takes to compare with, at least 1; 256 MiB by
   * default. The oldest are dropped; the newest one is kept even if it alone takes more.
   */
  readonly budget?: Gpa;
  /** The port to listen on, from 0 to 65535. 0, the default, chooses a free port. */
  readonly port?: number;
}

/**
 * Serves a web page that shows a snapshot file: its bytes, values, regions and heat, and the
 * differences from another snapshot. Or the page follows a running machine: it refreshes its
 * memory, and pauses, steps and changes it. The server listens on the loopback address only.
 *
 * The files stay open until {@link Inspector.close}, and the server keeps the process alive until
 * then. Closing it does not stop a machine.
 *
 * @example
 * ```ts
 * import { AddressSpace } from "pound-guest-memory";
 * import { serveInspector } from "pound-guest-memory/inspector";
 * import { saveSnapshot } from "pound-guest-memory/snapshot";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 1024 * 1024);
 * space.writel(0x8000_0000, 0xdead_beef);
 * await saveSnapshot(space.snapshot(), "machine.snapshot");
 *
 * const inspector = await serveInspector({ snapshot: "machine.snapshot" });
 * console.log(`open ${inspector.url}, or press Ctrl+C`);
 * process.once("SIGINT", () => void inspector.close());
 * ```
 * @throws SnapshotFormatError for a file that is damaged or not a snapshot; Error
 * `ERR_SNAPSHOT_MISMATCH` if the regions of the two snapshots differ; errors of the file system and
 * of the network, such as `ENOENT` and `EADDRINUSE`; TypeError, RangeError for an invalid option.
 */
export async function serveInspector(
  options: InspectorOptions | LiveInspectorOptions,
): Promise<Inspector> {
  const { port = 0 } = checkObject(options, "options");
  const token = "space" in options ? randomBytes(16).toString("hex") : null;
  const served = { api: await openApi(options), files: loadPage(), token };
  const { api } = served;
  const server = createServer((request, response) => {
    void respond(request, response, served);
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, LOOPBACK, resolve);
    });
  } catch (error) {
    await api.close();
    throw error;
  }
  return {
    url:
      `http://${LOOPBACK}:${(server.address() as AddressInfo).port}/` +
      (token === null ? "" : `?token=${token}`),
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await api.close();
    },
  };
}

async function openApi(options: InspectorOptions | LiveInspectorOptions): Promise<Api> {
  if (!("space" in options)) {
    const { snapshot, other } = options;
    return SnapshotApi.open(other === undefined ? [snapshot] : [snapshot, other]);
  }
  if ("snapshot" in options) {
    throw typeError("the inspector shows a space or a snapshot, not both");
  }
  const { space, machine, budget = DEFAULT_BUDGET } = options;
  checkSpace(space);
  if (machine === undefined || isInstance(machine, InspectedMachine)) {
    return new LiveApi(space, machine ?? null, budget);
  }
  const remote = new RemoteMachine(machine);
  try {
    return new LiveApi(space, remote, budget, () => remote.close());
  } catch (error) {
    remote.close();
    throw error;
  }
}

/** What a server has to answer requests with. */
interface Served {
  readonly api: Api;
  readonly files: ReadonlyMap<string, PageFile>;
  /** Null if no request needs one. */
  readonly token: string | null;
}

interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

function loadPage(): ReadonlyMap<string, PageFile> {
  const folder = join(__dirname, "..", "..", PAGE_FOLDER);
  return new Map(
    Object.entries(PAGE_FILES).map(([path, [name, type]]) => [
      path,
      { type: `${type}; charset=utf-8`, content: readFileSync(join(folder, name)) },
    ]),
  );
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { api, files, token }: Served,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    checkHost(request);
    const { pathname, searchParams } = parseTarget(request.url ?? "");
    const path = pathname.startsWith("/api/") ? pathname.slice("/api/".length) : null;
    checkMethod(request, response, path !== null && api.isWrite(path));
    const file = files.get(pathname);
    if (file !== undefined) {
      send(response, 200, file.type, file.content);
      return;
    }
    if (path === null) {
      throw new RequestError(404, "ERR_NOT_FOUND", "there is no such page");
    }
    checkCaller(request, token);
    const answer = await api.answer(path, new Parameters(searchParams), gone.signal);
    if (Buffer.isBuffer(answer)) {
      send(response, 200, "application/octet-stream", answer);
    } else {
      sendJson(response, 200, answer);
    }
  } catch (error) {
    sendError(response, error);
  }
}

/**
 * Refuses a request whose Host header is not a loopback address. Another site whose name resolves
 * to this machine (DNS rebinding) has its own name in that header.
 */
function checkHost(request: IncomingMessage): void {
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(request.headers.host ?? "")) {
    throw new RequestError(403, "ERR_HOST", "the Host header must name this machine's loopback");
  }
}

/** Refuses a request with another method than its path demands, or with a body. */
function checkMethod(request: IncomingMessage, response: ServerResponse, isWrite: boolean): void {
  const method = isWrite ? "POST" : "GET";
  if (request.method !== method) {
    response.setHeader("Allow", method);
    throw new RequestError(405, "ERR_METHOD", `only ${method} is answered`);
  }
  const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers;
  if (length !== "0" || encoding !== undefined) {
    throw new RequestError(413, "ERR_BODY", "a request must have no body");
  }
}

/**
 * Refuses a request for data that the browser sends on behalf of another site's page, and one
 * without the token.
 */
function checkCaller({ headers }: IncomingMessage, token: string | null): void {
  if (token !== null && !isToken(headers[TOKEN_HEADER], token)) {
    throw new RequestError(401, "ERR_TOKEN", "the request must have the token of the address");
  }
  const site = headers["sec-fetch-site"] ?? "none";
  const origin = headers.origin ?? `http://${headers.host}`;
  const isOwn = origin === `http://${headers.host}`;
  if (!isOwn || (site !== "same-origin" && site !== "none")) {
    throw new RequestError(403, "ERR_ORIGIN", "only the inspector's own page may ask for this");
  }
}

function isToken(given: string | string[] | undefined, token: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function parseTarget(target: string): URL {
  // A target that is not a path, such as "//host/" or "*", could name another origin.
  if (!/^\/(?!\/)/.test(target)) {
    throw new RequestError(400, "ERR_TARGET", "the request must be for a path");
  }
  const base = `http://${LOOPBACK}`;
  // A host name can also follow "/\\".
  if (!URL.canParse(target, base)) {
    throw new RequestError(400, "ERR_TARGET", "the request must be for a path");
  }
  return new URL(target, base);
}

function send(response: ServerResponse, status: number, type: string, content: Buffer): void {
  response.writeHead(status, {
    ...HEADERS,
    "Content-Type": type,
    "Content-Length": content.length,
    // The rest of a body that was refused is not read.
    ...(status === 413 || status === 405 ? { Connection: "close" } : {}),
  });
  response.end(content);
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  send(response, status, "application/json", Buffer.from(JSON.stringify(value)));
}

function sendError(response: ServerResponse, error: unknown): void {
  const { status, code, message } = RequestError.from(error);
  const info: ErrorInfo = { error: { code, message } };
  sendJson(response, status, info);
}
