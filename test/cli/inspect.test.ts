import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { saveSnapshot } from "pound-guest-memory/snapshot";
import type { SnapshotInfo } from "../../lib/inspector/protocol.js";

const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");

describe("pound-guest-memory inspect", () => {
  let folder: string;
  let snapshot: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "inspect-"));
    snapshot = join(folder, "some.snap");
    const space = new AddressSpace();
    space.addRam(0x1000, 4096, { name: "dram" });
    await saveSnapshot(space.snapshot(), snapshot);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  async function firstLine(child: ChildProcess): Promise<string> {
    const [output] = (await once(child.stdout!, "data")) as [Buffer];
    return output.toString();
  }

  it("prints where the page is, and serves it until it is ended", async () => {
    const child = spawn(process.execPath, [MAIN, "inspect", snapshot, snapshot]);
    try {
      const url = await firstLine(child);
      expect(url).to.match(/^http:\/\/127\.0\.0\.1:\d+\/\n$/);
      const page = await fetch(url.trim());
      expect(await page.text()).to.contain('<script type="module" src="/main.mjs">');
      const info = (await (await fetch(`${url.trim()}api/snapshot`)).json()) as SnapshotInfo;
      expect(info.files.map(({ name }) => name)).to.deep.equal(["some.snap", "some.snap"]);
      expect(info.regions[0]).to.deep.include({ name: "dram", gpa: "0x1000" });
    } finally {
      child.kill("SIGINT");
      const [status, signal] = (await once(child, "exit")) as [number | null, string | null];
      expect([status, signal]).to.deep.equal([null, "SIGINT"]);
    }
  });

  it("ends with status 2 for wrong arguments and unusable files", () => {
    const text = join(folder, "text.snap");
    writeFileSync(text, "no snapshot");
    for (const args of [
      [],
      [join(folder, "none.snap")],
      [text],
      [snapshot, text],
      [snapshot, snapshot, snapshot],
      [snapshot, "--port", "65536"],
      [snapshot, "--port", "http"],
    ]) {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, "inspect", ...args], {
        encoding: "utf8",
      });
      expect(status, args.join(" ")).to.equal(2);
      expect(stderr.trim().split("\n"), stderr).to.have.length(1);
    }
  });
});
