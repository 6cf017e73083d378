import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { median, msOf } from "../measure.mjs";

const GIB = 2 ** 30;
const PAGE = 4096;
const CLONES = 1000;
const FEW = 10;
const MANY = 16_384;

/** Forks and resets of 4 GiB of RAM with 1 GiB resident, beside copies with Buffers. */
export function forks() {
  const how = GuestMemory.forksShareMemory ? "copied on write" : "copied at once";
  console.log(`\nforks of 4 GiB of RAM, 1 GiB resident, ${how}`);
  const results = {};
  for (const [name, make] of Object.entries({
    "a memory": () => GuestMemory.allocate(4 * GIB, { forkable: true }),
    "a space": () => withRam(new AddressSpace({ forkable: true })),
    "a space with an arena": () => withRam(new AddressSpace({ forkable: true, arena: 4 * GIB })),
  })) {
    results[name] = measure(name, make());
  }
  results["a Buffer"] = copies();
  return results;
}

function withRam(space) {
  space.addRam(0, 4 * GIB);
  return space;
}

function measure(name, parent) {
  for (let gpa = 0; gpa < GIB; gpa += PAGE) {
    parent.writel(gpa, gpa + 1);
  }
  let clone;
  const firstMs = msOf(() => (clone = parent.fork()));
  const furtherMs = median(Array.from({ length: CLONES }, () => msOf(() => parent.fork())));
  const few = () =>
    msOf(() => {
      write(clone, FEW, 7919);
      reset(clone, FEW);
    });
  Array.from({ length: 100 }, few);
  const fewMs = median(Array.from({ length: 5000 }, few));
  const many = () => {
    write(clone, MANY, 3);
    return msOf(() => reset(clone, MANY));
  };
  const firstManyMs = many();
  const manyMs = median(Array.from({ length: 10 }, many));
  const result = {
    firstMs,
    furtherMs,
    resetsPerSecond: 1000 / fewMs,
    firstResetUsPerPage: (firstManyMs * 1000) / MANY,
    resetUsPerPage: (manyMs * 1000) / MANY,
  };
  console.log(
    `  ${name.padEnd(22)} first ${firstMs.toFixed(1)} ms, further ${furtherMs.toFixed(4)} ms, ` +
      `${Math.round(result.resetsPerSecond)} resets/s with ${FEW} pages; with ${MANY}: ` +
      `${result.resetUsPerPage.toFixed(2)} us a page ` +
      `(the first ${result.firstResetUsPerPage.toFixed(2)})`,
  );
  return result;
}

let round = 0;

/** Writes pages that are `stride` pages apart. */
function write(clone, pages, stride) {
  round++;
  for (let i = 0; i < pages; i++) {
    clone.writel(((i * stride) % (GIB / PAGE)) * PAGE + 8, round);
  }
}

function reset(clone, pages) {
  if (clone.reset() !== pages) {
    throw new Error("wrong count of pages");
  }
}

/** The same by copies of the resident GiB. */
function copies() {
  const parent = Buffer.alloc(GIB, 1);
  let clone;
  const forkMs = msOf(() => (clone = Buffer.from(parent)));
  const resetMs = median(Array.from({ length: 3 }, () => msOf(() => parent.copy(clone))));
  console.log(
    `  ${"a Buffer of 1 GiB".padEnd(22)} copied in ${forkMs.toFixed(1)} ms, ` +
      `reset in ${resetMs.toFixed(1)} ms`,
  );
  return { forkMs, resetMs };
}
