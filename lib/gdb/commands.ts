import { CommandError, EINVAL } from "../debug/command-error.js";
import type { Action } from "../debug/runner.js";
import type { WatchWord } from "../debug/stops.js";
import { parseBytes, parseCount, parseHex, split } from "./fields.js";
import type { GdbMachine } from "./machine.js";
import { PACKET_SIZE } from "./packets.js";
import { stopReply } from "./stop-reply.js";

/** The most bytes that one reply holds as hexadecimal digits. */
const MAX_READ = (PACKET_SIZE - 4) / 2;

const SUPPORTED = [
  `PacketSize=${PACKET_SIZE.toString(16)}`,
  "QStartNoAckMode+",
  "qXfer:features:read+",
  "qXfer:threads:read+",
  "vContSupported+",
  "swbreak+",
  "hwbreak+",
].join(";");

/** The kinds of watchpoint, by the digit in the commands `Z` and `z`. */
const WATCH_WORDS: Readonly<Record<string, WatchWord>> = { 2: "watch", 3: "rwatch", 4: "awatch" };

/**
 * What the session does with a command: it sends a reply, lets CPUs run and sends a stop reply, or
 * ends the connection after a reply.
 */
export type Outcome =
  | { readonly kind: "reply"; readonly reply: string }
  | { readonly kind: "no-ack"; readonly reply: string }
  | { readonly kind: "resume"; readonly actions: ReadonlyMap<number, Action> }
  | { readonly kind: "detach" | "kill"; readonly reply: string };

/** A reply that means: this command is not supported. */
const UNSUPPORTED = "";

/** Executes the commands of one debugger. */
export class Commands {
  readonly #machine: GdbMachine;
  /** The index of the CPU whose registers are accessed. */
  #selected = 0;
  #features = { swbreak: false, hwbreak: false };

  constructor(machine: GdbMachine) {
    this.#machine = machine;
  }

  /** The stop reply of the last stop, whose CPU is selected from now on. */
  stopReply(): string {
    const { last } = this.#machine.runner;
    this.#selected = last.kind === "exit" ? 0 : last.cpu;
    return stopReply(last, this.#features);
  }

  /** @throws CommandError if the command is invalid or cannot be executed. */
  async execute(payload: Buffer): Promise<Outcome> {
    const text = payload.toString("latin1");
    const rest = text.slice(1);
    switch (text[0]) {
      case "?":
        return toReply(this.stopReply());
      case "g":
        return toReply(await this.#readRegisters());
      case "G":
        await this.#writeRegisters(parseBytes(rest));
        return toReply("OK");
      case "p":
        return toReply(await this.#readRegister(parseCount(rest)));
      case "P": {
        const [number, value] = split(rest, "=", 2);
        await this.#writeRegister(parseCount(number!), parseBytes(value!));
        return toReply("OK");
      }
      case "m":
        return toReply(await this.#readMemory(rest));
      case "M":
      case "X":
        await this.#writeMemory(payload);
        return toReply("OK");
      case "c":
      case "s":
      case "C":
      case "S":
        return { kind: "resume", actions: await this.#resumeAt(text) };
      case "Z":
      case "z":
        return toReply(this.#changeStop(text));
      case "H":
        return toReply(this.#select(rest));
      case "T":
        this.#cpu(rest);
        return toReply("OK");
      case "D":
        return { kind: "detach", reply: "OK" };
      case "k":
        return { kind: "kill", reply: "OK" };
      case "v":
        return this.#executeLong(text);
      case "q":
        return toReply(this.#query(text));
      case "Q":
        return text === "QStartNoAckMode" ? { kind: "no-ack", reply: "OK" } : toReply(UNSUPPORTED);
      default:
        return toReply(UNSUPPORTED);
    }
  }

  #executeLong(text: string): Outcome {
    if (text === "vCont?") {
      return toReply("vCont;c;C;s;S");
    }
    if (text.startsWith("vCont;")) {
      return { kind: "resume", actions: this.#parseActions(text.slice(6).split(";")) };
    }
    if (/^vKill(;|$)/.test(text)) {
      return { kind: "kill", reply: "OK" };
    }
    return toReply(UNSUPPORTED);
  }

  #query(text: string): string {
    const [name = "", ...fields] = text.split(":");
    switch (name) {
      case "qSupported":
        return this.#negotiate(fields.join(":").split(";"));
      case "qAttached":
        return "1";
      case "qC":
        return `QC${(this.#selected + 1).toString(16)}`;
      case "qfThreadInfo":
        return `m${this.#machine.cpus.map((_, index) => (index + 1).toString(16)).join(",")}`;
      case "qsThreadInfo":
        return "l";
      case "qSymbol":
        return "OK";
      case "qXfer":
        return this.#transfer(fields);
      default:
        return text.startsWith("qThreadExtraInfo,") ? this.#describeThread(text) : UNSUPPORTED;
    }
  }

  #negotiate(features: readonly string[]): string {
    const has = (feature: string): boolean => features.includes(`${feature}+`);
    this.#features = { swbreak: has("swbreak"), hwbreak: has("hwbreak") };
    return this.#hasMap ? `${SUPPORTED};qXfer:memory-map:read+` : SUPPORTED;
  }

  /** The map is that of physical memory, so gdb must not apply it to virtual addresses. */
  get #hasMap(): boolean {
    return this.#machine.cpus.every(({ translate }) => translate === undefined);
  }

  /** Sends a part of a document. */
  #transfer(fields: readonly string[]): string {
    const [object = "", operation, annex, range = ""] = fields;
    if (fields.length !== 4 || operation !== "read") {
      return UNSUPPORTED;
    }
    const document = this.#document(object, annex!);
    if (document === null) {
      return UNSUPPORTED;
    }
    const [offset, length] = split(range, ",", 2).map(parseCount);
    const end = offset! + Math.min(length!, MAX_READ);
    return (end < document.length ? "m" : "l") + document.slice(offset, end);
  }

  #document(object: string, annex: string): string | null {
    switch (object) {
      case "features":
        if (annex !== "target.xml") {
          throw new CommandError(0);
        }
        return this.#machine.description.xml;
      case "memory-map":
        return this.#hasMap ? this.#machine.memory.map() : null;
      case "threads":
        return this.#threads();
      default:
        return null;
    }
  }

  #threads(): string {
    const lines = this.#machine.cpus.map(
      (_, index) =>
        `<thread id="${(index + 1).toString(16)}" core="${index}" name="${escapeXml(this.#name(index))}"/>`,
    );
    return ['<?xml version="1.0"?>', "<threads>", ...lines, "</threads>", ""].join("\n");
  }

  #describeThread(text: string): string {
    const index = this.#cpu(text.slice("qThreadExtraInfo,".length));
    return Buffer.from(this.#name(index)).toString("hex");
  }

  #name(index: number): string {
    return this.#machine.cpus[index]!.name ?? `cpu${index}`;
  }

  /** The index of the CPU of a thread. */
  #cpu(thread: string): number {
    const number = parseCount(thread);
    if (number < 1 || number > this.#machine.cpus.length) {
      throw new CommandError(EINVAL);
    }
    return number - 1;
  }

  /** `Hg` selects the thread of registers. `Hc` is for commands that `vCont` replaces. */
  #select(rest: string): string {
    const thread = rest.slice(1);
    if (rest[0] !== "g" && rest[0] !== "c") {
      throw new CommandError(EINVAL);
    }
    // 0 means any thread, and -1 all threads.
    if (thread !== "0" && thread !== "-1") {
      const index = this.#cpu(thread);
      this.#selected = rest[0] === "g" ? index : this.#selected;
    }
    return "OK";
  }

  async #readRegisters(): Promise<string> {
    const { registers } = this.#machine.description;
    let all = "";
    for (let number = 0; number < registers.length; number++) {
      all += await this.#readRegister(number);
    }
    return all;
  }

  async #writeRegisters(bytes: Buffer): Promise<void> {
    const { description } = this.#machine;
    const sizes = description.registers.map((_, number) => description.size(number));
    if (bytes.length !== sizes.reduce((total, size) => total + size, 0)) {
      throw new CommandError(EINVAL);
    }
    let at = 0;
    for (const [number, size] of sizes.entries()) {
      await this.#writeRegister(number, bytes.subarray(at, at + size));
      at += size;
    }
  }

  async #readRegister(number: number): Promise<string> {
    const { cpus, description } = this.#machine;
    if (number >= description.registers.length) {
      throw new CommandError(EINVAL);
    }
    const value = await cpus[this.#selected]!.readRegister(number);
    return description.encode(number, value).toString("hex");
  }

  async #writeRegister(number: number, bytes: Buffer): Promise<void> {
    const { cpus, description } = this.#machine;
    if (number >= description.registers.length || bytes.length !== description.size(number)) {
      throw new CommandError(EINVAL);
    }
    await cpus[this.#selected]!.writeRegister(number, description.decode(bytes));
  }

  async #readMemory(rest: string): Promise<string> {
    const [address, length] = split(rest, ",", 2);
    const count = Math.min(parseCount(length!), MAX_READ);
    const { cpus, memory } = this.#machine;
    const bytes = await memory.read(cpus[this.#selected]!, parseHex(address!), count);
    return bytes.toString("hex");
  }

  /** `M`, whose bytes are hexadecimal digits, and `X`, whose bytes are the bytes themselves. */
  async #writeMemory(payload: Buffer): Promise<void> {
    const colon = payload.indexOf(":");
    if (colon === -1) {
      throw new CommandError(EINVAL);
    }
    const [address, length] = split(payload.toString("latin1", 1, colon), ",", 2);
    const data = payload.subarray(colon + 1);
    const bytes = payload[0] === 0x58 ? data : parseBytes(data.toString("latin1"));
    if (bytes.length !== parseCount(length!)) {
      throw new CommandError(EINVAL);
    }
    const { cpus, memory } = this.#machine;
    await memory.write(cpus[this.#selected]!, parseHex(address!), bytes);
  }

  #changeStop(text: string): string {
    const { stops } = this.#machine;
    const [type, addressText, kind] = split(text.slice(1), ",", 3);
    const adds = text[0] === "Z";
    const address = parseHex(addressText!);
    const length = parseHex(kind!);
    if (type === "0" || type === "1") {
      if (adds) {
        stops.addBreakpoint(address, type === "1");
      } else {
        stops.removeBreakpoint(address, type === "1");
      }
      return "OK";
    }
    const word = Object.hasOwn(WATCH_WORDS, type!) ? WATCH_WORDS[type!] : undefined;
    if (word === undefined) {
      return UNSUPPORTED;
    }
    if (adds) {
      stops.addWatchpoint(word, address, length);
    } else {
      stops.removeWatchpoint(word, address, length);
    }
    return "OK";
  }

  /** `c`, `s`, `C` and `S`, which may name the address to continue at. */
  async #resumeAt(text: string): Promise<ReadonlyMap<number, Action>> {
    const isStep = text[0]!.toLowerCase() === "s";
    const hasSignal = text[0] === "C" || text[0] === "S";
    const parts = hasSignal ? text.slice(1).split(";") : ["0", ...(text[1] ? [text.slice(1)] : [])];
    parseCount(parts[0]!);
    if (parts.length > 2) {
      throw new CommandError(EINVAL);
    }
    if (parts.length === 2) {
      const { description } = this.#machine;
      const bytes = description.encode(description.pc, parseHex(parts[1]!));
      await this.#writeRegister(description.pc, bytes);
    }
    return isStep ? new Map([[this.#selected, "step"]]) : this.#parseActions(["c"]);
  }

  /** The actions of `vCont`. The first one that applies to a thread is its action. */
  #parseActions(list: readonly string[]): ReadonlyMap<number, Action> {
    const actions = new Map<number, Action>();
    for (const item of list) {
      const match = /^(?:[cs]|[CS][\da-fA-F]{2})(?::([\da-fA-F]{1,8}|-1))?$/.exec(item);
      if (match === null) {
        throw new CommandError(EINVAL);
      }
      const action = /^s/i.test(item) ? "step" : "continue";
      const thread = match[1] ?? "-1";
      const indexes =
        thread === "-1" ? this.#machine.cpus.keys() : [thread === "0" ? 0 : this.#cpu(thread)];
      for (const index of indexes) {
        if (!actions.has(index)) {
          actions.set(index, action);
        }
      }
    }
    return actions;
  }
}

function toReply(reply: string): Outcome {
  return { kind: "reply", reply };
}

function escapeXml(text: string): string {
  // Control characters are not allowed in XML, not even escaped.
  return text
    .replace(/[^\x20-\x7e]/g, "?")
    .replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
