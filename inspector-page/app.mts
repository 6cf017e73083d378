import { ByteCache } from "./client/byte-cache.mjs";
import { HeatLoader } from "./client/heat-loader.mjs";
import { Commands } from "./control/commands.mjs";
import { listenToKeys } from "./control/keyboard.mjs";
import { readLink, writeLink } from "./control/link.mjs";
import { listenToWheel } from "./control/wheel.mjs";
import { Navigation } from "./model/navigation.mjs";
import { cursorAddress } from "./model/state.mjs";
import { firstRegion, type Subject } from "./model/subject.mjs";
import { showColumns } from "./panels/columns.mjs";
import { byId } from "./panels/dom.mjs";
import { Header } from "./panels/header.mjs";
import { HeatPanel } from "./panels/heat-panel.mjs";
import { HexView } from "./panels/hex-view.mjs";
import { PagePanel } from "./panels/page-panel.mjs";
import { Palette } from "./panels/palette.mjs";
import { Prompt } from "./panels/prompt.mjs";
import { RegionList } from "./panels/region-list.mjs";
import { ScrollMap } from "./panels/scroll-map.mjs";
import type { StatusLine } from "./panels/status-line.mjs";
import { ValuesPanel } from "./panels/values-panel.mjs";

/**
 * Creates the parts of the page and connects them. Controls run commands, commands change the
 * state, and after a change all panels show the state in the next frame.
 */
export class App {
  readonly #subject: Subject;
  readonly #bytes = byId("bytes", HTMLElement);
  readonly #help = byId("help", HTMLDialogElement);
  readonly #palette = new Palette();
  readonly #heatLoader: HeatLoader;
  readonly #header: Header;
  readonly #regionList: RegionList;
  readonly #hexView: HexView;
  readonly #scrollMap: ScrollMap;
  readonly #valuesPanel: ValuesPanel;
  readonly #pagePanel: PagePanel;
  readonly #heatPanel: HeatPanel;
  readonly #prompt: Prompt;
  readonly #commands: Commands;
  /** Whether the state is going to be shown in the next frame. */
  #scheduled = false;

  /** @throws Error if no region of the snapshots has bytes. */
  constructor(subject: Subject, status: StatusLine) {
    this.#subject = subject;
    const update = (): void => this.#update();
    const loaded = (failure: string | null): void => {
      if (failure !== null) {
        status.fail(failure);
      }
      update();
    };
    const cache = new ByteCache(loaded);
    this.#heatLoader = new HeatLoader(loaded);
    const navigation = new Navigation(subject.regions, firstRegion(subject), () => {
      this.#hexView.followCursor();
      update();
    });
    const commands = new Commands(subject, navigation, status, update);
    this.#commands = commands;
    this.#header = new Header(subject, (type) => {
      commands.setType(type);
      this.#bytes.focus();
    });
    this.#regionList = new RegionList(byId("regions", HTMLElement), subject, ({ gpa }) =>
      commands.goTo(gpa),
    );
    this.#hexView = new HexView(
      this.#bytes,
      subject,
      cache,
      (offset) => navigation.moveTo(offset),
      update,
    );
    this.#scrollMap = new ScrollMap(
      byId("scroll", HTMLCanvasElement),
      subject,
      this.#palette,
      (part) => {
        const { totalRows, visibleRows } = this.#hexView;
        this.#scrollTo(Math.round(part * totalRows - visibleRows / 2));
      },
      update,
    );
    this.#valuesPanel = new ValuesPanel(subject, cache);
    this.#pagePanel = new PagePanel(subject);
    this.#heatPanel = new HeatPanel(
      subject,
      this.#palette,
      {
        chosen: (offset) => commands.goTo(navigation.region.gpa + BigInt(offset)),
        pointed: (text) => status.tell(text),
        resized: () => this.#redraw(),
      },
      (mode) => commands.setMode(mode),
    );
    this.#prompt = new Prompt(subject.regions, navigation, status, (answer) => {
      this.#bytes.focus();
      if ("gpa" in answer) {
        commands.goTo(answer.gpa);
      } else {
        commands.search(answer.query);
      }
    });
    this.#listen();
  }

  /** Shows the place that the URL links to, or the first region. */
  start(): void {
    this.#commands.openLink(readLink(this.#subject.regions));
    this.#bytes.focus();
  }

  #listen(): void {
    listenToKeys(this.#commands, {
      help: this.#help,
      visibleRows: () => this.#hexView.visibleRows,
      openPrompt: (kind) => this.#prompt.open(kind),
      closePrompt: () => this.#prompt.close(),
      focusBytes: () => this.#bytes.focus(),
      focusRegions: () => this.#regionList.focus(),
      focusHeat: () => this.#heatPanel.focus(),
    });
    listenToWheel(this.#bytes, (rows) => this.#scrollTo(this.#hexView.top + rows));
    byId("help-button", HTMLElement).addEventListener("click", () => this.#help.showModal());
    this.#help.addEventListener("close", () => this.#bytes.focus());
    addEventListener("hashchange", () => this.#commands.openLink(readLink(this.#subject.regions)));
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
      this.#palette.forget();
      this.#redraw();
    });
  }

  #scrollTo(top: number): void {
    this.#hexView.scrollTo(top);
    this.#showScrollMap();
  }

  /** Draws the heat map even if the state is the same: its colours or its size have changed. */
  #redraw(): void {
    this.#heatPanel.redraw();
    this.#update();
  }

  /** Shows the state in the next frame, once for all changes before it. */
  #update(): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      requestAnimationFrame(() => {
        this.#scheduled = false;
        this.#show();
      });
    }
  }

  #show(): void {
    const { state } = this.#commands;
    this.#hexView.show(state);
    this.#header.show(state);
    this.#regionList.show(state);
    showColumns(state.type, this.#subject.digits);
    this.#valuesPanel.show(state);
    void this.#pagePanel.show(state);
    this.#heatPanel.show(state, this.#heatLoader.get(state.region, this.#heatPanel.capacity));
    this.#showScrollMap();
    writeLink(cursorAddress(state), state.type);
  }

  #showScrollMap(): void {
    const { state } = this.#commands;
    const heat = this.#heatLoader.get(state.region, this.#heatPanel.capacity);
    this.#scrollMap.show(state, heat, this.#hexView);
  }
}
