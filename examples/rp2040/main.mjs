// Runs guest/program.c on rp2040js with an address space, and prints what it sends to the UARTs.
import { load, step } from "./load.mjs";
import { SpaceRP2040 } from "./space-rp2040.mjs";

const machine = new SpaceRP2040();
load(machine, 1);
let running = true;
machine.onBreak = () => (running = false);
for (const uart of machine.uart) {
  uart.onByte = (byte) => process.stdout.write(String.fromCharCode(byte));
}
while (running) {
  step(machine);
}
