// The ways into guest RAM. Each is a loop over operations. It returns the sum of the low 32 bits of
// the values loaded, null if it does not know them, or `{ overriddenDuration }` if it times itself.

import { readFileSync } from "node:fs";
import * as ffi from "ffi-rs";
import koffi from "koffi";
import { AddressSpace, GuestMemory, OpBuffer } from "pound-guest-memory";
import { addon, ADDON_PATH, SIZE } from "./addon.mjs";
import { CPP } from "./names.mjs";

const WIDTHS = ["b", "w", "l", "q"];
let loops = 0;

/**
 * Makes a loop from the text of statements. Statement n is an access of kind n to `gpa`: a store
 * writes `i`, a load adds to `sum`. Each loop has a source text of its own, because functions of
 * the same text share type feedback in V8, and then V8 does not treat the memory as a constant.
 */
function makeLoop({ mixed, width }, statements, values, before = "") {
  const one = `/* loop ${loops++} */ return (kinds, gpas) => { let sum = 0; ${before}`;
  const all = mixed
    ? `for (let i = 0; i < gpas.length; i++) {
         const gpa = gpas[i];
         switch (kinds[i]) {
           ${statements.map((statement, kind) => `case ${kind}: ${statement}; break;`).join("\n")}
         }
       }`
    : `for (let i = 0; i < gpas.length; i++) {
         { const gpa = gpas[i]; ${statements[width]}; }
         i++;
         { const gpa = gpas[i]; ${statements[width + 4]}; }
       }`;
  return new Function(...Object.keys(values), `${one} ${all} return sum; };`)(
    ...Object.values(values),
  );
}

/** The values of 64-bit stores, each as an array of one element. */
const SOURCES = Array.from({ length: 256 }, (_, i) => BigUint64Array.of(BigInt(i)));

/** Loads are from `memory`, stores to `target`. */
function tryForm(memory, workload, target = memory) {
  const out3 = new BigUint64Array(1);
  return makeLoop(
    workload,
    [
      "memory.tryReadb(gpa, out0); sum = (sum + out0[0]) | 0",
      "memory.tryReadw(gpa, out1); sum = (sum + out1[0]) | 0",
      "memory.tryReadl(gpa, out2); sum = (sum + out2[0]) | 0",
      "memory.tryReadq(gpa, out3); sum = (sum + halves[0]) | 0",
      "target.tryWriteb(gpa, i & 255)",
      "target.tryWritew(gpa, i & 255)",
      "target.tryWritel(gpa, i & 255)",
      "target.tryWriteqFrom(gpa, SOURCES[i & 255])",
    ],
    {
      memory,
      target,
      out0: new Uint8Array(1),
      out1: new Uint16Array(1),
      out2: new Uint32Array(1),
      out3,
      // The low half of the value in out3, without a bigint.
      halves: new Uint32Array(out3.buffer),
      SOURCES,
    },
  );
}

function throwingForm(memory, workload) {
  const cell = new BigUint64Array(1);
  return makeLoop(
    workload,
    [
      "sum = (sum + memory.readb(gpa)) | 0",
      "sum = (sum + memory.readw(gpa)) | 0",
      "sum = (sum + memory.readl(gpa)) | 0",
      "cell[0] = memory.readq(gpa); sum = (sum + low[0]) | 0",
      "memory.writeb(gpa, i & 255)",
      "memory.writew(gpa, i & 255)",
      "memory.writel(gpa, i & 255)",
      "memory.writeq(gpa, BIGINTS[i & 255])",
    ],
    {
      memory,
      cell,
      low: new Uint32Array(cell.buffer),
      BIGINTS: SOURCES.map((source) => source[0]),
    },
  );
}

/** 64 bits as two halves, which a load stores in a register file. */
function halvesForm(access, workload) {
  return makeLoop(
    workload,
    [
      "sum = (sum + access.readb(gpa)) | 0",
      "sum = (sum + access.readw(gpa)) | 0",
      "sum = (sum + access.readl(gpa)) | 0",
      "access.tryReadqHalves(gpa, registers, 10); sum = (sum + registers[10]) | 0",
      "access.writeb(gpa, i & 255)",
      "access.writew(gpa, i & 255)",
      "access.writel(gpa, i & 255)",
      "access.tryWriteqHalves(gpa, i & 255, 0)",
    ],
    { access, registers: new Uint32Array(64) },
  );
}

/** The same, with the memory and the register file in the fields of an object. */
function halvesInField(workload) {
  return makeLoop(
    workload,
    [
      "sum = (sum + cpu.memory.readb(gpa)) | 0",
      "sum = (sum + cpu.memory.readw(gpa)) | 0",
      "sum = (sum + cpu.memory.readl(gpa)) | 0",
      "cpu.memory.tryReadqHalves(gpa, cpu.registers, 10); sum = (sum + cpu.registers[10]) | 0",
      "cpu.memory.writeb(gpa, i & 255)",
      "cpu.memory.writew(gpa, i & 255)",
      "cpu.memory.writel(gpa, i & 255)",
      "cpu.memory.tryWriteqHalves(gpa, i & 255, 0)",
    ],
    { cpus: [{ memory: GuestMemory.allocate(SIZE), registers: new Uint32Array(64) }] },
    "const cpu = cpus[0];",
  );
}

/** Addresses as two halves too. */
function addressesInHalves(access, workload) {
  return makeLoop(
    workload,
    [
      "sum = (sum + access.readb(gpa, 0)) | 0",
      "sum = (sum + access.readw(gpa, 0)) | 0",
      "sum = (sum + access.readl(gpa, 0)) | 0",
      "access.tryReadq(gpa, 0, registers, 10); sum = (sum + registers[10]) | 0",
      "access.writeb(gpa, 0, i & 255)",
      "access.writew(gpa, 0, i & 255)",
      "access.writel(gpa, 0, i & 255)",
      "access.tryWriteq(gpa, 0, i & 255, 0)",
    ],
    { access, registers: new Uint32Array(64) },
  );
}

function spaceOfOneRam() {
  const space = new AddressSpace();
  space.addRam(0, SIZE);
  return space;
}

/** The ways with values or addresses as two halves. */
function halvesWays(workload) {
  return {
    "view path, 64 bits as halves": halvesForm(GuestMemory.allocate(SIZE), workload),
    "view path, halves, in an object's field": halvesInField(workload),
    "address space, 64 bits as halves": halvesForm(spaceOfOneRam(), workload),
    "view path, addresses as halves too": addressesInHalves(
      GuestMemory.allocate(SIZE).halves,
      workload,
    ),
    "address space, addresses as halves too": addressesInHalves(spaceOfOneRam().halves, workload),
    "native path, 64 bits as halves": halvesForm(GuestMemory.allocate(SIZE).native, workload),
  };
}

/** An emulator keeps its memory in a field: V8 knows the memory's type, but not its identity. */
function inField(workload) {
  const out3 = new BigUint64Array(1);
  const halves = new Uint32Array(out3.buffer);
  const cpus = [{ memory: GuestMemory.allocate(SIZE), out3, halves }];
  return makeLoop(
    workload,
    [
      "sum = (sum + cpu.memory.readb(gpa)) | 0",
      "sum = (sum + cpu.memory.readw(gpa)) | 0",
      "sum = (sum + cpu.memory.readl(gpa)) | 0",
      "cpu.memory.tryReadq(gpa, cpu.out3); sum = (sum + cpu.halves[0]) | 0",
      "cpu.memory.writeb(gpa, i & 255)",
      "cpu.memory.writew(gpa, i & 255)",
      "cpu.memory.writel(gpa, i & 255)",
      "cpu.memory.tryWriteqFrom(gpa, SOURCES[i & 255])",
    ],
    { cpus, SOURCES },
    "const cpu = cpus[0];",
  );
}

/**
 * Code that a user would write by hand: a DataView with the same checks, and halves for 64 bits.
 */
function dataView(workload) {
  const guard = (bytes, then) =>
    `if (gpa <= ${SIZE - bytes} && (gpa & ${bytes - 1}) === 0) { ${then} }`;
  return makeLoop(
    workload,
    [
      guard(1, "sum = (sum + view.getUint8(gpa)) | 0"),
      guard(2, "sum = (sum + view.getUint16(gpa, true)) | 0"),
      guard(4, "sum = (sum + view.getUint32(gpa, true)) | 0"),
      guard(8, "sum = (sum + view.getUint32(gpa, true)) | 0; high = view.getUint32(gpa + 4, true)"),
      guard(1, "view.setUint8(gpa, i & 255)"),
      guard(2, "view.setUint16(gpa, i & 255, true)"),
      guard(4, "view.setUint32(gpa, i & 255, true)"),
      guard(8, "view.setUint32(gpa, i & 255, true); view.setUint32(gpa + 4, 0, true)"),
    ],
    { view: new DataView(new ArrayBuffer(SIZE)), high: 0 },
  );
}

/** The same, but it returns a result code and the value in an array, as the C++ accessors do. */
function dataViewCodes(workload) {
  const guarded = (bytes, then) =>
    `code = gpa > ${SIZE - bytes} ? 2 : (gpa & ${bytes - 1}) !== 0 ? 1 : 0; if (code === 0) { ${then} }`;
  const out3 = new Uint32Array(2);
  return makeLoop(
    workload,
    [
      `${guarded(1, "out0[0] = view.getUint8(gpa)")} sum = (sum + out0[0]) | 0`,
      `${guarded(2, "out1[0] = view.getUint16(gpa, true)")} sum = (sum + out1[0]) | 0`,
      `${guarded(4, "out2[0] = view.getUint32(gpa, true)")} sum = (sum + out2[0]) | 0`,
      `${guarded(
        8,
        "out3[0] = view.getUint32(gpa, true); out3[1] = view.getUint32(gpa + 4, true)",
      )} sum = (sum + out3[0]) | 0`,
      guarded(1, "view.setUint8(gpa, i & 255)"),
      guarded(2, "view.setUint16(gpa, i & 255, true)"),
      guarded(4, "view.setUint32(gpa, i & 255, true)"),
      guarded(8, "view.setUint32(gpa, i & 255, true); view.setUint32(gpa + 4, 0, true)"),
    ],
    {
      view: new DataView(new ArrayBuffer(SIZE)),
      code: 0,
      out0: new Uint8Array(1),
      out1: new Uint16Array(1),
      out2: new Uint32Array(1),
      out3,
    },
  );
}

/** Node's Buffer, which checks the bounds and throws, but does not check the alignment. */
function buffer(workload) {
  return makeLoop(
    workload,
    [
      "sum = (sum + ram.readUInt8(gpa)) | 0",
      "sum = (sum + ram.readUInt16LE(gpa)) | 0",
      "sum = (sum + ram.readUInt32LE(gpa)) | 0",
      "sum = (sum + Number(ram.readBigUInt64LE(gpa) & 0xffff_ffffn)) | 0",
      "ram.writeUInt8(i & 255, gpa)",
      "ram.writeUInt16LE(i & 255, gpa)",
      "ram.writeUInt32LE(i & 255, gpa)",
      "ram.writeBigUInt64LE(BIGINTS[i & 255], gpa)",
    ],
    { ram: Buffer.alloc(SIZE), BIGINTS: SOURCES.map((source) => source[0]) },
  );
}

const WASM = new URL("build/bench.wasm", import.meta.url);

/** Loads and stores of a WebAssembly module, with the same checks, called from JavaScript. */
function webAssembly(workload) {
  const module = new globalThis.WebAssembly.Module(readFileSync(WASM));
  const instance = new globalThis.WebAssembly.Instance(module);
  return makeLoop(
    workload,
    [
      "sum = (sum + readb(gpa)) | 0",
      "sum = (sum + readw(gpa)) | 0",
      "sum = (sum + readl(gpa)) | 0",
      "sum = (sum + Number(readq(gpa) & 0xffff_ffffn)) | 0",
      "writeb(gpa, i & 255)",
      "writew(gpa, i & 255)",
      "writel(gpa, i & 255)",
      "writeq(gpa, BIGINTS[i & 255])",
    ],
    { ...instance.exports, BIGINTS: SOURCES.map((source) => source[0]) },
  );
}

/** koffi calls the C++ accessors by their C ABI. */
function koffiCalls(workload) {
  const library = koffi.load(ADDON_PATH);
  const types = ["uint8_t", "uint16_t", "uint32_t", "uint64_t"];
  const calls = {};
  WIDTHS.forEach((w, i) => {
    calls[`read${w}`] = library.func(`int bench_read${w}(double gpa, ${types[i]} *out)`);
    calls[`write${w}`] = library.func(`int bench_write${w}(double gpa, ${types[i]} value)`);
  });
  const out3 = new BigUint64Array(1);
  return makeLoop(
    workload,
    [
      "readb(gpa, out0); sum = (sum + out0[0]) | 0",
      "readw(gpa, out1); sum = (sum + out1[0]) | 0",
      "readl(gpa, out2); sum = (sum + out2[0]) | 0",
      "readq(gpa, out3); sum = (sum + halves[0]) | 0",
      "writeb(gpa, i & 255)",
      "writew(gpa, i & 255)",
      "writel(gpa, i & 255)",
      "writeq(gpa, i & 255)",
    ],
    {
      ...calls,
      out0: new Uint8Array(1),
      out1: new Uint16Array(1),
      out2: new Uint32Array(1),
      out3,
      halves: new Uint32Array(out3.buffer),
    },
  );
}

/**
 * ffi-rs calls them too, with Buffers as pointers. It runs only a few accesses of 32 bits, since
 * each takes microseconds.
 */
function ffiCalls(workload) {
  ffi.open({ library: "bench", path: ADDON_PATH });
  const { I32, Double, U8Array } = ffi.DataType;
  const { bench_readl, bench_writel } = ffi.define({
    bench_readl: { library: "bench", retType: I32, paramsType: [Double, U8Array] },
    bench_writel: { library: "bench", retType: I32, paramsType: [Double, I32] },
  });
  const bytes = Buffer.alloc(4);
  const none = "throw new Error('32 bits only')";
  const read = "bench_readl([gpa, bytes]); sum = (sum + out[0]) | 0";
  const loop = makeLoop(
    workload,
    [none, none, read, none, none, none, "bench_writel([gpa, i & 255])", none],
    { bench_readl, bench_writel, bytes, out: new Uint32Array(bytes.buffer, bytes.byteOffset, 1) },
  );
  const few = 8;
  return (kinds, gpas) => {
    const start = process.hrtime.bigint();
    loop(kinds.subarray(0, few), gpas.subarray(0, few));
    const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
    return { overriddenDuration: (milliseconds * gpas.length) / few };
  };
}

/** Batches, which a caller's loop has just filled, so they are in the caches. That is not timed. */
function nativeBatch() {
  const memory = GuestMemory.allocate(SIZE).native;
  const hot = new OpBuffer(4096);
  const packed = new Map();
  const pack = (kinds, gpas) => {
    const batches = [];
    for (let at = 0; at < gpas.length; at += hot.capacity) {
      const batch = new OpBuffer(Math.min(hot.capacity, gpas.length - at));
      for (let i = at; !batch.full; i++) {
        batch.push(kinds[i], gpas[i], i & 255);
      }
      batches.push(batch.bytes);
    }
    return batches;
  };
  return (kinds, gpas) => {
    if (!packed.has(gpas)) {
      packed.set(gpas, pack(kinds, gpas));
    }
    let nanoseconds = 0n;
    for (const bytes of packed.get(gpas)) {
      hot.clear();
      hot.pushPacked(bytes);
      const start = process.hrtime.bigint();
      memory.run(hot);
      nanoseconds += process.hrtime.bigint() - start;
    }
    return { overriddenDuration: Number(nanoseconds) / 1e6 };
  };
}

export const VIEW_TRY = "view path, result codes";
export const VIEW_THROW = "view path, values or exceptions";
export const NATIVE = "native path, a call each";
export const NATIVE_BY_TURNS = "native path, two memories by turns";
export const BATCH = "native path, batches of 4096";
export const EMPTY = "an empty N-API call, two arguments";
export const DATA_VIEW = "DataView by hand, same checks";
export const KOFFI = "koffi, a call each";

/** Every way, by name, for one workload. */
export function waysFor(workload) {
  addon.allocate(SIZE);
  const { mixed, width } = workload;
  const [first, second] = [1, 2].map(() => GuestMemory.allocate(SIZE).native);
  const byTurns = tryForm(first, workload, second);
  const emptyCalls = makeLoop(workload, Array(8).fill("empty(gpa, i)"), { empty: addon.empty });
  return {
    [CPP]: mixed ? addon.mixed : width === 2 ? addon.pairs32 : addon.pairs64,
    [VIEW_TRY]: tryForm(GuestMemory.allocate(SIZE), workload),
    [VIEW_THROW]: throwingForm(GuestMemory.allocate(SIZE), workload),
    "view path, memory in an object's field": inField(workload),
    [DATA_VIEW]: dataView(workload),
    "DataView by hand, result codes": dataViewCodes(workload),
    "Buffer.readUInt32LE and the like": buffer(workload),
    "WebAssembly, called from JavaScript": webAssembly(workload),
    [BATCH]: nativeBatch(),
    [EMPTY]: (kinds, gpas) => (emptyCalls(kinds, gpas), null),
    [NATIVE]: tryForm(GuestMemory.allocate(SIZE).native, workload),
    // Its loads do not see its stores, so their sum is of no use.
    [NATIVE_BY_TURNS]: (kinds, gpas) => (byTurns(kinds, gpas), null),
    [KOFFI]: koffiCalls(workload),
    ...(width === 3 ? halvesWays(workload) : {}),
    ...(width === 2 && !mixed ? { "ffi-rs, a call each": ffiCalls(workload) } : {}),
  };
}
