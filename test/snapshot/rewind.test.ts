import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { Rewind } from "pound-guest-memory/snapshot";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const PAGE = 4096;

describe("Rewind", () => {
  it("goes back to each state, of memory, devices and the program", () => {
    const space = new AddressSpace();
    space.addRam(0, 16 * PAGE, { trackDirty: true });
    const device = {
      value: 0,
      save: () => Uint8Array.of(device.value),
      load: ([value]: Uint8Array) => (device.value = value!),
    };
    space.addMmio(0x10_0000, PAGE, device);
    const cpu = Uint32Array.of(0);
    const rewind = new Rewind(space, {
      budget: 2 ** 30,
      save: () => ({ cpu }),
      load: (snapshot) => {
        // The bytes of the array, in the order of the host.
        new Uint8Array(cpu.buffer).set(snapshot.state("cpu")!);
      },
    });
    expect([rewind.back(), rewind.length, rewind.bytes]).to.deep.equal([null, 0, 0]);
    for (let i = 1; i <= 8; i++) {
      space.writel(PAGE * i, i);
      space.writel(8, i);
      device.value = cpu[0] = i;
      expect(rewind.take().generation).to.equal(i - 1);
    }
    const state = (): unknown[] => [space.readl(8), device.value, cpu[0], rewind.length];
    space.writel(8, 99);
    rewind.back();
    expect(state()).to.deep.equal([8, 8, 8, 8]);
    rewind.back(3);
    expect(state()).to.deep.equal([5, 5, 5, 5]);
    expect([space.readl(5 * PAGE), space.readl(6 * PAGE)]).to.deep.equal([5, 0]);
    space.writel(8, 50);
    rewind.take();
    rewind.back(1);
    expect(state()).to.deep.equal([5, 5, 5, 5]);
    rewind.back(1000);
    expect(state()).to.deep.equal([1, 1, 1, 1]);
    rewind.clear();
    expect([rewind.back(), rewind.length]).to.deep.equal([null, 0]);
  });

  it("counts each page once, and drops the oldest snapshots beyond the budget", () => {
    const memory = GuestMemory.allocate(64 * PAGE);
    memory.startTracking();
    const rewind = new Rewind(memory, {
      budget: 14 * PAGE,
      save: () => ({ block: Buffer.alloc(100) }),
    });
    memory.fill(0, 10 * PAGE, 1);
    rewind.take();
    expect(rewind.bytes).to.equal(10 * PAGE + 100);
    for (let i = 2; i <= 4; i++) {
      memory.writeb(0, i);
      rewind.take();
      expect(rewind.bytes).to.equal((9 + i) * PAGE + i * 100);
    }
    // A fifth one takes a page more than there is; without the first, 10 + 3 pages.
    memory.writeb(0, 5);
    rewind.take();
    expect([rewind.length, rewind.bytes]).to.deep.equal([4, 13 * PAGE + 400]);
    // Pages that become zero take nothing, and all snapshots but the newest are dropped for this.
    memory.fill(0, 20 * PAGE, 0);
    rewind.take();
    expect(rewind.length).to.equal(5);
    memory.fill(0, 20 * PAGE, 7);
    rewind.take();
    expect([rewind.length, rewind.bytes]).to.deep.equal([1, 20 * PAGE + 100]);
    memory.fill(0, PAGE, 0);
    expect(rewind.back(5)).to.equal(rewind.snapshots[0]);
    expect(memory.readb(0)).to.equal(7);
  });

  it("keeps its snapshots if one fails", () => {
    const memory = GuestMemory.allocate(PAGE);
    let fails = false;
    const fail = (): void => {
      if (fails) {
        throw new Error("no");
      }
    };
    const save = (): Record<string, Uint8Array> => {
      fail();
      return {};
    };
    const rewind = new Rewind(memory, { budget: 1, save, load: fail });
    rewind.take();
    fails = true;
    expect(() => rewind.take()).to.throw("no");
    expect(() => rewind.back()).to.throw("no");
    expect(rewind.length).to.equal(1);
  });

  it("refuses wrong arguments", () => {
    const memory = GuestMemory.allocate(PAGE);
    const make = (options: unknown) => () => new Rewind(memory, options as { budget: number });
    for (const wrong of [
      undefined,
      null,
      {},
      { budget: "1" },
      { budget: 1, save: 1 },
      { budget: 1, load: {} },
    ]) {
      expect(thrown(make(wrong))).to.deep.equal(WRONG_TYPE);
    }
    for (const budget of [0, -1, 0.5, NaN]) {
      expect(thrown(make({ budget }))).to.deep.equal(OUT_OF_RANGE);
    }
    const rewind = make({ budget: 1 })();
    rewind.take();
    expect(thrown(() => rewind.back("1" as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => rewind.back(-1))).to.deep.equal(OUT_OF_RANGE);
    const nothing = new Rewind({} as never, { budget: 1 });
    expect(thrown(() => nothing.take())).to.deep.equal(WRONG_TYPE);
  });
});
