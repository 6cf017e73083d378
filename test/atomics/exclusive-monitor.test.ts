import { expect } from "chai";
import { GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { callMethod, valueOf } from "../support/atomic-ops.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { WIDTHS, type WidthCase } from "../support/widths.js";
import { PATHS } from "../support/paths.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

for (const path of PATHS) {
  describe(`an exclusive monitor over the ${path} path`, () => {
    let memory: GuestMemory;
    let monitor: ExclusiveMonitor;

    beforeEach(() => {
      memory = GuestMemory.allocate(64);
      memory.write(
        0,
        Uint8Array.from({ length: 64 }, (_, i) => 255 - i),
      );
      monitor = new ExclusiveMonitor(path === "view" ? memory.atomics : memory.native.atomics);
    });

    afterEach(() => memory.destroy());

    function load(width: WidthCase, gpa: number | bigint): bigint {
      const value = callMethod(monitor, `loadExclusive${width.suffix}`, gpa);
      return BigInt(value as number | bigint);
    }

    function store(width: WidthCase, gpa: number | bigint, value: bigint): unknown {
      return callMethod(monitor, `storeExclusive${width.suffix}`, gpa, valueOf(width, value));
    }

    it("loads and stores at every width, once for each load", () => {
      for (const width of WIDTHS) {
        const before = BigInt(width.read(memory, 16));
        expect(load(width, 16)).to.equal(before);
        expect(store(width, 16, before ^ 0x55n)).to.equal(true);
        expect(BigInt(width.read(memory, 16))).to.equal(before ^ 0x55n);
        expect(store(width, 16, 1n), "the monitor is clear").to.equal(false);
        expect(BigInt(width.read(memory, 16))).to.equal(before ^ 0x55n);
      }
    });

    it("tells results and status apart in the try form", () => {
      for (const width of WIDTHS) {
        const out = width.out(0x77n);
        const status = Uint32Array.of(7);
        const tryLoad = (gpa: number): unknown =>
          callMethod(monitor, `tryLoadExclusive${width.suffix}`, gpa, out);
        const tryStore = (gpa: number): unknown =>
          callMethod(monitor, `tryStoreExclusive${width.suffix}`, gpa, valueOf(width, 1n), status);

        expect(tryLoad(64)).to.equal(FAULT_BOUNDARY);
        expect(BigInt(out[0]!)).to.equal(0x77n);
        expect(tryStore(64)).to.equal(FAULT_BOUNDARY);
        if (width.bytes > 1) {
          expect(tryLoad(1)).to.equal(FAULT_UNALIGNED);
          expect(tryStore(1)).to.equal(FAULT_UNALIGNED);
        }
        expect(status[0], "left alone by faults").to.equal(7);
        expect(tryStore(8), "without a load").to.equal(OK);
        expect(status[0]).to.equal(1);
        expect(tryLoad(8)).to.equal(OK);
        expect(out[0]).to.equal(width.read(memory, 8));
        expect(tryStore(8)).to.equal(OK);
        expect(status[0]).to.equal(0);
        expect(BigInt(width.read(memory, 8))).to.equal(1n);
      }
    });

    it("fails the store where the value has changed, whoever changed it", () => {
      const changes: ((memory: GuestMemory) => void)[] = [
        (memory) => memory.writeb(19, 1),
        (memory) => memory.native.writel(16, 1),
        (memory) => memory.atomics.addl(16, 1),
        (memory) => memory.native.atomics.addb(17, 1),
        (memory) => memory.fill(0, 64, 1),
      ];
      for (const change of changes) {
        memory.writel(16, 0x1234_5678);
        monitor.loadExclusivel(16);
        change(memory);
        const changed = memory.readl(16);
        expect(monitor.storeExclusivel(16, 9)).to.equal(false);
        expect(memory.readl(16)).to.equal(changed);
      }
    });

    it("stores where the value was changed and changed back, as documented", () => {
      const value = monitor.loadExclusivel(16);
      memory.writel(16, 0);
      memory.writel(16, value);
      expect(monitor.storeExclusivel(16, 9)).to.equal(true);
    });

    it("fails the store at another address, at another width, after clear() and after a fault", () => {
      const attempts: [() => unknown, () => boolean][] = [
        [() => monitor.loadExclusivel(16), () => monitor.storeExclusivel(20, 9)],
        [() => monitor.loadExclusivel(16), () => monitor.storeExclusivew(16, 9)],
        [() => monitor.loadExclusiveq(16), () => monitor.storeExclusivel(16, 9)],
        [
          () => {
            monitor.loadExclusivel(16);
            monitor.clear();
          },
          () => monitor.storeExclusivel(16, 9),
        ],
        [
          () => {
            monitor.loadExclusivel(16);
            expect(monitor.tryLoadExclusivel(64, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
          },
          () => monitor.storeExclusivel(16, 9),
        ],
      ];
      const before = Buffer.from(memory.buffer);
      for (const [prepare, attempt] of attempts) {
        prepare();
        expect(attempt(), attempt.toString()).to.equal(false);
        expect(attempt(), "and it clears the monitor").to.equal(false);
        expect(memory.buffer.equals(before)).to.equal(true);
      }
    });

    it("knows only the last load, and an address in either type", () => {
      monitor.loadExclusivel(16);
      monitor.loadExclusivel(20n);
      expect(monitor.storeExclusivel(16, 9)).to.equal(false);
      monitor.loadExclusivel(20n);
      expect(monitor.storeExclusivel(20, 9)).to.equal(true);
      monitor.loadExclusivel(20);
      expect(monitor.storeExclusivel(20n, 10)).to.equal(true);
    });

    it("is one vCPU's alone", () => {
      const other = new ExclusiveMonitor(memory.atomics);
      monitor.loadExclusiveq(8);
      other.loadExclusiveq(8);
      expect(other.storeExclusiveq(8, 1n)).to.equal(true);
      expect(monitor.storeExclusiveq(8, 2n)).to.equal(false);
      expect(memory.readq(8)).to.equal(1n);
    });

    it("answers ERROR_INTERNAL once the RAM is gone", () => {
      monitor.loadExclusivel(16);
      memory.destroy();
      const status = Uint32Array.of(7);
      expect(monitor.tryStoreExclusivel(16, 1, status)).to.equal(ERROR_INTERNAL);
      expect(monitor.tryStoreExclusivel(16, 1, status)).to.equal(ERROR_INTERNAL);
      expect(monitor.tryLoadExclusivel(16, new Uint32Array(1))).to.equal(ERROR_INTERNAL);
      expect(status[0]).to.equal(7);
      expect(() => monitor.storeExclusivel(16, 1)).to.throw("ERROR_INTERNAL: write of 4 byte(s)");
      expect(() => monitor.loadExclusivel(16)).to.throw("ERROR_INTERNAL: read of 4 byte(s)");
    });

    it("refuses bad input, and stays as it was", () => {
      const before = Buffer.from(memory.buffer);
      const status = new Uint32Array(1);
      monitor.loadExclusivel(16);
      const refused: [() => unknown, object][] = [
        [() => monitor.tryStoreExclusivel(16, 2 ** 32, status), OUT_OF_RANGE],
        [() => monitor.tryStoreExclusivel(16, 1n as unknown as number, status), WRONG_TYPE],
        [() => monitor.tryStoreExclusivel(0.5, 1, status), OUT_OF_RANGE],
        [() => monitor.tryStoreExclusivel("16" as unknown as number, 1, status), WRONG_TYPE],
        [() => monitor.tryStoreExclusivel(16, 1, new Uint32Array(0)), OUT_OF_RANGE],
        [() => monitor.tryStoreExclusivel(16, 1, [] as unknown as Uint32Array), WRONG_TYPE],
        [() => monitor.storeExclusivel(16, -(2 ** 31) - 1), OUT_OF_RANGE],
        [() => monitor.tryLoadExclusivel(16, new Uint32Array(0)), OUT_OF_RANGE],
        [() => monitor.tryLoadExclusivel(2n ** 64n, new Uint32Array(1)), OUT_OF_RANGE],
        [() => monitor.loadExclusivel(null as unknown as number), WRONG_TYPE],
      ];
      for (const [action, error] of refused) {
        expect(thrown(action), action.toString()).to.deep.equal(error);
      }
      expect(memory.buffer.equals(before)).to.equal(true);
      expect(monitor.storeExclusivel(16, 5), "still set").to.equal(true);
    });
  });
}

describe("an exclusive monitor of nothing", () => {
  it("is refused when it is made", () => {
    for (const bad of [undefined, null, {}, GuestMemory.allocate(8)] as never[]) {
      expect(thrown(() => new ExclusiveMonitor(bad))).to.deep.equal(WRONG_TYPE);
    }
  });
});
