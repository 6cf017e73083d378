import { expect } from "chai";
import fc from "fast-check";
import type { RP2040 } from "rp2040js" with { "resolution-mode": "import" };
import type * as Load from "../../examples/rp2040/load.mjs";
import type * as Space from "../../examples/rp2040/space-rp2040.mjs";

/** Instructions between two comparisons of the machines. */
const BLOCK = 20_000;
const FLASH = 0x1000_0000;
const SRAM = 0x2000_0000;
const SRAM_SIZE = 264 * 1024;
const DPRAM = 0x5010_0000;

/** What guest/program.c sends to UART0. There are 0x234 primes below 4096. */
const OUTPUT = `crc of flash e241a9ae
primes 00000234
all rounds 395bece9
ticks 00000046
alarms 00000005
interrupts 50a89c53
sent by DMA
dma 586eec73
devices 1280ae27
`;

/** What is compared of two machines between instructions. */
function stateOf({ core, clock }: RP2040): object {
  const { cycles, xPSR, waiting, pendingInterrupts, enabledInterrupts } = core;
  return {
    registers: [...core.registers],
    cycles,
    xPSR,
    waiting,
    pendingInterrupts,
    enabledInterrupts,
    nanoseconds: clock.nanos,
  };
}

function expectSameMemories(machine: RP2040, own: RP2040): void {
  for (const name of ["bootrom", "sram", "flash", "usbDPRAM"] as const) {
    const [bytes, expected] = [machine[name], own[name]].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength),
    );
    expect(bytes!.equals(expected!), name).to.be.true;
  }
}

/** Makes a machine log into an array instead of to the console, and go on after errors. */
function logOf(machine: RP2040): string[] {
  const log: string[] = [];
  const add = (component: string, message: string) => void log.push(`${component}: ${message}`);
  machine.logger = { debug: add, info: add, warn: add, error: add };
  return log;
}

/** Makes a machine record what its USB controller learns of writes, instead of acting on them. */
function updatesOf(machine: RP2040): number[][] {
  const updates: number[][] = [];
  machine.usbCtrl.DPRAMUpdated = (offset, value) => void updates.push([offset, value >>> 0]);
  return updates;
}

interface Access {
  readonly address: number;
  readonly width: 1 | 2 | 4;
  /** Null for a read. */
  readonly value: number | null;
}

/** Makes an access, and returns the value of a read and null for a write. */
function make(machine: RP2040, { address, width, value }: Access): number | null {
  if (value === null) {
    const read = { 1: "readUint8", 2: "readUint16", 4: "readUint32" } as const;
    return machine[read[width]](address) >>> 0;
  }
  const write = { 1: "writeUint8", 2: "writeUint16", 4: "writeUint32" } as const;
  machine[write[width]](address, value);
  return null;
}

/** The bytes around the edges of the memories and mirrors, some registers, and holes. */
const EDGES = [
  0,
  0x4000, // the end of the boot ROM
  FLASH,
  FLASH + 0x100_0000, // the mirrors
  FLASH + 0x200_0000,
  FLASH + 0x300_0000,
  FLASH + 0x400_0000,
  SRAM,
  SRAM + 0x1000,
  SRAM + SRAM_SIZE,
  0x4003_4000, // UART0, with its aliases
  0x4003_5000,
  0x4003_6000,
  0x4003_7000,
  0x4003_8000,
  0x4005_0014, // PWM
  0x4005_800c, // the scratch registers of the watchdog
  0x4005_a00c,
  0x4800_0000, // a hole
  DPRAM,
  DPRAM + 0x80, // buffer controls
  DPRAM + 0x1000,
  0xd000_0020, // GPIO of SIO
  0xd000_0060, // the divider of SIO
  0xd000_0100, // spinlocks of SIO
  0xe000_0000,
  0xe000_e010, // SysTick
  0xe000_ed08,
  0xe000_f000,
  2 ** 32, // wraps
  2 ** 32 + SRAM,
];

const anAccess: fc.Arbitrary<Access> = fc.record({
  address: fc
    .tuple(fc.constantFrom(...EDGES), fc.integer({ min: -9, max: 16 }))
    .map(([edge, offset]) => Math.max(0, edge + offset)),
  width: fc.constantFrom(1, 2, 4),
  value: fc.oneof(fc.constant(null), fc.nat(0xffff_ffff)),
});

describe("rp2040js on an address space", () => {
  let OwnRP2040: typeof RP2040;
  let SpaceRP2040: typeof Space.SpaceRP2040;
  let load: typeof Load.load;
  let step: typeof Load.step;

  before(async () => {
    ({ RP2040: OwnRP2040 } = await import("rp2040js"));
    ({ SpaceRP2040 } = await import("../../examples/rp2040/space-rp2040.mjs"));
    ({ load, step } = await import("../../examples/rp2040/load.mjs"));
  });

  // SIO warns on the console instead of in the log of the machine.
  const { warn } = console;
  beforeEach(() => {
    console.warn = () => undefined;
  });
  afterEach(() => {
    console.warn = warn;
  });

  it("runs a program as it does on its own arrays: output, registers, cycles and memory", () => {
    const machines = [new SpaceRP2040(), new OwnRP2040()] as const;
    const sent: [string, string] = ["", ""];
    let running = true;
    for (const i of [0, 1] as const) {
      load(machines[i], 1);
      machines[i].uart[0]!.onByte = (byte) => (sent[i] += String.fromCharCode(byte));
    }
    const [machine, own] = machines;
    own.onBreak = () => (running = false);
    while (running) {
      let steps = 0;
      for (; steps < BLOCK && running; steps++) {
        step(own);
      }
      for (; steps > 0; steps--) {
        step(machine);
      }
      expect(stateOf(machine)).to.deep.equal(stateOf(own));
    }
    expectSameMemories(machine, own);
    expect(sent).to.deep.equal([OUTPUT, OUTPUT]);
  });

  it("makes each access as RP2040 does, unaligned ones and those to holes too", () => {
    fc.assert(
      fc.property(fc.array(anAccess, { minLength: 1, maxLength: 100 }), (accesses) => {
        const machine = new SpaceRP2040();
        const own = new OwnRP2040();
        const [log, ownLog] = [logOf(machine), logOf(own)];
        const [updates, ownUpdates] = [updatesOf(machine), updatesOf(own)];
        for (const access of accesses) {
          expect(make(machine, access)).to.equal(make(own, access));
          if (access.width < 4 && access.value !== null) {
            // RP2040 reads the word first, and logs that too.
            log.length = ownLog.length = 0;
          }
        }
        expect(log).to.deep.equal(ownLog);
        expect(updates).to.deep.equal(ownUpdates);
        expectSameMemories(machine, own);
      }),
      { numRuns: 25 },
    );
  });

  it("has the same bytes in its arrays, the address space and the mirrors of the flash", () => {
    const machine = new SpaceRP2040();
    machine.flash[0x1234] = 0x5a;
    machine.sram[0x40] = 0x11;
    machine.bootrom[1] = 0x89ab_cdef;
    for (const mirror of [0, 1, 2, 3]) {
      expect(machine.readUint8(FLASH + mirror * 0x100_0000 + 0x1234)).to.equal(0x5a);
    }
    expect(machine.space.readw(SRAM + 0x40)).to.equal(0x11);
    expect(machine.space.native.readl(4)).to.equal(0x89ab_cdef);
    machine.space.writel(SRAM + 0x40, 0x0102_0304);
    expect(machine.sramView.getUint32(0x40, true)).to.equal(0x0102_0304);
  });
});
