/**
 * The part of WebAssembly that the tests use. TypeScript has its types only in the library "dom".
 */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
}
