// Chromium with an empty profile for each page.
import { after } from "node:test";

import { chromium } from "playwright-core";

const flags = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nobody clicks before playback starts.
  "--autoplay-policy=no-user-gesture-required",
];

let browser;
after(async () => (await browser)?.close());

/** A page in a profile of its own, which ends with the test. */
export async function blankPage(test) {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    chromiumSandbox: false,
    args: flags,
    timeout: 120_000,
  });
  const context = await (await browser).newContext();
  test.after(() => context.close());
  return await context.newPage();
}
