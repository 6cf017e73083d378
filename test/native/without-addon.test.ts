import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { GuestMemory } from "pound-guest-memory";

const PRELOAD = join(__dirname, "../support/without-addon.cjs");

/** What a program prints that runs without the addon, with the exports of the package in scope. */
function run(program: string): unknown {
  const script = `
    const { Arena, AddressSpace, GuestMemory } = require("pound-guest-memory");
    const codeOf = (run) => {
      try {
        run();
      } catch (error) {
        return error.code + ": " + error.message;
      }
    };
    const result = (() => { ${program} })();
    console.log(JSON.stringify(result));`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--require", PRELOAD, "-e", script],
    { encoding: "utf8" },
  );
  expect(status, stderr).to.equal(0);
  return JSON.parse(stdout) as unknown;
}

describe("a process without the addon", () => {
  it("says so, where this one has it", () => {
    expect(GuestMemory.hasNative).to.equal(true);
    expect(run("return GuestMemory.hasNative;")).to.equal(false);
  });

  it("gets an error with the cause and the remedy from all that needs the addon", () => {
    const errors = run(`
      const memory = GuestMemory.allocate(4096);
      const space = new AddressSpace();
      space.addRam(0, memory);
      return [
        () => memory.native,
        () => memory.handle,
        () => memory.withPolicy({ endian: "big" }).native,
        () => space.native,
        () => space.handle,
      ].map(codeOf);`) as string[];
    expect(errors).to.have.length(5);
    for (const error of errors) {
      expect(error).to.match(/^ERR_NO_ADDON: .*npm rebuild pound-guest-memory/);
      expect(error).to.include(".node: the tests run without the addon");
    }
  });

  it("has no tracking by the system, and says why", () => {
    const [error, tracking] = run(`
      const memory = GuestMemory.allocate(4096);
      const error = codeOf(() => memory.startTracking("os"));
      memory.startTracking("auto");
      return [error, memory.tracking];`) as [string, string];
    expect(error).to.match(/^ERR_TRACKING_UNAVAILABLE: .*addon/);
    expect(tracking).to.equal("software");
  });

  it("allocates from arenas, whose end detaches the buffers", () => {
    expect(
      run(`
        const arena = Arena.create(100);
        const blocks = [arena.allocate(3), arena.allocate(5, 64)];
        blocks[1].fill(7);
        const at = blocks.map((block) => block.byteOffset);
        const full = codeOf(() => arena.allocate(32)).split(":")[0];
        const used = Number(arena.used);
        arena.reset();
        const zeroes = arena.allocate(100).every((byte) => byte === 0);
        arena.destroy();
        const ended = codeOf(() => arena.allocate(1)).split(":")[0];
        return [at, used, full, zeroes, ended, blocks[0].length];`),
    ).to.deep.equal([[0, 64], 69, "ERR_ARENA_EXHAUSTED", true, "ERR_DESTROYED", 0]);
  });

  it("forks memory and gives it back its bytes, page by page", () => {
    expect(
      run(`
        const parent = GuestMemory.allocate(3 * 4096);
        parent.writel(4092, 5);
        const clone = parent.fork();
        clone.writel(4092, 6);
        clone.writeb(8192, 1);
        clone.writeb(12287, 2);
        parent.writeb(0, 9);
        return [
          [parent.readl(4092), parent.readb(8192)],
          clone.reset(), clone.readl(4092), clone.readb(8192), clone.readb(12287), clone.reset(),
          clone.readb(0), parent.readb(0), parent.reset(), parent.readb(0),
        ];`),
    ).to.deep.equal([[5, 0], 2, 5, 0, 0, 0, 0, 9, 1, 0]);
  });

  it("shares RAM with other threads, forks it, and has its atomics at every width", () => {
    expect(
      run(`
        const memory = GuestMemory.allocateShared(4096);
        const other = GuestMemory.attach(memory.shareable);
        other.atomics.storel(8, 40);
        const old = [memory.atomics.addl(8, 2), memory.atomics.addq(8n, 1n)].map(String);
        const halves = new Uint32Array(2);
        memory.atomics.tryAddqHalves(8, 1, 0, halves, 0);
        const faults = [
          memory.atomics.tryLoadl(2, new Uint32Array(1)),
          memory.atomics.tryLoadl(4096, new Uint32Array(1)),
        ];
        const clone = memory.fork();
        memory.destroy();
        faults.push(memory.atomics.tryLoadl(0, new Uint32Array(1)));
        return [old, [...halves], faults, clone.readb(8)];`),
    ).to.deep.equal([["40", "42"], [43, 0], [1, 2, 3], 44]);
  });
});
