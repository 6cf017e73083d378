import { type SpawnOptions, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect } from "chai";
import { GuestMemory } from "pound-guest-memory";
import {
  loadSnapshot,
  openSnapshot,
  saveSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { replaceFile } from "../../lib/snapshot/replace-file.js";

const SNAPSHOT = join(__dirname, "../../dist/snapshot");
const NOT_A_FILE = "ERR_NOT_REGULAR_FILE";
const NOBODY = 65_534;
/** Processes to kill while they save. Set the variable for a longer run. */
const KILLED_SAVES = Number(process.env["POUND_KILLED_SAVES"] ?? 12);
const isRoot = process.getuid?.() === 0;
/** Whether this system allows mount namespaces. */
const canMount = isRoot && spawnSync("unshare", ["-m", "true"]).status === 0;

async function codeOf(action: Promise<unknown>): Promise<unknown> {
  try {
    await action;
    return "none";
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

function mode(path: string): number {
  return statSync(path).mode & 0o7777;
}

/** A program that loads one snapshot and saves it `times` times; it prints the code of an error. */
const COPY = `
  const [from, to, times] = process.argv.slice(1);
  const { loadSnapshot, saveSnapshot } = require(${JSON.stringify(SNAPSHOT)});
  (async () => {
    const snapshot = await loadSnapshot(from);
    for (let i = 0; i < Number(times); i++) {
      await saveSnapshot(snapshot, to);
      process.stdout.write("saved ");
    }
  })().catch((error) => process.stdout.write(String(error.code ?? error)));
`;

describe("saving a snapshot over an existing file", function () {
  this.timeout(5000 * Math.max(12, KILLED_SAVES));
  let folder: string;
  let snapshot: Snapshot;
  let bytes: Buffer;
  let source: string;
  let next = 0;

  before(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "save-")));
    chmodSync(folder, 0o755);
    const ram = GuestMemory.allocate(4 * 2 ** 20);
    ram.fill(0, ram.size, 0x5a);
    snapshot = takeSnapshot(ram);
    source = join(folder, "source.snap");
    await saveSnapshot(snapshot, source);
    bytes = readFileSync(source);
    chmodSync(source, 0o644);
  });

  after(() => rmSync(folder, { recursive: true }));

  /** Makes a new directory. */
  function place(): string {
    const path = join(folder, String(next++));
    mkdirSync(path);
    return path;
  }

  function expectSaved(path: string): void {
    expect(readFileSync(path).equals(bytes), path).to.equal(true);
  }

  /** Runs {@link COPY} and returns its output. */
  function copyIn(target: string, options: SpawnOptions = {}, wrapper: string[] = []): string {
    const command = [...wrapper, process.execPath, "-e", COPY, source, target, "1"];
    const { stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
      ...options,
      stdio: "pipe",
    });
    return `${String(stdout)}${String(stderr)}`.trim();
  }

  if (process.platform !== "win32") {
    it("makes a new file accessible to its owner only", async () => {
      const path = join(place(), "new.snap");
      const before = process.umask(0);
      try {
        await saveSnapshot(snapshot, path);
      } finally {
        process.umask(before);
      }
      expect(mode(path)).to.equal(0o600);
    });

    it("keeps the mode of the old file, and never grants more in between", async () => {
      const path = join(place(), "old.snap");
      for (const before of [0o600, 0o640, 0o604, 0o666, 0o400]) {
        writeFileSync(path, "older");
        chmodSync(path, before);
        const temporary: number[] = [];
        await replaceFile(path, async (file) => {
          await file.write(bytes.subarray(0, 1000));
          const [name] = readdirSync(join(path, "..")).filter((entry) => entry.endsWith(".tmp"));
          temporary.push(mode(join(path, "..", name!)));
          await file.write(bytes.subarray(1000));
        });
        expect(mode(path), before.toString(8)).to.equal(before);
        expect(temporary).to.deep.equal([0o600]);
        expectSaved(path);
        rmSync(path);
      }
    });
  }

  if (isRoot) {
    it("keeps the owner and the group", async () => {
      const path = join(place(), "owned.snap");
      writeFileSync(path, "older");
      chmodSync(path, 0o640);
      chownSync(path, 1234, 5678);
      await saveSnapshot(snapshot, path);
      const { uid, gid } = statSync(path);
      expect([uid, gid, mode(path)]).to.deep.equal([1234, 5678, 0o640]);
      expectSaved(path);
    });

    it("removes permissions if the group cannot be kept", () => {
      for (const [before, after] of [
        [0o664, 0o604],
        [0o604, 0o600],
        [0o660, 0o600],
      ] as const) {
        const at = place();
        const path = join(at, "foreign.snap");
        writeFileSync(path, "older");
        chmodSync(path, before);
        chownSync(at, NOBODY, NOBODY);
        expect(copyIn(path, { uid: NOBODY, gid: NOBODY })).to.equal("saved");
        const { uid, gid } = statSync(path);
        expect([uid, gid, mode(path)]).to.deep.equal([NOBODY, NOBODY, after]);
        expectSaved(path);
      }
    });
  }

  it("follows symbolic links, to files that exist or do not", async () => {
    const at = place();
    mkdirSync(join(at, "deep/er"), { recursive: true });
    writeFileSync(join(at, "deep/file"), "older");
    symlinkSync("deep/er", join(at, "folder"));
    for (const [link, to, file] of [
      ["absolute", join(at, "deep/file"), "deep/file"],
      ["relative", "deep/file", "deep/file"],
      ["chain", "relative", "deep/file"],
      ["dangling", "deep/new", "deep/new"],
      // ".." is the parent of the directory that the link leads to.
      ["back", "folder/../other", "deep/other"],
    ] as const) {
      symlinkSync(to, join(at, link));
      await saveSnapshot(snapshot, join(at, link));
      expect(readlinkSync(join(at, link)), link).to.equal(to);
      expect(lstatSync(join(at, file)).isFile(), link).to.equal(true);
      expectSaved(join(at, file));
      writeFileSync(join(at, file), "older");
    }
    symlinkSync("loop", join(at, "loop"));
    expect(await codeOf(saveSnapshot(snapshot, join(at, "loop")))).to.equal("ELOOP");
  });

  it("keeps the old content in other hard links", async () => {
    const at = place();
    writeFileSync(join(at, "a"), "older");
    linkSync(join(at, "a"), join(at, "b"));
    await saveSnapshot(snapshot, join(at, "a"));
    expectSaved(join(at, "a"));
    expect(readFileSync(join(at, "b"), "utf8")).to.equal("older");
  });

  it("refuses to write or read anything but a regular file, and does not change it", async () => {
    const at = place();
    mkdirSync(join(at, "folder"));
    const paths = [join(at, "folder")];
    const server = createServer();
    if (process.platform !== "win32") {
      expect(spawnSync("mkfifo", [join(at, "pipe")]).status).to.equal(0);
      symlinkSync("pipe", join(at, "link"));
      await new Promise<void>((resolve) => server.listen(join(at, "socket"), resolve));
      paths.push(join(at, "pipe"), join(at, "link"), join(at, "socket"), "/dev/null");
      if (isRoot && spawnSync("mknod", [join(at, "device"), "c", "1", "3"]).status === 0) {
        paths.push(join(at, "device"));
      }
    }
    try {
      for (const path of paths) {
        const { mode, ino } = lstatSync(path);
        expect(await codeOf(saveSnapshot(snapshot, path)), path).to.equal(NOT_A_FILE);
        expect(lstatSync(path), path).to.include({ mode, ino });
        if (!path.endsWith("socket")) {
          // A blocking open would wait for a writer of the pipe.
          expect(await codeOf(openSnapshot(path)), path).to.be.oneOf([NOT_A_FILE, "EISDIR"]);
        }
      }
    } finally {
      server.close();
    }
    expect(readdirSync(at).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
  });

  it("accepts names of the maximum length", async () => {
    const at = place();
    for (const length of [238, 239, 254, 255]) {
      const path = join(at, "n".repeat(length));
      await saveSnapshot(snapshot, path);
      await saveSnapshot(snapshot, path);
      expectSaved(path);
    }
    expect(readdirSync(at)).to.have.length(4);
    expect(await codeOf(saveSnapshot(snapshot, join(at, "n".repeat(256))))).to.equal(
      process.platform === "win32" ? "ENOENT" : "ENAMETOOLONG",
    );
    expect(readdirSync(at)).to.have.length(4);
  });

  it("keeps the old file, and leaves no temporary file, if writing fails", async () => {
    const at = place();
    const path = join(at, "old.snap");
    writeFileSync(path, "older");
    const failing = replaceFile(path, async (file) => {
      await file.write(bytes);
      throw Object.assign(new Error("broken disk"), { code: "EIO" });
    });
    expect(await codeOf(failing)).to.equal("EIO");
    if (process.platform === "linux") {
      expect(copyIn(path, {}, ["prlimit", `--fsize=${2 ** 20}`])).to.equal("EFBIG");
    }
    expect(readFileSync(path, "utf8")).to.equal("older");
    expect(readdirSync(at)).to.deep.equal(["old.snap"]);
  });

  it("leaves the complete old or new file when the process is killed", async () => {
    const at = place();
    const path = join(at, "killed.snap");
    const other = takeSnapshot(GuestMemory.allocate(4096));
    const outcomes = { old: 0, new: 0 };
    for (let round = 0; round < KILLED_SAVES; round++) {
      await saveSnapshot(other, path);
      const older = readFileSync(path);
      const child = spawn(process.execPath, ["-e", COPY, source, path, "1000"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      // Every other round is killed during its first save, which can leave only the old file.
      const started = new Promise((resolve) => child.stdout.once("data", resolve));
      await (round % 2 === 0 ? wait(60 + 10 * (round % 12)) : started);
      await wait(Math.random() * 15);
      child.kill("SIGKILL");
      await ended;
      const left = readFileSync(path);
      expect(left.equals(older) || left.equals(bytes), `round ${round}`).to.equal(true);
      outcomes[left.equals(older) ? "old" : "new"]++;
      await loadSnapshot(path);
    }
    expect(outcomes.new).to.be.above(0);
  });

  if (isRoot) {
    it("writes in place if the directory allows no replacement", () => {
      for (const [rights, owner] of [
        [0o555, 0],
        // In this directory, files of other users can be neither renamed nor replaced.
        [0o1777, 0],
      ] as const) {
        const at = place();
        const path = join(at, "fixed.snap");
        writeFileSync(path, Buffer.alloc(bytes.length + 5000, 1));
        chmodSync(path, 0o666);
        chownSync(at, owner, owner);
        chmodSync(at, rights);
        const { ino } = statSync(path);
        expect(copyIn(path, { uid: NOBODY, gid: NOBODY })).to.equal("saved");
        expect(statSync(path)).to.include({ ino, uid: 0 });
        expect(mode(path)).to.equal(0o666);
        expectSaved(path);
        expect(readdirSync(at)).to.deep.equal(["fixed.snap"]);
        // A new file cannot be created here.
        if (rights === 0o555) {
          expect(copyIn(join(at, "new"), { uid: NOBODY, gid: NOBODY })).to.equal("EACCES");
        }
      }
    });
  }

  if (canMount) {
    it("writes in place over a mount point", () => {
      const at = place();
      const [path, mounted] = [join(at, "point"), join(at, "mounted")];
      writeFileSync(path, "");
      writeFileSync(mounted, "older");
      const script = `mount --bind "$0" "$1" && shift && exec "$@"`;
      expect(copyIn(path, {}, ["unshare", "-m", "sh", "-c", script, mounted, path])).to.equal(
        "saved",
      );
      expectSaved(mounted);
      expect(readdirSync(at)).to.have.members(["point", "mounted"]);
    });

    it("keeps the old file if the disk is full", () => {
      const at = place();
      const path = join(at, "old.snap");
      const script =
        `mount -t tmpfs -o size=1m none "$0" && echo older >"$0/old.snap" && "$@"; ` +
        `cat "$0/old.snap"; ls -A "$0"`;
      const printed = copyIn(path, {}, ["unshare", "-m", "sh", "-c", script, at]);
      expect(printed.split(/\s+/)).to.deep.equal(["ENOSPColder", "old.snap"]);
    });
  }
});
