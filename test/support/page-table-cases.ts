import { Randomness } from "../../lib/crosscheck/randomness.js";

/**
 * Accesses through page tables, which test/mmu/qemu.test.ts makes by the walkers of this package
 * and scripts/qemu-page-tables.mts in QEMU.
 */
export interface PageTableCase {
  /** The descriptors that the guest writes: 1 to 4, from the first table to the leaf. */
  readonly writes: readonly (readonly [gpa: bigint, value: bigint])[];
  /** RISC-V: `satp` and the bits of `mstatus`. AArch64: `TTBR0_EL1`, and fields of `TCR_EL1`. */
  readonly registers: readonly [bigint, bigint];
  /** Fields of AArch64's `SCTLR_EL1`. */
  readonly control: bigint;
  readonly va: bigint;
  readonly kind: (typeof CASE_KINDS)[number];
  readonly user: boolean;
  /** AArch64's `PSTATE.PAN`. */
  readonly pan: boolean;
}

/** The number of cases in the fixtures. */
export const CASE_COUNT = 3000;

export const CASE_KINDS = ["read", "write", "fetch"] as const;

/** How the memory of a guest is laid out. All addresses that cases use lie in it. */
export interface GuestLayout {
  readonly ram: number;
  readonly tables: number;
  /** The page that the accesses hit, full of instructions that trap. */
  readonly target: number;
  readonly cases: number;
}

export const RISCV: GuestLayout = {
  ram: 0x8000_0000,
  tables: 0x8010_0000,
  target: 0x8020_0000,
  cases: 0x8100_0000,
};
export const AARCH64: GuestLayout = {
  ram: 0x4000_0000,
  tables: 0x4040_0000,
  target: 0x4060_0000,
  cases: 0x4100_0000,
};

const PAGE = 4096n;
/** Bytes of a page or superpage at each level above the last one. */
const sizeOf = (above: number): bigint => PAGE << BigInt(9 * above);

class Choices {
  readonly #random: Randomness;

  constructor(seed: number) {
    this.#random = new Randomness(seed);
  }

  below(limit: number): number {
    return this.#random.below(limit);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  kind(): PageTableCase["kind"] {
    return CASE_KINDS[this.below(3)]!;
  }

  bits(count: number): bigint {
    return BigInt(this.below(2 ** count));
  }
}

/** The descriptors on the way to an address, from the first table to the leaf. */
function descend(
  { tables }: GuestLayout,
  va: bigint,
  levels: number,
  leafAbove: number,
  entry: (above: number, next: bigint) => bigint,
): PageTableCase["writes"] {
  const writes: (readonly [bigint, bigint])[] = [];
  for (let above = levels - 1; above >= leafAbove; above--) {
    const table = BigInt(tables) + PAGE * BigInt(levels - 1 - above);
    const index = (va / sizeOf(above)) & 511n;
    writes.push([table + 8n * index, entry(above, table + PAGE)]);
  }
  return writes;
}

/** Cases of RISC-V. The guest runs in M mode and accesses by `mstatus.MPRV`, or by `mret`. */
export function riscvCases(count: number): PageTableCase[] {
  const random = new Choices(39);
  return Array.from({ length: count }, () => {
    const levels = random.below(2) === 0 ? 3 : 4;
    // The target in the lowest half or in the highest one; some addresses are not canonical.
    let va = BigInt(RISCV.target);
    if (random.once(2)) {
      va = BigInt.asUintN(64, va - (1n << BigInt(11 + 9 * levels)));
    }
    if (random.once(16)) {
      va ^= 1n << BigInt(11 + 9 * levels + random.below(64 - 11 - 9 * levels));
    }
    const leafAbove = Math.max(0, random.below(levels + 2) - 2);
    const entry = (above: number, next: bigint): bigint => {
      const isLeaf = above === leafAbove;
      // Bit 0 is V. Most leaves can be used.
      let flags = isLeaf ? (random.once(2) ? random.bits(10) | 1n : 0xcfn | random.bits(10)) : 1n;
      if (random.once(isLeaf ? 16 : 24)) {
        flags ^= 1n << random.bits(3);
      }
      const size = sizeOf(above);
      let gpa = isLeaf ? BigInt(RISCV.target) - (BigInt(RISCV.target) % size) : next;
      if (isLeaf && (flags & 14n) === 0n) {
        // It names another table, which is empty.
        gpa = BigInt(RISCV.tables) + 16n * PAGE;
      } else if (isLeaf && random.once(16)) {
        gpa += random.once(2) ? size / 2n : 1n << 37n;
      }
      const reserved = random.once(24) ? 1n << BigInt(54 + random.below(10)) : 0n;
      return ((gpa >> 12n) << 10n) | flags | reserved;
    };
    const bare = random.once(30);
    const mode = levels === 3 ? 8n : 9n;
    return {
      writes: descend(RISCV, va, levels, leafAbove, entry),
      registers: [
        bare ? 0n : (mode << 60n) | BigInt(RISCV.tables / 4096),
        // SUM and MXR.
        random.bits(2) << 18n,
      ],
      control: 0n,
      va: bare ? BigInt(RISCV.target) : va,
      kind: random.kind(),
      user: random.once(2),
      pan: false,
    };
  });
}

/** Cases of AArch64. The guest runs at EL1 in the upper half, and accesses the lower half. */
export function aarch64Cases(count: number): PageTableCase[] {
  const random = new Choices(64);
  return Array.from({ length: count }, () => {
    const bits = random.once(2) ? 48 : [40, 39, 36, 32][random.below(4)]!;
    const levels = Math.ceil((bits - 12) / 9);
    let va = BigInt(AARCH64.target);
    if (bits > 39 && random.once(2)) {
      va += random.bits(bits - 39) << 39n;
    }
    if (random.once(16)) {
      va |= 1n << BigInt(bits + random.below(55 - bits));
    } else if (random.once(12)) {
      va |= 0x5an << 56n;
    }
    // No blocks at level 0.
    const leafAbove = Math.min(levels - 1, [0, 0, 0, 1, 1, 2][random.below(6)]!);
    const entry = (above: number, next: bigint): bigint => {
      const isLeaf = above === leafAbove;
      const size = sizeOf(above);
      let type = isLeaf && above > 0 ? 1n : 3n;
      if (random.once(32)) {
        type = random.once(2) ? 0n : 2n;
      } else if (isLeaf && above === 0 && random.once(24)) {
        type = 1n;
      }
      let gpa = isLeaf ? BigInt(AARCH64.target) - (BigInt(AARCH64.target) % size) : next;
      if (random.once(24)) {
        // A hole, or an address above the size of some outputs.
        gpa |= 1n << [37n, 41n, 43n, 46n][random.below(4)]!;
      }
      if (isLeaf) {
        // AP, SH, AF and nG; DBM; PXN, UXN and the bits for software.
        const low = (random.bits(6) << 6n) | (random.once(4) ? 0n : 1n << 10n);
        const high = (random.bits(1) << 51n) | (random.bits(6) << 53n);
        return gpa | type | low | (random.once(3) ? high & (63n << 55n) : high);
      }
      return gpa | type | (random.once(5) ? random.bits(4) << 59n : 0n);
    };
    const ips = random.once(2) ? 5n : random.bits(3) % 6n;
    const tcr =
      BigInt(64 - bits) |
      (random.once(24) ? 1n << 7n : 0n) |
      (ips << 32n) |
      (random.bits(1) << 37n) |
      // HA and HD, and HPD0.
      (random.bits(2) << 39n) |
      (random.once(4) ? 1n << 41n : 0n);
    return {
      writes: descend(AARCH64, va, levels, leafAbove, entry),
      registers: [BigInt(AARCH64.tables), tcr],
      control: random.once(4) ? 1n << 19n : 0n,
      va,
      kind: random.kind(),
      user: random.once(2),
      pan: random.once(3),
    };
  });
}

/** Elements of 64 bits that a case takes in the memory of the guest. */
const CASE_ELEMENTS = 16;

/** The cases as the guests read them: their number, and then `struct test_case` for each. */
export function packCases(cases: readonly PageTableCase[]): Buffer {
  const elements = new BigUint64Array(CASE_ELEMENTS * (1 + cases.length));
  elements[0] = BigInt(cases.length);
  cases.forEach(({ writes, registers, control, va, kind, user, pan }, i) => {
    const at = CASE_ELEMENTS * (i + 1);
    writes.forEach(([gpa, value], level) => {
      elements[at + 2 * level] = gpa;
      elements[at + 2 * level + 1] = value;
    });
    elements.set([...registers, control, va], at + 8);
    elements[at + 12] = BigInt(CASE_KINDS.indexOf(kind));
    elements[at + 13] = BigInt(user);
    elements[at + 14] = BigInt(pan);
    elements[at + 15] = BigInt(writes.length);
  });
  return Buffer.from(elements.buffer);
}
