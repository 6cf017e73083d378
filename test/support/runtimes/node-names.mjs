// The variables of Node that tests use, for a bundle that runs elsewhere.
import { Buffer as Polyfill } from "buffer/";
import { absent } from "./absent.cjs";

export const Buffer = globalThis.Buffer ?? Polyfill;
if (globalThis.Buffer === undefined) {
  // The package returns a Uint8Array there. Tests look at it with methods of Buffer, which take a
  // Uint8Array in Node.
  const { indexOf } = Polyfill.prototype;
  Polyfill.prototype.equals = function (other) {
    return Polyfill.compare(this, other) === 0;
  };
  Polyfill.prototype.indexOf = function (value, ...args) {
    if (!ArrayBuffer.isView(value)) {
      return indexOf.call(this, value, ...args);
    }
    return value.length === 0 ? 0 : indexOf.call(this, Polyfill.from(value), ...args);
  };
  for (const name of Object.getOwnPropertyNames(Polyfill.prototype)) {
    if (!(name in Uint8Array.prototype) || name === "toString") {
      const value = function (...args) {
        return Polyfill.from(this.buffer, this.byteOffset, this.length)[name](...args);
      };
      Object.defineProperty(Uint8Array.prototype, name, { value, writable: true });
    }
  }
}
globalThis.setImmediate ??= (run, ...args) => setTimeout(run, 0, ...args);
export const process = Object.assign(absent("process"), { platform: "browser", env: {} });
globalThis.gc ??= absent("globalThis").gc;
export const require = absent("require").require;
export const __dirname = "/";
