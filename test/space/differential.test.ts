import { expect } from "chai";
import fc from "fast-check";
import {
  type AccessFault,
  AddressSpace,
  type AddressSpaceOptions,
  BUS_ERROR,
  type Gpa,
  type GuestAccessors,
  type GuestAtomicAccess,
  GuestMemory,
  GuestMemoryFault,
  type MmioDevice,
  type MmioImplementation,
  OpBuffer,
  OpKind,
  type Operation,
  type RamRegion,
  type Region,
  type Watchpoint,
} from "pound-guest-memory";
import { ATOMICS, runAtomic } from "../support/atomic-ops.js";
import {
  type ModelHoles,
  type ModelPolicy,
  type ModelRegion,
  registerValue,
  SpaceModel,
} from "../support/space-model.js";
import { splitting } from "../support/halves.js";
import { WIDTHS, WIDTHS_AND_HALVES } from "../support/widths.js";

const PAGE = 4096;
const SLOTS = 8;

/** Base addresses of the slots: zero, and near each limit of an address representation. */
const BASES = [
  0n,
  2n ** 31n - 4n * 4096n,
  2n ** 32n - 4n * 4096n,
  2n ** 33n,
  2n ** 53n - 4n * 4096n,
  2n ** 64n - 8n * 4096n,
];

type Kinds = Operation | "access";

/** How an address is passed: numbers only up to 2^53 - 1, otherwise bigints. */
type AddressForm = "number" | "bigint" | "halves";

type Change = "unmap" | "end" | "track" | "untrack" | "drain";

/** RAM, ROM, or ROM with a handler for writes. */
type Kind = "ram" | "rom" | "trap";

/** What the listener of faults does: map RAM at the address, or nothing, before a retry. */
type OnFault = "none" | "map" | "retry" | "ignore";

/** The options of the spaces of one history. */
interface Settings {
  readonly holes: ModelHoles;
  readonly onFault: OnFault;
  readonly policy: ModelPolicy;
}

/** One step of a history. Addresses are offsets in the slots. */
type Step =
  | { do: "map"; kind: Kind; slot: number; size: number; track: boolean }
  | { do: "mirror"; kind: "ram" | "rom"; which: number; slot: number; track: boolean }
  | {
      do: "device";
      slot: number;
      delta: number;
      size: number;
      handlers: readonly string[];
      impl: MmioImplementation;
      refused: number;
    }
  | { do: Change; which: number }
  | { do: "watch"; at: number; length: number; kinds: Kinds; act: Change | null; which: number }
  | { do: "unwatch"; which: number }
  | {
      do: "read" | "write";
      at: number;
      width: number;
      value: bigint;
      as: AddressForm;
      throwing: boolean;
    }
  | { do: "atomic"; op: number; at: number; width: number; a: bigint; b: bigint; try: boolean }
  | { do: "direct"; how: Direct; which: number; offset: number }
  | { do: "bulkRead" | "bulkWrite" | "fill"; at: number; length: number; try: boolean }
  | { do: "copy"; at: number; to: number; length: number; try: boolean }
  | { do: "readVector" | "writeVector"; ranges: Place[]; try: boolean }
  | { do: "peek" | "poke"; at: number; length: number };

interface Place {
  readonly at: number;
  readonly length: number;
}

/** The ways to write to memory without the space. */
const DIRECT = ["writeb", "bulk", "fill", "copy", "atomic", "run"] as const;
type Direct = (typeof DIRECT)[number];

// Mostly near page boundaries, where the cases differ, and sometimes anywhere.
const place = fc
  .oneof(
    { weight: 4, arbitrary: fc.tuple(fc.nat(SLOTS), fc.integer({ min: -9, max: 9 })) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(SLOTS - 1), fc.nat(PAGE - 1)) },
  )
  .map(([slot, delta]) => slot * PAGE + delta);
const slot = fc.nat(SLOTS - 1);
const size = fc.oneof(fc.constantFrom(PAGE, 2 * PAGE, 3 * PAGE), fc.integer({ min: 1, max: 9000 }));
const kinds = fc.constantFrom<Kinds>("read", "write", "access");
const ALL_HANDLERS = [
  "read",
  "write",
  ...[1, 2, 4, 8].flatMap((width) => [`read${width}`, `write${width}`]),
];
const impl = fc
  .record({
    widths: fc.tuple(fc.nat(3), fc.nat(3)),
    narrowWrites: fc.constantFrom(undefined, "shift" as const, "replicate", "merge"),
  })
  .map(({ widths, narrowWrites }): MmioImplementation => {
    const [min, max] = widths.sort((a, b) => a - b).map((log2) => WIDTHS[log2]!.bytes);
    return { min: min!, max: max!, ...(narrowWrites !== undefined && { narrowWrites }) };
  });
const access = fc.record({
  do: fc.constantFrom("read" as const, "write" as const),
  at: place,
  width: fc.nat(WIDTHS_AND_HALVES.length - 1),
  value: fc.bigInt(0n, 2n ** 64n - 1n),
  as: fc.constantFrom<AddressForm>("number", "bigint", "halves"),
  throwing: fc.boolean(),
});
const bulkLength = fc.oneof(fc.nat(20), fc.nat(3 * PAGE));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: access },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("map" as const),
      kind: fc.constantFrom<Kind>("ram", "ram", "rom", "trap"),
      slot,
      size,
      track: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("device" as const),
      slot,
      delta: fc.oneof(fc.constant(0), fc.nat(9)),
      size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(PAGE)),
      handlers: fc.oneof(fc.subarray(ALL_HANDLERS), fc.constant(["read", "write"])),
      impl: fc.oneof(fc.constant({}), impl),
      refused: fc.oneof(fc.constant(-1), fc.nat(16)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("unmap" as const, "track" as const, "untrack" as const, "drain" as const),
      which: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("watch" as const),
      at: place,
      length: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 3 * PAGE })),
      kinds,
      act: fc.option(fc.constantFrom<Change>("unmap", "end", "track", "untrack"), { freq: 3 }),
      which: fc.nat(9),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("mirror" as const),
      kind: fc.constantFrom("ram" as const, "ram" as const, "rom" as const),
      which: fc.nat(9),
      slot,
      track: fc.boolean(),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant("atomic" as const),
      op: fc.nat(ATOMICS.length - 1),
      at: place,
      width: fc.nat(WIDTHS_AND_HALVES.length - 1),
      // Few different values, so that some compare-and-exchanges succeed.
      a: fc.oneof(fc.constant(0n), fc.bigInt(0n, 2n ** 64n - 1n)),
      b: fc.bigInt(0n, 2n ** 64n - 1n),
      try: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("direct" as const),
      how: fc.constantFrom(...DIRECT),
      which: fc.nat(9),
      offset: fc.oneof(fc.nat(8), fc.nat(3 * PAGE)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unwatch" as const), which: fc.nat(9) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("bulkRead" as const, "bulkWrite" as const, "fill" as const),
      at: place,
      length: bulkLength,
      try: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("readVector" as const, "writeVector" as const),
      ranges: fc.array(fc.record({ at: place, length: bulkLength }), { maxLength: 4 }),
      try: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("peek" as const, "poke" as const),
      at: place,
      length: bulkLength,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("copy" as const),
      at: place,
      to: place,
      length: bulkLength,
      try: fc.boolean(),
    }),
  },
);

function makeDevice(
  { handlers, impl, refused }: Extract<Step, { do: "device" }>,
  log: string[],
): MmioDevice {
  const device: Record<string, unknown> = { impl };
  const answer = (offset: number, bytes: number): unknown => {
    const value = registerValue(offset, bytes);
    return offset === refused ? BUS_ERROR : bytes === 8 ? value : Number(value);
  };
  for (const { suffix, bytes } of WIDTHS) {
    if (handlers.includes(`read${bytes}`)) {
      device[`read${suffix}`] = (offset: number) => {
        log.push(`read${bytes} ${offset}`);
        return answer(offset, bytes);
      };
    }
    if (handlers.includes(`write${bytes}`)) {
      device[`write${suffix}`] = (offset: number, value: number | bigint) => {
        log.push(`write${bytes} ${offset} ${value}`);
        return offset === refused ? BUS_ERROR : value;
      };
    }
  }
  if (handlers.includes("read")) {
    device.read = (offset: number, width: number) => {
      log.push(`read ${offset} ${width}`);
      return answer(offset, width);
    };
  }
  if (handlers.includes("write")) {
    device.write = (offset: number, value: number | bigint, width: number) => {
      log.push(`write ${offset} ${value} ${width}`);
      return offset === refused ? BUS_ERROR : value;
    };
  }
  return device;
}

function spaceOptions(
  { holes, policy }: Settings,
  log: string[],
  onFault: ((fault: AccessFault) => "retry" | undefined) | null,
): AddressSpaceOptions {
  const unmapped: Record<ModelHoles, AddressSpaceOptions["unmapped"]> = {
    fault: {},
    value: { read: -1, write: "ignore" },
    handlers: {
      read: (gpa, width) => {
        log.push(`read hole ${gpa} ${width}`);
        const value = registerValue(Number(BigInt(gpa) % 64n), width);
        return width === 8 ? value : Number(value);
      },
      write: (gpa, value, width) => log.push(`write hole ${gpa} ${width} ${value}`),
    },
  };
  return { unmapped: unmapped[holes]!, ...policy, ...(onFault !== null && { onFault }) };
}

/** An address space accessed by one path, with a log of the calls of its devices and listeners. */
class Subject {
  readonly space: AddressSpace;
  readonly access: GuestAccessors;
  /** The accessors with addresses in halves. */
  readonly halves: GuestAccessors;
  readonly atomics: GuestAtomicAccess;
  readonly log: string[] = [];
  readonly regions: Region[] = [];
  readonly watches: Watchpoint[] = [];

  constructor(
    readonly path: "view" | "native",
    settings: Settings,
  ) {
    const { onFault } = settings;
    const listener = (fault: AccessFault): "retry" | undefined => {
      this.log.push(describeFault(fault));
      if (onFault === "map") {
        this.#mapPage(BigInt(fault.gpa));
      }
      return onFault === "ignore" ? undefined : "retry";
    };
    const options = spaceOptions(settings, this.log, onFault === "none" ? null : listener);
    this.space = new AddressSpace(options);
    this.access = path === "view" ? this.space : this.space.native;
    this.halves = splitting(path === "view" ? this.space.halves : this.space.native.halves);
    this.atomics = path === "view" ? this.space.atomics : this.space.native.atomics;
  }

  /** Maps RAM at the page of an address, unless its page is not free. */
  #mapPage(gpa: bigint): void {
    try {
      this.regions.push(this.space.addRam(gpa - (gpa % BigInt(PAGE)), PAGE));
    } catch (error) {
      expect(error).to.be.instanceOf(RangeError);
    }
  }

  watch(id: number, gpa: bigint, length: bigint, kinds: Kinds, act: () => void): void {
    const listener = this.space.watch({ gpa, length, kinds }, ({ gpa, width, kind, value }) => {
      this.log.push(`watch ${id}: ${kind} ${width} at ${gpa}: ${value}`);
      act();
    });
    this.watches.push(listener);
  }

  /** Writes to memory without the space, in one of the ways. */
  direct(how: Direct, { memory }: RamRegion, offset: number): unknown {
    const [access, atomics] =
      this.path === "view" ? [memory, memory.atomics] : [memory.native, memory.native.atomics];
    const run = (): number => {
      const ops = new OpBuffer(2);
      ops.push(OpKind.READB, offset);
      ops.push(OpKind.WRITEB, offset, 0x77);
      memory.native.run(ops);
      return ops.result(1);
    };
    const ways: Record<Direct, () => unknown> = {
      writeb: () => access.writeb(offset, 0x77),
      bulk: () => memory.write(offset, Uint8Array.of(0x77)),
      fill: () => memory.fill(offset, 1, 0x77),
      copy: () => memory.copy(offset, offset, 1),
      atomic: () => atomics.storeb(offset, 0x77),
      run,
    };
    return outcome(ways[how]) ?? 0;
  }

  takeLog(): string[] {
    return this.log.splice(0);
  }
}

function describeFault(fault: {
  result: number;
  gpa: Gpa;
  width: number;
  operation: Operation;
  reason: string;
}): string {
  const { result, gpa, width, operation, reason } = fault;
  return `fault ${result} of ${operation} of ${width} at ${gpa}: ${reason}`;
}

/** The value of an action, or the result code of its fault. */
function outcome(action: () => unknown, space?: AddressSpace): unknown {
  try {
    return action();
  } catch (error) {
    if (error instanceof GuestMemoryFault) {
      if (space !== undefined) {
        expect(describeFault(error)).to.equal(describeFault(space.lastFault!));
      }
      return error.result;
    }
    throw error;
  }
}

/** The bytes that a read has copied, or its result code; then it must not have copied any. */
function readBy(length: number, read: (target: Uint8Array) => number): number[] | number {
  const target = new Uint8Array(length).fill(0x5a);
  const result = read(target);
  if (result !== 0) {
    expect(target.every((byte) => byte === 0x5a)).to.equal(true);
    return result;
  }
  return [...target];
}

/** The longest runs of null. */
function runsOfNull(bytes: readonly (number | null)[]): { offset: number; length: number }[] {
  const runs: { offset: number; length: number }[] = [];
  bytes.forEach((byte, i) => {
    if (byte === null && i > 0 && bytes[i - 1] === null) {
      runs.at(-1)!.length++;
    } else if (byte === null) {
      runs.push({ offset: i, length: 1 });
    }
  });
  return runs;
}

/** Changes the map of a subject, or the memory of a region. */
function changeSubject(
  what: Change,
  which: number,
  { space, regions }: Subject,
  drained: readonly number[] | null,
): void {
  const region = regions[which % regions.length];
  if (region === undefined) {
    return;
  }
  if (what === "unmap") {
    regions.splice(which % regions.length, 1);
    space.remove(region);
  } else if (what === "end" && region.kind !== "mmio") {
    region.memory.destroy();
  } else if (what === "track" && region.kind === "ram") {
    region.startTracking();
  } else if (what === "untrack" && region.kind === "ram") {
    region.stopTracking();
  } else if (what === "drain" && region.kind === "ram") {
    expect(region.dirty === null ? null : [...region.dirty.drain()]).to.deep.equal(drained);
  }
}

/** Runs a history on the model and on both paths, and compares them after each step. */
class History {
  readonly #model: SpaceModel;
  readonly #subjects: readonly [Subject, Subject];
  #watched = 0;

  constructor(
    readonly base: bigint,
    settings: Settings,
  ) {
    const { holes, onFault, policy } = settings;
    this.#model = new SpaceModel(
      holes,
      onFault === "none"
        ? null
        : (fault) => {
            this.#model.log.push(describeFault(fault));
            if (onFault === "map") {
              this.#mapPage(fault.gpa);
            }
            return onFault !== "ignore";
          },
      policy,
    );
    this.#subjects = [new Subject("view", settings), new Subject("native", settings)];
  }

  #mapPage(at: bigint): void {
    const gpa = at - (at % BigInt(PAGE));
    if (!this.#model.overlaps(gpa, PAGE)) {
      const memory = { bytes: new Uint8Array(PAGE), dirty: null, ended: false };
      this.#model.regions.push({ kind: "ram", gpa, trapped: false, device: null, memory });
    }
  }

  run(steps: readonly Step[]): void {
    for (const step of steps) {
      const before = this.#mapped();
      const generations = this.#subjects.map(({ space }) => space.generation);
      this.#run(step);
      if (this.#mapped() !== before) {
        this.#subjects.forEach(({ space }, i) =>
          expect(space.generation).to.be.above(generations[i]!),
        );
      }
      for (const subject of this.#subjects) {
        expect(subject.takeLog(), `log of the ${subject.path} path`).to.deep.equal(this.#model.log);
        const { lastFault } = subject.space;
        expect(lastFault && describeFault(lastFault), `fault on the ${subject.path} path`).to.equal(
          this.#model.lastFault && describeFault(this.#model.lastFault),
        );
      }
      this.#model.log = [];
    }
    for (const { regions, path } of this.#subjects) {
      this.#model.regions.forEach((expected, i) => this.#compare(expected, regions[i]!, path));
    }
  }

  /** All that `generation` must reflect, as text. */
  #mapped(): string {
    const { regions, watches } = this.#model;
    const memories = new Set(regions.map(({ memory }) => memory));
    const map = regions.map(({ gpa, kind, memory }) => [
      `${gpa} ${kind} ${memory.ended} ${memory.dirty !== null}`,
      [...memories].indexOf(memory),
    ]);
    return JSON.stringify([map, watches.map(({ id }) => id)]);
  }

  #compare(expected: ModelRegion, region: Region, path: string): void {
    if (region.kind === "mmio" || expected.memory.ended) {
      return;
    }
    const same = region.memory.compare(0, expected.memory.bytes) === 0;
    expect(same, `bytes of ${region.name} on the ${path} path`).to.equal(true);
    if (region.kind === "ram") {
      const pages = region.dirty === null ? null : [...region.dirty.peek()];
      expect(pages).to.deep.equal(
        expected.memory.dirty === null ? null : [...expected.memory.dirty].sort((a, b) => a - b),
      );
    }
  }

  /** The address of an offset; undefined if it exceeds 2^64 - 1. */
  #gpa(at: number): bigint | undefined {
    const gpa = this.base + BigInt(at);
    return gpa >= 0n && gpa < 2n ** 64n ? gpa : undefined;
  }

  /** The address as a number, unless it exceeds 2^53 - 1 or a bigint is requested. */
  #given(gpa: bigint, big: boolean): Gpa {
    return big || gpa > Number.MAX_SAFE_INTEGER ? gpa : Number(gpa);
  }

  #run(step: Step): void {
    switch (step.do) {
      case "map":
      case "device": {
        this.#map(step);
        return;
      }
      case "mirror": {
        this.#mirror(step);
        return;
      }
      case "atomic": {
        this.#atomic(step);
        return;
      }
      case "direct": {
        this.#direct(step);
        return;
      }
      case "watch": {
        this.#watch(step);
        return;
      }
      case "unwatch": {
        this.#unwatch(step.which);
        return;
      }
      case "read":
      case "write": {
        this.#access(step);
        return;
      }
      case "readVector":
      case "writeVector": {
        this.#vector(step);
        return;
      }
      case "peek":
      case "poke": {
        this.#debug(step);
        return;
      }
      case "copy":
      case "bulkRead":
      case "bulkWrite":
      case "fill": {
        this.#bulk(step);
        return;
      }
      default: {
        this.#change(step);
        return;
      }
    }
  }

  #map(step: Extract<Step, { do: "map" | "device" }>): void {
    let gpa = this.base + BigInt(step.slot * PAGE);
    let { size } = step;
    if (step.do === "device") {
      // Multiples of the narrowest register.
      const { min = 1 } = step.impl;
      gpa += BigInt(step.delta - (step.delta % min));
      size = Math.ceil(size / min) * min;
    }
    size = Math.min(size, Number(2n ** 64n - gpa));
    const kind = step.do === "device" ? "mmio" : step.kind === "trap" ? "rom" : step.kind;
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 37 + 11) & 0xff);
    const track = step.do === "map" && step.track;
    const trapped = step.do === "map" && step.kind === "trap";
    const add = ({ space, log }: Subject): Region => {
      if (step.do === "device") {
        return space.addMmio(gpa, size, makeDevice(step, log));
      }
      if (trapped) {
        return space.addRom(gpa, bytes, {
          onWrite: (offset, value, width) => {
            log.push(`trap ${offset} ${width} ${value}`);
            return offset % 16 === 8 ? BUS_ERROR : value;
          },
        });
      }
      if (kind === "rom") {
        return space.addRom(gpa, bytes);
      }
      const memory = GuestMemory.allocate(size);
      memory.write(0, bytes);
      return space.addRam(gpa, memory, { trackDirty: track });
    };
    const device = step.do === "device" ? { ...step, handlers: new Set(step.handlers) } : null;
    const dirty = kind === "ram" && track ? new Set<number>() : null;
    this.#add({ kind, gpa, trapped, device, memory: { bytes, dirty, ended: false } }, add);
  }

  /** Maps the memory of an existing region again. */
  #mirror(step: Extract<Step, { do: "mirror" }>): void {
    const index = step.which % this.#model.regions.length;
    const original = this.#model.regions[index];
    const gpa = this.base + BigInt(step.slot * PAGE);
    if (original === undefined || original.kind === "mmio") {
      return;
    }
    const { memory } = original;
    const { kind, track } = step;
    const mapped = this.#add(
      { kind, gpa, trapped: false, device: null, memory },
      ({ space, regions }) => {
        const region = regions[index] as RamRegion;
        return kind === "rom"
          ? space.addRom(gpa, region.memory)
          : space.addRam(gpa, region.memory, { trackDirty: track });
      },
    );
    if (mapped && kind === "ram" && track) {
      memory.dirty ??= new Set();
    }
  }

  /** Maps a region; if it does not fit, expects an error and no change. */
  #add(region: ModelRegion, add: (subject: Subject) => Region): boolean {
    const size = region.memory.bytes.length;
    const fits = !this.#model.overlaps(region.gpa, size) && region.gpa + BigInt(size) <= 2n ** 64n;
    if (!fits) {
      for (const subject of this.#subjects) {
        expect(() => add(subject)).to.throw(RangeError);
      }
      return false;
    }
    for (const subject of this.#subjects) {
      subject.regions.push(add(subject));
    }
    this.#model.regions.push(region);
    return true;
  }

  #change({ do: what, which }: { do: Change; which: number }): void {
    const drained = what === "drain" ? this.#dirtyPages(which) : null;
    this.#changeModel(what, which);
    for (const subject of this.#subjects) {
      changeSubject(what, which, subject, drained);
    }
  }

  #dirtyPages(which: number): number[] | null {
    const dirty = this.#model.regions[which % this.#model.regions.length]?.memory.dirty;
    return dirty == null ? null : [...dirty].sort((a, b) => a - b);
  }

  #changeModel(what: Change, which: number): void {
    const { regions } = this.#model;
    const region = regions[which % regions.length];
    if (region === undefined) {
      return;
    }
    const { kind, memory } = region;
    if (what === "unmap") {
      regions.splice(which % regions.length, 1);
    } else if (what === "end" && kind !== "mmio") {
      memory.ended = true;
    } else if (what === "track" && kind === "ram") {
      memory.dirty ??= new Set();
    } else if (what === "untrack" && kind === "ram") {
      memory.dirty = null;
    } else if (what === "drain" && kind === "ram") {
      memory.dirty?.clear();
    }
  }

  #watch({ at, length, kinds, act, which }: Extract<Step, { do: "watch" }>): void {
    const gpa = this.#gpa(at);
    if (gpa !== undefined && gpa + BigInt(length) <= 2n ** 64n) {
      const id = this.#watched++;
      this.#model.watches.push({
        id,
        gpa,
        length: BigInt(length),
        kinds,
        act: () => act !== null && this.#changeModel(act, which),
      });
      for (const subject of this.#subjects) {
        subject.watch(
          id,
          gpa,
          BigInt(length),
          kinds,
          () => act !== null && changeSubject(act, which, subject, null),
        );
      }
    }
  }

  #atomic(step: Extract<Step, { do: "atomic" }>): void {
    const gpa = this.#gpa(step.at);
    if (gpa === undefined) {
      return;
    }
    const op = ATOMICS[step.op]!;
    const width = WIDTHS_AND_HALVES[step.width]!;
    const mask = 2n ** BigInt(8 * width.bytes) - 1n;
    const [a, b] = [step.a & mask, step.b & mask];
    const change = (old: bigint) =>
      op.name === "CompareExchange" && old !== a ? null : op.change(old, a, b) & mask;
    const { result, old } = this.#model.atomic(
      gpa,
      width.bytes,
      op.name === "Load" ? null : change,
      op.name === "Store" || op.name === "Exchange" ? a : undefined,
      op.name !== "Store",
    );
    const expected = { result, old: result !== 0 || op.name === "Store" ? null : old };
    for (const { atomics, path } of this.#subjects) {
      const form = step.try ? "try" : "value";
      const given = this.#given(gpa, step.b % 2n === 0n);
      const actual = runAtomic(atomics, { op, width }, form, given, [a, b]);
      expect(actual, `${op.name} of ${width.bytes} at ${gpa}, ${path}`).to.deep.equal(expected);
    }
  }

  #direct({ how, which, offset }: Extract<Step, { do: "direct" }>): void {
    const index = which % this.#model.regions.length;
    const region = this.#model.regions[index];
    if (region === undefined || region.kind === "mmio") {
      return;
    }
    const bytes = how === "copy" ? [region.memory.bytes[offset] ?? 0] : [0x77];
    const expected = this.#model.direct(region, offset, bytes);
    for (const subject of this.#subjects) {
      const actual = subject.direct(how, subject.regions[index] as RamRegion, offset);
      expect(actual, `${how} of memory at ${offset}, ${subject.path}`).to.equal(expected);
    }
  }

  #unwatch(which: number): void {
    const count = this.#model.watches.length;
    if (count > 0) {
      this.#model.watches.splice(which % count, 1);
      for (const { watches } of this.#subjects) {
        watches.splice(which % count, 1)[0]!.remove();
      }
    }
  }

  #access(step: Extract<Step, { do: "read" | "write" }>): void {
    const gpa = this.#gpa(step.at);
    if (gpa === undefined) {
      return;
    }
    const width = WIDTHS_AND_HALVES[step.width]!;
    const given = this.#given(gpa, step.as === "bigint");
    const value = step.value & (2n ** BigInt(8 * width.bytes) - 1n);
    const at = `${step.do}${width.suffix} at ${gpa} as ${step.as}`;
    const accesses = this.#subjects.map(({ access, halves, path, space }) => ({
      access: step.as === "halves" ? halves : access,
      path,
      space,
    }));
    if (step.do === "write") {
      const result = this.#model.write(gpa, width.bytes, value);
      for (const { access, path, space } of accesses) {
        const actual = step.throwing
          ? (outcome(() => width.write(access, given, value), space) ?? 0)
          : width.tryWrite(access, given, value);
        expect(actual, `${at}, ${path}`).to.equal(result);
      }
      return;
    }
    const { result, value: expected } = this.#model.read(gpa, width.bytes);
    for (const { access, path, space } of accesses) {
      if (step.throwing) {
        const actual = outcome(() => BigInt(width.read(access, given)), space);
        expect(actual, `${at}, ${path}`).to.equal(result === 0 ? expected : result);
      } else {
        const out = width.out(0x5an);
        expect(width.tryRead(access, given, out), `${at}, ${path}`).to.equal(result);
        expect(BigInt(out[0]!), `${at}, ${path}`).to.equal(result === 0 ? expected : 0x5an);
      }
    }
  }

  #bulk(step: Extract<Step, { do: "bulkRead" | "bulkWrite" | "fill" | "copy" }>): void {
    const gpa = this.#gpa(step.at);
    const to = step.do === "copy" ? this.#gpa(step.to) : gpa;
    if (gpa === undefined || to === undefined) {
      return;
    }
    const { length } = step;
    const given = this.#given(gpa, length % 2 === 0);
    const bytes = Array.from({ length }, (_, i) => (step.do === "fill" ? 0x3c : (i * 11) & 0xff));
    const run: Record<typeof step.do, (space: AddressSpace) => unknown> = {
      bulkRead: (space) =>
        step.try
          ? readBy(length, (target) => space.tryReadInto(given, target))
          : [...space.read(given, length)],
      bulkWrite: (space) => space[step.try ? "tryWrite" : "write"](given, Uint8Array.from(bytes)),
      fill: (space) => space[step.try ? "tryFill" : "fill"](given, length, 0x3c),
      copy: (space) => space[step.try ? "tryCopy" : "copy"](to, given, length),
    };
    let expected: unknown;
    if (step.do === "bulkRead") {
      expected = this.#model.bulkRead(gpa, length);
    } else if (step.do === "copy") {
      expected = this.#model.bulkCopy(to, gpa, length);
    } else {
      expected = this.#model.bulkWrite(gpa, bytes);
    }
    for (const { space, path } of this.#subjects) {
      const actual = outcome(() => run[step.do](space), space) ?? 0;
      expect(actual, `${step.do} of ${length} at ${gpa}, ${path}`).to.deep.equal(expected);
    }
  }

  #vector(step: Extract<Step, { do: "readVector" | "writeVector" }>): void {
    const ranges = step.ranges.flatMap(({ at, length }) => {
      const gpa = this.#gpa(at);
      return gpa === undefined ? [] : [{ gpa, length }];
    });
    const given = ranges.map(({ gpa, length }) => ({
      gpa: this.#given(gpa, length % 2 === 0),
      length: length % 3 === 0 ? BigInt(length) : length,
    }));
    const total = ranges.reduce((sum, { length }) => sum + length, 0);
    const bytes = Array.from({ length: total }, (_, i) => (i * 13 + 5) & 0xff);
    const expected =
      step.do === "readVector"
        ? this.#model.readVector(ranges)
        : this.#model.writeVector(ranges, bytes);
    const run = (space: AddressSpace): unknown => {
      if (step.do === "readVector") {
        return readBy(total, (target) =>
          step.try ? space.tryReadVector(given, target) : (space.readVector(given, target), 0),
        );
      }
      return space[step.try ? "tryWriteVector" : "writeVector"](given, Uint8Array.from(bytes));
    };
    for (const { space, path } of this.#subjects) {
      const actual = outcome(() => run(space), space) ?? 0;
      expect(actual, `${step.do} of ${total}, ${path}`).to.deep.equal(expected);
    }
  }

  #debug({ do: what, at, length }: Extract<Step, { do: "peek" | "poke" }>): void {
    const gpa = this.#gpa(at);
    if (gpa === undefined) {
      return;
    }
    const seen = this.#model.peek(gpa, length);
    const bytes = seen.map((_, i) => (i * 17 + 3) & 0xff);
    if (what === "poke") {
      this.#model.poke(gpa, bytes);
    }
    for (const { space, path } of this.#subjects) {
      const view = Uint8Array.from(what === "peek" ? seen.map(() => 0x5a) : bytes);
      const missing = space[what](this.#given(gpa, length % 2 === 0), view);
      expect(missing, `${what} of ${length} at ${gpa}, ${path}`).to.deep.equal(runsOfNull(seen));
      if (what === "peek") {
        expect([...view]).to.deep.equal(seen.map((byte) => byte ?? 0x5a));
      }
    }
  }
}

describe("the two paths of an address space and a plain model", () => {
  for (const alignment of ["fault", "allow"] as const) {
    for (const endian of ["little", "big"] as const) {
      it(`agree on everything under alignment ${alignment}, endian ${endian}`, function () {
        this.timeout(240_000);
        const settings = fc.record<Settings>({
          holes: fc.constantFrom<ModelHoles>("fault", "value", "handlers"),
          onFault: fc.constantFrom<OnFault>("none", "none", "map", "retry", "ignore"),
          policy: fc.constant({ alignment, endian }),
        });
        fc.assert(
          fc.property(
            fc.constantFrom(...BASES),
            settings,
            fc.array(step, { minLength: 10, maxLength: 120, size: "max" }),
            (base, chosen, steps) => new History(base, chosen).run(steps),
          ),
          { numRuns: 200 },
        );
      }).timeout(60_000);
    }
  }
});
