import type { Direction } from "../client/requests.mjs";
import { formatAddress, PAGE } from "../model/addresses.mjs";
import { HEAT_MODES, type HeatMode, heatModes } from "../model/heat.mjs";
import { next } from "../model/lists.mjs";
import type { Navigation } from "../model/navigation.mjs";
import type { Query } from "../model/query.mjs";
import { ROW, type State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import { VIEW_TYPES, type ViewType } from "../model/values.mjs";
import type { StatusLine } from "../panels/status-line.mjs";
import type { Link } from "./link.mjs";
import { Search } from "./search.mjs";

/** The commands of the user. No other code changes the state. */
export class Commands {
  readonly #subject: Subject;
  readonly #navigation: Navigation;
  readonly #status: StatusLine;
  readonly #changed: () => void;
  readonly #search: Search;
  #type: ViewType = VIEW_TYPES[0]!;
  #side = 0;
  #mode: HeatMode;
  #query: Query | null = null;

  /** @param changed - Called after each change, except those that the navigation reports. */
  constructor(subject: Subject, navigation: Navigation, status: StatusLine, changed: () => void) {
    this.#subject = subject;
    this.#navigation = navigation;
    this.#status = status;
    this.#changed = changed;
    this.#search = new Search(navigation, status);
    this.#mode = heatModes(subject)[0]!;
  }

  /** What the panels have to show now. */
  get state(): State {
    return {
      region: this.#navigation.region,
      cursor: this.#navigation.cursor,
      type: this.#type,
      side: this.#side,
      mode: this.#mode,
      pattern: this.#query?.bytes ?? null,
    };
  }

  /** Moves the cursor by elements of the type that is shown. */
  moveElements(count: number): void {
    this.#navigation.moveBy(count * this.#type.bytes);
  }

  moveRows(count: number): void {
    this.#navigation.moveBy(count * ROW);
  }

  movePages(count: number): void {
    this.#navigation.moveBy(count * PAGE);
  }

  /** Moves the cursor by rows, or to the region's end if that is nearer. */
  scrollRows(count: number): void {
    this.#navigation.moveTo(this.#navigation.cursor + count * ROW);
  }

  moveToRowStart(): void {
    this.#navigation.moveTo(this.#rowStart);
  }

  moveToRowEnd(): void {
    this.#navigation.moveTo(this.#rowStart + ROW - this.#type.bytes);
  }

  moveToRegionStart(): void {
    this.#navigation.moveTo(0);
  }

  moveToRegionEnd(): void {
    this.#navigation.moveTo(Infinity);
  }

  stepRegion(step: number): void {
    this.#navigation.stepRegion(step);
  }

  /** Goes to an address, in any region. */
  goTo(gpa: bigint): void {
    if (!this.#navigation.jump(gpa)) {
      this.#status.fail(`no RAM or ROM is at ${formatAddress(gpa)}`);
    }
  }

  /** Goes back to where the last jump came from. */
  back(): void {
    this.#navigation.back();
  }

  openLink({ gpa, type }: Link): void {
    if (gpa !== null) {
      this.#navigation.show(gpa);
    }
    this.setType(type);
  }

  setType(type: ViewType): void {
    this.#type = type;
    this.#changed();
  }

  stepType(step: number): void {
    this.setType(next(VIEW_TYPES, this.#type, step));
    this.#status.tell(this.#type.label);
  }

  setMode(mode: HeatMode): void {
    this.#mode = mode;
    this.#status.tell(HEAT_MODES[mode][0]);
    this.#changed();
  }

  stepMode(): void {
    this.setMode(next(heatModes(this.#subject), this.#mode, 1));
  }

  /** Shows the other snapshot of a comparison. */
  swapSides(): void {
    const { compares, files } = this.#subject;
    if (compares) {
      this.#side = 1 - this.#side;
      this.#status.tell(`showing ${this.#side === 0 ? "A" : "B"}: ${files[this.#side]!.name}`);
      this.#changed();
    }
  }

  /** Marks all matches of a query, and goes to the first one at the cursor or after it. */
  search(query: Query): void {
    this.#query = query;
    this.#changed();
    void this.#search.findMatch(query, this.#side, "forward", true);
  }

  /**
   * Goes to the next match of the last query.
   *
   * @returns false if there was no query.
   */
  searchAgain(direction: Direction): boolean {
    if (this.#query === null) {
      return false;
    }
    void this.#search.findMatch(this.#query, this.#side, direction);
    return true;
  }

  /** Goes to the next difference between the two snapshots. */
  findDifference(direction: Direction): void {
    if (this.#subject.compares) {
      void this.#search.findDifference(direction);
    } else {
      this.#status.fail("there is no other snapshot to compare with");
    }
  }

  /** Shows the current side after the other side has changed or is missing. */
  comparisonChanged(): void {
    const { compares } = this.#subject;
    this.#side = compares ? this.#side : 0;
    if (!heatModes(this.#subject).includes(this.#mode)) {
      this.#mode = heatModes(this.#subject)[0]!;
    }
    this.#changed();
  }

  cancelSearch(): void {
    this.#search.cancel();
  }

  /** The first byte of the cursor's row, from the region's start. */
  get #rowStart(): number {
    return this.#navigation.cursor - (this.#navigation.cursor % ROW);
  }
}
