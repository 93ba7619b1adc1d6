/** A real browser for tests, and windows of the console in it that keep what went wrong. */

import { join } from "node:path";
import { chromium } from "playwright-core";

const { CHROMIUM, STEAD_SHOTS } = process.env;
if (CHROMIUM === undefined || STEAD_SHOTS === undefined) throw new Error("tests/browser.sh sets CHROMIUM and STEAD_SHOTS");
/** How long anything may take to be seen. Milliseconds. */
const SEEN_WITHIN = 20_000;
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
/** What a browser says by itself of a server that is gone. */
const GONE = /net::ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET|NETWORK)|WebSocket connection to .* failed|WebSocket is closed/;

/** A browser with a fresh profile, gone when the test ends. @param {import("node:test").TestContext} t */
export async function browser(t) {
  // Its profile is a new temporary directory, which it removes.
  const started = await chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true });
  t.after(() => started.close());
  return started;
}

/** A window of the console that a node serves. */
export async function open(started, url, options = {}) {
  const context = await started.newContext({ viewport: { width: 1200, height: 850 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(SEEN_WITHIN);
  const wrong = [];
  const window = { page, url, wrong, mayBeGone: false, goTo, shoot };
  page.on("console", (message) => {
    const isWrong = message.type() === "error" || message.type() === "warning";
    if (isWrong && !(window.mayBeGone && GONE.test(message.text()))) wrong.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => wrong.push(`thrown: ${error.stack}`));
  page.on("dialog", (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(url);
  return window;

  /** Another part of the page, by its address, without loading the page again. */
  async function goTo(hash) {
    await page.evaluate((wanted) => (location.hash = wanted), hash);
  }

  async function shoot(name) {
    await page.screenshot({ path: join(STEAD_SHOTS, `${name}.png`), fullPage: true });
  }
}
