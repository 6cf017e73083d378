// Debugging backwards: a guest is stopped by a bad pointer, and its machine goes back in time until
// the pointer was still good.
import { AddressSpace } from "pound-guest-memory";
import { Rewind } from "pound-guest-memory/snapshot";

const POINTER = 0x100;
const TIMER = 0x1000_0000;

let ticks = 0;
const space = new AddressSpace();
space.addRam(0, 64 * 1024, { trackDirty: true });
space.addMmio(TIMER, 4, {
  readl: () => ticks,
  save: () => Uint8Array.of(ticks),
  load: (state) => (ticks = state.at(0) ?? 0),
});
let steps = 0; // the only register of the CPU

/** A step of the guest: it follows the pointer, which a bug overwrites in step 6. */
function step() {
  space.writel(POINTER, ++steps === 6 ? 0xbad0_0000 : 0x2000 + 4 * steps);
  ticks += 2;
}

const rewind = new Rewind(space, {
  budget: 1024 * 1024,
  save: () => ({ cpu: Uint32Array.of(steps) }),
  load: (snapshot) => (steps = snapshot.state("cpu")?.readUInt32LE() ?? 0),
});
for (space.writel(POINTER, 0x2000); space.tryWritel(space.readl(POINTER), 1) === 0; step()) {
  rewind.take();
}
const report = () => `step ${steps}, timer ${space.readl(TIMER)}, pointer ${hex(POINTER)}`;
const hex = (/** @type {number} */ gpa) => `0x${space.readl(gpa).toString(16)}`;
console.log("stopped:", report());
rewind.back();
console.log("the last good state:", report());
rewind.back(2);
console.log("two steps before:", report());
step();
console.log("one step forward:", report());
