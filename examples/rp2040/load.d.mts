import type { RP2040 } from "rp2040js";

export function load(machine: RP2040, rounds: number): void;
export function step(machine: RP2040): void;
