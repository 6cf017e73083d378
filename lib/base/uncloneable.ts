/**
 * First among the own properties of every object that names RAM. Structured clone, and with it
 * `postMessage`, would copy the RAM that the fields lead to, and leave the methods behind. It
 * refuses a function before it looks further, and quotes its source, which is why that is a text.
 */
export const uncloneable = (): string =>
  "guest memory cannot be cloned or posted: post its shareable (GuestMemory.allocateShared), and GuestMemory.attach(shareable) there";
