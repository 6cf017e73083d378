import { expect } from "chai";
import fc from "fast-check";
import {
  type Access,
  AddressSpace,
  type AddressSpaceOptions,
  GuestMemAccessResult,
  GuestMemory,
  type Region,
} from "pound-guest-memory";
import {
  Mmu,
  type NativeMmuAccess,
  type Translation,
  type TranslationKind,
} from "pound-guest-memory/mmu";
import { splitting } from "../support/halves.js";
import { PATHS } from "../support/paths.js";
import { type Out, WIDTHS_AND_HALVES, type WidthCase } from "../support/widths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;
const PAGE = 4096;
/** Pages of the physical map: RAM that is the home buffer, other RAM, and room for ROM. */
const PAGES = 16;
const OTHER = 8;

/** The first virtual pages: two that conflict in a table of 16 entries, and far ones. */
const BASES = [0n, 16n * 4096n, 2n ** 31n - 4096n, -(2n ** 31n), 2n ** 53n - 8192n, 2n ** 62n];

type Form = "number" | "bigint" | "halves";

type Step =
  | { do: "map"; base: number; page: number; to: number; access: Access; large: boolean }
  | { do: "flush"; base: number; page: number }
  | { do: "select"; mode: number; asid: number }
  | { do: "flushAsid"; asid: number }
  | { do: "rom" | "unmap" | "bank" | "watch" | "unwatch" | "guard" | "track"; at: number }
  | {
      do: TranslationKind;
      base: number;
      offset: number;
      width: number;
      value: bigint;
      form: Form;
    };

const small = (max: number) => fc.integer({ min: 0, max });
const base = small(BASES.length - 1);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("map" as const),
      base,
      page: small(2),
      to: small(PAGES + 1),
      access: fc.constantFrom<Access>("r", "rw", "rwx", "rx", "wx", ""),
      large: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({ do: fc.constant("flush" as const), base, page: small(2) }),
      fc.record({ do: fc.constant("select" as const), mode: small(1), asid: small(1) }),
      fc.record({ do: fc.constant("flushAsid" as const), asid: small(1) }),
      fc.record({
        do: fc.constantFrom(
          "rom" as const,
          "unmap" as const,
          "bank" as const,
          "watch" as const,
          "unwatch" as const,
          "guard" as const,
          "track" as const,
        ),
        at: small(PAGES - 1),
      }),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("read" as const, "write" as const, "fetch" as const),
      base,
      offset: fc.oneof(
        small(2 * PAGE),
        fc.constantFrom(PAGE - 4, PAGE - 1, PAGE + 8, 2 * PAGE - 2),
      ),
      width: small(WIDTHS_AND_HALVES.length - 1),
      value: fc.bigInt(0n, 2n ** 64n - 1n),
      form: fc.constantFrom<Form>("number", "bigint", "halves"),
    }),
  },
);

/** A physical machine, of which there are two: one with an MMU, one that the model accesses. */
class Machine {
  readonly space: AddressSpace;
  readonly events: unknown[] = [];
  readonly #ram;
  readonly #bank = GuestMemory.allocate(OTHER * PAGE);
  #added: Region[] = [];
  #watches: { remove(): void }[] = [];

  constructor(options: AddressSpaceOptions) {
    this.space = new AddressSpace(options);
    this.#ram = this.space.addRam(0, OTHER * PAGE);
    this.space.addRam(OTHER * PAGE, (PAGES - OTHER - 1) * PAGE, { access: "rwx" });
    this.space.addMmio((PAGES - 1) * PAGE, PAGE, {
      readl: (offset) => {
        this.events.push(["device read", offset]);
        return offset;
      },
      writel: (offset, value) => void this.events.push(["device write", offset, value]),
    });
  }

  change(what: string, at: number): void {
    const gpa = at * PAGE;
    switch (what) {
      case "rom":
        if (this.#added.length < 3) {
          const priority = 1 + this.#added.length;
          this.#added.push(this.space.addRom(gpa, new Uint8Array(PAGE).fill(at), { priority }));
        }
        break;
      case "unmap":
        if (this.#added.length > 0) {
          this.space.remove(this.#added.pop()!);
        }
        break;
      case "bank":
        this.#ram.select(0, at % 2 === 0 ? this.#ram.memory : this.#bank);
        break;
      case "watch":
        this.#watches.push(
          this.space.watch(
            { gpa: gpa + 8, length: 100, kinds: "access" },
            ({ kind, gpa, value }) => {
              this.events.push([kind, gpa, value]);
            },
          ),
        );
        break;
      case "unwatch":
        this.#watches.pop()?.remove();
        break;
      case "guard":
        this.space.guardCode(gpa, 8, ({ gpa, length, cause }) => {
          this.events.push(["guard", gpa, length, cause]);
        });
        break;
      default:
        this.#ram.startTracking();
    }
  }

  /** All bytes of RAM, and the dirty pages since the last call. */
  state(): unknown {
    const bytes = new Uint8Array(PAGES * PAGE);
    this.space.peek(0, bytes);
    return [Buffer.from(bytes).toString("latin1"), [...(this.#ram.dirty?.drain() ?? [])]];
  }
}

/** What an access does: its result, the value that it reads, and the reason of a fault. */
type Effect = [result: GuestMemAccessResult, value: unknown, reason: unknown];

/** An access of one kind by one of the forms of address. */
function run(
  mmu: Mmu,
  path: Mmu | NativeMmuAccess,
  step: Step & { do: TranslationKind },
  width: WidthCase,
  va: bigint,
): Effect {
  const isExact = va < 2n ** 53n && va > -(2n ** 53n);
  const as = step.form === "number" && !isExact ? "bigint" : step.form;
  const address = as === "number" ? Number(va) : as === "bigint" ? va : BigInt.asUintN(64, va);
  const access = as === "halves" ? splitting(path.halves) : path;
  const out = width.out(0n);
  let result: GuestMemAccessResult;
  if (step.do === "write") {
    result = width.tryWrite(access, address, BigInt.asUintN(8 * width.bytes, step.value));
  } else if (step.do === "read") {
    result = width.tryRead(access, address, out);
  } else {
    const whole = as === "halves" ? va : address;
    result =
      width.bytes === 1
        ? path.tryFetchb(whole, out as Uint8Array)
        : width.bytes === 2
          ? path.tryFetchw(whole, out as Uint16Array)
          : path.tryFetchl(whole, out as Uint32Array);
  }
  return [result, out[0], result === OK ? null : mmu.lastFault!.reason];
}

/** The same access by the model, which looks each byte up in the pages. */
class Model {
  /** By virtual page, the translation of the page or superpage that has it. */
  readonly pages = new Map<bigint, { from: bigint; to: Translation }>();

  constructor(
    private readonly machine: Machine,
    private readonly alignment: "fault" | "allow",
  ) {}

  translate(va: bigint, kind: TranslationKind, mode: number): number | undefined {
    const found = this.pages.get(va >> 12n);
    const right = { read: "r", write: "w", fetch: "x" }[kind];
    if (
      found === undefined ||
      !found.to.access.includes(right) ||
      (mode === 1 && kind === "write")
    ) {
      return undefined;
    }
    return Number(found.to.gpa) + Number(va - found.from);
  }

  run(step: Step & { do: TranslationKind }, width: WidthCase, va: bigint, mode: number): Effect {
    const { space } = this.machine;
    const { bytes } = width;
    const out = width.out(0n);
    const refused: Effect = [FAULT_BOUNDARY, 0, "translation"];
    const first = this.translate(va, step.do, mode);
    const crosses = Number(BigInt.asUintN(12, va)) + bytes > PAGE;
    const second = crosses ? this.translate(((va >> 12n) + 1n) << 12n, step.do, mode) : 0;
    const room = PAGE - Number(BigInt.asUintN(12, va));
    const none = bytes === 8 ? 0n : 0;
    if (first === undefined || second === undefined) {
      return [refused[0], none, refused[2]];
    }
    if (crosses && this.alignment === "fault") {
      return [FAULT_UNALIGNED, none, "alignment"];
    }
    if (crosses && second !== first + room) {
      return this.#runAcross(step, out, bytes, [first, second], room);
    }
    const result =
      step.do === "write"
        ? width.tryWrite(space, first, BigInt.asUintN(8 * bytes, step.value))
        : width.tryRead(space, first, out);
    return [result, out[0], result === OK ? null : space.lastFault!.reason];
  }

  #runAcross(
    step: Step & { do: TranslationKind },
    out: Out,
    bytes: number,
    [first, second]: [number, number],
    room: number,
  ): Effect {
    const { space } = this.machine;
    const ranges = [
      { gpa: first, length: room },
      { gpa: second, length: bytes - room },
    ];
    const data = Buffer.alloc(8);
    data.writeBigUInt64LE(BigInt.asUintN(8 * bytes, step.value));
    let result: GuestMemAccessResult = OK;
    if (step.do === "write") {
      result = space.tryWriteVector(ranges, data.subarray(0, bytes));
    } else if (step.do === "read") {
      result = space.tryReadVector(ranges, data.subarray(0, bytes));
    } else {
      for (let i = 0; i < bytes && result === OK; i++) {
        const byte = new Uint8Array(1);
        result = space.tryReadb(i < room ? first + i : second + i - room, byte);
        data[i] = byte[0]!;
      }
    }
    const value = BigInt.asUintN(8 * bytes, data.readBigUInt64LE());
    if (result === OK && step.do !== "write") {
      out[0] = bytes === 8 ? value : Number(value);
    }
    return [result, out[0], result === OK ? null : space.lastFault!.reason];
  }
}

/** Which path makes the accesses: one of them, or both by turns, since they share the TLB. */
type Path = "view" | "native" | "both";

function check(alignment: "fault" | "allow", path: Path, steps: readonly Step[]): void {
  const options: AddressSpaceOptions = { alignment };
  const machine = new Machine(options);
  const reference = new Machine(options);
  const model = new Model(reference, alignment);
  const mmu = new Mmu(machine.space, {
    entries: 16,
    walk: (va, kind, mode) => {
      const found = model.pages.get(BigInt(va) >> 12n);
      const refused = found === undefined || (mode === 1 && kind === "write");
      // In mode 1, no page is writable.
      return refused
        ? { fault: kind }
        : {
            ...found.to,
            access: (mode === 1 ? found.to.access.replace("w", "") : found.to.access) as Access,
          };
    },
  });
  let turn = 0;
  for (const step of steps) {
    switch (step.do) {
      case "map": {
        // A superpage has two pages, and starts at an even one.
        const size = step.large ? 2 * PAGE : PAGE;
        const page = (BASES[step.base]! >> 12n) + BigInt(step.page);
        const start = step.large ? page & -2n : page;
        const gpa = (step.large ? step.to & -2 : step.to) * PAGE;
        for (let i = 0n; i < BigInt(size / PAGE); i++) {
          const before = model.pages.get(start + i);
          model.pages.set(start + i, {
            from: start << 12n,
            to: { gpa, size, access: step.access },
          });
          if (before !== undefined) {
            mmu.flushPage((start + i) << 12n);
          }
        }
        break;
      }
      case "flush":
        mmu.flushPage(BASES[step.base]! + BigInt(step.page * PAGE));
        break;
      case "select":
        mmu.select(step.mode, step.asid);
        break;
      case "flushAsid":
        mmu.flushAsid(step.asid);
        break;
      case "read":
      case "write":
      case "fetch": {
        const found = WIDTHS_AND_HALVES[step.width]!;
        const isNative = path === "both" ? turn++ % 2 === 1 : path === "native";
        const width = step.do === "fetch" && found.bytes === 8 ? WIDTHS_AND_HALVES[2]! : found;
        const va = BASES[step.base]! + BigInt(step.offset);
        const effect = run(mmu, isNative ? mmu.native : mmu, step, width, va);
        expect(effect).to.deep.equal(model.run(step, width, va, mmu.mode));
        break;
      }
      default:
        machine.change(step.do, step.at);
        reference.change(step.do, step.at);
    }
    expect(machine.events).to.deep.equal(reference.events);
  }
  expect(machine.state()).to.deep.equal(reference.state());
}

describe("an MMU beside a model without a TLB", () => {
  for (const alignment of ["fault", "allow"] as const) {
    for (const path of [...PATHS, ...(PATHS.length > 1 ? (["both"] as const) : [])]) {
      it(`makes the same accesses under changes of all kinds, alignment "${alignment}", ${path}`, () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
            check(alignment, path, steps);
          }),
          { numRuns: 200 },
        );
      });
    }
  }
});
