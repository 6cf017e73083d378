import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { checkObject } from "../base/arguments.js";
import { SnapshotFormatError } from "../snapshot/errors.js";
import { InspectorApi } from "./api.js";
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

/** A running inspector server. */
export interface Inspector {
  /** The address of the page, such as `http://127.0.0.1:40123/`. */
  readonly url: string;
  /** Stops the server, ends all connections and closes the files. */
  close(): Promise<void>;
}

/** Options of {@link serveInspector}. */
export interface InspectorOptions {
  /** The path of the snapshot file. */
  readonly snapshot: string;
  /** The path of another snapshot of the same regions, to compare with. */
  readonly other?: string;
  /** The port to listen on, from 0 to 65535. 0, the default, chooses a free port. */
  readonly port?: number;
}

/**
 * Serves a web page that shows a snapshot file: its bytes, values, regions and heat, and the
 * differences from another snapshot. The server listens on the loopback address only.
 *
 * The files stay open until {@link Inspector.close}, and the server keeps the process alive until
 * then.
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
export async function serveInspector(options: InspectorOptions): Promise<Inspector> {
  const { snapshot, other, port = 0 } = checkObject(options, "options");
  const files = loadPage();
  const api = await InspectorApi.open(other === undefined ? [snapshot] : [snapshot, other]);
  const server = createServer((request, response) => {
    void respond(request, response, api, files);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, LOOPBACK, resolve);
    });
  } catch (error) {
    await api.close();
    throw error;
  }
  return {
    url: `http://${LOOPBACK}:${(server.address() as AddressInfo).port}/`,
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await api.close();
    },
  };
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
  api: InspectorApi,
  files: ReadonlyMap<string, PageFile>,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    checkOrigin(request);
    const { pathname, searchParams } = parseTarget(request.url ?? "");
    const file = files.get(pathname);
    if (file !== undefined) {
      send(response, 200, file.type, file.content);
      return;
    }
    if (!pathname.startsWith("/api/")) {
      throw new RequestError(404, "ERR_NOT_FOUND", "there is no such page");
    }
    checkCaller(request);
    const path = pathname.slice("/api/".length);
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
function checkOrigin(request: IncomingMessage): void {
  if (request.method !== "GET") {
    throw new RequestError(405, "ERR_METHOD", "only GET is answered");
  }
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(request.headers.host ?? "")) {
    throw new RequestError(403, "ERR_HOST", "the Host header must name this machine's loopback");
  }
}

/** Refuses a request for data that the browser sends on behalf of another site's page. */
function checkCaller(request: IncomingMessage): void {
  const site = request.headers["sec-fetch-site"] ?? "none";
  if (site !== "same-origin" && site !== "none") {
    throw new RequestError(403, "ERR_ORIGIN", "only the inspector's own page may ask for this");
  }
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
    ...(status === 405 ? { Allow: "GET" } : {}),
  });
  response.end(content);
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  send(response, status, "application/json", Buffer.from(JSON.stringify(value)));
}

function sendError(response: ServerResponse, error: unknown): void {
  const { status, code, message } = describe(error);
  const info: ErrorInfo = { error: { code, message } };
  sendJson(response, status, info);
}

function describe(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof RequestError) {
    return error;
  }
  if (error instanceof SnapshotFormatError) {
    return { status: 500, code: error.code, message: error.message };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: 500, code: "ERR_INTERNAL", message };
}
