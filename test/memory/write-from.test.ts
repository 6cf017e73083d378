import { expect } from "chai";
import { GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { PATHS } from "../support/paths.js";
import { itWide } from "../support/wide-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const GIB = 2 ** 30;

for (const path of PATHS) {
  const accessOf = (memory: GuestMemory): GuestMemory | GuestMemory["native"] =>
    path === "view" ? memory : memory.native;

  describe(`tryWriteqFrom on the ${path} path`, () => {
    it("stores the first element, as tryWriteq stores a bigint", () => {
      const memory = GuestMemory.allocate(64);
      const source = BigUint64Array.of(0xfedc_ba98_7654_3210n, 1n);
      expect(accessOf(memory).tryWriteqFrom(8, source)).to.equal(OK);
      expect(accessOf(memory).tryWriteqFrom(16n, source)).to.equal(OK);
      expect(memory.readq(8)).to.equal(0xfedc_ba98_7654_3210n);
      expect(memory.readq(16)).to.equal(0xfedc_ba98_7654_3210n);
      expect(memory.readb(8)).to.equal(0x10);
    });

    it("faults as the header's accessor does, and changes nothing then", () => {
      const memory = GuestMemory.allocate(20);
      const source = BigUint64Array.of(2n ** 64n - 1n);
      const results = [4, 12, 16, 13, 2n ** 64n - 8n].map((gpa) =>
        accessOf(memory).tryWriteqFrom(gpa, source),
      );
      expect(results).to.deep.equal([
        FAULT_UNALIGNED,
        FAULT_UNALIGNED,
        FAULT_BOUNDARY,
        FAULT_BOUNDARY,
        FAULT_BOUNDARY,
      ]);
      expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
      memory.destroy();
      expect(accessOf(memory).tryWriteqFrom(0, source)).to.equal(ERROR_INTERNAL);
    });

    itWide("takes a view of the RAM itself, and reaches above 4 GiB", () => {
      const memory = GuestMemory.allocate(5 * GIB);
      // The same in either byte order.
      memory.writeq(8, 0x0123_4567_6745_2301n);
      const own = new BigUint64Array(memory.buffer.buffer, memory.buffer.byteOffset + 8, 1);
      expect(accessOf(memory).tryWriteqFrom(4 * GIB + 8, own)).to.equal(OK);
      expect(memory.readq(4 * GIB + 8)).to.equal(0x0123_4567_6745_2301n);
      memory.destroy();
    });

    it("refuses what is no such array, before it looks at RAM", () => {
      const memory = GuestMemory.allocate(64);
      const wrong = [null, undefined, 1n, [1n], {}, "1", new Uint32Array(2), new BigInt64Array(1)];
      for (const source of wrong) {
        const attempt = (): unknown => accessOf(memory).tryWriteqFrom(0, source as never);
        expect(thrown(attempt)).to.include(WRONG_TYPE);
      }
      expect(thrown(() => accessOf(memory).tryWriteqFrom(0, new BigUint64Array(0)))).to.include(
        OUT_OF_RANGE,
      );
      expect(thrown(() => accessOf(memory).tryWriteqFrom(-8, new BigUint64Array(1)))).to.include(
        OUT_OF_RANGE,
      );
      expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
    });
  });
}

describe("the native path", () => {
  it("tells memories apart that take turns, end and are made anew", () => {
    const memories = Array.from({ length: 4 }, () => GuestMemory.allocate(4096));
    for (let round = 0; round < 200; round++) {
      const index = (round * 7) % memories.length;
      const memory = memories[index]!;
      memory.native.writel(8, round);
      expect(memory.readl(8)).to.equal(round);
      if (round % 9 === 0) {
        memory.destroy();
        expect(memory.native.tryWritel(8, 1)).to.equal(ERROR_INTERNAL);
        memories[index] = GuestMemory.allocate(4096);
        expect(memories[index].native.readl(8)).to.equal(0);
      }
    }
  });
});
