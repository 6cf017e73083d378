// Measures what an open page of the inspector costs a running guest: the example machine in a
// worker, with a page in headless Chromium for every other stretch of time. Run `npm run build` and
// `npx tsc -p examples/frontend`, then `node bench/inspector.mjs`. It needs Chromium.

import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { chromium } from "playwright-core";
import { median } from "./measure.mjs";

const require = createRequire(import.meta.url);
const { inspectProgram } = require("../build-example/inspect.js");
const { CSR_NAMES } = require("../build-example/debug.js");
const { programFile } = require("../build-example/programs.js");

const ROUNDS = 14;
const STRETCH_MS = 1000;
/** What the page does before a stretch, such as loading its files. */
const SETTLE_MS = 600;
/** The number of the register that counts instructions. */
const MCYCLE = 33 + CSR_NAMES.indexOf("mcycle");

const { inspector, close } = await inspectProgram(
  require.resolve("../build-example/inspect-worker.js"),
  {
    file: programFile("terrain"),
    argument: 1e6,
    traced: null,
    running: true,
  },
);
const { origin, searchParams } = new URL(inspector.url);
const headers = { "x-inspector-token": searchParams.get("token") };

async function instructions() {
  const response = await fetch(`${origin}/api/machine/state?cpu=0`, { headers });
  const { registers } = await response.json();
  return { count: Number(registers[MCYCLE]), time: performance.now() };
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Million instructions per second. */
async function speed() {
  await sleep(SETTLE_MS);
  const start = await instructions();
  await sleep(STRETCH_MS);
  const end = await instructions();
  return (end.count - start.count) / (end.time - start.time) / 1000;
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--headless", "--disable-gpu"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const speeds = { without: [], withPage: [] };
for (let round = 0; round < ROUNDS; round++) {
  await page.goto("about:blank");
  speeds.without.push(await speed());
  await page.goto(inspector.url);
  speeds.withPage.push(await speed());
}
await browser.close();
await close();

// Neighbouring stretches are compared, since other programs slow the machine down at times.
const ratio = median(speeds.withPage.map((value, i) => value / speeds.without[i]));
console.log(`Node ${process.versions.node}, ${ROUNDS} pairs of stretches of ${STRETCH_MS} ms`);
for (const [name, values] of Object.entries(speeds)) {
  console.log(`${name}: ${median(values).toFixed(0)} MIPS`);
}
console.log(`with a page / without: ${ratio.toFixed(3)}`);
