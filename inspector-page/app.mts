import { ByteCache } from "./client/byte-cache.mjs";
import { HeatLoader } from "./client/heat-loader.mjs";
import { LiveLoop } from "./client/live-loop.mjs";
import { Commands } from "./control/commands.mjs";
import { listenToKeys } from "./control/keyboard.mjs";
import { readLink, writeLink } from "./control/link.mjs";
import { MachineCommands } from "./control/machine-commands.mjs";
import { listenToWheel } from "./control/wheel.mjs";
import { Navigation } from "./model/navigation.mjs";
import { cursorAddress } from "./model/state.mjs";
import { firstRegion, type Subject } from "./model/subject.mjs";
import type { LiveInfo, SnapshotInfo } from "../lib/inspector/protocol.js";
import { showColumns } from "./panels/columns.mjs";
import { byId } from "./panels/dom.mjs";
import { Header } from "./panels/header.mjs";
import { HeatPanel } from "./panels/heat-panel.mjs";
import { HexView } from "./panels/hex-view.mjs";
import { MachinePanel } from "./panels/machine-panel.mjs";
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
  readonly #cache: ByteCache;
  readonly #status: StatusLine;
  readonly #map: number | undefined;
  readonly #loop: LiveLoop;
  readonly #machineCommands: MachineCommands;
  readonly #machinePanel: MachinePanel;
  /** The register that the prompt asks for. */
  #register = 0;
  #answers = 0;
  #isLost = false;
  /** Whether the state is going to be shown in the next frame. */
  #scheduled = false;

  /** @throws Error if no region of the snapshots has bytes. */
  constructor(subject: Subject, status: StatusLine, { live }: SnapshotInfo) {
    this.#subject = subject;
    this.#status = status;
    this.#map = live?.map;
    const update = (): void => this.#update();
    const loaded = (failure: string | null): void => {
      if (failure !== null) {
        status.fail(failure);
      }
      update();
    };
    const cache = new ByteCache(loaded);
    this.#cache = cache;
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
      } else if ("value" in answer) {
        this.#machineCommands.setRegister(this.#register, answer.value);
      } else if (answer.kind === "write") {
        this.#machineCommands.write(answer.query.bytes);
      } else {
        commands.search(answer.query);
      }
    });
    this.#loop = new LiveLoop({
      answered: (info) => this.#follow(info),
      failed: (message) => {
        this.#isLost = true;
        status.fail(`the connection is lost: ${message}`);
      },
    });
    this.#machineCommands = new MachineCommands(subject, navigation, commands, status, this.#loop);
    this.#machinePanel = new MachinePanel(subject, this.#machineCommands, {
      register: (number) => {
        this.#register = number;
        this.#prompt.open("register", subject.machine!.registers[number]!.name);
      },
      chosen: (gpa) => commands.goTo(gpa),
    });
    this.#listen();
  }

  /** Shows the place that the URL links to, or the first region. */
  start(): void {
    this.#commands.openLink(readLink(this.#subject.regions));
    this.#bytes.focus();
    if (this.#subject.isLive) {
      this.#loop.ask();
    }
  }

  /** Shows what the machine does now. */
  #follow(info: LiveInfo): void {
    if (info.map !== this.#map) {
      // The regions have changed: the page starts again, at the same place.
      location.reload();
      return;
    }
    if (this.#isLost) {
      this.#isLost = false;
      this.#status.tell("the connection is back");
    }
    this.#machineCommands.update(info);
    this.#cache.refresh();
    this.#heatLoader.refresh();
    // The facts about a page change slowly, and take a request of their own.
    if (this.#answers++ % 4 === 0) {
      this.#pagePanel.refresh();
    }
    this.#update();
  }

  #listen(): void {
    listenToKeys(this.#commands, this.#subject.isLive ? this.#machineCommands : null, {
      help: this.#help,
      visibleRows: () => this.#hexView.visibleRows,
      openPrompt: (kind) => this.#prompt.open(kind),
      closePrompt: () => this.#prompt.close(),
      focusBytes: () => this.#bytes.focus(),
      focusRegions: () => this.#regionList.focus(),
      focusHeat: () => this.#heatPanel.focus(),
      focusMachine: () => this.#machinePanel.focus(),
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
    this.#machinePanel.show(state);
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
