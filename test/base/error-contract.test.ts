import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import * as root from "pound-guest-memory";
import {
  AddressSpace,
  Arena,
  DirtyBitmap,
  GuestMemory,
  OpBuffer,
  OpKind,
  type ErrorCode,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import * as crosschecks from "pound-guest-memory/crosscheck";
import * as loader from "pound-guest-memory/loader";
import * as typed from "pound-guest-memory/typed";
import { ERROR_CLASSES } from "../support/error-classes.js";
import { nameOf, POLICIES } from "../support/policies.js";
import { PATHS } from "../support/paths.js";

const { OpRecorder } = crosschecks;
const { struct, StructLayout, TypedRegion } = typed;
const api = { ...root, ...crosschecks, ...loader, ...typed };

const SIZE = 64;
const FILL = 0xa5;

function detached<T extends ArrayBufferView>(view: T): T {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

type Shrinkable = ArrayBuffer & { resize(length: number): void };

/** A view over a buffer that has become too short for it. */
function outOfBounds<T>(make: (buffer: ArrayBuffer) => T): T {
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => Shrinkable;
  const buffer = new Resizable(32, { maxByteLength: 64 });
  const view = make(buffer);
  buffer.resize(4);
  return view;
}

class LyingBytes extends Uint8Array {
  override get length(): never {
    return this.lie as never;
  }
  lie = 0;
}

function lying(bytes: number, lie: number): LyingBytes {
  const view = new LyingBytes(bytes).fill(FILL);
  view.lie = lie;
  return view;
}

function forged(prototype: object, own: object): object {
  return Object.setPrototypeOf(own, prototype) as object;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** Makes what no argument should be, by name; each time anew, since a callee may keep it. */
const HOSTILE: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  symbol: () => Symbol("x"),
  NaN: () => NaN,
  // No width holds it, not even as a signed value.
  negative: () => -(2 ** 40),
  fraction: () => 0.5,
  "2^53": () => 2 ** 53,
  "2^64": () => 2n ** 64n,
  string: () => "x",
  boolean: () => true,
  object: () => ({}),
  array: () => [],
  function: () => () => undefined,
  "detached Uint8Array": () => detached(new Uint8Array(8)),
  "detached Uint32Array": () => detached(new Uint32Array(1)),
  "detached DataView": () => detached(new DataView(new ArrayBuffer(8))),
  "Uint8Array out of bounds": () => outOfBounds((buffer) => new Uint8Array(buffer, 8, 8)),
  "DataView out of bounds": () => outOfBounds((buffer) => new DataView(buffer, 8, 8)),
  proxy: () => new Proxy({}, {}),
  "proxy of a Uint8Array": () => new Proxy(new Uint8Array(8), {}),
  "revoked proxy": () => revoked(),
  "forged Uint8Array": () => forged(Uint8Array.prototype, { 0: 1, length: 8 }),
  "forged Uint16Array": () => forged(Uint16Array.prototype, { 0: 1 }),
  "forged Uint32Array": () => forged(Uint32Array.prototype, { 0: 1 }),
  "forged BigUint64Array": () => forged(BigUint64Array.prototype, { 0: 1n }),
  "forged DataView": () => forged(DataView.prototype, { byteLength: 8 }),
  "empty Uint8Array": () => new Uint8Array(0),
  "Uint8Array that says it is empty": () => lying(8, 0),
  "Uint8Array that says it is long": () => lying(0, 8),
  "Uint8Array of another realm": () => runInNewContext("new Uint8Array(0)") as unknown,
  "forged OpBuffer": () => Object.create(OpBuffer.prototype) as unknown,
};

/** Names of the methods of an object, those that its class inherits included. */
function methodsOf(object: object): string[] {
  const names: string[] = [];
  for (
    let type = Object.getPrototypeOf(object) as object;
    type !== Object.prototype;
    type = Object.getPrototypeOf(type) as object
  ) {
    names.push(
      ...Object.entries(Object.getOwnPropertyDescriptors(type))
        .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
        .map(([name]) => name),
    );
  }
  return names;
}

/** What a call came to: the code of its error, or "done". */
async function outcomeOf(what: string, call: () => unknown): Promise<string> {
  try {
    await call();
    return "done";
  } catch (error) {
    const { name, code } = error as { name: string; code: ErrorCode };
    expect(ERROR_CLASSES, `${what}: ${String(error)}`).to.have.property(code, name);
    return code;
  }
}

/** Every call of a function with one, two and three arguments, of which one is hostile. */
function* callsOf(good: readonly unknown[]): Generator<[string, () => unknown[]]> {
  for (let position = 0; position < Math.max(1, good.length); position++) {
    for (const [name, make] of Object.entries(HOSTILE)) {
      yield [
        `argument ${position + 1} ${name}`,
        () => [...good.slice(0, position), make(), ...good.slice(position + 1)],
      ];
    }
  }
  yield ["no arguments", () => []];
}

/** Arguments of a method whose 64-bit values are two halves. */
function goodHalves(method: string): unknown[] {
  const out = new Uint32Array(4);
  const half = 0xa5a5_a5a5;
  if (/CompareExchange|compareExchange/.test(method)) {
    return [0, half, half, half, half, out, 1];
  }
  if (/[rR]ead|[lL]oad/.test(method)) {
    return [0, out, 1];
  }
  if (/[wW]rite|[sS]tore/.test(method)) {
    return [0, half, half];
  }
  const value = /[aA]nd|[oO]r|[eE]xchange/.test(method) && !/[xX]or/.test(method) ? half : 0;
  return [0, value, value, out, 1];
}

/** Arguments of a method of `halves`, which takes the address as two halves. */
function goodSplit(method: string): unknown[] {
  return [0, ...(method.endsWith("q") ? goodHalves(method) : goodArguments(method))];
}

function goodArguments(method: string): unknown[] {
  if (method.endsWith("Halves")) {
    return goodHalves(method);
  }
  const bulk: Record<string, () => unknown[]> = {
    fill: () => [0, 4, FILL],
    copy: () => [0, 8, 4],
    read: () => [0, 4],
    slice: () => [0, 4],
    readInto: () => [0, new Uint8Array(4)],
    write: () => [0, new Uint8Array(4).fill(FILL)],
    readVector: () => [[{ gpa: 8, length: 4 }], new Uint8Array(4)],
    writeVector: () => [[{ gpa: 8, length: 4 }], new Uint8Array(4).fill(FILL)],
    peek: () => [0, new Uint8Array(4)],
    poke: () => [0, new Uint8Array(4).fill(FILL)],
    compare: () => [0, new Uint8Array(4)],
    indexOf: () => [FILL, 0, 8],
  };
  const name = method.replace(/^try(.)/, (_, first: string) => first.toLowerCase());
  if (bulk[name] !== undefined) {
    return bulk[name]();
  }
  const suffix = method.slice(-1) === "m" ? "q" : method.slice(-1);
  const Out = { b: Uint8Array, w: Uint16Array, l: Uint32Array }[suffix] ?? BigUint64Array;
  const value =
    suffix === "q" ? 0xa5a5_a5a5_a5a5_a5a5n : ({ b: FILL, w: 0xa5a5 }[suffix] ?? 0xa5a5_a5a5);
  if (/^tryWriteqFrom$/.test(method)) {
    return [0, BigUint64Array.of(0xa5a5_a5a5_a5a5_a5a5n)];
  }
  if (/^try(Read|Load)/.test(method)) {
    return [0, new Out(1)];
  }
  if (/^tryCompareExchange/.test(method)) {
    return [0, value, value, new Out(1)];
  }
  if (/^compareExchange/.test(method)) {
    return [0, value, value];
  }
  if (/^try(Write|Store)[bwlq]$/.test(method) || /^(write|store|exchange)[bwlq]$/.test(method)) {
    return [0, value];
  }
  if (/^try\w+[bwlq]$/.test(method)) {
    return [0, /Or|And|Exchange/.test(method) ? value : suffix === "q" ? 0n : 0, new Out(1)];
  }
  return [0, suffix === "q" ? 0n : 0];
}

/** A method to call with hostile arguments. */
interface HostileCalls {
  readonly object: object;
  readonly name: string;
  /** Arguments that the method accepts. */
  readonly good: readonly unknown[];
  readonly label: string;
  /** The RAM that must not change. */
  readonly memory: GuestMemory;
  /** Receives the outcome of each call. */
  readonly outcomes: Record<string, string>;
  readonly leavesOut?: (what: string) => boolean;
  /** Called after each call. */
  readonly after?: () => void;
}

async function callWithHostileArguments(calls: HostileCalls): Promise<void> {
  const { object, name, memory, outcomes } = calls;
  const method = (object as Record<string, (...args: unknown[]) => unknown>)[name]!;
  for (const [what, args] of callsOf(calls.good)) {
    if (calls.leavesOut?.(what) === true) {
      continue;
    }
    const label = `${calls.label}, ${what}`;
    outcomes[label] = await outcomeOf(label, () => method.apply(object, args()));
    calls.after?.();
    expect(
      memory.buffer.every((byte) => byte === FILL),
      `RAM after ${label}`,
    ).to.equal(true);
  }
}

describe("the contract of errors", function () {
  this.timeout(60_000);

  it("has every code that the sources throw in ErrorCode, and no other", () => {
    const root = join(__dirname, "../..");
    const sources = [join(root, "lib"), join(root, "native", "addon")].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        // The inspector answers requests; its codes are those of its protocol.
        .filter((name) => /\.(ts|mts|cpp|h)$/.test(name) && !name.startsWith("inspector"))
        .map((name) => readFileSync(join(folder, name), "utf8")),
    );
    const said = sources.flatMap((text) => text.match(/"ERR_[A-Z_]+"/g) ?? []);
    const codes = new Set(said.map((code) => code.slice(1, -1)));
    expect([...codes].sort()).to.deep.equal(Object.keys(ERROR_CLASSES).sort());
  });

  it("holds for every method of both paths, which agree, and RAM stays as it was", async () => {
    const outcomes: Record<string, Record<string, string>> = { view: {}, native: {} };
    for (const path of PATHS) {
      const memory = GuestMemory.allocate(SIZE);
      memory.fill(0, SIZE, FILL);
      const target = path === "view" ? memory : memory.native;
      const policies = POLICIES.map((policy) => memory.withPolicy(policy));
      const underPolicy = policies.map((access) => (path === "view" ? access : access.native));
      for (const object of [target, target.atomics, target.halves, ...underPolicy]) {
        const good = object === target.halves ? goodSplit : goodArguments;
        const names = methodsOf(object).filter(
          (name) =>
            !/^(destroy|run|prepare|mark|callGuards|checkSlots|isView|use$|end$|clear$|locate$|useFirst$|toJSON$)/.test(
              name,
            ),
        );
        expect(names.length).to.be.greaterThan(15);
        const of = object === target.halves ? "halves" : underPolicy.indexOf(object as never);
        for (const name of names) {
          const sweep = { object, name, good: good(name), memory, outcomes: outcomes[path]! };
          await callWithHostileArguments({ ...sweep, label: `${of}, ${name}` });
        }
      }
    }
    for (const [label, outcome] of Object.entries(outcomes.native!)) {
      expect(outcomes.view![label], label).to.equal(outcome);
    }
  });

  for (const policy of POLICIES) {
    it(`holds for an address space under ${nameOf(policy)}, whose paths agree`, async () => {
      const outcomes: Record<string, Record<string, string>> = { view: {}, native: {} };
      for (const path of PATHS) {
        const space = new AddressSpace(policy);
        const { memory } = space.addRam(0, 4096);
        memory.fill(0, 4096, FILL);
        const target = path === "view" ? space : space.native;
        // Not what is private to TypeScript only.
        const internal =
          path === "view"
            ? /^(clear|isView|checkSlots)$/
            : /^(clear|(tryRead|tryWrite|read)(Number)?)$/;
        for (const name of methodsOf(target).filter((method) => !internal.test(method))) {
          const good =
            { addRam: [8192, 4096], addRom: [8192, new Uint8Array(8)] }[name] ??
            { addMmio: [8192, 8, {}], watch: [{ gpa: 0, length: 1 }, () => 0] }[name] ??
            goodArguments(name);
          await callWithHostileArguments({
            object: target,
            name,
            good,
            label: name,
            memory,
            outcomes: outcomes[path]!,
            // The getter of the length of these throws.
            leavesOut: (what) => name === "watch" && /argument 1 (forged|proxy of)/.test(what),
            after: () => space.regions.slice(1).forEach((region) => space.remove(region)),
          });
        }
        for (const name of methodsOf(target.halves).filter(
          (method) => !/^(clear|locate)$/.test(method),
        )) {
          await callWithHostileArguments({
            object: target.halves,
            name,
            good: goodSplit(name),
            label: `halves.${name}`,
            memory,
            outcomes: outcomes[path]!,
          });
        }
      }
      for (const [label, outcome] of Object.entries(outcomes.native!)) {
        expect(outcomes.view![label], label).to.equal(outcome);
      }
    });
  }

  it("holds for every export that is called or constructed", async () => {
    const memory = GuestMemory.allocate(SIZE);
    const ops = new OpBuffer(1);
    const good: Record<string, unknown[]> = {
      struct: [{ a: "u8" }],
      packOps: [[]],
      decodeOpLog: [new Uint8Array(16)],
      encodeOpLog: [{ size: 8, ops }],
      randomOps: [{ seed: 1, count: 1, size: 8 }],
      exhaustiveOps: [0, 0],
      listedOps: [[]],
      lackeyOps: ["x", 8, {}],
      crosscheck: [(size: number) => GuestMemory.allocate(size), () => [ops], { size: 8 }],
      crosscheckSmall: [(size: number) => GuestMemory.allocate(size), () => () => [ops], 1],
      recheck: [(size: number) => GuestMemory.allocate(size), [], { size: 8 }],
      loadRaw: [memory, new Uint8Array(0), 0],
    };
    for (const name of Object.keys(good)) {
      const called = (api as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
      for (const [what, args] of callsOf(good[name]!)) {
        await outcomeOf(`${name}, ${what}`, () => called(...args()));
      }
    }
    const constructed: [string, new (...args: never[]) => unknown, unknown[]][] = [
      ["OpBuffer", OpBuffer, [1]],
      ["OpRecorder", OpRecorder, [memory]],
      ["TypedRegion", TypedRegion, [memory, "u8", 0, 1]],
      ["ExclusiveMonitor", ExclusiveMonitor, [memory.atomics]],
      ["StructLayout", StructLayout, [{}]],
      ["DirtyBitmap", DirtyBitmap, [8]],
    ];
    for (const [name, type, args] of constructed) {
      for (const [what, make] of callsOf(args)) {
        await outcomeOf(`${name}, ${what}`, () => new type(...(make() as never[])));
      }
    }
    const statics: [string, (...args: never[]) => unknown, unknown[]][] = [
      ["Arena.create", (...args) => Arena.create(...(args as [never])), [64]],
      ["GuestMemory.allocate", (...args) => GuestMemory.allocate(...(args as [never])), [64]],
      [
        "GuestMemory.over",
        (...args) => GuestMemory.over(...(args as [never])),
        [new Uint8Array(8)],
      ],
      ["Arena.over", (...args) => Arena.over(...(args as [never])), [new Uint8Array(8)]],
      ["GuestMemory.create", (...args) => GuestMemory.create(...(args as [never])), [0]],
      ["struct.at", (...args) => struct({ a: "u8" }).at(...(args as [never, never])), [memory, 0]],
      ["native.run", (...args) => memory.native.run(...(args as [never])), [ops]],
    ];
    for (const [name, call, args] of statics) {
      for (const [what, make] of callsOf(args)) {
        await outcomeOf(`${name}, ${what}`, () => call(...(make() as never[])));
      }
    }
    expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
  });

  it("holds for every method of an OpBuffer, also one whose bytes were detached", async () => {
    const good: Record<string, unknown[]> = {
      push: [OpKind.WRITEB, 0, 1],
      pushPacked: [new Uint8Array(24)],
      setValue: [0, 1],
      setResult: [0, 1],
    };
    const ops = new OpBuffer(4);
    for (const name of methodsOf(ops)) {
      const method = (ops as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
      for (const [what, args] of callsOf(good[name] ?? [0])) {
        ops.clear();
        ops.push(OpKind.READB, 0);
        const outcome = await outcomeOf(`${name}, ${what}`, () => method.apply(ops, args()));
        if (name.startsWith("push") && outcome !== "done") {
          expect(ops.length, `${name}, ${what}`).to.equal(1);
        }
      }
    }
    detached(ops.bytes);
    const memory = GuestMemory.allocate(8);
    for (const call of [
      () => ops.bytes,
      () => ops.kind(0),
      () => ops.op(0),
      ...(GuestMemory.hasNative ? [() => memory.native.run(ops)] : []),
      () => {
        ops.clear();
        ops.push(OpKind.READB, 0);
      },
    ]) {
      expect(await outcomeOf("detached", call)).to.equal("ERR_DESTROYED");
    }
    expect(ops.length).to.equal(0);
  });
});
