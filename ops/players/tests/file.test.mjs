// Single files in the browser's own player, and as downloads.
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { test } from "node:test";

import { blankPage } from "../support/chromium.mjs";
import { convertedWithCaptions } from "../support/files.mjs";
import { captions } from "../support/media.mjs";
import { startWithFirstLanguage, watch } from "../support/playback.mjs";
import { address } from "../support/service.mjs";
import { tokenOf } from "../support/streams.mjs";
import { origins, Viewer } from "../support/viewer.mjs";

for (const file of ["a video.mp4", "a video.webm"]) {
  test(`<video> plays ${file}, with its captions`, async (context) => {
    const { job, tracks } = await convertedWithCaptions(file);
    for (const url of [job.playback_url, job.download_url]) {
      const viewer = await Viewer.open(context);
      await viewer.play("video", { url: address(url), tracks });
      await startWithFirstLanguage(viewer);
      await watch(viewer);
      assert.deepEqual((await viewer.state()).cues, { en: captions.en });
      const urls = await viewer.requests(tokenOf(url));
      assert.ok(urls.includes(address(url)), urls.join(" "));
    }
  });
}

test("a link to a file saves it under its name", async (context) => {
  const { job } = await convertedWithCaptions("a clip.mp4");
  const page = await blankPage(context);
  await page.goto(`${origins.listed}/pages/player.html`);
  const saved = page.waitForEvent("download", { timeout: 60_000 });
  const click = (href) => Object.assign(document.createElement("a"), { href }).click();
  await page.evaluate(click, address(job.download_url));
  const download = await saved;
  assert.equal(download.suggestedFilename(), "a clip.mp4");
  const { size } = job.outputs.find((output) => output.name === "a clip.mp4");
  assert.equal((await stat(await download.path())).size, size);
});
