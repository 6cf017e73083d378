import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { SnapshotFormatError } from "../snapshot/errors.js";
import { InspectorApi } from "./api.js";
import { Parameters } from "./parameters.js";
import type { ErrorInfo } from "./protocol.js";
import { RequestError } from "./request-error.js";

/** The only address that is listened on: nobody outside the machine can connect. */
const LOOPBACK = "127.0.0.1";

/** The folder of the page's files, from the package's root. The build makes them. */
const PAGE_FOLDER = join("dist", "inspector-page");

/** The files of the page, by path. The server reads no other file for a request. */
const PAGE_FILES: Readonly<Record<string, readonly [name: string, type: string]>> = {
  "/": ["index.html", "text/html"],
  "/style.css": ["style.css", "text/css"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
  "/main.mjs": ["main.mjs", "text/javascript"],
};

/**
 * Nothing is loaded from elsewhere, nothing is kept, and no other site can frame the page or read
 * from it.
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

/** A running inspector. */
export interface Inspector {
  /** Where a browser on this machine finds the page. */
  readonly url: string;
  /** Ends all connections and closes the files. */
  close(): Promise<void>;
}

/** What to inspect, and where. */
export interface InspectorOptions {
  /** The snapshot file. */
  readonly snapshot: string;
  /** Another one of the same regions, to compare with. */
  readonly other?: string;
  /** 0, the default, is any free port. */
  readonly port?: number;
}

/**
 * Serves the page that shows a snapshot, to this machine only.
 *
 * @throws SnapshotFormatError; Error `ERR_SNAPSHOT_MISMATCH` where the two are of other regions;
 * errors of the file system and the network.
 */
export async function serveInspector(options: InspectorOptions): Promise<Inspector> {
  const { snapshot, other, port = 0 } = options;
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
 * Refuses what does not come from a page at a loopback address. A name of some other site that
 * leads here (DNS rebinding) is in the Host header.
 */
function checkOrigin(request: IncomingMessage): void {
  if (request.method !== "GET") {
    throw new RequestError(405, "ERR_METHOD", "only GET is answered");
  }
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i.test(request.headers.host ?? "")) {
    throw new RequestError(403, "ERR_HOST", "the Host header must name this machine's loopback");
  }
}

/** Refuses requests for data that another site's page makes a browser send. */
function checkCaller(request: IncomingMessage): void {
  const site = request.headers["sec-fetch-site"] ?? "none";
  if (site !== "same-origin" && site !== "none") {
    throw new RequestError(403, "ERR_ORIGIN", "only the inspector's own page may ask for this");
  }
}

function parseTarget(target: string): URL {
  // A target that is no path, such as "//host/" or "*", must not name another origin.
  if (!/^\/(?!\/)/.test(target)) {
    throw new RequestError(400, "ERR_TARGET", "the request must be for a path");
  }
  const base = `http://${LOOPBACK}`;
  // "/\\" starts the name of a host as "//" does.
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
