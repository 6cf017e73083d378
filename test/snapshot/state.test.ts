import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace, GuestMemory, type MmioDevice } from "pound-guest-memory";
import {
  loadSnapshot,
  restoreSnapshot,
  type SaveOptions,
  saveSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const PAGE = 4096;
const MISMATCH = { name: "Error", code: "ERR_SNAPSHOT_MISMATCH" };
const INVALID = "ERR_SNAPSHOT_INVALID";
/** The kinds of files. */
const FILES: readonly SaveOptions[] = [{ mappable: false }, { mappable: true }];

/** A register that snapshots contain. */
class Counter implements MmioDevice {
  value = 0;
  readl(): number {
    return this.value;
  }
  writel(_offset: number, value: number): void {
    this.value = value;
  }
  save(): Uint8Array {
    return Uint8Array.of(this.value);
  }
  load(state: Uint8Array): void {
    if (state.length !== 1) {
      throw new Error("not the state of a counter");
    }
    this.value = state[0]!;
  }
}

const STATELESS: MmioDevice = { readl: () => 7 };

/** A machine with RAM at 0, and devices from 0x10000 on. */
function machine(...devices: MmioDevice[]): AddressSpace {
  const space = new AddressSpace();
  space.addRam(0, 4 * PAGE);
  devices.forEach((device, i) => {
    space.addMmio(0x1_0000 + i * PAGE, PAGE, device);
  });
  return space;
}

describe("the state of a machine in snapshots", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-state-"));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  let files = 0;
  async function save(snapshot: Snapshot, options?: SaveOptions): Promise<string> {
    const path = join(folder, `${files++}.snap`);
    await saveSnapshot(snapshot, path, options);
    return path;
  }
  /** The snapshots from files of each kind. */
  async function throughFiles(snapshot: Snapshot): Promise<Snapshot[]> {
    const paths = await Promise.all(FILES.map((options) => save(snapshot, options)));
    return Promise.all(paths.map((path) => loadSnapshot(path)));
  }

  it("has the blocks that the program passed, as copies", async () => {
    const registers = Uint32Array.of(1, 2, 0xffff_ffff);
    const fpu = Buffer.alloc(0);
    const memory = GuestMemory.allocate(PAGE);
    const snapshot = takeSnapshot(memory, { state: { cpu: registers, "fpu ü": fpu } });
    // Little-endian on most hosts, but not on all.
    const bytes = Buffer.from(registers.buffer.slice(0)).toString("hex");
    registers[0] = 99;
    for (const each of [snapshot, ...(await throughFiles(snapshot))]) {
      expect(each.stateNames).to.deep.equal(["cpu", "fpu ü"]);
      expect(each.state("cpu")?.toString("hex")).to.equal(bytes);
      each.state("cpu")!.fill(0x77);
      expect(each.state("cpu")?.toString("hex")).to.equal(bytes);
      expect(each.state("fpu ü")?.length).to.equal(0);
      expect([each.state("gpu"), each.state("__proto__")]).to.deep.equal([null, null]);
    }
    expect(takeSnapshot(memory).stateNames).to.deep.equal([]);
  });

  it("continues a chain with a state", () => {
    const memory = GuestMemory.allocate(PAGE);
    const first = takeSnapshot(memory, { state: { cpu: Uint8Array.of(1) } });
    const second = takeSnapshot(memory, { parent: first, state: { cpu: Uint8Array.of(2) } });
    const third = takeSnapshot(memory, second);
    expect([second.generation, third.generation]).to.deep.equal([1, 2]);
    expect([first.state("cpu")?.[0], second.state("cpu")?.[0]]).to.deep.equal([1, 2]);
    expect(third.state("cpu")).to.equal(null);
  });

  it("has the state of each device once, and restores it in this and in an equal machine", async () => {
    const [left, right] = [new Counter(), new Counter()];
    const space = machine(left, STATELESS, right, left);
    space.writel(0x1_0000, 5);
    space.writel(0x1_2000, 6);
    space.writel(0x100, 7);
    const snapshot = space.snapshot();
    for (const each of [snapshot, ...(await throughFiles(snapshot))]) {
      left.value = right.value = 0;
      space.writel(0x100, 0);
      expect(space.restore(each)).to.equal(1);
      expect([left.value, right.value, space.readl(0x100)]).to.deep.equal([5, 6, 7]);
      const [a, b] = [new Counter(), new Counter()];
      const other = machine(a, STATELESS, b, a);
      other.restore(each);
      expect([a.value, b.value, other.readl(0x100)]).to.deep.equal([5, 6, 7]);
    }
  });

  it("is what reset of a snapshot restores, each time", () => {
    const counter = new Counter();
    const space = machine(counter);
    counter.value = 3;
    const snapshot = space.snapshot();
    for (let round = 0; round < 3; round++) {
      counter.value = 9;
      space.writel(0, 1);
      space.reset(snapshot);
      expect([counter.value, space.readl(0)]).to.deep.equal([3, 0]);
    }
  });

  it("is restored after memory, and saved before it", () => {
    const order: unknown[] = [];
    const device: MmioDevice = {
      save: () => {
        space.writel(0x200, 1);
        return Uint8Array.of();
      },
      load: () => order.push(space.readl(0x200)),
    };
    const space = machine(device);
    const snapshot = space.snapshot();
    space.writel(0x200, 2);
    space.restore(snapshot);
    expect(order).to.deep.equal([1]);
  });

  it("is refused where a machine differs, before a byte changes", () => {
    const counter = new Counter();
    const both = machine(counter, counter);
    const apart = machine(new Counter(), new Counter());
    const one = machine(new Counter(), STATELESS);
    const none = machine(STATELESS, STATELESS);
    const machines = [both, apart, one, none];
    for (const [i, from] of machines.entries()) {
      from.writel(0x100, 1);
      const snapshot = from.snapshot();
      for (const [j, to] of machines.entries()) {
        to.writel(0x100, 2);
        // One counter in both windows is like one in the first.
        const isRefused = i !== j && !(i + j === 2 && i !== 1);
        const outcome = thrown(() => to.restore(snapshot));
        if (isRefused) {
          expect(outcome, `${i} to ${j}`).to.deep.equal(MISMATCH);
        } else {
          expect(outcome.name, `${i} to ${j}`).to.equal("nothing");
        }
        expect(to.readl(0x100), `${i} to ${j}`).to.equal(isRefused ? 2 : 1);
      }
    }
  });

  it("passes on what devices throw", () => {
    const space = machine(new Counter());
    const other = machine({ save: () => Uint8Array.of(1, 2), load: () => undefined });
    expect(() => space.restore(other.snapshot())).to.throw("not the state of a counter");
    const failing = machine({
      save: () => {
        throw new Error("busy");
      },
      load: () => undefined,
    });
    expect(() => failing.snapshot()).to.throw("busy");
  });

  it("refuses wrong blocks and devices", () => {
    const memory = GuestMemory.allocate(PAGE);
    for (const state of [null, 5, "x", { cpu: 5 }, { cpu: [1] }, { cpu: null }]) {
      const wrong = { state } as never;
      expect(thrown(() => takeSnapshot(memory, wrong))).to.deep.equal(WRONG_TYPE);
    }
    for (const parent of [null, {}, 5]) {
      const wrong = { parent, state: {} } as never;
      expect(thrown(() => takeSnapshot(memory, wrong))).to.deep.equal(WRONG_TYPE);
    }
    for (const device of [
      { save: () => Uint8Array.of() },
      { save: () => [1], load: () => undefined },
      { save: () => undefined, load: () => undefined },
    ]) {
      const space = machine(device as MmioDevice);
      expect(thrown(() => space.snapshot())).to.deep.equal(WRONG_TYPE);
    }
    const onlyLoad = machine({ load: () => expect.fail() });
    onlyLoad.restore(onlyLoad.snapshot());
  });

  it("has names that a file can hold", async () => {
    const memory = GuestMemory.allocate(PAGE);
    const snapshot = takeSnapshot(memory, { state: { ["x".repeat(4097)]: Buffer.of(1) } });
    const error: unknown = await saveSnapshot(snapshot, join(folder, "long")).catch(
      (e: unknown) => e,
    );
    expect(error).to.include(OUT_OF_RANGE);
    const fits = takeSnapshot(memory, {
      state: { ["x".repeat(4096)]: Buffer.of(1), "": Buffer.of(2) },
    });
    for (const loaded of await throughFiles(fits)) {
      expect(loaded.state("x".repeat(4096))?.[0]).to.equal(1);
      expect(loaded.state("")?.[0]).to.equal(2);
    }
  });

  it("is checked when a file is loaded: every byte, and no byte missing", async () => {
    for (const options of FILES) {
      await checkAll(options);
    }
  });

  async function checkAll(options: SaveOptions): Promise<void> {
    const space = machine(new Counter());
    const path = await save(space.snapshot({ state: { cpu: Buffer.of(1, 2, 3) } }), options);
    const whole = readFileSync(path);
    const plain = await save(machine(STATELESS).snapshot(), options);
    const stateSize = whole.length - readFileSync(plain).length;
    // The digest, two entries of 16 bytes, the name and the bytes.
    expect(stateSize).to.equal(32 + 16 + 1 + 16 + 3 + 3);
    const code = async (): Promise<unknown> =>
      loadSnapshot(path).then(
        () => "nothing",
        (error: unknown) => (error as { code: unknown }).code,
      );
    for (let at = whole.length - stateSize; at < whole.length; at++) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 0x10;
      writeFileSync(path, damaged);
      expect(await code(), `byte ${at}`).to.equal(INVALID);
    }
    for (let cut = 1; cut <= stateSize; cut++) {
      writeFileSync(path, whole);
      truncateSync(path, whole.length - cut);
      expect(await code(), `${cut} bytes less`).to.equal(INVALID);
    }
    writeFileSync(path, whole);
    expect(await code()).to.equal("nothing");
    appendFileSync(path, "x");
    expect(await code()).to.equal(INVALID);
  }

  it("is refused for a file without the state of a device", async () => {
    for (const old of await throughFiles(machine(STATELESS).snapshot())) {
      const space = machine(new Counter());
      expect(thrown(() => restoreSnapshot(space, old))).to.deep.equal(MISMATCH);
    }
  });
});
