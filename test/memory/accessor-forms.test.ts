import { spawnSync } from "node:child_process";
import { endianness } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { itNative } from "../support/native-tests.js";
import { itWide } from "../support/wide-tests.js";

/** Runs a script in a process of its own, in which no access has been refused yet. */
function run(script: string): unknown {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["-e", `const { AddressSpace, GuestMemory } = require("pound-guest-memory"); ${script}`],
    { cwd: join(__dirname, "../.."), encoding: "utf8" },
  );
  expect(status, stderr).to.equal(0);
  return JSON.parse(stdout);
}

const SECOND_FORM = 'Object.hasOwn(GuestMemory.prototype, "readl")';

describe("the forms of the accessors", () => {
  it("has the second form only after an access that the first form refuses", function () {
    if (endianness() === "BE") {
      this.skip(); // There, the accessors have another form.
    }
    const forms = run(`
      const memory = GuestMemory.allocate(4096);
      const out = new Uint32Array(1);
      memory.writel(4092, 7);
      const forms = [${SECOND_FORM}, memory.readl(4092)];
      forms.push(memory.tryReadl(4090, out), ${SECOND_FORM}, memory.readl(4092));
      console.log(JSON.stringify(forms));`);
    expect(forms).to.deep.equal([false, 7, 1, true, 7]);
  });

  itWide(
    "has the first form when writes are tracked, and the second once RAM has 2 GiB",
    function () {
      if (endianness() === "BE") {
        this.skip();
      }
      expect(
        run(`
        const memory = GuestMemory.allocate(4096);
        new AddressSpace().addRam(0, memory, { trackDirty: true });
        memory.writeb(5, 1);
        console.log(${SECOND_FORM});`),
      ).to.equal(false);
      expect(
        run(`
        const memory = GuestMemory.allocate(2 ** 31 + 8);
        memory.writeb(2 ** 31, 5);
        console.log(JSON.stringify([${SECOND_FORM}, memory.readb(2 ** 31)]));`),
      ).to.deep.equal([true, 5]);
    },
  );

  // Where the prototype is frozen, the first form stays, so that each access can be tried on it.
  itNative("refuses in the first form what the native path refuses", () => {
    const differences = run(`
      Object.freeze(GuestMemory.prototype);
      const memory = GuestMemory.allocate(64);
      const outs = { b: Uint8Array, w: Uint16Array, l: Uint32Array, q: BigUint64Array };
      const outcome = (call) => {
        try { return String(call()); } catch (error) { return error.name + " " + error.code; }
      };
      const gpas = [-1, -0, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 32 + 8, 2 ** 53, -(2 ** 32),
        8n, -8n, 2n ** 64n, "8", null, undefined, {}];
      for (let gpa = 0; gpa < 80; gpa++) gpas.push(gpa, gpa + 2 ** 31, gpa + 2 ** 32, gpa - 2 ** 32);
      const differences = [];
      let made = 0;
      const compare = (name, ...args) => {
        const [view, native] = [memory, memory.native].map((path) => {
          for (let gpa = 0; gpa < 64; gpa++) memory.writeb(gpa, gpa * 3);
          const out = args.at(-1);
          const result = outcome(() => path[name](...args));
          return [result, ArrayBuffer.isView(out) ? String(out) : "", memory.read(0, 64).toString("hex")];
        });
        made++;
        if (String(view) !== String(native)) {
          differences.push([name, String(args[0]), String(args[1]), view, native]);
        }
      };
      for (const [suffix, Out] of Object.entries(outs)) {
        for (const gpa of gpas) {
          compare("read" + suffix, gpa);
          compare("tryRead" + suffix, gpa, new Out(1));
          compare("tryWrite" + suffix, gpa, suffix === "q" ? 7n : 7);
          compare("write" + suffix, gpa, suffix === "q" ? 7n : 7);
        }
        for (const out of [new Out(0), Object.create(Out.prototype), [1], new Proxy(new Out(1), {}), null]) {
          compare("tryRead" + suffix, 8, out);
        }
        for (const value of [-1, 2 ** 8, 2 ** 16, 2 ** 32, 0.5, NaN, -0, "1", -1n, 2n ** 64n, null]) {
          compare("tryWrite" + suffix, 8, value);
          compare("write" + suffix, 8, value);
        }
      }
      for (const gpa of gpas) compare("tryWriteqFrom", gpa, BigUint64Array.of(9n));
      for (const source of [new BigUint64Array(0), Object.create(BigUint64Array.prototype), [1n], null]) {
        compare("tryWriteqFrom", 8, source);
      }
      console.log(JSON.stringify({ differences, secondForm: ${SECOND_FORM}, made: made > 4000 }));`);
    expect(differences).to.deep.equal({ differences: [], secondForm: false, made: true });
  });

  it("gives ERROR_INTERNAL in the first form after the RAM has ended", () => {
    expect(
      run(`
        Object.freeze(GuestMemory.prototype);
        const memory = GuestMemory.allocate(64);
        memory.destroy();
        console.log(JSON.stringify([
          memory.tryReadl(0, new Uint32Array(1)),
          memory.tryWritel(0, 1),
          memory.tryReadb(0, new Uint8Array(1)),
          memory.tryWriteqFrom(0, new BigUint64Array(1)),
        ]));`),
    ).to.deep.equal([3, 3, 3, 3]);
  });

  it("marks tracked writes in the first form", () => {
    expect(
      run(`
        Object.freeze(GuestMemory.prototype);
        const memory = GuestMemory.allocate(3 * 4096);
        const { dirty } = new AddressSpace().addRam(0, memory, { trackDirty: true });
        memory.writel(4096, 1);
        console.log(JSON.stringify([...dirty.drain()]));`),
    ).to.deep.equal([1]);
  });
});
