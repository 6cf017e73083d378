import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { GuestMemoryAccess } from "../base/access.js";

/**
 * The accessors of `GuestMemory` on a big-endian host, where typed arrays have the wrong byte
 * order: those of its object for the default policy, which uses a DataView. No object is made of
 * this class. `GuestMemory` inherits from its prototype, which inherits from that of
 * `SelectingAccess`.
 */
export abstract class BigEndianAccess {
  declare private readonly byView: () => GuestMemoryAccess;

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return this.byView().tryReadb(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.byView().tryWriteb(gpa, value);
  }

  readb(gpa: Gpa): number {
    return this.byView().readb(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    this.byView().writeb(gpa, value);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return this.byView().tryReadw(gpa, out);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.byView().tryWritew(gpa, value);
  }

  readw(gpa: Gpa): number {
    return this.byView().readw(gpa);
  }

  writew(gpa: Gpa, value: number): void {
    this.byView().writew(gpa, value);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return this.byView().tryReadl(gpa, out);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.byView().tryWritel(gpa, value);
  }

  readl(gpa: Gpa): number {
    return this.byView().readl(gpa);
  }

  writel(gpa: Gpa, value: number): void {
    this.byView().writel(gpa, value);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return this.byView().tryReadq(gpa, out);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    return this.byView().tryWriteq(gpa, value);
  }

  readq(gpa: Gpa): bigint {
    return this.byView().readq(gpa);
  }

  writeq(gpa: Gpa, value: bigint): void {
    this.byView().writeq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    return this.byView().tryWriteqFrom(gpa, source);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    return this.byView().tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return this.byView().tryWriteqHalves(gpa, low, high);
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    this.byView().readqHalves(gpa, out, at);
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    this.byView().writeqHalves(gpa, low, high);
  }

  // #endregion
}
