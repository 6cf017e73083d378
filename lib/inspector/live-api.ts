import { PAGE_SIZE } from "../base/page.js";
import { hex } from "../base/printable.js";
import type { Gpa } from "../base/gpa.js";
import type { AddressSpace } from "../space/address-space.js";
import type { Api } from "./api.js";
import { type ByteSource, type Comparison, pageCount } from "./byte-source.js";
import type { Direction } from "./find.js";
import { emptyHeat } from "./heat.js";
import { type LiveArea, liveAreas, memoryPages } from "./live-areas.js";
import { LiveBytes, MomentBytes } from "./live-sources.js";
import { writeBytes } from "./machine.js";
import type { MachineLink } from "./machine-link.js";
import { type Moment, Moments } from "./moments.js";
import type { Parameters } from "./parameters.js";
import type {
  FindInfo,
  HeatInfo,
  LiveInfo,
  MachineInfo,
  MachineState,
  MomentInfo,
  PageInfo,
  SnapshotInfo,
} from "./protocol.js";
import { RequestError } from "./request-error.js";
import { difference, heatRange, placeOf, readBytes, search } from "./requests.js";
import { WriteLog } from "./write-log.js";

/** Requests to the machine that change nothing. */
const QUESTIONS: ReadonlySet<string> = new Set(["state", "trace"]);
/** Requests to the machine that change it. */
const ORDERS: ReadonlySet<string> = new Set([
  ...["pause", "continue", "step"],
  ...["register", "breakpoint", "watchpoint"],
]);

/** Answers the page's requests about a running machine. */
export class LiveApi implements Api {
  readonly #space: AddressSpace;
  readonly #machine: MachineLink | null;
  readonly #log = new WriteLog();
  readonly #moments: Moments;
  readonly #closed: () => void;
  #areas: readonly LiveArea[] = [];
  #generation: number | null = null;
  /** The number of the map as the page knows it. */
  #map = 0;

  /**
   * @param machine - Null if only the memory is shown.
   * @param budget - The most bytes that snapshots may take.
   * @param closed - Called when the inspector is closed.
   * @throws TypeError, RangeError for an invalid budget.
   */
  constructor(
    space: AddressSpace,
    machine: MachineLink | null,
    budget: Gpa,
    closed: () => void = () => undefined,
  ) {
    this.#space = space;
    this.#machine = machine;
    this.#closed = closed;
    this.#moments = new Moments(space, budget);
    this.#follow();
  }

  isWrite(path: string): boolean {
    const [folder, name = ""] = path.split("/");
    return path === "write" || path === "moment" || (folder === "machine" && ORDERS.has(name));
  }

  async answer(path: string, query: Parameters, signal: AbortSignal): Promise<Buffer | object> {
    this.#follow();
    switch (path) {
      case "snapshot":
        return this.#describe();
      case "live":
        return this.#live(query);
      case "bytes":
        return readBytes(query, this.#areas, () => this.#side(query));
      case "page":
        return this.#page(query);
      case "heat":
        return this.#heat(query);
      case "search":
        return search(query, () => this.#side(query), signal);
      case "difference":
        return this.#difference(query, signal);
      case "write":
        return this.#write(query);
      case "moment":
        return this.#takeMoment();
      default:
        return this.#askMachine(path, query);
    }
  }

  close(): Promise<void> {
    this.#log.close();
    this.#closed();
    return Promise.resolve();
  }

  /** Follows the map, which the guest may change. */
  #follow(): void {
    const { generation } = this.#space;
    if (generation !== this.#generation) {
      this.#generation = generation;
      const areas = liveAreas(this.#space);
      // A watchpoint changes the generation too.
      this.#map += Number(describeAll(areas) !== describeAll(this.#areas));
      this.#areas = areas;
      const memories = this.#areas.flatMap(({ memory }) => (memory === null ? [] : [memory]));
      this.#log.follow(new Set(memories));
    }
    this.#log.update();
  }

  async #describe(): Promise<SnapshotInfo> {
    const machine = await this.#machine?.ask("info", "");
    const regions = this.#areas.map(({ kind, name, gpa, size }) => {
      return { kind, name, gpa: hex(gpa), size: hex(size), storedPages: 0, differingPages: 0 };
    });
    const size = this.#areas.reduce((sum, area) => sum + pageCount(area), 0) * PAGE_SIZE;
    return {
      files: [{ name: "now", size, generation: 0 }],
      regions,
      live: { map: this.#map, machine: (machine as MachineInfo | undefined) ?? null },
    };
  }

  async #live(query: Parameters): Promise<LiveInfo> {
    const cpu = query.integer("cpu", 0, 4095);
    let machine: MachineState | null = null;
    let failure: string | null = null;
    try {
      machine = ((await this.#machine?.ask("state", `cpu=${cpu}`)) as MachineState) ?? null;
    } catch (error) {
      failure = RequestError.from(error).message;
    }
    return { map: this.#map, moments: this.#moments.list(), machine, failure };
  }

  async #page(query: Parameters): Promise<PageInfo> {
    const { region, offset } = placeOf(query, this.#areas);
    const page = Math.floor(offset / PAGE_SIZE);
    const moment = this.#moment(query);
    const sides = [];
    for (const of of moment === null ? [null] : [null, moment]) {
      const bytes = await this.#bytesOf(of).page(region, page);
      const [changes, changedIn] = of === null ? this.#writes(this.#areas[region]!, page) : [0, 0];
      sides.push({ stored: bytes.some((byte) => byte !== 0), changes, changedIn, digest: null });
    }
    return { sides };
  }

  /** How often a page of an area was found written, and the seconds since the last time. */
  #writes(area: LiveArea, page: number): readonly [count: number, ago: number] {
    if (area.memory === null) {
      return [0, 0];
    }
    const [first, last] = memoryPages(area, page);
    const time = this.#log.last(area.memory, first, last + 1);
    const ago = time === 0 ? 0 : (this.#log.now - time) / 1000;
    return [this.#log.count(area.memory, first, last + 1), ago];
  }

  #heat(query: Parameters): HeatInfo {
    const areas = this.#areas;
    const range = heatRange(query, areas.length, (region) => pageCount(areas[region]!));
    const { from, pages } = range;
    const area = areas[range.region]!;
    const since = this.#moment(query)?.time ?? Infinity;
    const info = emptyHeat(range);
    const { bucketPages, stored, changes, changedIn, differing } = info;
    for (let page = from; page < from + pages && area.memory !== null; page++) {
      const [first, last] = memoryPages(area, page);
      // Millions of pages may not have been written.
      page += area.period < area.size ? 0 : this.#log.unwritten(area.memory, first);
      const time = this.#log.last(area.memory, first, last + 1);
      if (time > 0) {
        const bucket = Math.floor((page - from) / bucketPages);
        stored[bucket]!++;
        const times = this.#log.count(area.memory, first, last + 1);
        changes[bucket] = Math.max(changes[bucket]!, times);
        changedIn[bucket] = Math.max(changedIn[bucket]!, Math.round(time));
        differing[bucket]! += Number(time >= since);
      }
    }
    return { ...info, now: Math.round(this.#log.now) };
  }

  async #difference(query: Parameters, signal: AbortSignal): Promise<FindInfo> {
    const moment = this.#moment(query);
    if (moment === null) {
      throw new RequestError(404, "ERR_ONE_SNAPSHOT", "there is no snapshot to compare with");
    }
    const comparison: Comparison = {
      a: this.#bytesOf(null),
      b: this.#bytesOf(moment),
      differing: (region, from, direction) => this.#written(region, from, direction, moment.time),
    };
    return difference(query, comparison, signal);
  }

  /** The pages that were written since a moment. */
  *#written(region: number, from: number, direction: Direction, since: number): Generator<number> {
    const area = this.#areas[region]!;
    const step = direction === "forward" ? 1 : -1;
    const total = pageCount(area);
    for (let page = from; page >= 0 && page < total && area.memory !== null; page += step) {
      const [first, last] = memoryPages(area, page);
      if (this.#log.last(area.memory, first, last + 1) >= since) {
        yield page;
      }
    }
  }

  async #write(query: Parameters): Promise<object> {
    if (this.#machine !== null) {
      // Its thread knows the code that it has translated.
      return this.#machine.ask("write", query.toString());
    }
    writeBytes(this.#space, query);
    return {};
  }

  async #takeMoment(): Promise<MomentInfo> {
    await this.#machine?.ask("hold", "");
    try {
      return this.#moments.take(this.#log.now);
    } finally {
      await this.#machine?.ask("release", "");
    }
  }

  async #askMachine(path: string, query: Parameters): Promise<object> {
    const [folder, name = ""] = path.split("/");
    if (folder !== "machine" || !(QUESTIONS.has(name) || ORDERS.has(name))) {
      throw new RequestError(404, "ERR_NOT_FOUND", `there is no /api/${path}`);
    }
    if (this.#machine === null) {
      throw new RequestError(404, "ERR_NO_MACHINE", "the inspector shows memory only");
    }
    return this.#machine.ask(name, query.toString());
  }

  /** Side 0 is now, and side 1 the moment `since`. */
  #side(query: Parameters): ByteSource {
    return this.#bytesOf(query.integer("side", 0, 1) === 0 ? null : this.#moment(query));
  }

  /** The bytes of a moment; those of now for null. */
  #bytesOf(moment: Moment | null): ByteSource {
    return moment === null
      ? new LiveBytes(this.#space, this.#areas)
      : new MomentBytes(this.#areas, moment);
  }

  /** The moment that the parameter `since` names; null for 0. */
  #moment(query: Parameters): Moment | null {
    const number = query.integer("since", 0, Number.MAX_SAFE_INTEGER);
    return number === 0 ? null : this.#moments.get(number);
  }
}

function describeAll(areas: readonly LiveArea[]): string {
  return areas.map(({ kind, name, gpa, size }) => `${kind} ${gpa} ${size} ${name}`).join("\n");
}
