import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { InspectedMachine, type Inspector, serveInspector } from "pound-guest-memory/inspector";
import { becomes, enter, launchBrowser, openPage, press, shows } from "../support/browser.js";
import { Toy, TOY_ARCHITECTURE, ToyMachine } from "../support/toy-machine.js";

const { INC, STORE, JUMP } = Toy;
const AXE = readFileSync(createRequire(__filename).resolve("axe-core/axe.min.js"), "utf8");

describe("the page of a running machine in a browser", function () {
  this.timeout(60_000);
  let browser: Browser;
  let toy: ToyMachine;
  let machine: InspectedMachine;
  let inspector: Inspector;
  let page: Page;
  const complaints: string[] = [];

  before(async function () {
    browser = await launchBrowser(this);
  });

  after(() => browser?.close());

  beforeEach(async () => {
    // The guest counts in r0, and stores it at 0x2000.
    toy = new ToyMachine([INC, STORE, JUMP]);
    toy.cpus[0]!.registers.splice(0, 6, 0n, 0x2000n, 0x1000n, 0n, 0x1000n, 0n);
    const { space, cpus } = toy;
    machine = new InspectedMachine({
      space,
      cpus,
      architecture: TOY_ARCHITECTURE,
      trace: space.trace({ range: { gpa: 0x2000, length: 16 }, tag: () => cpus[0]!.pc }),
      disassemble: (address) =>
        [0n, 4n, 8n].map((at) => ({ address: address + at, text: `instruction ${at}` })),
    });
    inspector = await serveInspector({ space, machine });
    page = await openPage(browser, inspector.url, complaints, {
      viewport: { width: 1920, height: 1080 },
    });
  });

  afterEach(async () => {
    await page?.close();
    await inspector?.close();
    await machine?.close();
    expect(complaints.splice(0)).to.deep.equal([]);
  });

  const register = (name: string): Promise<string> =>
    page.locator(`.register:has(.name:text-is("${name}")) .value`).innerText();

  const registerIs = (name: string, value: number): Promise<void> =>
    becomes(page, () => register(name), value.toString(16).padStart(16, "0"));

  const status = (text: string): Promise<void> => shows(page, "#machine-status", text);

  it("steps, continues and pauses by keys, and shows the registers and the code", async () => {
    await status("stopped · cpu0");
    await shows(page, "#code .pc", "1000  instruction 0");
    await press(page, "s");
    await registerIs("r0", 1);
    await registerIs("pc", 0x1004);
    expect(await page.locator(".register .fresh").count()).to.equal(2);
    await press(page, "c");
    await status("running");
    await press(page, "p");
    await status("paused · cpu0");
    const value = await register("r0");
    expect(parseInt(value, 16)).to.be.above(1);
    await press(page, ".");
    await shows(page, "#cursor-address", "0x0000100");
  });

  it("refreshes the bytes and the heat map while the guest runs, and marks what changes", async () => {
    await enter(page, "g", "2000");
    await shows(page, ".row:has(.cell.cursor) .cell.cursor", "00");
    await press(page, "c");
    await page.locator(".cell.fresh").first().waitFor();
    await page.locator('#heat[aria-valuetext*="page 0x2000 · written"]').waitFor();
    await press(page, "p");
    await status("paused");
    await becomes(page, () => page.locator(".cell.fresh").count(), 0);
    const shown = await page.locator("#values tr:has(th:text-is('u32')) td").innerText();
    expect(Number(shown)).to.equal(toy.space.readl(0x2000));
    await shows(page, "#page", "written");
  });

  it("stops at breakpoints and before writes to watched bytes", async () => {
    await enter(page, "g", "1008");
    await press(page, "b");
    await shows(page, "#stops", "break 0x1008");
    await press(page, "c");
    await status("breakpoint · cpu0");
    await registerIs("pc", 0x1008);
    await press(page, "b");
    await becomes(page, () => page.locator("#stops .stop").count(), 0);
    await enter(page, "g", "2000");
    await press(page, "w");
    await shows(page, "#stops", "write 0x2000 (1)");
    await press(page, "c");
    await status("a write to 0x2000 · cpu0");
    await registerIs("pc", 0x1004);
    await page.getByRole("button", { name: "remove write 0x2000 (1)" }).click();
    await becomes(page, () => page.locator("#stops .stop").count(), 0);
    // The line of an instruction sets a breakpoint there.
    await page.locator("#code .line").nth(1).click();
    await shows(page, "#stops", "break 0x1008");
  });

  it("writes bytes and registers", async () => {
    await enter(page, "g", "2004");
    await enter(page, "e", "u32:305419896");
    await shows(page, "#status", "4 bytes written at 0x2004");
    expect(toy.space.readl(0x2004)).to.equal(0x1234_5678);
    await shows(page, ".row:has(.cell.cursor) .cell.cursor", "78");
    await enter(page, "g", "2fff");
    await enter(page, "e", "0x1");
    await shows(page, "#status.failed", "no RAM or ROM is at 0x3000");
    expect(complaints.splice(0).join()).to.contain("404");
    await page.getByRole("button", { name: /^r3: / }).click();
    await shows(page, "#prompt-label", "r3");
    await page.keyboard.type("ff");
    await page.keyboard.press("Enter");
    await registerIs("r3", 255);
    expect(toy.cpus[0]!.registers[3]).to.equal(255n);
  });

  it("shows what changed since a snapshot, and who wrote it", async () => {
    await press(page, "S");
    await shows(page, "#moments [aria-pressed=true]", "#1 at");
    await shows(page, "#files", "#1 at");
    await press(page, "d");
    await shows(page, "#status.failed", "no difference");
    await press(page, "s", "s");
    await registerIs("pc", 0x1008);
    await page.waitForTimeout(100);
    await press(page, "d");
    await shows(page, "#status", "difference at 0x2000");
    await becomes(page, () => page.locator(".cell.differs").count(), 1);
    await shows(page, "#accesses", "0x1004 wrote 0x1 at 0x2000");
    await press(page, "x");
    await shows(page, ".file.shown", "#1 at");
    await shows(page, ".row:has(.cell.cursor) .cell.cursor", "00");
    await press(page, "B");
    await shows(page, "#status", "no comparison");
    await becomes(page, () => page.locator(".cell.differs").count(), 0);
  });

  it("starts again when the map changes, and says when the connection is lost", async () => {
    toy.space.addRam(0x10_0000, 0x1000, { name: "new" });
    await shows(page, "#regions", "new");
    await inspector.close();
    await shows(page, "#status.failed", "the connection is lost");
    complaints.splice(0);
  });

  it("refuses an address without the token", async () => {
    const { origin } = new URL(inspector.url);
    await page.goto(origin);
    await shows(page, "#status", "the request must have the token of the address");
    expect(complaints.splice(0).join()).to.contain("401");
  });

  for (const [width, height, colorScheme] of [
    [1024, 768, "dark"],
    [1920, 1080, "light"],
  ] as const) {
    it(`has no accessibility fault at ${width} pixels, ${colorScheme}`, async () => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await enter(page, "g", "2000");
      await press(page, "S", "b", "w", "s", "s", "s");
      await shows(page, "#accesses", "wrote");
      await becomes(page, () => page.locator(".cell.differs").count(), 1);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate<AxeResults>("axe.run()");
      const faults = violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, any }) => `${id}: ${html} ${any.map(({ message }) => message).join()}`),
      );
      expect(faults.slice(0, 20).join("\n")).to.equal("");
      const overflow = "document.documentElement.scrollWidth - innerWidth";
      expect(await page.evaluate(overflow)).to.equal(0);
      for (const name of ["bytes", "machine-panel", "heat"]) {
        expect(await page.locator(`#${name}`).isVisible(), name).to.equal(true);
      }
    });
  }
});
