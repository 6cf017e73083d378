import { AddressSpace } from "pound-guest-memory";
import type { GdbArchitecture, GdbCpu, GdbStop } from "pound-guest-memory/gdb";

/** The instructions of a {@link ToyCpu}. Each is a byte at an address that is a multiple of 4. */
export const Toy = {
  NOP: 0,
  /** Increments r0. */
  INC: 1,
  /** Stores the 4 low bytes of r0 at r1. */
  STORE: 2,
  /** Loads 4 bytes at r1 into r0. */
  LOAD: 3,
  /** Jumps to r2. */
  JUMP: 4,
  /** Ends the guest with the status r0. */
  EXIT: 5,
  /** Fails as a defect of the emulator does. */
  FAIL: 6,
  /** Stops with SIGILL. */
  ILLEGAL: 7,
} as const;

const PC = 4;

/** r0 to r3 and pc, of 64 bits, and flags of 8 bits. */
export const TOY_ARCHITECTURE: GdbArchitecture = {
  name: "toy",
  features: [
    {
      name: "toy.core",
      registers: [
        ...[0, 1, 2, 3].map((i) => ({ name: `r${i}`, bits: 64 })),
        { name: "pc", bits: 64, type: "code_ptr" },
      ],
    },
    { name: "toy.flags", registers: [{ name: "flags", bits: 8 }] },
  ],
  pc: "pc",
};

/** A CPU of few instructions. */
export class ToyCpu implements GdbCpu {
  readonly registers = [0n, 0n, 0n, 0n, 0n, 0n];

  constructor(private readonly space: Pick<AddressSpace, "readb" | "readl" | "writel">) {}

  get pc(): bigint {
    return this.registers[PC]!;
  }

  set pc(value: bigint) {
    this.registers[PC] = value;
  }

  readRegister(number: number): bigint {
    return this.registers[number]!;
  }

  writeRegister(number: number, value: bigint): void {
    this.registers[number] = value;
  }

  run(limit: number, breakpoints: ReadonlySet<bigint>): GdbStop | undefined {
    for (let left = limit; left > 0; left--) {
      if (left < limit && breakpoints.has(this.pc)) {
        break;
      }
      const stop = this.step();
      if (stop !== undefined) {
        return stop;
      }
    }
    return undefined;
  }

  private step(): GdbStop | undefined {
    const { registers, space } = this;
    let next = this.pc + 4n;
    switch (space.readb(this.pc)) {
      case Toy.INC:
        registers[0]!++;
        break;
      case Toy.STORE:
        space.writel(registers[1]!, Number(registers[0]! & 0xffff_ffffn));
        break;
      case Toy.LOAD:
        registers[0] = BigInt(space.readl(registers[1]!));
        break;
      case Toy.JUMP:
        next = registers[2]!;
        break;
      case Toy.EXIT:
        return { exited: Number(registers[0]) };
      case Toy.FAIL:
        throw new Error("the toy broke");
      case Toy.ILLEGAL:
        return { signal: 4 };
    }
    this.pc = next;
    return undefined;
  }
}

/** RAM at 0x1000 with a program, ROM at 0x8000, and a device at 0x9000 that counts its reads. */
export class ToyMachine {
  readonly space = new AddressSpace();
  readonly cpus: ToyCpu[];
  deviceReads = 0;
  deviceValue = 0;

  constructor(program: readonly number[], cpus = 1) {
    this.space.addRam(0x1000, 0x2000);
    this.space.addRom(0x8000, Uint8Array.of(1, 2, 3, 4));
    this.space.addMmio(0x9000, 0x10, {
      readl: () => {
        this.deviceReads++;
        return 0x11223344;
      },
      writel: (_offset, value) => void (this.deviceValue = value),
    });
    program.forEach((instruction, i) => this.space.writeb(0x1000 + 4 * i, instruction));
    this.cpus = Array.from({ length: cpus }, () => new ToyCpu(this.space));
    this.cpus.forEach((cpu) => (cpu.pc = 0x1000n));
  }
}
