// RAM of a guest, and what happens to accesses that are not aligned or not in RAM.
import {
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
  resultName,
} from "pound-guest-memory";

const memory = GuestMemory.allocate(64 * 1024); // addresses 0 to 0xffff, all zero
memory.writel(0x1000, 0xdeadbeef);
console.log("16 bits at 0x1002:", memory.readw(0x1002).toString(16)); // little-endian
console.log("through the C++ accessors:", memory.native.readl(0x1000).toString(16));

// An emulator's loop uses result codes: the try accessors do not throw for a guest's fault.
const out = new Uint32Array(1);
for (const address of [0x1000, 0x1001, 0x10000]) {
  const result = memory.tryReadl(address, out);
  const value = result === GuestMemAccessResult.OK ? `0x${out[0]?.toString(16)}` : "no value";
  console.log(`read 0x${address.toString(16)}: ${resultName(result)}, ${value}`);
}

// Other code uses exceptions.
try {
  memory.writeq(0xfffc, 1n);
} catch (error) {
  if (!(error instanceof GuestMemoryFault)) throw error;
  console.log(error.message);
}
memory.destroy();
