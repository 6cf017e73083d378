import { expect } from "chai";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { need } from "./need.js";

/** Milliseconds that a page may take on a busy machine to show the expected state. */
const PATIENCE = 15_000;

const CHROMIUM = "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox",
  "--headless",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
];

/** Starts Chromium. Skips the tests if there is none. */
export function launchBrowser(context: Mocha.Context): Promise<Browser> {
  need(context, CHROMIUM);
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

/**
 * Opens a page, and waits for the first bytes.
 *
 * @param complaints - Gets the errors, the warnings and the requests to other servers.
 */
export async function openPage(
  browser: Browser,
  url: string,
  complaints: string[],
  options: BrowserContextOptions = {},
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) {
      complaints.push(`a request to ${request.url()}`);
    }
  });
  await page.goto(url);
  await page.waitForSelector(".cell:not(.loading)");
  return page;
}

/** Presses keys one after the other. */
export async function press(page: Page, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    await page.keyboard.press(key);
  }
}

/** Opens a prompt with a key, types a text and presses Enter. */
export async function enter(page: Page, key: string, text: string): Promise<void> {
  await page.keyboard.press(key);
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** Waits until an element contains a text. */
export async function shows(page: Page, selector: string, text: string): Promise<void> {
  const found = page.locator(selector, { hasText: text }).first();
  await found.waitFor({ timeout: PATIENCE }).catch(async () => {
    expect(await page.locator(selector).allInnerTexts(), selector).to.contain(text);
  });
}

/** Waits until a value of the page is the expected one. */
export async function becomes(
  page: Page,
  actual: () => Promise<unknown>,
  expected: unknown,
): Promise<void> {
  const end = performance.now() + PATIENCE;
  while ((await actual()) !== expected && performance.now() < end) {
    await page.waitForTimeout(20);
  }
  expect(await actual()).to.equal(expected);
}
