// Plyr, with its captions and preview thumbnails.
import assert from "node:assert/strict";
import { test } from "node:test";

import { convertedWithCaptions } from "../support/files.mjs";
import { captions } from "../support/media.mjs";
import { showCaptions, watch } from "../support/playback.mjs";
import { address } from "../support/service.mjs";
import { heights, stream, tokenOf } from "../support/streams.mjs";
import { Viewer } from "../support/viewer.mjs";

/** The preview that Plyr shows when the pointer is at this part of the timeline: its time, its sheet and its colour. */
async function previewAt(page, part) {
  // Plyr shows its controls while the pointer moves over the picture.
  await page.locator(".plyr__video-wrapper").hover();
  const timeline = page.locator(".plyr__progress input");
  const { width, height } = await timeline.boundingBox();
  await timeline.hover({ position: { x: width * part, y: height / 2 } });
  const image = page.locator(".plyr__preview-thumb__image-container img");
  await page.waitForFunction((element) => element.complete && element.naturalWidth > 0, await image.elementHandle());
  const time = await page.locator(".plyr__preview-thumb__time-container").textContent();
  const { src, color } = await image.evaluate(async (sheet) => {
    const [thumbnail, whole] = [sheet.parentElement, sheet].map((element) => element.getBoundingClientRect());
    const scale = sheet.naturalWidth / whole.width;
    const x = (thumbnail.x + thumbnail.width / 4 - whole.x) * scale;
    const y = (thumbnail.y + thumbnail.height / 2 - whole.y) * scale;
    return { src: sheet.src, color: await globalThis.ffapi.colorOf(sheet.src, x, y) };
  });
  return { time, src, color };
}

/** Waits until Plyr displays this caption. */
async function displayed(viewer, text) {
  await viewer.page.locator(".plyr__caption", { hasText: text }).waitFor({ timeout: 60_000 });
}

test("Plyr plays a stream with captions, poster and preview thumbnails", async (context) => {
  const job = await stream({ type: "cmaf", poster: {}, sprite: { interval: 1 } });
  const viewer = await Viewer.open(context);
  viewer.page.setDefaultTimeout(60_000);
  const [url, poster, sprite] = [job.playback_url, job.poster_url, job.sprite_url].map(address);
  await viewer.play("plyr", { url, poster, sprite });
  await watch(viewer, heights);
  await showCaptions(viewer, { en: captions.en });
  await displayed(viewer, captions.en[0][0]);

  const [early, late] = [await previewAt(viewer.page, 0.2), await previewAt(viewer.page, 0.8)];
  assert.match(early.time, /^00:0[23]$/);
  assert.match(late.time, /^00:(09|10)$/);
  assert.deepEqual([early.color, late.color], ["red", "blue"]);

  const requested = await viewer.requests(tokenOf(job.playback_url));
  for (const wanted of [url, poster, sprite, early.src, late.src]) {
    assert.ok(requested.includes(wanted), `${wanted} in ${requested.join(" ")}`);
  }
});

test("Plyr plays a file with captions", async (context) => {
  const { job, tracks } = await convertedWithCaptions("plyr.mp4");
  const viewer = await Viewer.open(context);
  await viewer.play("plyr", { url: address(job.playback_url), tracks });
  await displayed(viewer, captions.en[0][0]);
  await watch(viewer);
  await viewer.requests(tokenOf(job.playback_url));
});
