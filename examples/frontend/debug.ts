import { type GdbCpu, GdbServer, type GdbStop, riscvArchitecture } from "pound-guest-memory/gdb";
import { Cpu } from "./cpu/cpu.js";
import { Machine } from "./machine.js";

/** The control and status registers that gdb shows, with their numbers. */
const CSRS = {
  mstatus: 0x300,
  mie: 0x304,
  mtvec: 0x305,
  mscratch: 0x340,
  mepc: 0x341,
  mcause: 0x342,
  mtval: 0x343,
  mip: 0x344,
  mcycle: 0xb00,
} as const;
const CSR_NUMBERS = Object.values(CSRS);
export const CSR_NAMES = Object.keys(CSRS);

/** The number of `pc` in `riscvArchitecture`. The control and status registers follow it. */
const PC = 32;

const NO_BREAKPOINTS: ReadonlySet<bigint> = new Set();

/** The hart of a machine, as the server uses it. */
export class DebuggedHart implements GdbCpu {
  readonly name = "hart 0";
  readonly translate?: NonNullable<GdbCpu["translate"]>;

  constructor(
    private readonly machine: Pick<Machine, "status">,
    private readonly cpu: Cpu,
  ) {
    const { probe } = cpu;
    if (probe !== null) {
      this.translate = probe;
    }
  }

  readRegister(number: number): bigint {
    return number < PC
      ? this.cpu.register(number)
      : number === PC
        ? this.cpu.pc
        : this.cpu.csrs.read(CSR_NUMBERS[number - PC - 1]!)!;
  }

  writeRegister(number: number, value: bigint): void {
    if (number < PC) {
      this.cpu.setRegister(number, value);
    } else if (number === PC) {
      this.cpu.pc = value;
    } else {
      this.cpu.csrs.write(CSR_NUMBERS[number - PC - 1]!, value);
    }
  }

  run(limit: number, breakpoints: ReadonlySet<bigint>): GdbStop | undefined {
    const { cpu, machine } = this;
    const isSlice = limit > 1 && breakpoints.size > 0;
    // A breakpoint at the first instruction does not count.
    cpu.setBreakpoints(NO_BREAKPOINTS);
    cpu.run(isSlice ? 1 : limit);
    if (isSlice) {
      cpu.setBreakpoints(breakpoints);
      cpu.run(limit - 1);
    }
    return machine.status !== null ? { exited: machine.status } : undefined;
  }
}

/** A hart that executes its instructions one by one, so that its pc is right in each access. */
export class SteppedHart extends DebuggedHart {
  override run(limit: number, breakpoints: ReadonlySet<bigint>): GdbStop | undefined {
    let stop = super.run(1, breakpoints);
    for (let left = limit - 1; left > 0 && stop === undefined; left--) {
      if (breakpoints.size > 0 && breakpoints.has(this.readRegister(PC))) {
        break;
      }
      stop = super.run(1, breakpoints);
    }
    return stop;
  }
}

/** Serves a machine to gdb. */
export function serveMachine(
  machine: Pick<Machine, "status" | "space" | "cpu">,
  address: { readonly port?: number; readonly path?: string },
): Promise<GdbServer> {
  const { cpu, space } = machine;
  if (!(cpu instanceof Cpu)) {
    throw new TypeError("only the hart in TypeScript can be debugged");
  }
  return GdbServer.listen({
    space,
    cpus: [new DebuggedHart(machine, cpu)],
    architecture: riscvArchitecture({ csrs: CSR_NAMES }),
    ...address,
  });
}

/**
 * Runs a program under gdb. The guest waits for the debugger.
 *
 * @param address - A port, or the path of a Unix socket.
 * @returns The guest's exit status.
 */
export async function debugProgram(
  program: Uint8Array,
  argument: number,
  address: string,
): Promise<number | null> {
  const machine = new Machine(program, {
    path: "view",
    argument,
    onByte: (byte) => process.stdout.write(Uint8Array.of(byte)),
  });
  const isPort = /^\d{1,5}$/.test(address);
  const server = await serveMachine(
    machine,
    isPort ? { port: Number(address) } : { path: address },
  );
  console.log(`waiting for gdb at ${server.address}`);
  const status = await server.ended;
  await server.close();
  return status;
}
