// Debugging backwards: a guest is stopped by a bad pointer, and its machine goes back in time until
// the pointer was still good.
import { AddressSpace } from "pound-guest-memory";
import { Rewind } from "pound-guest-memory/snapshot";

const POINTER = 0x100;
const TIMER = 0x1000_0000;

let ticks = 0;
const timer = {
  readl: () => ticks,
  save: () => Uint8Array.of(ticks),
  load: ([saved]) => (ticks = saved),
};
const space = new AddressSpace();
space.addRam(0, 64 * 1024, { trackDirty: true });
space.addMmio(TIMER, 4, timer);
const cpu = new Uint32Array(1); // its only register: the steps that it has executed

/** A step of the guest: it follows the pointer, which a bug overwrites in step 6. */
function step() {
  space.writel(POINTER, ++cpu[0] === 6 ? 0xbad0_0000 : 0x2000 + 4 * cpu[0]);
  ticks += 2;
}

const rewind = new Rewind(space, {
  budget: 1024 * 1024,
  save: () => ({ cpu }),
  load: (snapshot) => cpu.set([snapshot.state("cpu").readUInt32LE()]),
});
for (space.writel(POINTER, 0x2000); space.tryWritel(space.readl(POINTER), 1) === 0; step()) {
  rewind.take();
}
const report = () => `step ${cpu[0]}, timer ${space.readl(TIMER)}, pointer ${hex(POINTER)}`;
const hex = (gpa) => `0x${space.readl(gpa).toString(16)}`;
console.log("stopped:", report());
rewind.back();
console.log("the last good state:", report());
rewind.back(2);
console.log("two steps before:", report());
step();
console.log("one step forward:", report());
