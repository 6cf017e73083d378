import { expect } from "chai";

import { reserveStack } from "../../lib/native/stack.js";

/** Uses stack for a number of arguments of 8 bytes. */
function pushing<T>(count: number, action: () => T): T {
  return Reflect.apply(action, undefined, new Array<number>(count).fill(0)) as T;
}

/** Calls `action` with ever more free stack, 1 KiB at a time, and returns how often it fails. */
function failuresFromTheEnd(action: () => void): number {
  let failures = 0;
  const dive = (): boolean => {
    try {
      if (pushing(128, dive)) {
        return true;
      }
    } catch {
      // The end of the stack.
    }
    try {
      action();
      return true;
    } catch {
      failures++;
      return false;
    }
  };
  expect(dive()).to.equal(true);
  return failures;
}

describe("the check of the free stack", () => {
  const use32KiB = (): null => pushing(4096, () => null);

  // The first call compiles the functions, which takes stack too.
  before(() => {
    use32KiB();
    reserveStack();
  });

  it("fails at less than 64 KiB, also after it has succeeded with more", () => {
    const failures = failuresFromTheEnd(use32KiB);
    expect(failuresFromTheEnd(reserveStack)).to.be.above(failures);
    reserveStack();
  });

  it("holds what it promises at each depth", () => {
    let broken = 0;
    failuresFromTheEnd(() => {
      reserveStack();
      try {
        use32KiB();
      } catch {
        broken++;
      }
    });
    expect(broken).to.equal(0);
  });
});
