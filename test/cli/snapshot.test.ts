import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import {
  loadSnapshot,
  openSnapshot,
  saveSnapshot,
  type Snapshot,
} from "pound-guest-memory/snapshot";

const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");
const PAGE = 4096;

describe("pound-guest-memory snapshot", () => {
  let folder: string;
  let file: string;
  let snapshot: Snapshot;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "snapshot-"));
    file = join(folder, "packed.snap");
    const space = new AddressSpace();
    space.addRam(0x1000, 8 * PAGE, { name: "dram" });
    space.addMmio(0x10_0000, 0x1000, { readl: () => 0 }, { name: "uart\u001b[0m" });
    space.writel(0x3000, 7);
    space.writel(0x5000, 8);
    snapshot = space.snapshot({ state: { cpu: new Uint8Array(3) } });
    await saveSnapshot(snapshot, file, { mappable: false });
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, [MAIN, "snapshot", ...args], { encoding: "utf8" });
  }

  it("verifies a file and shows what it holds", () => {
    const { status, stdout, stderr } = run(file);
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
    expect(stdout.split("\n")).to.deep.equal([
      "format:     packed, checksums sha256",
      "generation: 0",
      "pages:      2, verified",
      "  0x1000 ram      32 KiB dram",
      "  0x100000 mmio      4 KiB uart\\u001b[0m",
      "state:      cpu",
      "",
    ]);
    expect(JSON.parse(run(file, "--json").stdout)).to.deep.include({
      format: "packed",
      storedPages: 2,
      state: { blocks: ["cpu"], devices: [] },
    });
  });

  it("reports damage of a page, with its place", async () => {
    const damaged = join(folder, "damaged.snap");
    const bytes = readFileSync(file);
    const at = bytes.lastIndexOf(8);
    bytes[at] = 9;
    writeFileSync(damaged, bytes);
    for (const args of [[damaged], [damaged, "-o", join(folder, "never.snap")]]) {
      const { status, stdout, stderr } = run(...args);
      expect({ status, stdout }).to.deep.equal({ status: 2, stdout: "" });
      expect(stderr).to.match(/^pound-guest-memory: .*the checksum of a page is wrong/);
    }
    const opened = await openSnapshot(damaged);
    const failure = await opened.verify().catch((error: unknown) => error);
    expect(failure).to.include({ code: "ERR_SNAPSHOT_INVALID" });
    await opened.close();
    expect(readdirSync(folder)).not.to.include("never.snap");
  });

  it("writes it in another form, with the same bytes", async () => {
    const mappable = join(folder, "mappable.snap");
    const packed = join(folder, "packed-again.snap");
    expect(run(file, "-o", mappable, "--checksum", "crc32").status).to.equal(0);
    expect(run(mappable, "-o", packed, "--packed").status).to.equal(0);
    expect(run(mappable).stdout).to.contain("format:     mappable, checksums crc32\n");
    expect(readFileSync(packed).equals(readFileSync(file))).to.equal(true);
    const read = await loadSnapshot(mappable);
    expect(read.state("cpu")).to.deep.equal(Buffer.alloc(3));
    expect(read.read(0x5000, 4).readUInt32LE()).to.equal(8);
  });

  it("ends with status 2 for wrong arguments and unusable files", () => {
    const text = join(folder, "text.snap");
    writeFileSync(text, "no snapshot");
    const output = join(folder, "none.snap");
    for (const args of [
      [],
      [text],
      [join(folder, "missing.snap")],
      [file, "--packed"],
      [file, "--checksum", "crc32"],
      [file, "-o", output, "--checksum", "md5"],
      [file, "-o", output, "--packed", "--checksum", "crc32"],
    ]) {
      const { status, stdout, stderr } = run(...args);
      expect({ status, stdout }, args.join(" ")).to.deep.equal({ status: 2, stdout: "" });
      expect(stderr.trim().split("\n"), args.join(" ")).to.have.length(1);
    }
    expect(readdirSync(folder)).not.to.include("none.snap");
  });

  it("leaves nothing behind when Ctrl-C aborts it", async function () {
    if (process.platform === "win32") {
      this.skip();
    }
    const large = join(folder, "large.snap");
    const output = join(folder, "aborted.snap");
    const space = new AddressSpace();
    space.addRam(0, 2 ** 26);
    space.fill(0, 2 ** 26, 1);
    await saveSnapshot(space.snapshot(), large);
    // The last of the pages is damaged: without the signal, the command reports that instead.
    const opened = await openSnapshot(large);
    const { size } = opened;
    await opened.close();
    const descriptor = openSync(large, "r+");
    writeSync(descriptor, Buffer.of(2), 0, 1, size - PAGE);
    closeSync(descriptor);
    const script = `
      const { once } = process;
      // Signals itself as soon as the command listens for the signal.
      process.once = function (name, ...rest) {
        once.call(this, name, ...rest);
        if (name === "SIGINT") process.kill(process.pid, "SIGINT");
        return this;
      };
      require(${JSON.stringify(MAIN)});
    `;
    const child = spawn(process.execPath, ["-e", script, "snapshot", large, "-o", output]);
    let stderr = "";
    child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
    const [status] = (await once(child, "close")) as [number];
    expect({ status, stderr }).to.deep.equal({
      status: 2,
      stderr: "pound-guest-memory: reading was aborted\n",
    });
    expect(readdirSync(folder).filter((name) => /aborted|tmp/.test(name))).to.deep.equal([]);
  });
});
