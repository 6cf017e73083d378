import type { ImageSegment } from "./image.js";

/**
 * Collects the data of records, which may come in any order, and joins them to segments.
 */
export class Pieces {
  /** The data of all records, in the order of the file. */
  readonly bytes: Uint8Array;
  /** The number of bytes of data so far. */
  length = 0;
  // Each run is a row of three numbers: the address, the start in `bytes` and the length.
  readonly #starts: number[] = [];
  readonly #gpas: number[] = [];
  #next = -1;

  /** @param capacity - The most bytes of data that the records can have. */
  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Announces that the next bytes of data go to an address. */
  startAt(gpa: number, length: number): void {
    if (length > 0) {
      if (gpa !== this.#next) {
        this.#starts.push(this.length);
        this.#gpas.push(gpa);
      }
      this.#next = gpa + length;
    }
  }

  /**
   * The segments, sorted by address. Records may repeat bytes, but not change them.
   *
   * @param onConflict - Called with the index in {@link Pieces.bytes} of a byte that differs from
   * an earlier one at the same address. It throws.
   */
  segments(onConflict: (index: number) => never): ImageSegment[] {
    const runs = this.#gpas
      .map((gpa, i) => ({
        gpa,
        start: this.#starts[i]!,
        length: (this.#starts[i + 1] ?? this.length) - this.#starts[i]!,
      }))
      .sort((a, b) => a.gpa - b.gpa || a.start - b.start);
    const kept: Run[] = [];
    for (const run of runs) {
      const end = run.gpa + run.length;
      // The runs that are kept are disjoint and sorted, so only the last ones can overlap this one.
      for (let i = kept.length - 1; i >= 0 && kept[i]!.gpa + kept[i]!.length > run.gpa; i--) {
        const conflict = this.#conflict(kept[i]!, run);
        if (conflict >= 0) {
          onConflict(conflict);
        }
      }
      const last = kept.at(-1);
      const covered = last === undefined ? 0 : last.gpa + last.length;
      const skip = Math.max(0, covered - run.gpa);
      if (skip < run.length) {
        kept.push({ gpa: run.gpa + skip, start: run.start + skip, length: end - run.gpa - skip });
      }
    }
    return this.#joined(kept);
  }

  /**
   * The index of the first byte in which two runs differ, in the later of them; -1 if they agree.
   */
  #conflict(a: Run, b: Run): number {
    const from = Math.max(a.gpa, b.gpa);
    const to = Math.min(a.gpa + a.length, b.gpa + b.length);
    for (let gpa = from; gpa < to; gpa++) {
      const [x, y] = [a.start + gpa - a.gpa, b.start + gpa - b.gpa];
      if (this.bytes[x] !== this.bytes[y]) {
        return Math.max(x, y);
      }
    }
    return -1;
  }

  /** Joins runs whose addresses and bytes follow one another. Copies bytes where they do not. */
  #joined(runs: readonly Run[]): ImageSegment[] {
    const segments: ImageSegment[] = [];
    for (let i = 0; i < runs.length;) {
      let j = i + 1;
      let end = runs[i]!.gpa + runs[i]!.length;
      while (j < runs.length && runs[j]!.gpa === end) {
        end += runs[j]!.length;
        j++;
      }
      const parts = runs
        .slice(i, j)
        .map(({ start, length }) => this.bytes.subarray(start, start + length));
      const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      segments.push({ gpa: BigInt(runs[i]!.gpa), size: BigInt(bytes.length), bytes });
      i = j;
    }
    return segments;
  }
}

interface Run {
  readonly gpa: number;
  readonly start: number;
  readonly length: number;
}
