import { randomFill } from "node:crypto";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace, type DirtyCursor, GuestMemory } from "pound-guest-memory";
import { restoreSnapshot, type Snapshot, takeSnapshot } from "pound-guest-memory/snapshot";
import { describeOsTracking } from "../support/os-tracking.js";

const PAGE = 4096;
const PAGES = 512;

/** What the test does with the memory between two drains, while others write to it. */
const ACTIONS = ["nothing", "arm", "restore", "snapshot", "map", "cursor"] as const;

/** A copy of a memory that is updated by drains alone, as by a migration. */
class Replica {
  readonly bytes: Buffer;
  readonly #memory: GuestMemory;
  #cursor: DirtyCursor | undefined;

  constructor(memory: GuestMemory) {
    this.bytes = Buffer.alloc(Number(memory.size));
    this.#memory = memory;
  }

  /** Starts the tracking, and copies all bytes afterwards. */
  arm(): void {
    this.#cursor?.close();
    this.#memory.stopTracking();
    this.#memory.startTracking("os");
    this.#cursor = this.#memory.dirtyCursor();
    this.#memory.readInto(0, this.bytes);
  }

  update(): void {
    for (const page of this.#cursor!.drain()) {
      this.#memory.readInto(page * PAGE, this.bytes.subarray(page * PAGE, (page + 1) * PAGE));
    }
  }

  /** The pages that differ from the memory. */
  get different(): number[] {
    const { bytes } = this;
    const { buffer } = this.#memory;
    return Array.from({ length: PAGES }, (_, page) => page * PAGE)
      .filter((at) => bytes.compare(buffer, at, at + PAGE, at, at + PAGE) !== 0)
      .map((at) => at / PAGE);
  }
}

/** A memory that others write to, with a replica, snapshots and address spaces. */
class Machine {
  readonly replica: Replica;
  readonly #memory: GuestMemory;
  readonly #space = new AddressSpace();
  #snapshot: Snapshot;
  #step = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.replica = new Replica(memory);
    this.replica.arm();
    this.#snapshot = takeSnapshot(memory);
  }

  /** Does the next action, then drains. */
  step(): void {
    const number = this.#step++;
    this.#act(ACTIONS[number % ACTIONS.length]!, number);
    this.replica.update();
  }

  /** Whether a snapshot by the marks has the bytes of the memory, which nobody may write now. */
  get snapshotIsExact(): boolean {
    const snapshot = takeSnapshot(this.#memory, this.#snapshot);
    return Buffer.from(snapshot.read(0, PAGES * PAGE)).equals(this.#memory.buffer);
  }

  #act(action: (typeof ACTIONS)[number], number: number): void {
    const memory = this.#memory;
    switch (action) {
      case "arm":
        // Seldom, because each start copies everything.
        if (number % 5 === 0) {
          this.replica.arm();
        }
        break;
      case "restore":
        restoreSnapshot(memory, this.#snapshot);
        break;
      case "snapshot":
        this.#snapshot = takeSnapshot(memory, this.#snapshot);
        break;
      case "map": {
        const region = this.#space.addRam(0, memory, { length: 8 * PAGE, trackDirty: true });
        region.select((number % 32) * PAGE);
        this.#space.writel(4 * PAGE + 4, number);
        this.#space.native.writel(5 * PAGE + 4, number);
        this.#space.remove(region);
        break;
      }
      case "cursor":
        memory.dirty!.dirtyCursor().close();
        memory.dirty!.drain();
        break;
      case "nothing":
    }
  }
}

/** Lets events be handled. */
async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describeOsTracking("tracking by the operating system loses no write", () => {
  it("of another thread, whatever happens meanwhile", async function () {
    if (process.platform === "win32") {
      // Only memory of arenas is tracked there, which threads do not share.
      this.skip();
    }
    const memory = GuestMemory.allocateShared(PAGES * PAGE);
    // The round to run, 0 to stop; the round that the writer has begun; the one that it has ended.
    const turn = new Int32Array(new SharedArrayBuffer(12));
    const writer = new Worker(
      `const { ram, turn, pages } = require("node:worker_threads").workerData;
       const { GuestMemory } = require("pound-guest-memory");
       const memory = GuestMemory.attach(ram);
       const paths = [memory, memory.native];
       for (let value = 0, page = 0; ; ) {
         Atomics.wait(turn, 0, 0);
         const round = Atomics.load(turn, 0);
         Atomics.store(turn, 1, round);
         while (Atomics.load(turn, 0) === round) {
           page = (page * 5 + 1) % pages;
           value = (value + 1) >>> 0;
           paths[value & 1].writel(page * 4096 + 4 * (value % 1024), value);
         }
         Atomics.store(turn, 2, round);
       }`,
      { eval: true, workerData: { ram: memory.shareable, turn, pages: PAGES } },
    );
    let failure: unknown;
    writer.once("error", (error) => (failure = error));
    try {
      const machine = new Machine(memory);
      const until = async (index: number, round: number): Promise<void> => {
        while (Atomics.load(turn, index) !== round) {
          expect(failure).to.equal(undefined);
          machine.step();
          await nextTurn();
        }
      };
      for (let round = 1; round <= 20; round++) {
        Atomics.store(turn, 0, round);
        Atomics.notify(turn, 0);
        await until(1, round);
        for (let step = 0; step < 4 * ACTIONS.length; step++) {
          machine.step();
        }
        Atomics.store(turn, 0, 0);
        await until(2, round);
        machine.replica.update();
        expect(machine.replica.different, `round ${round}`).to.deep.equal([]);
        expect(machine.snapshotIsExact, `snapshot of round ${round}`).to.equal(true);
      }
    } finally {
      await writer.terminate();
    }
  });

  it("of compiled code on other threads, whatever happens meanwhile", async () => {
    const memory = GuestMemory.allocate(PAGES * PAGE, { writeWatch: true });
    const machine = new Machine(memory);
    const { buffer } = memory;
    const fill = async (): Promise<void> => {
      const page = Math.floor(Math.random() * (PAGES - 64));
      await new Promise((resolve, reject) => {
        randomFill(buffer, page * PAGE + 77, 64 * PAGE, (error) => {
          if (error === null) {
            resolve(undefined);
          } else {
            reject(error);
          }
        });
      });
    };
    for (let round = 1; round <= 20; round++) {
      let open = 8;
      const writes = Array.from({ length: open }, () => fill().finally(() => open--));
      while (open > 0) {
        machine.step();
        await nextTurn();
      }
      await Promise.all(writes);
      machine.replica.update();
      expect(machine.replica.different, `round ${round}`).to.deep.equal([]);
      expect(machine.snapshotIsExact, `snapshot of round ${round}`).to.equal(true);
    }
  });
});
