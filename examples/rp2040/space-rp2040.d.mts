import type { AddressSpace } from "pound-guest-memory";
import { RP2040 } from "rp2040js";

export declare class SpaceRP2040 extends RP2040 {
  readonly space: AddressSpace;
}
