type Color = readonly [red: number, green: number, blue: number];

interface Colors {
  readonly cursor: string;
  readonly zero: string;
  readonly cold: string;
  /** The scale from cold to hot. */
  readonly stops: readonly Color[];
}

/** The colours of the maps, which the style sheet defines. */
export class Palette {
  #colors: Colors | null = null;

  /** Discards the colours, after the system has changed from dark to light or back. */
  forget(): void {
    this.#colors = null;
  }

  /** The colour of the cursor's outline. */
  get cursor(): string {
    return this.#current.cursor;
  }

  /** Returns the colour of a shade: 0 is cold, 1 hot, and less than 0 all zero. */
  of(shade: number): string {
    const { zero, cold, stops } = this.#current;
    if (shade <= 0) {
      return shade < 0 ? zero : cold;
    }
    const at = Math.min(shade, 1) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const [from, to] = [stops[low]!, stops[low + 1]!];
    const mixed = from.map((channel, i) => Math.round(channel + (to[i]! - channel) * (at - low)));
    return `rgb(${mixed.join(" ")})`;
  }

  get #current(): Colors {
    this.#colors ??= readColors();
    return this.#colors;
  }
}

function readColors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    cursor: value("--text"),
    zero: value("--heat-zero"),
    cold: value("--heat-cold"),
    stops: [1, 2, 3, 4].map((i) => parseColor(value(`--heat-${i}`))),
  };
}

function parseColor(hex: string): Color {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 0xff, value & 0xff];
}
