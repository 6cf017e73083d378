// test/engine/optimization.test.ts runs this in a process of its own, with V8's intrinsics enabled
// and its compilations and inlining traced. Each loop is optimized on some operations, and then
// runs on all kinds. A line of JSON per loop on stderr reports whether its code is still optimized
// after that.
//
// With the name of an accessor as its argument, it forbids V8 to optimize and to inline the
// accessors of that name, so that the test can show that it detects this.

"use strict";

const { AddressSpace, GuestMemory } = require("pound-guest-memory");
const { Mmu } = require("pound-guest-memory/mmu");

const SIZE = 2 ** 20;
const out = [new Uint8Array(1), new Uint16Array(1), new Uint32Array(1), new BigUint64Array(1)];
const registers = new Uint32Array(64);

/**
 * Loops over the accessors. `memories` holds one or two. Each loop becomes a function of its own.
 */
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
  // All eight widths and directions would not fit into V8's inlining budget.
  halves: `
    memory.tryReadb(gpa, out[0]);
    memory.tryReadl(gpa, out[2]);
    memory.tryReadqHalves(gpa, registers, i & 62);
    memory.tryWriteb(gpa, i & 255);
    memory.tryWritel(gpa, i * 0x10001 >>> 0);
    memory.tryWriteqHalves(gpa, i * 0x10001 >>> 0, i);`,
  values: `
    sum += memory.readb(gpa);
    sum += memory.readw(gpa);
    sum += memory.readl(gpa);
    out[3][0] = memory.readq(gpa);
    memory.writeb(gpa, i & 255);
    memory.writew(gpa, i & 65535);
    memory.writel(gpa, i * 0x10001 >>> 0);`,
};

/** As `LOOPS`, for policy objects, whose accessors take more of V8's budget. */
const POLICY_LOOPS = {
  reads: LOOPS.codes.replaceAll(/^.*tryWrite.*$/gm, ""),
  writes: LOOPS.codes.replaceAll(/^.*tryRead.*$/gm, ""),
  values: LOOPS.values,
};

// The array that the addresses come from determines their representation in V8.
const ADDRESSES = {
  small: Float64Array.from({ length: 4096 }, (_, i) => i * 8),
  // Up to twice the largest small integer.
  wide: Float64Array.from({ length: 4096 }, (_, i) => (i & 1) * (2 ** 31 + 8) + i * 8),
  // Addresses below and above 4 GiB.
  above: Float64Array.from({ length: 4096 }, (_, i) => (i & 1) * 2 ** 32 + i * 8),
};

function makeLoop(name, body) {
  return new Function(
    "out",
    "registers",
    `return function ${name}(memory, gpas) {
      let sum = 0.5;
      for (let i = 0; i < gpas.length; i++) {
        const gpa = gpas[i];
        ${body}
      }
      return sum;
    }`,
  )(out, registers);
}

const optimize = new Function(
  "loop",
  "run",
  "%PrepareFunctionForOptimization(loop); run(); run(); %OptimizeFunctionOnNextCall(loop); run();",
);

const forgetCode = new Function("accessor", "%DeoptimizeFunction(accessor);");
const statusOf = new Function("loop", "return %GetOptimizationStatus(loop);");

// The bits of the status for "optimized by TurboFan" differ between versions of V8. The test learns
// them from this function, whose optimization the trace shows.
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
  // V8 has its own buffer for stdout, and could print in the middle of a line, so this uses stderr.
  const optimized = (statusOf(loop) & OPTIMIZED) === OPTIMIZED;
  console.error(JSON.stringify({ name, optimized }));
}

const spoiled = process.argv[2];
if (spoiled !== undefined) {
  const neverOptimize = new Function("accessor", "%NeverOptimizeFunction(accessor);");
  const small = GuestMemory.allocate(8);
  const policies = ["fault", "allow"].flatMap((alignment) =>
    ["little", "big"].map((endian) => small.withPolicy({ alignment, endian })),
  );
  const spaces = ["fault", "allow"].flatMap((alignment) =>
    ["little", "big"].map((endian) => new AddressSpace({ alignment, endian })),
  );
  const mmu = new Mmu(spaces[0], { walk: () => ({ fault: 0 }) });
  for (const paths of [small, ...spaces, ...policies, mmu]) {
    for (let forms = paths; forms !== null; forms = Object.getPrototypeOf(forms)) {
      if (Object.hasOwn(forms, spoiled)) {
        neverOptimize(forms[spoiled]);
      }
    }
    neverOptimize((paths.native ?? paths)[spoiled]);
    neverOptimize(paths.halves?.[spoiled] ?? paths[spoiled]);
  }
  small.destroy();
}

const first = GuestMemory.allocate(SIZE);
const second = GuestMemory.allocate(SIZE / 2);

function oneMemory(prefix, suffix) {
  for (const [form, body] of Object.entries(LOOPS)) {
    const one = makeLoop(`${prefix}_${form}`, body);
    optimize(one, () => one(first, ADDRESSES.small));
    report(`${form}, one memory${suffix}`, one);

    for (let i = 0; i < 10; i++) {
      one(second, ADDRESSES.small);
      one(first, ADDRESSES.small);
    }
    report(`${form}, a second memory${suffix}`, one);
  }
}

oneMemory("one", "");
// From here on, the accessors have their second form: see lib/memory/accessor-forms.ts.
const large = GuestMemory.allocate(2 ** 32 + SIZE);
oneMemory("late", ", second form");

for (const [form, body] of Object.entries(LOOPS)) {
  // On Node 26, accessors that were compiled for small addresses make V8 discard the code of this
  // loop once. Accessors that run on addresses of every size from the start avoid that.
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

// All eight widths and directions do not fit into the budget of these loops.
const TOO_MANY = { codes: /.*\.try\w+w\(.*\n/g, halves: /.*\.tryReadb\(.*\n/g };

// Tracked memory, whose writes also mark pages: alone, and in turn with memory that is not tracked.
const tracked = GuestMemory.allocate(SIZE);
tracked.startTracking();
for (const form of Object.keys(LOOPS)) {
  const loop = makeLoop(`tracked_${form}`, LOOPS[form].replace(TOO_MANY[form], ""));
  optimize(loop, () => loop(tracked, ADDRESSES.small));
  report(`${form}, tracked memory`, loop);
  const both = makeLoop(`tracked_or_not_${form}`, LOOPS[form]);
  optimize(both, () => {
    both(tracked, ADDRESSES.small);
    both(first, ADDRESSES.small);
  });
  for (let i = 0; i < 10; i++) {
    both(first, ADDRESSES.small);
    both(tracked, ADDRESSES.small);
  }
  tracked.dirty.drain();
  both(tracked, ADDRESSES.small);
  report(`${form}, memory that is tracked or not`, both);
}

// Faults and bigint addresses must not deoptimize the loop.
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

// Destroying a memory deoptimizes the code for it, but V8 can optimize the loop again.
const survivor = makeLoop("survivor", LOOPS.codes);
optimize(survivor, () => survivor(first, ADDRESSES.small));
second.destroy();
survivor(first, ADDRESSES.small);
optimize(survivor, () => survivor(first, ADDRESSES.small));
for (let i = 0; i < 10; i++) {
  survivor(first, ADDRESSES.small);
}
report("codes, after another memory ended", survivor);

// Under each access policy, aligned accesses and, where they do not fault, unaligned ones.
const unaligned = ADDRESSES.small.map((gpa, i) => gpa + (i % 8));
for (const alignment of ["fault", "allow"]) {
  for (const endian of ["little", "big"]) {
    const bus = first.withPolicy({ alignment, endian });
    const gpas = alignment === "allow" ? unaligned : ADDRESSES.small;
    for (const [form, body] of Object.entries(POLICY_LOOPS)) {
      const loop = makeLoop(`${alignment}_${endian}_${form}`, body);
      optimize(loop, () => loop(bus, gpas));
      // Faults at the end of RAM must not deoptimize the loop.
      if (form !== "values") {
        optimize(loop, () => loop(bus, odd));
      }
      for (let i = 0; i < 10; i++) {
        loop(bus, gpas);
      }
      report(`${form}, ${alignment}, ${endian}`, loop);
    }
  }
}

// The address space: accesses to its largest RAM are inlined as for flat RAM, and accesses to the
// rest of the map must not deoptimize the loop.
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
// Mostly the large RAM, and sometimes the small RAM, the ROM, the device and a hole.
const anywhere = Float64Array.from({ length: 4096 }, (_, i) =>
  i % 5 === 0 ? [0, 0x10000, 0x20000, 0x30000][(i / 5) % 4] + (i & 0xff8) : 0x8000_0000 + i * 8,
);

// The accessors of a space are larger than those of a memory: V8 inlines seven of them into one
// loop.
const codes = LOOPS.codes.split("\n");
const IN_SPACE = {
  reads: codes.filter((line) => line.includes("Read")).join("\n"),
  writes: codes.filter((line) => line.includes("Write")).join("\n"),
  halves: LOOPS.halves.replace(TOO_MANY.halves, ""),
  values: LOOPS.values,
};
for (const [form, body] of Object.entries(IN_SPACE)) {
  const space = makeLoop(`space_${form}`, body);
  optimize(space, () => space(small, ADDRESSES.small));
  report(`${form}, space of one RAM`, space);
}

// Spaces with a policy, each of which has accessors of its own.
for (const alignment of ["fault", "allow"]) {
  for (const endian of ["little", "big"]) {
    if (alignment === "fault" && endian === "little") {
      continue;
    }
    const space = new AddressSpace({ alignment, endian });
    space.addRam(0, SIZE);
    const gpas = alignment === "allow" ? unaligned : ADDRESSES.small;
    for (const [form, body] of Object.entries(IN_SPACE)) {
      const loop = makeLoop(`space_${alignment}_${endian}_${form}`, body);
      optimize(loop, () => loop(space, gpas));
      for (let i = 0; i < 10; i++) {
        loop(space, gpas);
      }
      report(`${form}, space, ${alignment}, ${endian}`, loop);
    }
  }
}

// Translated accesses: hits of the TLB in low, wide and negative addresses, whose pages have
// different entries. Then also faults, which must not deoptimize the loop.
const mmus = [0, 1].map(() => {
  const space = new AddressSpace();
  space.addRam(0, SIZE);
  const walk = (va, kind) =>
    (va & 0x7fff_ffff) < SIZE
      ? { gpa: va & (SIZE - 1) & -4096, size: 4096, access: "rwx" }
      : { fault: kind };
  return new Mmu(space, { walk });
});
const BASES = [0, 2 ** 31 + 0x8000, -(2 ** 31) + 0x10000, -(2 ** 40) + 0x18000];
const virtual = ADDRESSES.small.map((va, i) => va + BASES[i & 3]);
const missing = virtual.map((va, i) => (i % 5 === 0 ? va + SIZE : va));
const TRANSLATED = {
  reads: IN_SPACE.reads,
  writes: IN_SPACE.writes,
  fetches: `
    memory.tryFetchb(gpa, out[0]);
    memory.tryFetchw(gpa, out[1]);
    sum += memory.fetchw(gpa);
    sum += memory.fetchl(gpa);`,
  halves: IN_SPACE.halves.replace(/.*\.tryReadl\(.*\n/, ""),
  values: IN_SPACE.values.replaceAll(/.*\.read[bw]\(.*\n/g, ""),
};
for (const [form, body] of Object.entries(TRANSLATED)) {
  const loop = makeLoop(`mmu_${form}`, body);
  optimize(loop, () => loop(mmus[0], virtual));
  for (let i = 0; i < 10; i++) {
    loop(mmus[i & 1], virtual);
  }
  report(`${form}, MMU`, loop);
  if (!/\.(read|write|fetch)\w\(/.test(body)) {
    const faulting = makeLoop(`mmu_missing_${form}`, body);
    optimize(faulting, () => faulting(mmus[0], missing));
    for (let i = 0; i < 10; i++) {
      faulting(mmus[i & 1], missing);
      mmus[0].flushAll();
    }
    report(`${form}, MMU with misses`, faulting);
  }
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

// A space whose writes mark pages: alone, and in turn with one whose writes do not. The writes take
// more of the budget, so that these loops read less.
const marking = new AddressSpace();
marking.addRam(0, SIZE, { trackDirty: true });
marking.writeb(0, 1);
const MARKING = {
  writes: IN_SPACE.writes,
  halves: IN_SPACE.halves.replace(/.*\.tryReadl\(.*\n/, ""),
  values: IN_SPACE.values.replace(/.*\.readw\(.*\n/, ""),
};
for (const [form, body] of Object.entries(MARKING)) {
  const loop = makeLoop(`marking_${form}`, body);
  optimize(loop, () => loop(marking, ADDRESSES.small));
  report(`${form}, space of tracked RAM`, loop);
  const both = makeLoop(`marking_or_not_${form}`, body);
  optimize(both, () => {
    both(marking, ADDRESSES.small);
    both(small, ADDRESSES.small);
  });
  for (let i = 0; i < 10; i++) {
    both(small, ADDRESSES.small);
    both(marking, ADDRESSES.small);
  }
  report(`${form}, space of RAM that is tracked or not`, both);
}

// Addresses as halves, where each access is two calls deep, on flat RAM and at the top of an
// address space.
const IN_HALVES = {
  l: `
    memory.tryReadl(gpa, high, out[2]);
    memory.tryWritel(gpa, high, i);`,
  q: `
    memory.tryReadq(gpa, high, registers, i & 62);
    memory.tryWriteq(gpa, high, i, i);`,
};
const top = new AddressSpace();
top.addRam(2n ** 64n - 2n ** 32n, SIZE);
for (const [suffix, body] of Object.entries(IN_HALVES)) {
  for (const [where, memory, high] of [
    ["flat", first.halves, 0],
    ["top", top.halves, 0xffff_ffff],
  ]) {
    const loop = makeLoop(`halves_${where}_${suffix}`, `const high = ${high}; ${body}`);
    optimize(loop, () => loop(memory, ADDRESSES.small));
    for (let i = 0; i < 10; i++) {
      loop(memory, ADDRESSES.small);
    }
    report(`addresses in halves, ${where}, ${suffix}`, loop);
  }
}

// The native path of a space. The first loop runs before any loop that leaves RAM: once an accessor
// takes its slow path often, V8 inlines that path into it, and its size then counts against
// inlining the accessor.
const NATIVE_IN_SPACE = `
  memory.tryReadl(gpa, out[2]);
  memory.tryWritel(gpa, i);
  memory.tryReadq(gpa, out[3]);
  memory.tryWriteqFrom(gpa, out[3]);`;
const spaceNative = makeLoop("space_native", NATIVE_IN_SPACE);
optimize(spaceNative, () => spaceNative(small.native, ADDRESSES.small));
report("native, space of one RAM", spaceNative);

const spacesNative = makeLoop("spaces_native", NATIVE_IN_SPACE);
optimize(spacesNative, () => {
  spacesNative(board.native, anywhere);
  spacesNative(otherBoard.native, anywhere);
});
for (let i = 0; i < 10; i++) {
  spacesNative(small.native, ADDRESSES.small);
  spacesNative(board.native, anywhere);
}
report("native, spaces of every kind of region", spacesNative);

const mmuNative = makeLoop("mmu_native", NATIVE_IN_SPACE.replace(/.*\.tryWriteqFrom\(.*$/, ""));
optimize(mmuNative, () => mmuNative(mmus[0].native, virtual));
for (let i = 0; i < 10; i++) {
  mmuNative(mmus[i & 1].native, virtual);
}
report("native, MMU", mmuNative);

// The native path: everything but the call into C++ is inlined.
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
