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

/**
 * Plays a server's change requests to a window: its list, its objects, its feed. Everything else is the server's.
 * @param {{ [name: string]: object }} states
 */
export async function playChanges({ page }, states) {
  const objects = new Map(Object.entries(states).map(([name, state]) => [name, { version: 1, state }]));
  const at = new Date().toISOString();
  const whole = (name) => ({ class: "change-request", name, version: objects.get(name).version, updated_at: at });
  await page.route("**/v1/objects/change-request?*", (route) => route.fulfill({ json: { objects: [...objects.keys()].sort().map(whole), cursor: null } }));
  await page.route("**/v1/objects/change-request/*", (route) => {
    const name = decodeURIComponent(new URL(route.request().url()).pathname.split("/").at(-1));
    return route.fulfill({ json: { ...whole(name), state: objects.get(name).state } });
  });
  const feeds = [];
  let cursor = 0;
  await page.routeWebSocket("**/v1/live", (socket) => {
    socket.onMessage((text) => {
      const { ref, feed } = JSON.parse(text);
      socket.send(JSON.stringify({ type: "subscribed", ref, feed, cursor: String(cursor), complete: true }));
      feeds.push((frame) => socket.send(JSON.stringify({ ref, ...frame })));
    });
  });
  // What replaces the page's sockets comes in with the page.
  await page.reload();
  return { change };

  function change(name, changes, { silent = false } = {}) {
    const before = objects.get(name) ?? { version: 0, state: {} };
    const version = before.version + 1;
    objects.set(name, { version, state: { ...before.state, ...changes } });
    cursor += 1;
    const frame = { type: "update", object: `change-request/${name}`, cursor: String(cursor), version, changes, deleted: [], method: "test", by: "local", timestamp: at };
    if (!silent) for (const say of feeds) say(frame);
  }
}
