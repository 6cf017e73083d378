import { expect } from "chai";
import { AddressSpace, type GuestAccessors, GuestMemAccessResult } from "pound-guest-memory";
import { PATHS } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
const PAGE = 4096;
const FAR = 2 ** 53 - 2 * PAGE;

/** Makes each access twice: the second hits the stretch that the first has cached. */
function twice(access: () => void): void {
  access();
  access();
}

for (const path of PATHS) {
  const accessors = (space: AddressSpace): GuestAccessors =>
    path === "view" ? space : space.native;

  describe(`the caches of an address space on the ${path} path`, () => {
    it("serve RAM on both sides of a watched page, and report only that page", () => {
      const space = new AddressSpace();
      space.addRam(0x8000_0000, 4 * PAGE);
      const reported: bigint[] = [];
      space.watch({ gpa: 0x8000_0000 + PAGE, length: PAGE }, ({ gpa }) => reported.push(gpa));
      const memory = accessors(space);
      for (const page of [0, 1, 2, 3]) {
        const gpa = 0x8000_0000 + page * PAGE;
        twice(() => {
          memory.writel(gpa, page + 1);
          expect(memory.readl(gpa)).to.equal(page + 1);
        });
      }
      expect(reported).to.deep.equal(Array(4).fill(0x8000_1000n));
    });

    it("follow the largest RAM when it moves, and drop unmapped RAM", () => {
      const space = new AddressSpace();
      const small = space.addRam(0, PAGE);
      const memory = accessors(space);
      twice(() => memory.writeb(8, 1));
      const large = space.addRam(0x8000_0000, 2 * PAGE);
      twice(() => memory.writeb(0x8000_0008, 2));
      expect([memory.readb(8), memory.readb(0x8000_0008)]).to.deep.equal([1, 2]);
      space.remove(large);
      twice(() => {
        expect(memory.tryReadb(0x8000_0008, new Uint8Array(1))).to.equal(FAULT_BOUNDARY);
      });
      expect(memory.readb(8)).to.equal(1);
      small.memory.destroy();
      twice(() => {
        expect(memory.tryWriteb(8, 3)).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
      });
    });

    it("refuse invalid addresses next to RAM that ends at 2^53 or crosses it", () => {
      for (const pages of [2, 3]) {
        const space = new AddressSpace();
        space.addRam(FAR, pages * PAGE);
        const memory = accessors(space);
        twice(() => memory.writel(FAR + 8, 5));
        for (const gpa of [2 ** 53, 2 ** 53 + 2, NaN, -0.5, -4]) {
          twice(() => {
            expect(() => memory.readl(gpa)).to.throw(RangeError);
            expect(() => memory.writel(gpa, 1)).to.throw(RangeError);
          });
        }
        expect(memory.readl(BigInt(FAR + 8))).to.equal(5);
        expect(memory.tryWritel(2n ** 53n, 6)).to.equal(pages === 3 ? OK : FAULT_BOUNDARY);
      }
    });

    it("refuse fractional addresses", () => {
      const space = new AddressSpace();
      for (const start of [0, 2 ** 32]) {
        space.addRam(start, PAGE);
        const memory = accessors(space);
        twice(() => memory.writel(start + 8, memory.readl(start + 8)));
        for (const gpa of [start + 8.5, start + 8 + 2 ** -20]) {
          expect(() => memory.readl(gpa)).to.throw(RangeError);
          expect(() => memory.tryReadb(gpa, new Uint8Array(1))).to.throw(RangeError);
          expect(() => memory.writel(gpa, 1)).to.throw(RangeError);
        }
      }
    });

    it("name the address in the space in a fault, not the offset in the region", () => {
      const space = new AddressSpace();
      space.addRam(0x8000_0000, PAGE);
      const memory = accessors(space);
      memory.readl(0x8000_0000);
      memory.writel(0x8000_0000, 1);
      twice(() => {
        for (const access of [
          () => memory.readl(0x8000_0002),
          () => memory.writel(0x8000_0002, 1),
        ]) {
          expect(access).to.throw().with.property("gpa", 0x8000_0002);
        }
      });
    });

    it("mark each written page of tracked RAM, below 4 GiB and above", () => {
      for (const start of [0, 2 ** 32 - 2 * PAGE, 2 ** 32]) {
        const space = new AddressSpace();
        const { dirty } = space.addRam(start, 4 * PAGE, { trackDirty: true });
        const memory = accessors(space);
        expect(memory.tryWritew(start + 1, 1)).to.equal(FAULT_UNALIGNED);
        expect(memory.tryWritew(start + 4 * PAGE, 1)).to.equal(FAULT_BOUNDARY);
        expect(dirty!.drain()).to.have.length(0);
        for (const page of [0, 3]) {
          const gpa = start + page * PAGE;
          twice(() => expect(memory.tryWritew(gpa + 6, 1)).to.equal(OK));
          expect([...dirty!.drain()]).to.deep.equal([page]);
          expect(memory.tryWritew(gpa + 7, 1)).to.equal(FAULT_UNALIGNED);
          expect(memory.tryWriteqFrom(gpa + 8, BigUint64Array.of(7n))).to.equal(OK);
          expect([...dirty!.drain()]).to.deep.equal([page]);
        }
      }
    });

    it("allow no write to ROM or past its end while ROM is cached for reads", () => {
      const space = new AddressSpace();
      space.addRom(0, Uint8Array.of(1, 2, 3, 4, 5));
      const memory = accessors(space);
      twice(() => {
        expect(memory.readb(4)).to.equal(5);
        expect(memory.readl(0)).to.equal(0x0403_0201);
        expect(memory.tryReadl(4, new Uint32Array(1))).to.equal(FAULT_BOUNDARY);
        expect(memory.tryWriteb(0, 9)).to.equal(FAULT_BOUNDARY);
      });
      expect(memory.readb(0)).to.equal(1);
    });
  });
}
