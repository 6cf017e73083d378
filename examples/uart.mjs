// A UART on an address space: the guest sends a text from RAM byte by byte.
import { AddressSpace, resultName } from "pound-guest-memory";

const RAM = 0x8000_0000;
const UART = 0x1000_0000;
const DATA = 0x0;
const STATUS = 0x4;
const STATUS_READY = 1;

let sent = "";
const space = new AddressSpace();
space.addRam(RAM, 1024 * 1024);
space.addMmio(UART, 0x100, {
  readl: (offset) => (offset === STATUS ? STATUS_READY : 0),
  writeb: (offset, value) => {
    if (offset === DATA) sent += String.fromCharCode(value);
  },
});

space.write(RAM, Buffer.from("Hello from the guest\0"));
for (let address = RAM, byte; (byte = space.readb(address)) !== 0; address++) {
  while ((space.readl(UART + STATUS) & STATUS_READY) === 0); // as a driver polls
  space.writeb(UART + DATA, byte);
}
console.log("the UART sent:", sent);
// The device has no handler for 16-bit stores, which the guest sees as a bus error.
console.log("a 16-bit store:", resultName(space.tryWritew(UART + DATA, 0x4142)));
