import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import {
  BUNDLED_TRACE,
  runReplay,
  type OpenPaths,
  type ReplayArguments,
} from "../../lib/cli/replay.js";
import { formatSize, parseSize } from "../../lib/cli/size.js";
import { rejection } from "../support/streams.js";
import { tampered } from "../support/tampered-memory.js";
import { describeNative } from "../support/native-tests.js";

const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");
const TRACE = "==1== Lackey\nI  04001000,3\n S 1ffe000000,8\n L 1ffe000003,4\n M 1ffe000000,1\n";

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line; `input` is its stdin. */
function run(args: readonly string[], input: string | Uint8Array = ""): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args]);
  const ended: Ended = { status: null, stdout: "", stderr: "" };
  child.stdout.on("data", (text: Buffer) => (ended.stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (ended.stderr += text.toString()));
  // The command may end without reading all its input.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.on("close", (status) => {
      resolve({ ...ended, status });
    });
  });
}

describeNative("the command replay", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "replay-"));
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  function fileOf(name: string, content: string | Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  it("replays the bundled trace by default, and ends in 0", async () => {
    const { status, stdout, stderr } = await run(["replay", "--rounds", "2"]);
    expect(stderr).to.equal("");
    expect(status).to.equal(0);
    expect(stdout).to.match(/^trace {3}gzip-numbers\.lackey\.br: 418,441 accesses, 25 lines/);
    expect(stdout).to.match(/^total \(modify: 2\) +277,410 +251,944 +68,309 +42,359 +640,022$/m);
    expect(stdout).to.match(/^view +\d+\.\d\d +([0-9a-f]{64})\nnative +\d+\.\d\d +\1$/m);
    expect(stdout).to.match(/^checksums +equal, over the whole RAM$/m);
    expect(stdout).to.match(/^ratio +native takes \d+\.\d times as long as view$/m);
  });

  it("reads stdin, plain and gzipped, and prints JSON", async () => {
    const args = ["replay", "-", "--json", "--size", "1M", "--rounds", "1"];
    for (const input of [TRACE, gzipSync(TRACE)]) {
      const { status, stdout } = await run(args, input);
      expect(status).to.equal(0);
      const report = JSON.parse(stdout) as Record<string, unknown>;
      expect(report).to.deep.include({
        trace: {
          file: "stdin",
          lines: 5,
          noise: 1,
          foreign: 0,
          fetch: 1,
          load: 1,
          store: 1,
          modify: 1,
        },
        memory: { size: 2 ** 20, mapping: "first-touch", split: true },
        accesses: {
          fetch: { 1: 1, 2: 1, 4: 0, 8: 0 },
          load: { 1: 2, 2: 1, 4: 0, 8: 0 },
          store: { 1: 0, 2: 0, 4: 0, 8: 1 },
          modify: { 1: 1, 2: 0, 4: 0, 8: 0 },
          total: 8,
        },
        bytesTouched: 3 + 8,
        rounds: 1,
        checksumOf: "ram",
        equal: true,
      });
      expect(report)
        .to.have.nested.property("paths.view.checksum")
        .that.matches(/^[0-9a-f]{64}$/);
      expect(report).to.have.nested.property("paths.native.faults").that.deep.equals({
        FAULT_UNALIGNED: 0,
        FAULT_BOUNDARY: 0,
        ERROR_INTERNAL: 0,
      });
    }
  });

  it("skips foreign lines with --skip-foreign, and counts a modify once in heading and row", async () => {
    const foreign = TRACE.replaceAll("\n", "\nhello\n");
    const refused = await run(["replay", "-"], foreign);
    expect(refused.status).to.equal(2);
    expect(refused.stderr).to.match(/^pound-guest-memory: stdin: line 2: .*--skip-foreign/);
    const { status, stdout } = await run(["replay", "-", "--skip-foreign"], foreign);
    expect(status).to.equal(0);
    expect(stdout).to.match(
      /^trace {3}stdin: 4 accesses, 1 lines of noise, 5 foreign lines skipped$/m,
    );
    expect(stdout).to.match(/^modify +1 +0 +0 +0 +1$/m);
  });

  it("escapes control characters in its output", async () => {
    // Windows has no files with control characters in their names.
    const name = process.platform === "win32" ? "\u202e.trace" : "\u001b[2J\u009b31m\u202e.trace";
    const file = fileOf(name, TRACE);
    const missing = join(folder, "\u001b]0;x\u0007");
    for (const ended of [
      await run(["replay", file]),
      await run(["replay", missing]),
      await run(["replay", "--\u001b[2J"]),
      await run(["replay", "-"], "\u001b[2J\u009b31m\n"),
      await run(["inspect", file]),
    ]) {
      const printed = ended.stdout + ended.stderr;
      expect(printed).not.to.equal("");
      // eslint-disable-next-line no-control-regex -- the test is that there are none
      expect(printed).not.to.match(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
    }
    const { stdout } = await run(["replay", file, "--json"]);
    expect(JSON.parse(stdout)).to.have.nested.property("trace.file", file);
  });

  const given: Omit<ReplayArguments, "file"> = {
    size: 2 ** 20,
    rounds: 1,
    flat: false,
    split: true,
    json: false,
  };

  async function faults(options: Partial<ReplayArguments>): Promise<unknown> {
    const file = fileOf("trace", TRACE);
    const { status, report } = await runReplay({ file, ...given, ...options, json: true });
    expect(status).to.equal(0);
    return (JSON.parse(report) as { paths: { native: { faults: unknown } } }).paths.native.faults;
  }

  it("shows the faults of unsplit, untranslated and overflowing traces", async () => {
    const none = { FAULT_UNALIGNED: 0, FAULT_BOUNDARY: 0, ERROR_INTERNAL: 0 };
    expect(await faults({ split: false })).to.deep.equal({ ...none, FAULT_UNALIGNED: 1 });
    expect(await faults({ flat: true })).to.deep.equal({ ...none, FAULT_BOUNDARY: 8 });
    expect(await faults({ size: 4096 })).to.deep.equal({ ...none, FAULT_BOUNDARY: 6 });
  });

  it("ends in 1 if the paths leave different bytes", async () => {
    const view = GuestMemory.allocate(given.size);
    const native = GuestMemory.allocate(given.size);
    let closed = 0;
    const open = (): OpenPaths => ({
      paths: [
        { name: "view", memory: view },
        {
          name: "native",
          memory: tampered(native.native, "tryWriteb", () => () => GuestMemAccessResult.OK),
        },
      ],
      close() {
        closed++;
        view.destroy();
        native.destroy();
      },
    });
    const { status, report } = await runReplay({ file: fileOf("trace", TRACE), ...given }, open);
    expect(status).to.equal(1);
    expect(report).to.match(/^checksums +DIFFERENT, over the whole RAM$/m);
    expect(closed).to.equal(1);
  });

  it("reports that a trace is too long for the requested rounds", async () => {
    const long = gzipSync(" S 0,4096\n".repeat(9000));
    const { report } = await runReplay({ file: fileOf("long.gz", long), ...given, rounds: 2 });
    expect(report).to.match(/^rounds {2}1, the trace being too long to keep$/m);
  });

  it("reports what is wrong with a trace", async () => {
    const bad = fileOf("bad", "==1==\n L 10,4\noops\n");
    const cut = fileOf("cut.gz", gzipSync(TRACE).subarray(0, 30));
    const empty = fileOf("empty", "==1== no accesses\n");
    const failures = new Map([
      [
        bad,
        /^.*bad: line 3: neither an access nor a line of Valgrind's: "oops" \(the option skipForeign, or --skip-foreign, skips such lines\)$/,
      ],
      [cut, /^.*cut\.gz: unexpected end of file$/],
      [empty, /^.*empty: no accesses; was it recorded with --trace-mem=yes\?$/],
      [folder, /: is a directory$/],
      [join(folder, "absent"), /^ENOENT: no such file or directory/],
    ]);
    for (const [file, message] of failures) {
      const error = await rejection(runReplay({ file, ...given }));
      expect(error).to.have.property("message").that.matches(message);
    }
  });

  it("ends in 2, with one line on stderr, for a bad file or size", async () => {
    const bad = fileOf("bad", "oops\n");
    for (const args of [[bad], [join(folder, "absent")], ["--size", "8000000G"]]) {
      const { status, stdout, stderr } = await run(["replay", ...args]);
      expect(status).to.equal(2);
      expect(stdout).to.equal("");
      expect(stderr).to.match(/^pound-guest-memory: [^\n]+\n$/);
    }
  });

  it("ends in 2 for wrong usage, and in 0 for help", async () => {
    const wrong = [["--size", "many"], ["--rounds", "0"], ["--nope"], ["a", "b"]];
    for (const args of [["nope"], ...wrong.map((rest) => ["replay", ...rest])]) {
      const { status, stderr } = await run(args);
      expect(status, args.join(" ")).to.equal(2);
      expect(stderr).to.match(/^error: [^\n]+\n/);
    }
    expect(await run(["replay", "--help"])).to.include({ status: 0, stderr: "" });
  });

  it("ends normally if the reader of its output has closed the pipe", async () => {
    const child = spawn(process.execPath, [MAIN, "replay", BUNDLED_TRACE]);
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
  });
});

describe("parseSize", () => {
  it("reads bytes in units of 1024", () => {
    expect(["0", "4096", "64K", "64m", "2G"].map(parseSize)).to.deep.equal([
      0,
      4096,
      65_536,
      2 ** 26,
      2 ** 31,
    ]);
    expect([0, 1000, 65_536, 2 ** 26, 3 * 2 ** 30].map(formatSize)).to.deep.equal([
      "0 bytes",
      "1000 bytes",
      "64 KiB",
      "64 MiB",
      "3 GiB",
    ]);
  });

  it("refuses anything else", () => {
    for (const text of ["", "M", "-1", "1.5M", "1T", "64MB", " 1", "0x10", "9007199254740992"]) {
      expect(() => parseSize(text), text).to.throw(/must be a number of bytes/);
    }
  });
});
