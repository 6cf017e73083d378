import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { formatSize, PAGE } from "../model/addresses.mjs";
import { HEAT_MODES, type HeatMode, heatModes } from "../model/heat.mjs";
import type { State } from "../model/state.mjs";
import type { Subject } from "../model/subject.mjs";
import { byId, make } from "./dom.mjs";
import { HeatMap, type HeatMapEvents } from "./heat-map.mjs";
import type { Palette } from "./palette.mjs";

/** The heat map, with the choice of what its colours mean, and their legend. */
export class HeatPanel {
  readonly #canvas = byId("heat", HTMLCanvasElement);
  readonly #scale = byId("heat-scale-text", HTMLElement);
  readonly #low = byId("heat-low", HTMLElement);
  readonly #high = byId("heat-high", HTMLElement);
  readonly #map: HeatMap;
  readonly #radios: readonly HTMLInputElement[];
  readonly #subject: Subject;

  /** @param choose - Called when a mode is chosen. */
  constructor(
    subject: Subject,
    palette: Palette,
    events: HeatMapEvents,
    choose: (mode: HeatMode) => void,
  ) {
    this.#subject = subject;
    this.#map = new HeatMap(this.#canvas, subject, palette, events);
    // A running machine may be compared later.
    this.#radios = heatModes({ ...subject, compares: subject.compares || subject.isLive }).map(
      (mode) => {
        const radio = document.createElement("input");
        radio.type = "radio";
        radio.name = "heat-mode";
        radio.value = mode;
        radio.addEventListener("change", () => choose(mode));
        const label = make("label");
        label.append(radio, HEAT_MODES[mode][0]);
        byId("heat-modes", HTMLElement).append(label);
        return radio;
      },
    );
  }

  /** The number of cells that there is room for. */
  get capacity(): number {
    return this.#map.capacity;
  }

  /** @param heat - The heat of the region that is shown; null until it arrives. */
  show(state: State, heat: HeatInfo | null): void {
    const [, low, high] = HEAT_MODES[state.mode];
    this.#low.textContent = low;
    this.#high.textContent = high;
    const { name, size } = state.region;
    const cellSize = formatSize((heat?.bucketPages ?? 1) * PAGE);
    this.#scale.textContent = `${name} · ${formatSize(size)} · a cell is ${cellSize}`;
    const modes: readonly string[] = heatModes(this.#subject);
    for (const radio of this.#radios) {
      radio.parentElement!.hidden = !modes.includes(radio.value);
      radio.checked = radio.value === state.mode;
    }
    this.#map.show(state, heat);
  }

  /** Draws the map again, after its colours or its size have changed. */
  redraw(): void {
    this.#map.draw();
  }

  focus(): void {
    this.#canvas.focus();
  }
}
