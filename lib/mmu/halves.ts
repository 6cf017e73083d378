import type { GuestAccessors, GuestHalvesAccessors } from "../base/access.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { virtualOf } from "./virtual-address.js";

/** The accessors of an MMU with addresses in two 32-bit halves. */
export class MmuHalves implements GuestHalvesAccessors {
  constructor(private readonly mmu: GuestAccessors) {}

  // #region generated: npm run generate

  tryReadb(vaLow: number, vaHigh: number, out: Uint8Array): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryReadb(upper * 0x100000000 + vaLow, out);
    }
    return this.mmu.tryReadb(virtualOf(vaLow, vaHigh), out);
  }

  tryWriteb(vaLow: number, vaHigh: number, value: number): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryWriteb(upper * 0x100000000 + vaLow, value);
    }
    return this.mmu.tryWriteb(virtualOf(vaLow, vaHigh), value);
  }

  readb(vaLow: number, vaHigh: number): number {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.readb(upper * 0x100000000 + vaLow);
    }
    return this.mmu.readb(virtualOf(vaLow, vaHigh));
  }

  writeb(vaLow: number, vaHigh: number, value: number): void {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      this.mmu.writeb(upper * 0x100000000 + vaLow, value);
      return;
    }
    this.mmu.writeb(virtualOf(vaLow, vaHigh), value);
  }

  tryReadw(vaLow: number, vaHigh: number, out: Uint16Array): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryReadw(upper * 0x100000000 + vaLow, out);
    }
    return this.mmu.tryReadw(virtualOf(vaLow, vaHigh), out);
  }

  tryWritew(vaLow: number, vaHigh: number, value: number): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryWritew(upper * 0x100000000 + vaLow, value);
    }
    return this.mmu.tryWritew(virtualOf(vaLow, vaHigh), value);
  }

  readw(vaLow: number, vaHigh: number): number {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.readw(upper * 0x100000000 + vaLow);
    }
    return this.mmu.readw(virtualOf(vaLow, vaHigh));
  }

  writew(vaLow: number, vaHigh: number, value: number): void {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      this.mmu.writew(upper * 0x100000000 + vaLow, value);
      return;
    }
    this.mmu.writew(virtualOf(vaLow, vaHigh), value);
  }

  tryReadl(vaLow: number, vaHigh: number, out: Uint32Array): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryReadl(upper * 0x100000000 + vaLow, out);
    }
    return this.mmu.tryReadl(virtualOf(vaLow, vaHigh), out);
  }

  tryWritel(vaLow: number, vaHigh: number, value: number): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryWritel(upper * 0x100000000 + vaLow, value);
    }
    return this.mmu.tryWritel(virtualOf(vaLow, vaHigh), value);
  }

  readl(vaLow: number, vaHigh: number): number {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.readl(upper * 0x100000000 + vaLow);
    }
    return this.mmu.readl(virtualOf(vaLow, vaHigh));
  }

  writel(vaLow: number, vaHigh: number, value: number): void {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      this.mmu.writel(upper * 0x100000000 + vaLow, value);
      return;
    }
    this.mmu.writel(virtualOf(vaLow, vaHigh), value);
  }

  tryReadq(vaLow: number, vaHigh: number, out: Uint32Array, at: number): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryReadqHalves(upper * 0x100000000 + vaLow, out, at);
    }
    return this.mmu.tryReadqHalves(virtualOf(vaLow, vaHigh), out, at);
  }

  tryWriteq(vaLow: number, vaHigh: number, low: number, high: number): GuestMemAccessResult {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      return this.mmu.tryWriteqHalves(upper * 0x100000000 + vaLow, low, high);
    }
    return this.mmu.tryWriteqHalves(virtualOf(vaLow, vaHigh), low, high);
  }

  readq(vaLow: number, vaHigh: number, out: Uint32Array, at: number): void {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      this.mmu.readqHalves(upper * 0x100000000 + vaLow, out, at);
      return;
    }
    this.mmu.readqHalves(virtualOf(vaLow, vaHigh), out, at);
  }

  writeq(vaLow: number, vaHigh: number, low: number, high: number): void {
    const upper = vaHigh | 0;
    if (vaLow >>> 0 === vaLow && vaHigh >>> 0 === vaHigh && upper < 0x200000 && upper > -0x200000) {
      this.mmu.writeqHalves(upper * 0x100000000 + vaLow, low, high);
      return;
    }
    this.mmu.writeqHalves(virtualOf(vaLow, vaHigh), low, high);
  }

  // #endregion
}
