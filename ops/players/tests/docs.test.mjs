// The page of docs/browser.md plays as it is written there.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { blankPage } from "../support/chromium.mjs";
import { address } from "../support/service.mjs";
import { stream } from "../support/streams.mjs";
import { origins } from "../support/viewer.mjs";

test("the page of docs/browser.md plays", async (context) => {
  const job = await stream({ type: "cmaf", poster: {} });
  const text = await readFile(new URL("../../../docs/browser.md", import.meta.url), "utf8");
  const [, body] = /## Playback.*?```html[^\n]*\n(.*?)```/s.exec(text);
  const names = { playbackUrl: address(job.playback_url), posterUrl: address(job.poster_url) };
  const page = await blankPage(context);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  // This page knows where `hls.js` is.
  await page.goto(`${origins.listed}/pages/player.html`);
  await page.setContent(`<script>Object.assign(globalThis, ${JSON.stringify(names)});</script>${body}`);
  const video = page.locator("video");
  // Chromium says that it may play HLS, and then fails at some of it: https://github.com/video-dev/hls.js/issues/7827.
  await page.waitForFunction(() => document.querySelector("video").currentSrc, undefined, { timeout: 60_000 });
  const source = await video.evaluate((element) => element.currentSrc);
  assert.ok(source.startsWith("blob:"), `hls.js is to play it wherever it can, not the browser: ${source}`);
  await video.evaluate((element) => element.play());
  await page.waitForFunction(() => document.querySelector("video").currentTime > 2, undefined, { timeout: 60_000 });
  assert.deepEqual(errors, []);
});
