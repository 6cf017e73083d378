import type { Gpa } from "../base/gpa.js";
import type { AccessPolicy } from "../base/policy.js";
import { hex } from "../base/printable.js";
import { type GuestMemAccessResult, OK, resultName } from "../base/result.js";
import type { Out } from "../base/widths.js";
import { GuestMemory } from "../memory/guest-memory.js";
import { Mmu, type MmuOptions } from "../mmu/mmu.js";
import type { NativeMmuAccess } from "../mmu/native-access.js";
import { toVirtual, type VirtualAddress } from "../mmu/virtual-address.js";
import type { GuestFault, Translation } from "../mmu/walk.js";
import { OpBuffer } from "../native/op-buffer.js";
import { AddressSpace } from "../space/address-space.js";
import type { RamRegion, RomRegion } from "../space/regions.js";
import type { Watchpoint } from "../space/watchpoint.js";
import { DEVICE_PAGE, HOME_PAGES, MMU_PAGE, type MmuOp, OTHER_PAGES } from "./mmu-ops.js";
import { type Outcome, runOp } from "./run-op.js";

/** An MMU to check, and the accessors of one of its paths. */
export interface CheckedMmu {
  readonly mmu: Pick<Mmu, "select" | "flushAll" | "flushAsid" | "flushPage" | "lastFault">;
  readonly access: Mmu | NativeMmuAccess;
}

/** A function that makes an MMU of a space. */
export type MakeMmu = (space: AddressSpace, options: MmuOptions) => CheckedMmu;

/** The most overlays and watchpoints at a time. */
const MAX_OVERLAYS = 4;

const outcome: Outcome = { result: OK, value: 0 };
const FETCHED: Readonly<Record<1 | 2 | 4, Out>> = {
  1: new Uint8Array(1),
  2: new Uint16Array(1),
  4: new Uint32Array(1),
};

/** A machine with RAM, ROM, a device and an MMU, whose page tables are a Map. */
export class MmuMachine {
  readonly #space: AddressSpace;
  readonly #checked: CheckedMmu;
  readonly #ram: RamRegion;
  readonly #bank = GuestMemory.allocate(HOME_PAGES * MMU_PAGE);
  /** The translations by virtual page. */
  readonly #pages = new Map<bigint, Translation>();
  readonly #op = new OpBuffer(1);
  #roms: RomRegion[] = [];
  #watchpoints: Watchpoint[] = [];
  /** What has happened since the last operation: walks, device accesses, watchpoints, guards. */
  #events: string[] = [];

  constructor(policy: AccessPolicy, make: MakeMmu) {
    const space = new AddressSpace(policy);
    this.#space = space;
    this.#ram = space.addRam(0, HOME_PAGES * MMU_PAGE);
    space.addRam(HOME_PAGES * MMU_PAGE, OTHER_PAGES * MMU_PAGE, { access: "rw" });
    const read = (offset: number): number => {
      this.#events.push(`device read ${offset}`);
      return offset & 0xff;
    };
    const write = (offset: number, value: number): void => {
      this.#events.push(`device write ${offset} ${value}`);
    };
    const handlers = { readw: read, readl: read, writew: write, writel: write };
    space.addMmio(DEVICE_PAGE * MMU_PAGE, MMU_PAGE, handlers);
    this.#checked = make(space, {
      entries: 16,
      walk: (va, kind, mode) => {
        this.#events.push(`walk ${kind} ${va} ${mode}`);
        return this.#walk(va, `${kind} page fault, mode ${mode}`, mode);
      },
    });
  }

  /** Runs an operation, and returns everything that the two machines have to agree on, as text. */
  run(op: MmuOp): string {
    this.#events = [];
    let text: string;
    try {
      text = this.#apply(op);
    } catch (error) {
      text = `threw ${String(error)}`;
    }
    return [text, ...this.#events].join("; ");
  }

  /** The bytes and the dirty pages of RAM and of what covers it. */
  memory(): { readonly bytes: Uint8Array; readonly dirty: readonly number[] } {
    const bytes = new Uint8Array(DEVICE_PAGE * MMU_PAGE);
    this.#space.peek(0, bytes);
    return { bytes, dirty: [...(this.#ram.dirty?.drain() ?? [])] };
  }

  #apply(op: MmuOp): string {
    const { mmu } = this.#checked;
    switch (op.do) {
      case "access":
        this.#op.clear();
        this.#op.push(op.op.kind, op.op.gpa, op.op.value);
        runOp(this.#checked.access, this.#op, 0, outcome);
        return this.#outcome(outcome.result, outcome.value);
      case "fetch": {
        const out = FETCHED[op.bytes];
        out[0] = 0;
        const result = this.#fetch(toVirtual(op.va), op.bytes, out);
        return this.#outcome(result, out[0]);
      }
      case "map":
        for (let offset = 0; offset < op.size; offset += MMU_PAGE) {
          this.#pages.set(op.va + BigInt(offset), op);
        }
        break;
      case "unmap":
        this.#pages.delete(op.va);
        break;
      case "flushPage":
        mmu.flushPage(op.va);
        break;
      case "select":
        mmu.select(op.mode, op.asid);
        break;
      case "flushAsid":
        mmu.flushAsid(op.asid);
        break;
      case "flushAll":
        mmu.flushAll();
        break;
      default:
        this.#change(op.do, op.page * MMU_PAGE);
    }
    return "done";
  }

  #fetch(va: VirtualAddress, bytes: 1 | 2 | 4, out: Out): GuestMemAccessResult {
    const { access } = this.#checked;
    switch (bytes) {
      case 1:
        return access.tryFetchb(va, out as Uint8Array);
      case 2:
        return access.tryFetchw(va, out as Uint16Array);
      default:
        return access.tryFetchl(va, out as Uint32Array);
    }
  }

  #outcome(result: GuestMemAccessResult, value: Gpa): string {
    const text = `${resultName(result) ?? `code ${result}`}, out ${hex(value)}`;
    const fault = this.#checked.mmu.lastFault;
    return result === OK || fault === null
      ? text
      : `${text}, ${fault.kind} fault: ${fault.reason} at ${fault.va}, width ${fault.width}, ` +
          `guest fault ${String(fault.guestFault)}`;
  }

  /** In mode 1, no page is writable. */
  #walk(va: VirtualAddress, fault: string, mode: number): Translation | GuestFault {
    const address = BigInt.asUintN(64, BigInt(va));
    const found = this.#pages.get(address - (address % BigInt(MMU_PAGE)));
    if (found === undefined) {
      return { fault };
    }
    const { gpa, size, access } = found;
    return { gpa, size, access: mode === 1 ? WITHOUT_WRITES[access] : access };
  }

  #change(change: string, gpa: number): void {
    const space = this.#space;
    switch (change) {
      case "addRom":
        if (this.#roms.length < MAX_OVERLAYS) {
          const contents = new Uint8Array(MMU_PAGE).fill(gpa / MMU_PAGE);
          this.#roms.push(space.addRom(gpa, contents, { priority: 1 + this.#roms.length }));
        }
        break;
      case "removeRom": {
        const rom = this.#roms.pop();
        if (rom !== undefined) {
          space.remove(rom);
        }
        break;
      }
      case "selectBank":
        this.#ram.select(0, gpa % (2 * MMU_PAGE) === 0 ? this.#ram.memory : this.#bank);
        break;
      case "watch":
        if (this.#watchpoints.length < MAX_OVERLAYS) {
          const range = { gpa: gpa + 8, length: 100, kinds: "access" } as const;
          const watchpoint = space.watch(range, ({ kind, gpa: at, value }) => {
            this.#events.push(`watched ${kind} ${at} ${String(value)}`);
          });
          this.#watchpoints.push(watchpoint);
        }
        break;
      case "unwatch":
        this.#watchpoints.pop()?.remove();
        break;
      case "guardCode":
        space.guardCode(gpa, 8, ({ gpa: at, length, cause }) => {
          this.#events.push(`guard ${at} ${length} ${cause}`);
        });
        break;
      default:
        this.#ram.startTracking();
    }
  }
}

const WITHOUT_WRITES = {
  "": "",
  r: "r",
  w: "",
  x: "x",
  rw: "r",
  rx: "rx",
  wx: "x",
  rwx: "rx",
} as const;
