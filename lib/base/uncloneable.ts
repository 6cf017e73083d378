/**
 * A property that makes structured clone, and so `postMessage`, throw for objects that refer to
 * RAM. A clone would copy all bytes of the RAM and lose the methods. Structured clone throws at the
 * first property that is a function, so this must be the first own property of such an object. The
 * error message quotes the source of the function, which therefore consists of the explanation.
 */
export const uncloneable = (): string =>
  "guest memory cannot be cloned or posted: post its shareable (GuestMemory.allocateShared), and GuestMemory.attach(shareable) there";
