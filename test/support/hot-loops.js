// Run by test/optimization.test.ts in a process of its own, with V8's intrinsics allowed and its
// compilations and inlining traced. Says on stderr, in a line of JSON per loop, whether V8 had it
// optimized after it ran on all kinds of operations, which were not what it was optimized with.
//
// With the name of an accessor as its argument, it forbids V8 to optimize and to inline the
// accessors of that name, so that the test can show that it would see that.

"use strict";

const { AddressSpace, GuestMemory } = require("pound-guest-memory");

const SIZE = 2 ** 20;
const out = [new Uint8Array(1), new Uint16Array(1), new Uint32Array(1), new BigUint64Array(1)];

/** Loops over the accessors; `memories` holds one or two, and each loop is a function of its own. */
const LOOPS = {
  codes: `
    memory.tryReadb(gpa, out[0]);
    memory.tryReadw(gpa, out[1]);
    memory.tryReadl(gpa, out[2]);
    memory.tryReadq(gpa, out[3]);
    memory.tryWriteb(gpa, i & 255);
    memory.tryWritew(gpa, i & 65535);
    memory.tryWritel(gpa, i * 0x10001 >>> 0);
    memory.tryWriteqFrom(gpa, out[3]);`,
  values: `
    sum += memory.readb(gpa);
    sum += memory.readw(gpa);
    sum += memory.readl(gpa);
    out[3][0] = memory.readq(gpa);
    memory.writeb(gpa, i & 255);
    memory.writew(gpa, i & 65535);
    memory.writel(gpa, i * 0x10001 >>> 0);`,
};

// What the addresses come from decides what V8 takes them for.
const ADDRESSES = {
  small: Float64Array.from({ length: 4096 }, (_, i) => i * 8),
  // Twice what a small integer holds.
  wide: Float64Array.from({ length: 4096 }, (_, i) => (i & 1) * (2 ** 31 + 8) + i * 8),
  // What the memory has below and above 4 GiB.
  above: Float64Array.from({ length: 4096 }, (_, i) => (i & 1) * 2 ** 32 + i * 8),
};

function makeLoop(name, body) {
  return new Function(
    "out",
    `return function ${name}(memory, gpas) {
      let sum = 0.5;
      for (let i = 0; i < gpas.length; i++) {
        const gpa = gpas[i];
        ${body}
      }
      return sum;
    }`,
  )(out);
}

const optimize = new Function(
  "loop",
  "run",
  "%PrepareFunctionForOptimization(loop); run(); run(); %OptimizeFunctionOnNextCall(loop); run();",
);

const forgetCode = new Function("accessor", "%DeoptimizeFunction(accessor);");
const statusOf = new Function("loop", "return %GetOptimizationStatus(loop);");

// Which bits of the status say "optimized, by TurboFan" differs between versions of V8. The test
// looks into the trace for what V8 has done with this function.
function reference(x) {
  return x + 1;
}
const untouched = statusOf(reference);
optimize(reference, () => reference(1));
const OPTIMIZED = statusOf(reference) & ~untouched;
if (OPTIMIZED === 0) {
  throw new Error("the status of an optimized function is that of any other");
}

function report(name, loop) {
  // V8 has its own buffer for stdout, and would print in the middle of a line.
  const optimized = (statusOf(loop) & OPTIMIZED) === OPTIMIZED;
  console.error(JSON.stringify({ name, optimized }));
}

const spoiled = process.argv[2];
if (spoiled !== undefined) {
  const neverOptimize = new Function("accessor", "%NeverOptimizeFunction(accessor);");
  const small = GuestMemory.allocate(8);
  const space = new AddressSpace();
  for (const paths of [small, space]) {
    neverOptimize(paths[spoiled]);
    neverOptimize(paths.native[spoiled]);
  }
  small.destroy();
}

const first = GuestMemory.allocate(SIZE);
const second = GuestMemory.allocate(SIZE / 2);
const large = GuestMemory.allocate(2 ** 32 + SIZE);

for (const [form, body] of Object.entries(LOOPS)) {
  const one = makeLoop(`one_${form}`, body);
  optimize(one, () => one(first, ADDRESSES.small));
  report(`${form}, one memory`, one);

  for (let i = 0; i < 10; i++) {
    one(second, ADDRESSES.small);
    one(first, ADDRESSES.small);
  }
  report(`${form}, a second memory`, one);

  // On Node 26, accessors that were compiled for small addresses cost this loop its code once. What
  // runs on addresses of every size from its start has no such code.
  for (const [, accessor] of body.matchAll(/memory\.(\w+)/g)) {
    forgetCode(first[accessor]);
  }
  const mixed = makeLoop(`mixed_${form}`, body);
  optimize(mixed, () => {
    mixed(large, ADDRESSES.wide);
    mixed(large, ADDRESSES.above);
    mixed(large, ADDRESSES.small);
  });
  for (let i = 0; i < 10; i++) {
    mixed(first, ADDRESSES.small);
    mixed(large, ADDRESSES.wide);
    mixed(large, ADDRESSES.above);
  }
  report(`${form}, addresses of every size`, mixed);
}

// Faults are results, and bigints are addresses: neither is a reason to give the code up.
const faulting = makeLoop("faulting", LOOPS.codes);
const odd = Float64Array.from({ length: 4096 }, (_, i) => (i % 5 === 0 ? SIZE + i : i));
optimize(faulting, () => {
  faulting(first, odd);
  faulting(first, ADDRESSES.small);
});
for (let i = 0; i < 10; i++) {
  faulting(second, odd);
}
report("codes, with faults", faulting);

const anyGpa = makeLoop("anyGpa", LOOPS.codes);
const bigints = Array.from({ length: 4096 }, (_, i) => (i % 3 === 0 ? BigInt(i * 8) : i * 8));
optimize(anyGpa, () => anyGpa(first, bigints));
for (let i = 0; i < 10; i++) {
  anyGpa(second, bigints);
}
report("codes, with bigints", anyGpa);

// The end of a memory costs what was optimized for it, but nothing for good.
const survivor = makeLoop("survivor", LOOPS.codes);
optimize(survivor, () => survivor(first, ADDRESSES.small));
second.destroy();
survivor(first, ADDRESSES.small);
optimize(survivor, () => survivor(first, ADDRESSES.small));
for (let i = 0; i < 10; i++) {
  survivor(first, ADDRESSES.small);
}
report("codes, after another memory ended", survivor);

// The address space: its largest RAM is as good as flat RAM, and the rest of the map no reason to give
// the code up.
function machine(size) {
  const space = new AddressSpace();
  space.addRom(0x10000, new Uint8Array(4096));
  space.addMmio(0x20000, 0x1000, { readl: (offset) => offset, writel() {} });
  space.addRam(0, 4096);
  space.addRam(0x8000_0000, size);
  return space;
}
const small = new AddressSpace();
small.addRam(0, SIZE);
const [board, otherBoard] = [machine(SIZE), machine(SIZE / 2)];
// The large RAM, and at times the small one, ROM, the device and a hole.
const anywhere = Float64Array.from({ length: 4096 }, (_, i) =>
  i % 5 === 0 ? [0, 0x10000, 0x20000, 0x30000][(i / 5) % 4] + (i & 0xff8) : 0x8000_0000 + i * 8,
);

for (const form of ["codes", "values"]) {
  const space = makeLoop(`space_${form}`, LOOPS[form]);
  optimize(space, () => space(small, ADDRESSES.small));
  report(`${form}, space of one RAM`, space);
}

const spaces = makeLoop("spaces", LOOPS.codes);
optimize(spaces, () => {
  spaces(board, anywhere);
  spaces(otherBoard, anywhere);
});
for (let i = 0; i < 10; i++) {
  spaces(small, ADDRESSES.small);
  spaces(board, anywhere);
  spaces(otherBoard, anywhere);
}
report("codes, spaces of every kind of region", spaces);

// The native path, which is two calls deep in a space: two accessors are what V8 inlines of it into
// one loop. These come before any loop that leaves RAM. V8 inlines the slow path into the code of an
// accessor that takes it often, and counts it against the accessor where that is to be inlined.
const NATIVE_IN_SPACE = {
  l: `
    memory.tryReadl(gpa, out[2]);
    memory.tryWritel(gpa, i);`,
  q: `
    memory.tryReadq(gpa, out[3]);
    memory.tryWriteqFrom(gpa, out[3]);`,
};
for (const [suffix, body] of Object.entries(NATIVE_IN_SPACE)) {
  const loop = makeLoop(`space_native_${suffix}`, body);
  optimize(loop, () => loop(small.native, ADDRESSES.small));
  report(`native ${suffix}, space of one RAM`, loop);
}

const spacesNative = makeLoop("spaces_native", NATIVE_IN_SPACE.l + NATIVE_IN_SPACE.q);
optimize(spacesNative, () => {
  spacesNative(board.native, anywhere);
  spacesNative(otherBoard.native, anywhere);
});
for (let i = 0; i < 10; i++) {
  spacesNative(small.native, ADDRESSES.small);
  spacesNative(board.native, anywhere);
}
report("native, spaces of every kind of region", spacesNative);

// The native path: all that surrounds the call is inlined.
const native = makeLoop(
  "native",
  `memory.tryReadl(gpa, out[2]);
   sum += memory.readb(gpa);
   memory.tryWritel(gpa, i);
   memory.tryReadq(gpa, out[3]);`,
);
optimize(native, () => native(first.native, ADDRESSES.small));
for (let i = 0; i < 10; i++) {
  native(large.native, ADDRESSES.small);
  native(first.native, ADDRESSES.small);
}
report("native, two memories", native);

forgetCode(reference);
report("what has lost its code", reference);
