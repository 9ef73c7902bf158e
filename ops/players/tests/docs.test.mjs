// The pages of docs/browser.md work as they are written there.
import assert from "node:assert/strict";
import { test } from "node:test";

import { blankPage } from "../support/chromium.mjs";
import { blocks, bunny } from "../support/docs.mjs";
import { address, request } from "../support/service.mjs";
import { stream } from "../support/streams.mjs";
import { origins } from "../support/viewer.mjs";

const [uploading, playing] = await blocks("browser.md", "html no_run=players");
const [following, previews] = await blocks("browser.md", "js no_run=players");

/** A page of the listed origin with these global names, and this body. */
async function opened(context, names, body) {
  const page = await blankPage(context);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  // Plyr's icons, and the blank video that it plays at its end.
  await page.route("https://cdn.plyr.io/**", (route) => route.fulfill({ body: "" }));
  // This page knows where modules are.
  await page.goto(`${origins.listed}/pages/player.html`);
  await page.setContent(`<script>Object.assign(globalThis, ${JSON.stringify(names)});</script>${body}`);
  return { page, errors };
}

test("the page of docs/browser.md plays, with preview images", async (context) => {
  const job = await stream({ type: "cmaf", poster: {}, sprite: {} });
  const names = { playbackUrl: address(job.playback_url), posterUrl: address(job.poster_url) };
  const { page, errors } = await opened(context, names, playing);
  const video = page.locator("video");
  // Chromium says that it may play HLS, and then fails at some of it: https://github.com/video-dev/hls.js/issues/7827.
  await page.waitForFunction(() => document.querySelector("video").currentSrc, undefined, { timeout: 60_000 });
  const source = await video.evaluate((element) => element.currentSrc);
  assert.ok(source.startsWith("blob:"), `hls.js is to play it wherever it can, not the browser: ${source}`);
  await video.evaluate((element) => element.play());
  await page.waitForFunction(() => document.querySelector("video").currentTime > 2, undefined, { timeout: 60_000 });
  const index = page.waitForResponse(address(job.sprite_url), { timeout: 60_000 });
  await page.evaluate(
    async ([script, service, job]) => {
      const { default: Plyr } = await import("plyr");
      new Function("Plyr", "video", "service", "job", script)(Plyr, document.querySelector("video"), service, job);
    },
    [previews, address(""), job],
  );
  assert.equal((await index).status(), 200);
  assert.deepEqual(errors, []);
});

test("the page of docs/browser.md uploads, and follows the job", async (context) => {
  const then = { kind: "stream", output: `players/docs-${process.pid}`, preset: "hls-auto" };
  const grant = await request("POST", "/tokens", { upload: { then } });
  const { page, errors } = await opened(context, { uploadUrl: address(grant.url) }, uploading);
  const printed = page.waitForEvent("console", { timeout: 60_000 });
  await page.locator("#file").setInputFiles(bunny);
  const job = (await printed).text();
  assert.match(job, /^job_[0-9a-f]+$/);
  const { token } = await request("POST", "/tokens", { job });
  const end = await page.evaluate(
    ([script, service, job, token]) =>
      new Promise((ended) => {
        const shown = [];
        new Function("service", "job", "token", "show", "ended", script)(
          service,
          job,
          token,
          (progress) => shown.push(progress),
          (type) => ended({ type, shown }),
        );
      }),
    [following, address(""), job, token],
  );
  assert.equal(end.type, "job.completed");
  assert.ok(end.shown.every((progress) => progress >= 0 && progress <= 100), JSON.stringify(end.shown));
  assert.deepEqual(errors, []);
});
