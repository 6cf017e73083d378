import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get, type IncomingHttpHeaders, request } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { saveSnapshot } from "pound-guest-memory/snapshot";
import { type Inspector, serveInspector } from "../../lib/inspector/server.js";
import type {
  ErrorInfo,
  FindInfo,
  HeatInfo,
  PageInfo,
  SnapshotInfo,
} from "../../lib/inspector/protocol.js";
import {
  DRAM,
  HIGH,
  HIGH_SIZE,
  LAST,
  type Samples,
  writeSamples,
} from "../support/sample-snapshots.js";
import { rejection } from "../support/streams.js";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly port?: number;
}

/** Sends a request with exactly this path, which other HTTP clients would normalize. */
function ask(
  url: string,
  path: string,
  { method = "GET", headers = {}, port }: Asking = {},
): Promise<Answer> {
  const target = new URL(url);
  return new Promise((resolve, reject) => {
    const options = {
      host: target.hostname,
      port: port ?? target.port,
      path,
      method,
      headers,
      agent: false,
    };
    request(options, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
    })
      .on("error", reject)
      .end();
  });
}

describe("the inspector's server", () => {
  let folder: string;
  let samples: Samples;
  let inspector: Inspector;
  let alone: Inspector;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "inspector-"));
    samples = await writeSamples(folder);
    inspector = await serveInspector({ snapshot: samples.newer, other: samples.older });
    alone = await serveInspector({ snapshot: samples.older });
  });

  after(async () => {
    await inspector.close();
    await alone.close();
    rmSync(folder, { recursive: true });
  });

  async function json<T>(path: string, of = inspector): Promise<T> {
    const { status, headers, body } = await ask(of.url, path);
    expect(status, `${path}: ${body.toString()}`).to.equal(200);
    expect(headers["content-type"]).to.equal("application/json");
    return JSON.parse(body.toString()) as T;
  }

  async function failure(
    path: string,
    asking: Asking = {},
    of = inspector,
  ): Promise<[number, string]> {
    const { status, body } = await ask(of.url, path, asking);
    return [status, (JSON.parse(body.toString()) as ErrorInfo).error.code];
  }

  it("lists the files and the regions", async () => {
    const info = await json<SnapshotInfo>("/api/snapshot");
    expect(info.files.map(({ name, generation }) => [name, generation])).to.deep.equal([
      ["newer.snap", 1],
      ["older.snap", 0],
    ]);
    expect(info.regions).to.deep.equal([
      { kind: "rom", name: "rom", gpa: "0x0", size: "0x18", storedPages: 1, differingPages: 0 },
      {
        kind: "mmio",
        name: "uart",
        gpa: "0x9000",
        size: "0x100",
        storedPages: 0,
        differingPages: 0,
      },
      {
        kind: "ram",
        name: "dram",
        gpa: "0x40000000",
        size: "0x500064",
        storedPages: 5,
        differingPages: 1,
      },
      {
        kind: "ram",
        name: "high",
        gpa: "0x100000000",
        size: "0x100000000",
        storedPages: 2,
        differingPages: 1,
      },
    ]);
    expect((await json<SnapshotInfo>("/api/snapshot", alone)).files).to.have.length(1);
  });

  it("sends the bytes of either snapshot", async () => {
    const bytes = async (query: string): Promise<Buffer> => {
      const { status, headers, body } = await ask(inspector.url, `/api/bytes?${query}`);
      expect(status, body.toString()).to.equal(200);
      expect(headers["content-type"]).to.equal("application/octet-stream");
      return body;
    };
    expect((await bytes("side=0&gpa=0x5&length=4")).toString()).to.equal("code");
    expect((await bytes(`side=0&gpa=${DRAM + 4092}&length=8`)).toString()).to.equal("straddle");
    const end = `0x${(HIGH + LAST).toString(16)}`;
    expect((await bytes(`side=0&gpa=${end}&length=13`)).toString()).to.equal("THE end of it");
    expect((await bytes(`side=1&gpa=${end}&length=13`)).toString()).to.equal("the end of it");
    const [, newer] = samples.snapshots;
    expect(
      (await bytes(`side=0&gpa=${DRAM + 0x0f_0000}&length=65536`)).equals(
        newer.read(DRAM + 0x0f_0000, 65536),
      ),
    ).to.equal(true);
    expect(
      (await bytes(`side=0&gpa=${HIGH + HIGH_SIZE - 1}&length=1`)).equals(Buffer.alloc(1)),
    ).to.equal(true);
  });

  it("refuses parameters that are missing, invalid or out of range", async () => {
    for (const query of [
      "",
      "side=0&gpa=0&length=0",
      "side=0&gpa=0&length=65537",
      "side=0&gpa=0&length=25",
      "side=0&gpa=0&length=1e1",
      "side=0&gpa=0&length=-1",
      "side=2&gpa=0&length=1",
      "side=&gpa=0&length=1",
      "side=0&gpa=&length=1",
      "side=0&gpa=-1&length=1",
      "side=0&gpa=0x&length=1",
      "side=0&gpa=0xfffffffffffffffffff&length=1",
      "side=0&gpa=4722366482869645213696&length=1",
      "side=0&gpa=0&gpa=0&length=1",
      "side=0&gpa[]=0&length=1",
      `side=0&gpa=${DRAM + 5 * 2 ** 20}&length=101`,
    ]) {
      expect(await failure(`/api/bytes?${query}`), query).to.deep.equal([400, "ERR_BAD_PARAMETER"]);
    }
    for (const gpa of ["0x9000", "0x18", "0x200000000", "0xffffffffffffffff"]) {
      const path = `/api/bytes?side=0&gpa=${gpa}&length=1`;
      expect(await failure(path), gpa).to.deep.equal([404, "ERR_UNMAPPED"]);
    }
    for (const path of [
      "/api/heat?region=4&from=0&pages=1&buckets=1",
      "/api/heat?region=2&from=1281&pages=1&buckets=1",
      "/api/heat?region=2&from=0&pages=1282&buckets=1",
      "/api/heat?region=2&from=0&pages=1&buckets=16385",
      "/api/heat?region=2&from=0&pages=1&buckets=0",
      "/api/search?side=0&pattern=&from=0&direction=forward",
      "/api/search?side=0&pattern=abc&from=0&direction=forward",
      "/api/search?side=0&pattern=zz&from=0&direction=forward",
      `/api/search?side=0&pattern=${"00".repeat(257)}&from=0&direction=forward`,
      "/api/search?side=0&pattern=00&from=0&direction=sideways",
      "/api/difference?from=x&direction=forward",
    ]) {
      expect(await failure(path), path).to.deep.equal([400, "ERR_BAD_PARAMETER"]);
    }
    expect(await failure("/api/none")).to.deep.equal([404, "ERR_NOT_FOUND"]);
    const difference = "/api/difference?from=0&direction=forward";
    expect(await failure(difference, {}, alone)).to.deep.equal([404, "ERR_ONE_SNAPSHOT"]);
  });

  it("sums up pages by buckets", async () => {
    const heat = await json<HeatInfo>("/api/heat?region=2&from=0&pages=1281&buckets=11");
    expect(heat).to.deep.equal({
      bucketPages: 117,
      now: 0,
      stored: [2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1],
      changes: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      changedIn: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      differing: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    });
    const zoomed = await json<HeatInfo>("/api/heat?region=2&from=511&pages=3&buckets=10");
    expect(zoomed).to.deep.include({ bucketPages: 1, stored: [0, 1, 0], differing: [0, 1, 0] });
    expect(await json<PageInfo>(`/api/page?gpa=${DRAM + 0x20_0010}`)).to.deep.include({
      sides: [
        {
          stored: true,
          changes: 1,
          changedIn: 1,
          digest: (await json<PageInfo>(`/api/page?gpa=${DRAM + 0x20_0000}`)).sides[0]!.digest,
        },
        { stored: false, changes: 0, changedIn: 0, digest: null },
      ],
    });
  });

  /** Repeats requests until the search ends, since one may run out of time on a busy machine. */
  async function find(request: string, from: number): Promise<number | null> {
    for (let at: string | null = String(from); at !== null;) {
      const { match, next }: FindInfo = await json(`${request}&from=${at}`);
      if (match !== null) {
        return Number(match);
      }
      at = next;
    }
    return null;
  }

  it("searches both ways, across pages and regions", async () => {
    const search = (pattern: Buffer, from: number, direction: string): Promise<number | null> =>
      find(`/api/search?side=0&pattern=${pattern.toString("hex")}&direction=${direction}`, from);
    const one = DRAM + 0x10_0000;
    const two = DRAM + 5 * 2 ** 20 + 90;
    const needle = Buffer.from("needle");
    const most = Number.MAX_SAFE_INTEGER;
    expect(await search(needle, 0, "forward")).to.equal(one);
    expect(await search(needle, one, "forward")).to.equal(one);
    expect(await search(needle, one + 1, "forward")).to.equal(two);
    expect(await search(needle, two + 1, "forward")).to.equal(null);
    expect(await search(needle, most, "backward")).to.equal(two);
    expect(await search(needle, two - 1, "backward")).to.equal(one);
    expect(await search(needle, one - 1, "backward")).to.equal(null);
    for (const [text, at] of [
      ["straddle", DRAM + 4092],
      ["addle", DRAM + 4095],
      ["boot", 0],
      ["THE end", HIGH + LAST],
      ["end of it", HIGH + LAST + 4],
      // Zeros before and after, in pages that are not stored.
      ["\0\0\0\0needle one\0\0", one - 4],
      ["wo", two + 8],
    ] as const) {
      expect(await search(Buffer.from(text), 0, "forward"), text).to.equal(at);
      expect(await search(Buffer.from(text), most, "backward"), text).to.equal(at);
    }
    // There are no bytes after the end of a region, not even zeros.
    expect(await search(Buffer.from("two\0"), 0, "forward")).to.equal(null);
    const zeros = Buffer.alloc(200);
    expect(await search(zeros, 0, "forward")).to.equal(DRAM);
    expect(await search(zeros, HIGH + LAST, "forward")).to.equal(HIGH + LAST + 13);
    expect(await search(zeros, HIGH + LAST, "backward")).to.equal(HIGH + LAST - 200);
    expect(await search(zeros, most, "backward")).to.equal(HIGH + HIGH_SIZE - 200);
  });

  it("finds differences both ways", async () => {
    const differ = (from: number, direction: string): Promise<number | null> =>
      find(`/api/difference?direction=${direction}`, from);
    const starts = [DRAM + 0x20_0000, DRAM + 0x20_0020, HIGH + LAST];
    expect(await differ(0, "forward")).to.equal(starts[0]);
    expect(await differ(starts[0]!, "forward")).to.equal(starts[0]);
    expect(await differ(starts[0]! + 1, "forward")).to.equal(starts[1]);
    expect(await differ(starts[1]! + 1, "forward")).to.equal(starts[2]);
    expect(await differ(starts[2]! + 1, "forward")).to.equal(null);
    expect(await differ(Number.MAX_SAFE_INTEGER, "backward")).to.equal(starts[2]);
    expect(await differ(starts[2]! - 1, "backward")).to.equal(starts[1]);
    expect(await differ(starts[0]! - 1, "backward")).to.equal(null);
  });

  it("serves its page and no other file", async () => {
    const { status, headers, body } = await ask(inspector.url, "/");
    expect(status).to.equal(200);
    expect(body.toString()).to.match(/^<!doctype html>/);
    expect(headers["content-type"]).to.equal("text/html; charset=utf-8");
    expect(headers["content-security-policy"]).to.contain("default-src 'none'");
    expect(headers["x-content-type-options"]).to.equal("nosniff");
    expect(headers["access-control-allow-origin"]).to.equal(undefined);
    // The page links only to this server.
    const links = [...body.toString().matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link!);
    expect(links).to.not.be.empty;
    for (const link of links) {
      expect(link).to.match(/^\/[a-z]/);
      expect((await ask(inspector.url, link)).status, link).to.equal(200);
    }
    // The files import no others.
    for (const path of ["/main.mjs", "/style.css"]) {
      expect((await ask(inspector.url, path)).body.toString()).to.not.match(/@import|^import /m);
    }
    for (const path of [
      "/package.json",
      "/../package.json",
      "/%2e%2e/package.json",
      "/..%2fpackage.json",
      "/style.css/../../package.json",
      "/main.mjs/",
      "/style.css%00",
      // Sources of the page, which the build bundles.
      "/main.mts",
      "/styles/theme.css",
      "/tsconfig.json",
      "/\\..\\package.json",
      "/constructor",
      "/__proto__",
      "/api",
    ]) {
      expect((await ask(inspector.url, path)).status, path).to.equal(404);
    }
    for (const path of ["//evil.example/", "/\\", "*", "http://evil.example/", ""]) {
      const status = (await ask(inspector.url, path)).status;
      expect(status, path).to.be.oneOf(path === "" ? [200] : [400]);
    }
  });

  it("answers only GET, only under a loopback name, and not to other sites", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) {
      const { status, headers } = await ask(inspector.url, "/api/snapshot", { method });
      expect([status, headers.allow], method).to.deep.equal([405, "GET"]);
    }
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example:80",
      "0.0.0.0",
      "[::]",
      "a@localhost",
      "localhost:",
      " ",
    ]) {
      for (const path of ["/", "/api/snapshot"]) {
        expect(await failure(path, { headers: { host } }), host).to.deep.equal([403, "ERR_HOST"]);
      }
    }
    for (const host of ["localhost", "LOCALHOST:9999", "127.0.0.1:1", "[::1]:80"]) {
      expect((await ask(inspector.url, "/", { headers: { host } })).status, host).to.equal(200);
    }
    for (const site of ["cross-site", "same-site", "nonsense"]) {
      const headers = { "sec-fetch-site": site };
      expect(await failure("/api/snapshot", { headers })).to.deep.equal([403, "ERR_ORIGIN"]);
    }
    const headers = { "sec-fetch-site": "same-origin" };
    expect((await ask(inspector.url, "/api/snapshot", { headers })).status).to.equal(200);
  });

  it("listens on the loopback address only", async () => {
    const { port, hostname } = new URL(inspector.url);
    expect(hostname).to.equal("127.0.0.1");
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal);
    for (const { address } of others) {
      const connected = await new Promise<boolean>((resolve) => {
        get({ host: address, port, timeout: 1000 }, () => resolve(true))
          .on("timeout", () => resolve(false))
          .on("error", () => resolve(false));
      });
      expect(connected, address).to.equal(false);
    }
  });

  it("reports a damaged page when it is requested, and shows the others", async () => {
    const damaged = join(folder, "damaged.snap");
    const [, newer] = samples.snapshots;
    await saveSnapshot(newer, damaged, { mappable: false });
    const bytes = readFileSync(damaged);
    const at = bytes.indexOf("needle one");
    bytes[at]! ^= 1;
    writeFileSync(damaged, bytes);
    const opened = await serveInspector({ snapshot: damaged });
    const path = (gpa: number): string => `/api/bytes?side=0&gpa=${gpa}&length=16`;
    expect(await failure(path(DRAM + 0x10_0000), {}, opened)).to.deep.equal([
      500,
      "ERR_SNAPSHOT_INVALID",
    ]);
    expect((await ask(opened.url, path(DRAM))).status).to.equal(200);
    await opened.close();
  });

  it("refuses invalid options with a code", async () => {
    const { newer } = samples;
    for (const [options, name, code] of [
      [undefined, "TypeError", "ERR_INVALID_ARG_TYPE"],
      [{}, "TypeError", "ERR_INVALID_ARG_TYPE"],
      [{ snapshot: newer, other: 5 }, "TypeError", "ERR_INVALID_ARG_TYPE"],
      [{ snapshot: newer, port: 65_536 }, "RangeError", "ERR_SOCKET_BAD_PORT"],
    ] as const) {
      const error = await rejection(serveInspector(options as never));
      expect(error).to.include({ name, code });
    }
  });

  it("does not start with files that it cannot show", async () => {
    const start = async (snapshot: string, other?: string, port = 0): Promise<unknown> => {
      try {
        const options = other === undefined ? { snapshot, port } : { snapshot, other, port };
        await (await serveInspector(options)).close();
        return null;
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    const text = join(folder, "text.snap");
    writeFileSync(text, "no snapshot at all");
    expect(await start(text)).to.equal("ERR_SNAPSHOT_INVALID");
    expect(await start(join(folder, "none"))).to.equal("ENOENT");
    expect(await start(samples.newer, text)).to.equal("ERR_SNAPSHOT_INVALID");
    expect(await start(samples.newer, undefined, Number(new URL(inspector.url).port))).to.equal(
      "EADDRINUSE",
    );
    const space = new AddressSpace();
    space.addRam(0, 4096);
    const elsewhere = join(folder, "elsewhere.snap");
    await saveSnapshot(space.snapshot(), elsewhere);
    expect(await start(samples.newer, elsewhere)).to.equal("ERR_SNAPSHOT_MISMATCH");
    for (const options of [{ mappable: false }, { mappable: true }] as const) {
      const [one, two] = [join(folder, "one.snap"), join(folder, "two.snap")];
      await saveSnapshot(space.snapshot(), one, options);
      await saveSnapshot(space.snapshot(), two, { mappable: true, checksum: "sha256" });
      expect(await start(two)).to.equal(null);
      expect(await start(one, two)).to.equal(options.mappable ? "ERR_SNAPSHOT_MISMATCH" : null);
    }
  });
});
