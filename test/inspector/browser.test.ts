import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { type Inspector, serveInspector } from "../../lib/inspector/server.js";
import * as browsers from "../support/browser.js";
import {
  DRAM,
  HIGH,
  HIGH_SIZE,
  LAST,
  type Samples,
  writeSamples,
} from "../support/sample-snapshots.js";

/** Milliseconds that the page may take on a busy machine to show the expected state. */
const PATIENCE = 15_000;

describe("the inspector's page in a browser", function () {
  this.timeout(60_000);
  let folder: string;
  let samples: Samples;
  let inspector: Inspector;
  let browser: Browser;
  let page: Page;
  /** Errors, warnings and requests to other servers, which no test expects. */
  const complaints: string[] = [];

  before(async function () {
    browser = await browsers.launchBrowser(this);
    folder = mkdtempSync(join(tmpdir(), "browser-"));
    samples = await writeSamples(folder);
    inspector = await serveInspector({ snapshot: samples.newer, other: samples.older });
  });

  after(async () => {
    await browser?.close();
    await inspector?.close();
    if (folder !== undefined) {
      rmSync(folder, { recursive: true });
    }
  });

  beforeEach(async () => {
    page = await open(inspector.url);
  });

  afterEach(async () => {
    await page?.close();
    expect(complaints.splice(0)).to.deep.equal([]);
  });

  const open = (url: string): Promise<Page> => browsers.openPage(browser, url, complaints);
  const press = (...keys: string[]): Promise<void> => browsers.press(page, ...keys);
  const enter = (key: string, text: string): Promise<void> => browsers.enter(page, key, text);
  const shows = (selector: string, text: string): Promise<void> =>
    browsers.shows(page, selector, text);
  const becomes = (actual: () => Promise<unknown>, expected: unknown): Promise<void> =>
    browsers.becomes(page, actual, expected);

  const cursorAt = (gpa: number): Promise<void> =>
    shows("#cursor-address", `0x${gpa.toString(16).padStart(12, "0")}`);

  /** Waits until the row of the cursor contains a text. */
  const rowShows = (text: string): Promise<void> => shows(".row:has(.cell.cursor) .text", text);

  /** Waits until a number of elements on the screen are marked. */
  async function marked(kind: "match" | "differs", count: number): Promise<void> {
    await becomes(() => page.locator(`.cell.${kind}`).count(), count);
  }

  const viewIs = (name: string): Promise<void> =>
    becomes(() => page.locator("#type").inputValue(), name);

  /** Waits until the heat map describes the cell of the cursor with a text. */
  async function heatShows(text: string): Promise<void> {
    await page.locator(`#heat[aria-valuetext*="${text}"]`).waitFor({ timeout: PATIENCE });
  }

  it("starts at the first bytes, and shows the regions and the page", async () => {
    await cursorAt(0);
    await rowShows("boot code of a f");
    expect(await page.locator("#regions .region").count()).to.equal(4);
    expect(await page.locator("#regions .hole").count()).to.equal(3);
    await shows("#regions", "uart");
    expect(await page.title()).to.contain("newer.snap");
    await shows("#page", "of rom");
  });

  it("goes to addresses, also above 4 GiB, and back", async () => {
    await enter("g", (HIGH + LAST).toString(16));
    await cursorAt(HIGH + LAST);
    await rowShows("·············THE");
    await press("Control+End");
    await cursorAt(HIGH + HIGH_SIZE - 1);
    await press("Backspace");
    await cursorAt(0);
    await enter("g", "dram+100000");
    await cursorAt(DRAM + 0x10_0000);
    await rowShows("needle one······");
    await enter("g", "9000");
    await shows("#status.failed", "no RAM or ROM is at 0x9000");
    await cursorAt(DRAM + 0x10_0000);
    expect(page.url()).to.contain("#gpa=0x40100000&view=x8");
    // The URL links to the place.
    const again = await open(page.url().replace("x8", "u16"));
    expect(await again.locator("#cursor-address").innerText()).to.equal("0x000040100000");
    expect(await again.locator("#type").inputValue()).to.equal("u16");
    await again.close();
  });

  it("moves the cursor by keys, and keeps it on the screen", async () => {
    await enter("g", DRAM.toString(16));
    await cursorAt(DRAM);
    await press("j", "l", "ArrowDown", "ArrowRight");
    await cursorAt(DRAM + 34);
    await press("k", "h", "ArrowUp", "ArrowLeft");
    await cursorAt(DRAM);
    await press("k", "h");
    await cursorAt(DRAM);
    await press("End");
    await cursorAt(DRAM + 15);
    await press("Home", "}");
    await cursorAt(DRAM + 4096);
    await press("PageDown", "PageDown", "PageUp", " ", "PageUp", "PageUp");
    await cursorAt(DRAM + 4096);
    await press("Control+End", "Control+Home");
    await cursorAt(DRAM);
    expect(await page.locator(".cell.cursor").count()).to.equal(1);
    const active = await page.locator("#bytes").getAttribute("aria-activedescendant");
    expect(await page.locator(`#${active!}`).getAttribute("class")).to.contain("cursor");
  });

  it("searches forward and backward, and marks the matches", async () => {
    await enter("/", "needle");
    await cursorAt(DRAM + 0x10_0000);
    await marked("match", 6);
    await press("n");
    await cursorAt(DRAM + 5 * 2 ** 20 + 90);
    await press("n");
    await cursorAt(DRAM + 0x10_0000);
    await shows("#status", "from the start");
    await press("N");
    await cursorAt(DRAM + 5 * 2 ** 20 + 90);
    await enter("/", "f32:3.14");
    await cursorAt(DRAM + 0x20_0000);
    await enter("/", "no such text");
    await shows("#status.failed", "no text “no such text”");
    await cursorAt(DRAM + 0x20_0000);
    await press("/");
    await page.keyboard.type("u8:256");
    await shows("#prompt-hint.failed", "256 is no u8");
    await press("Escape");
    expect(await page.locator("#prompt").isHidden()).to.equal(true);
  });

  it("shows the differences of two snapshots", async () => {
    await press("d");
    await cursorAt(DRAM + 0x20_0000);
    await marked("differs", 5);
    await shows("#values tr:has(th:text-is('f32'))", "3.14");
    await press("d");
    await cursorAt(DRAM + 0x20_0020);
    await press("d");
    await cursorAt(HIGH + LAST);
    await marked("differs", 3);
    await rowShows("·············THE");
    await press("x");
    await shows(".row:has(.cell.cursor) .text", "·············the");
    await shows(".file.shown", "older.snap");
    await press("D");
    await cursorAt(DRAM + 0x20_0020);
    await press("D");
    await cursorAt(DRAM + 0x20_0000);
    await shows("#page", "differ");
    await press("D");
    await shows("#status", "from the end");
    await cursorAt(HIGH + LAST);
  });

  it("shows the bytes as values of each type", async () => {
    await enter("g", "dram+200000");
    await shows("#values tr:has(th:text-is('u32'))", "1078523331");
    await press("t", "t", "t", "t");
    await viewIs("u8");
    await page.locator("#type").selectOption("f32");
    await shows(".cell.cursor", "3.14");
    await press("l");
    await cursorAt(DRAM + 0x20_0004);
    await press("T");
    await viewIs("i64");
    // At the end of a region there are too few bytes for the wide types.
    await press("Control+End");
    await shows("#values tr:has(th:text-is('u16'))", "–");
  });

  it("chooses regions and cells of the heat map by keys", async () => {
    await press("r", "ArrowDown");
    await cursorAt(DRAM);
    await press("j");
    await cursorAt(HIGH);
    // Otherwise the next text could be one that the map still has from the time before.
    await heatShows(`from 0x${HIGH.toString(16)}`);
    await press("Escape", "[");
    await cursorAt(DRAM);
    await heatShows("page 0x40000000");
    await press("m", "ArrowRight", "ArrowRight");
    await shows("#status", "page 0x40002000 · all zero");
    await press("Enter");
    await cursorAt(DRAM + 2 * 4096);
    await press("M");
    await shows("#status", "how often changed");
    await becomes(() => page.locator("#heat-modes input:checked").inputValue(), "changes");
    await page.locator("#heat-modes input").first().focus();
    await press("Escape", "d");
    await cursorAt(DRAM + 0x20_0000);
    await heatShows("changed 1×, last in generation 1");
  });

  it("draws the heat of pages", async () => {
    await enter("g", "dram+200000");
    await press("M");
    const colors = async (): Promise<number> =>
      Number(
        await page.evaluate(`
          const canvas = document.querySelector("#heat");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const pixels = new Uint32Array(data.buffer);
          new Set(pixels.filter((pixel) => pixel >>> 24 === 255)).size;
        `),
      );
    await heatShows("changed 1×");
    // Zeros, pages that never changed, pages that did, and the cursor.
    expect(await colors()).to.be.at.least(4);
    await page.locator("#heat").click({ position: { x: 5, y: 5 } });
    await cursorAt(DRAM);
  });

  it("scrolls by the wheel and by the scroll bar", async () => {
    await enter("g", HIGH.toString(16));
    await page.locator("#bytes").hover();
    await page.mouse.wheel(0, 500);
    await shows(".row .address", (HIGH + 0x100).toString(16).padStart(12, "0"));
    const box = (await page.locator("#scroll").boundingBox())!;
    await page.mouse.click(box.x + 8, box.y + box.height - 1);
    const last = await page.locator(".row .address").last().innerText();
    expect(parseInt(last, 16)).to.be.above(HIGH + HIGH_SIZE - 2 ** 25);
    // A link brings the cursor back onto the screen.
    expect(await page.locator(".cell.cursor").count()).to.equal(0);
    await page.evaluate(`location.hash = "#gpa=0x${(HIGH + 0x5000).toString(16)}&view=x8"`);
    await cursorAt(HIGH + 0x5000);
    await becomes(() => page.locator(".cell.cursor").count(), 1);
  });

  it("lists its keys, and follows the colour scheme of the system", async () => {
    await press("?");
    await page.locator("#help[open]").waitFor();
    await press("j", "Escape");
    await page.locator("#help[open]").waitFor({ state: "detached" });
    await cursorAt(0);
    const back = (): Promise<unknown> =>
      page.evaluate("getComputedStyle(document.body).backgroundColor");
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await back()).to.equal("rgb(13, 18, 24)");
    await page.emulateMedia({ colorScheme: "light" });
    expect(await back()).to.equal("rgb(255, 255, 255)");
  });

  it("shows one snapshot alone", async () => {
    const alone = await serveInspector({ snapshot: samples.older });
    await page.close();
    page = await open(alone.url);
    await press("d");
    await shows("#status.failed", "no other snapshot");
    expect(await page.locator("#heat-modes input").count()).to.equal(1);
    await page.close();
    await alone.close();
  });
});
