import { expect } from "chai";
import fc from "fast-check";
import {
  AddressSpace,
  type Gpa,
  GuestMemAccessResult,
  GuestMemory,
  type Op,
  OpBuffer,
  OpKind,
  packOps,
  type TryAccess,
} from "pound-guest-memory";
import {
  crosscheck,
  crosscheckSmall,
  exhaustiveOps,
  lackeyOps,
  listedOps,
  type MakeMemory,
  randomOps,
  recheck,
} from "pound-guest-memory/crosscheck";
import { BUNDLED_TRACE } from "../../lib/cli/replay.js";
import { ByteMemory } from "../support/byte-memory.js";
import { NO_MEMORY, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nameOf, POLICIES } from "../support/policies.js";
import { PATHS } from "../support/paths.js";
import { itNative } from "../support/native-tests.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
type Result = GuestMemAccessResult;
type Out = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;
type Value = number | bigint;

/** A correct RAM, in parts that a wrong model can override. */
class Model {
  readonly bytes: Uint8Array;

  constructor(readonly size: number) {
    this.bytes = new Uint8Array(size);
  }

  address(gpa: Gpa): bigint {
    return BigInt(gpa);
  }
  boundary(gpa: bigint, width: number): boolean {
    return gpa + BigInt(width) > BigInt(this.size);
  }
  unaligned(gpa: bigint, width: number): boolean {
    return gpa % BigInt(width) !== 0n;
  }
  check(gpa: bigint, width: number): Result {
    if (this.boundary(gpa, width)) {
      return FAULT_BOUNDARY;
    }
    return this.unaligned(gpa, width) ? FAULT_UNALIGNED : OK;
  }
  load(at: number, width: number): bigint {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.bytes[at + i] ?? 0);
    }
    return value;
  }
  store(at: number, width: number, value: bigint): void {
    for (let i = 0; i < width; i++) {
      this.bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }
  read(gpa: Gpa, width: number, out: Out): Result {
    const address = this.address(gpa);
    const result = this.check(address, width);
    if (result === OK) {
      const value = this.load(Number(address), width);
      out[0] = out instanceof BigUint64Array ? value : Number(value);
    }
    return result;
  }
  write(gpa: Gpa, width: number, value: bigint): Result {
    const address = this.address(gpa);
    const result = this.check(address, width);
    if (result === OK) {
      this.store(Number(address), width, value);
    }
    return result;
  }

  tryReadb = (gpa: Gpa, out: Uint8Array): Result => this.read(gpa, 1, out);
  tryReadw = (gpa: Gpa, out: Uint16Array): Result => this.read(gpa, 2, out);
  tryReadl = (gpa: Gpa, out: Uint32Array): Result => this.read(gpa, 4, out);
  tryReadq = (gpa: Gpa, out: BigUint64Array): Result => this.read(gpa, 8, out);
  tryWriteb = (gpa: Gpa, value: number): Result => this.write(gpa, 1, BigInt(value));
  tryWritew = (gpa: Gpa, value: number): Result => this.write(gpa, 2, BigInt(value));
  tryWritel = (gpa: Gpa, value: number): Result => this.write(gpa, 4, BigInt(value));
  tryWriteq = (gpa: Gpa, value: bigint): Result => this.write(gpa, 8, value);
}

/** Models with one mistake each. */
const MUTANTS: Readonly<Record<string, new (size: number) => Model>> = {
  "no alignment check": class extends Model {
    override unaligned(): boolean {
      return false;
    }
  },
  "alignment to 4 at most": class extends Model {
    override unaligned(gpa: bigint, width: number): boolean {
      return gpa % BigInt(Math.min(width, 4)) !== 0n;
    }
  },
  "alignment before boundary": class extends Model {
    override check(gpa: bigint, width: number): Result {
      return this.unaligned(gpa, width) ? FAULT_UNALIGNED : super.check(gpa, width);
    }
  },
  "boundary one too far": class extends Model {
    override boundary(gpa: bigint, width: number): boolean {
      return gpa + BigInt(width) > BigInt(this.size) + 1n;
    }
  },
  "boundary one too near": class extends Model {
    override boundary(gpa: bigint, width: number): boolean {
      return gpa + BigInt(width) >= BigInt(this.size);
    }
  },
  "boundary of the first byte only": class extends Model {
    override boundary(gpa: bigint): boolean {
      return gpa >= BigInt(this.size);
    }
  },
  "a wrapping size - width": class extends Model {
    override boundary(gpa: bigint, width: number): boolean {
      return gpa > BigInt.asUintN(64, BigInt(this.size - width));
    }
  },
  "a wrapping gpa + width": class extends Model {
    override boundary(gpa: bigint, width: number): boolean {
      return BigInt.asUintN(64, gpa + BigInt(width)) > BigInt(this.size);
    }
  },
  "addresses cut to 32 bits": class extends Model {
    override address(gpa: Gpa): bigint {
      return BigInt.asUintN(32, BigInt(gpa));
    }
  },
  "addresses cut to 53 bits": class extends Model {
    override address(gpa: Gpa): bigint {
      return BigInt.asUintN(53, BigInt(gpa));
    }
  },
  "big-endian reads": class extends Model {
    override load(at: number, width: number): bigint {
      return [...this.bytes.subarray(at, at + width)].reduce((v, b) => (v << 8n) | BigInt(b), 0n);
    }
  },
  "big-endian throughout": class extends Model {
    override load(at: number, width: number): bigint {
      return [...this.bytes.subarray(at, at + width)].reduce((v, b) => (v << 8n) | BigInt(b), 0n);
    }
    override store(at: number, width: number, value: bigint): void {
      for (let i = 0; i < width; i++) {
        this.bytes[at + width - 1 - i] = Number((value >> BigInt(8 * i)) & 0xffn);
      }
    }
  },
  "reads signed at 8 bits": class extends Model {
    override load(at: number, width: number): bigint {
      return width === 2 ? BigInt.asIntN(8, super.load(at, 1)) : super.load(at, width);
    }
  },
  "writes on a fault of alignment": class extends Model {
    override write(gpa: Gpa, width: number, value: bigint): Result {
      const result = super.write(gpa, width, value);
      if (result === FAULT_UNALIGNED) {
        this.store(Number(gpa), width, value);
      }
      return result;
    }
  },
  "writes the part that fits": class extends Model {
    override write(gpa: Gpa, width: number, value: bigint): Result {
      const result = super.write(gpa, width, value);
      if (result === FAULT_BOUNDARY && gpa < this.size) {
        this.store(Number(gpa), width, value);
      }
      return result;
    }
  },
  "out written on a fault": class extends Model {
    override read(gpa: Gpa, width: number, out: Out): Result {
      const result = super.read(gpa, width, out);
      if (result !== OK) {
        out.fill(0 as never);
      }
      return result;
    }
  },
  "64-bit values cut to 53 bits": class extends Model {
    override store(at: number, width: number, value: bigint): void {
      super.store(at, width, width === 8 ? BigInt(Number(value)) : value);
    }
  },
  "a byte too many stored": class extends Model {
    override store(at: number, width: number, value: bigint): void {
      super.store(at, width, value);
      if (width === 4 && at + 4 < this.size) {
        this.bytes[at + 4] = 0x55;
      }
    }
  },
  "an exception for a fault": class extends Model {
    override check(gpa: bigint, width: number): Result {
      const result = super.check(gpa, width);
      if (result === FAULT_BOUNDARY) {
        throw new RangeError("offset is out of bounds");
      }
      return result;
    }
  },
  "reads that change RAM": class extends Model {
    override load(at: number, width: number): bigint {
      const value = super.load(at, width);
      this.bytes[at] = 0;
      return value;
    }
  },
};

const view: MakeMemory = (size) => GuestMemory.allocate(size);

describe("crosscheck", () => {
  it("finds no difference in the view path", async () => {
    for (const seed of [1, 2, 3]) {
      const size = 65_536 + seed;
      const result = await crosscheck(view, randomOps({ seed, count: 50_000, size }), { size });
      expect(result.difference?.report).to.equal(undefined);
      expect(result.operations).to.equal(50_000);
      expect(result.faults[FAULT_BOUNDARY]).to.be.above(1000);
      expect(result.faults[FAULT_UNALIGNED]).to.be.above(1000);
    }
  });

  it("finds none in any RAM of 0 to 64 bytes, whatever the address and width", async () => {
    const result = await crosscheckSmall(view, (size) => exhaustiveOps(size));
    expect(result.difference?.report).to.equal(undefined);
    // 16 operations at each address of each RAM and of the 16 bytes after it.
    expect(result.operations).to.equal(16 * ((64 * 65) / 2 + 16 * 65));
  });

  it("finds none on the accesses of a real program", async () => {
    const size = 1024 * 1024;
    const result = await crosscheck(view, lackeyOps(BUNDLED_TRACE, size), { size });
    expect(result).to.deep.equal({ operations: 640_022, faults: [0, 0, 0, 0], difference: null });
  });

  it("agrees with a third implementation, whichever is the reference", async () => {
    const reference: MakeMemory = (size) => new ByteMemory(size);
    const source = randomOps({ seed: 9, count: 20_000, size: 5000 });
    const result = await crosscheck(view, source, { size: 5000, reference });
    expect(result.difference?.report).to.equal(undefined);
    const other = await crosscheck(reference, source, { size: 5000 });
    expect(other.difference?.report).to.equal(undefined);
  });

  for (const policy of POLICIES) {
    const { alignment, endian } = policy;

    it(`finds no difference under ${alignment}, ${endian}`, async () => {
      const subject: MakeMemory = (bytes, given) => GuestMemory.allocate(bytes).withPolicy(given);
      const model: MakeMemory = (bytes, given) => new ByteMemory(bytes, given);
      const size = 40_005;
      const source = randomOps({ seed: 3, count: 30_000, size });
      for (const result of [
        await crosscheck(subject, source, { size, policy }),
        await crosscheck(subject, source, { size, policy, reference: model }),
        await crosscheck(model, source, { size, policy }),
        await crosscheckSmall(subject, (bytes) => exhaustiveOps(bytes), 24, policy),
      ]) {
        expect(result.difference?.report).to.equal(undefined);
        expect(result.faults[FAULT_BOUNDARY]).to.be.above(1000);
        const unaligned = result.faults[FAULT_UNALIGNED];
        expect(unaligned! > 1000).to.equal(alignment === "fault");
      }
    });

    for (const path of PATHS) {
      it(`finds none in an address space, ${path} path, under ${nameOf(policy)}`, async () => {
        const subject: MakeMemory = (bytes, given) => {
          const space = new AddressSpace({ ...given, pageSize: 256 });
          // An unaligned access to two windows is another fault than one to flat RAM.
          const part = alignment === "allow" ? 4096 : bytes;
          for (let gpa = 0; gpa < bytes; gpa += part) {
            space.addRam(gpa, Math.min(part, bytes - gpa));
          }
          return path === "view" ? space : space.native;
        };
        const size = 40_005;
        for (const result of [
          await crosscheck(subject, randomOps({ seed: 5, count: 30_000, size }), { size, policy }),
          await crosscheckSmall(subject, (bytes) => exhaustiveOps(bytes), 24, policy),
        ]) {
          expect(result.difference?.report).to.equal(undefined);
          expect(result.faults[FAULT_BOUNDARY]).to.be.above(1000);
        }
      });
    }

    it(`finds the difference of every other policy from ${alignment}, ${endian}`, async () => {
      for (const other of POLICIES.filter((one) => one !== policy)) {
        const subject: MakeMemory = (bytes) => GuestMemory.allocate(bytes).withPolicy(other);
        const source = randomOps({ seed: 1, count: 2000, size: 4096 });
        const { difference } = await crosscheck(subject, source, { size: 4096, policy });
        expect(difference!.ops).to.have.length.within(1, 2);
        const named = `(alignment ${alignment}, endian ${endian})`;
        expect(difference!.report.includes(named)).to.equal(policy !== POLICIES[0]);
      }
    });
  }

  it("catches a model that stores a signed value wrongly", async () => {
    for (const [method, fits] of [
      ["tryWriteb", 8],
      ["tryWritew", 16],
      ["tryWritel", 32],
      ["tryWriteq", 64],
    ] as const) {
      const make: MakeMemory = (size) => {
        const model = new ByteMemory(size);
        const write = model[method].bind(model) as (gpa: Gpa, value: Value) => Result;
        const wrong = (gpa: Gpa, value: Value): Result =>
          write(gpa, value < 0 ? (typeof value === "bigint" ? 0n : 0) : value);
        return Object.assign(model, { [method]: wrong });
      };
      const source = randomOps({ seed: 2, count: 4000, size: 256 });
      const { difference } = await crosscheck(make, source, { size: 256 });
      const [first] = difference!.ops;
      expect(difference!.report).to.match(new RegExp(`${method}\\(0x[0-9a-f]+, -0x`));
      expect(BigInt.asIntN(fits, first!.value) < 0n).to.equal(true);
    }
  });

  for (const [name, Mutant] of Object.entries(MUTANTS)) {
    it(`catches ${name}, and shrinks it to three operations or fewer`, async () => {
      const make: MakeMemory = (size) => new Mutant(size);
      const random = await crosscheck(make, randomOps({ seed: 1, count: 40_000, size: 4096 }), {
        size: 4096,
        label: "seed 1",
      });
      const difference =
        random.difference ??
        (await crosscheckSmall(make, (size) => exhaustiveOps(size))).difference;
      expect(difference, "a difference").to.not.equal(null);
      const { ops, report } = difference!;
      expect(ops.length, report).to.be.within(1, 3);
      expect(report).to.match(/memory\.try(Read|Write)[bwlq]\(0x/);
      const size = Number(/RAM of (\d+) bytes/.exec(report)![1]);
      const again = await recheck(make, ops, { size });
      expect(again.difference).to.not.equal(null);
      expect((await recheck(view, ops, { size })).difference).to.equal(null);
    });
  }

  it("reports the operations, both outcomes and the bytes", async () => {
    const make: MakeMemory = (size) => new MUTANTS["big-endian throughout"]!(size);
    const ops: Op[] = [
      { kind: OpKind.WRITEL, gpa: 0n, value: 5n },
      { kind: OpKind.WRITEW, gpa: 8n, value: 0x1234n },
      { kind: OpKind.READB, gpa: 8n, value: 0n },
    ];
    const { difference } = await crosscheck(make, listedOps(ops), { size: 32, label: "a list" });
    expect(difference?.index).to.equal(2);
    expect(difference?.ops.length).to.equal(2);
    expect(difference?.report).to.contain("operation 2 of a list, on RAM of 32 bytes");
    expect(difference?.report).to.match(/tryWrite[wl]\(0x\d, 0x/);
    expect(difference?.report).to.contain("reference  OK");
    expect(difference?.expectedBytes).to.not.deep.equal(difference?.actualBytes);
  });

  it("gives the same operations for the same seed, and others for another", () => {
    const bytes = (seed: number): string =>
      [...(randomOps({ seed, count: 5000, size: 999 })() as Iterable<OpBuffer>)]
        .map((batch) => Buffer.from(batch.bytes).toString("hex"))
        .join("");
    expect(bytes(5)).to.equal(bytes(5));
    expect(bytes(5)).to.not.equal(bytes(6));
  });
});

describe("memory.native.run", () => {
  const op = fc.record({
    kind: fc.constantFrom(...Object.values(OpKind)),
    gpa: fc.oneof(fc.bigInt(0n, 80n), fc.bigInt(0n, 2n ** 64n - 1n)),
    value: fc.bigInt(0n, 2n ** 64n - 1n),
  });

  it("has the same effect as single calls", () => {
    fc.assert(
      fc.property(fc.array(op), (ops) => {
        const single: TryAccess = new Model(64);
        const memory = GuestMemory.allocate(64);
        const packed = packOps(ops);
        const expected = ops.map(({ kind, gpa, value }) => {
          const width = 1 << (kind & 3);
          const out = new BigUint64Array(1);
          const model = single as Model;
          const cut = BigInt.asUintN(8 * width, value);
          const result = kind < 4 ? model.read(gpa, width, out) : model.write(gpa, width, cut);
          return [result, kind < 4 && result === OK ? out[0]! : value];
        });
        const faults = memory.native.run(packed);
        expect(ops.map((_, i) => [packed.result(i), packed.value(i)])).to.deep.equal(expected);
        expect(faults).to.equal(expected.filter(([result]) => result !== OK).length);
        expect(memory.buffer.equals((single as Model).bytes)).to.equal(true);
        memory.destroy();
      }),
    );
  });

  it("returns ERROR_INTERNAL for every operation once the RAM is destroyed", () => {
    const memory = GuestMemory.allocate(64);
    const ops = packOps([{ kind: OpKind.READB, gpa: 0n, value: 7n }]);
    memory.destroy();
    expect(memory.native.run(ops)).to.equal(1);
    expect([ops.result(0), ops.value(0)]).to.deep.equal([3, 7n]);
  });

  itNative("refuses anything but a buffer of operations, and unknown kinds", () => {
    const memory = GuestMemory.allocate(64);
    for (const bad of [undefined, null, new Uint8Array(24), {}] as unknown as OpBuffer[]) {
      expect(() => memory.native.run(bad))
        .to.throw(TypeError)
        .with.property("code", "ERR_INVALID_ARG_TYPE");
    }
    const ops = new OpBuffer(2);
    for (const bad of [8, -1, 1.5, NaN] as unknown as OpKind[]) {
      expect(thrown(() => ops.push(bad, 0, 1))).to.deep.equal(OUT_OF_RANGE);
    }
    for (const bad of ["0", null, Symbol("0")] as unknown as OpKind[]) {
      expect(thrown(() => ops.push(bad, 0, 1))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => ops.push(OpKind.WRITEB, bad))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => ops.push(OpKind.WRITEB, 0, bad))).to.deep.equal(WRONG_TYPE);
    }
    for (const bad of [-1, 0.5, 2 ** 53]) {
      expect(thrown(() => ops.push(OpKind.WRITEB, bad))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(ops.length).to.equal(0);
    for (const index of [0, -1, 0.5, NaN]) {
      expect(thrown(() => ops.op(index))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => new OpBuffer(2 ** 40))).to.deep.equal(NO_MEMORY);
    ops.push(OpKind.WRITEB, 0, 1);
    ops.push(OpKind.READB, 0);
    expect(() => {
      ops.push(OpKind.READB, 0);
    }).to.throw(RangeError);
  });

  it("returns ERROR_INTERNAL for unknown kinds written to the bytes of a buffer", () => {
    const memory = GuestMemory.allocate(64);
    for (let kind = 8; kind < 256; kind++) {
      const ops = packOps([
        { kind: OpKind.WRITEB, gpa: 0n, value: 0xffn },
        { kind: OpKind.WRITEB, gpa: 1n, value: 0x77n },
        { kind: OpKind.READB, gpa: 1n, value: 5n },
      ]);
      ops.bytes[16] = kind;
      expect(memory.native.run(ops)).to.equal(1);
      expect([0, 1, 2].map((i) => ops.result(i))).to.deep.equal([3, 0, 0]);
      expect([ops.value(0), ops.value(2)]).to.deep.equal([0xffn, 0x77n]);
      expect(memory.readb(0)).to.equal(0);
    }
  });
});

describe("cross-checks with invalid arguments", () => {
  const make = (size: number): GuestMemory => GuestMemory.allocate(size);

  it("are refused with a code", async () => {
    const none = undefined as never;
    expect(thrown(() => randomOps(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => randomOps({ seed: 1, count: 1, size: "x" as never }))).to.deep.equal(
      WRONG_TYPE,
    );
    expect(thrown(() => packOps(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => listedOps([{}] as never))).to.deep.equal(WRONG_TYPE);
    for (const call of [
      () => crosscheck(make, exhaustiveOps(1), none),
      () => crosscheck(none, exhaustiveOps(1), { size: 1 }),
      () => crosscheck(make, none, { size: 1 }),
      () => crosscheck(make, (() => 5) as never, { size: 1 }),
      () => crosscheck(make, () => [5] as never, { size: 1 }),
      () => crosscheck((() => ({})) as never, exhaustiveOps(1), { size: 1 }),
      () => crosscheck(make, exhaustiveOps(1), { size: 1, reference: (() => null) as never }),
    ]) {
      const error = await call().catch((reason: unknown) => reason);
      expect(error).to.include(WRONG_TYPE);
    }
  });
});

describe("a crosscheck of the accessors with halves", () => {
  const SIZE = 4096;
  type Form = (...args: never[]) => number;

  /** A correct memory, of which one accessor is replaced. */
  function wrong(path: string, replace: (right: Form) => Form): MakeMemory {
    return (size) => {
      const memory = GuestMemory.allocate(size);
      const names = ["Readb", "Readw", "Readl", "Readq", "Writeb", "Writew", "Writel", "Writeq"];
      const bound = (object: object, more: readonly string[]): Record<string, Form> =>
        Object.fromEntries(
          [...names, ...more].map((name) => [
            `try${name}`,
            (object as Record<string, Form>)[`try${name}`]!.bind(object),
          ]),
        );
      const whole = bound(memory, ["ReadqHalves", "WriteqHalves"]);
      const halves = bound(memory.halves, []);
      const [owner, name] = path.startsWith("halves.")
        ? [halves, path.slice("halves.".length)]
        : [whole, path];
      owner[name] = replace(owner[name]!);
      return { ...whole, halves } as unknown as TryAccess;
    };
  }

  const swap: (right: Form) => Form = (right) => (gpa, out: Uint32Array, at) => {
    const result = (right as (...args: unknown[]) => number)(gpa, out, at);
    out.subarray(at, (at as number) + 2).reverse();
    return result;
  };
  const faults: Record<string, (right: Form) => Form> = {
    tryReadqHalves: swap,
    tryWriteqHalves: (right) => (gpa, low) => right(gpa, low, 0 as never),
    "halves.tryReadq":
      (right) =>
      (low, high, ...rest) =>
        right(low, (high & 0xffff) as never, ...rest),
    "halves.tryReadl":
      (right) =>
      (low, high, ...rest) =>
        right(low, (high & 0xffff) as never, ...rest),
    "halves.tryReadb": () => () => OK,
    "halves.tryWriteb": () => () => OK,
    "halves.tryWritew": (right) => (low, high, value) => right(low, high, (value ^ 1) as never),
    "halves.tryWritel": (right) => (low, high, value) =>
      right(low, (high % 2 ** 21) as never, value),
    "halves.tryWriteq":
      (right) =>
      (low, high, ...value) =>
        right(low, high, ...(value.reverse() as [never, never])),
  };

  for (const [path, replace] of Object.entries(faults)) {
    it(`finds a wrong ${path}`, async () => {
      const source = randomOps({ seed: 7, count: 60_000, size: SIZE });
      const { difference } = await crosscheck(wrong(path, replace), source, { size: SIZE });
      expect(difference).to.not.equal(null);
      expect(difference!.ops.length).to.be.lessThan(4);
    });
  }

  it("finds nothing in either path, and in a memory without them", async () => {
    const source = randomOps({ seed: 8, count: 60_000, size: SIZE });
    const subjects: MakeMemory[] = [
      (size) => GuestMemory.allocate(size),
      (size) => GuestMemory.allocate(size).native,
      wrong("tryReadb", (right) => right),
    ];
    for (const subject of subjects) {
      expect((await crosscheck(subject, source, { size: SIZE })).difference).to.equal(null);
    }
  });

  it("refuses halves that are no accessors", async () => {
    const source = listedOps([]);
    for (const extra of [{ halves: 5 }, { halves: {} }, { tryReadqHalves: 5 }]) {
      const subject: MakeMemory = (size, policy) => ({
        ...wrong("tryReadb", (right) => right)(size, policy),
        ...(extra as object),
      });
      const error = await crosscheck(subject, source, { size: 8 }).catch((e: unknown) => e);
      expect(error).to.have.property("code", "ERR_INVALID_ARG_TYPE");
    }
  });
});
