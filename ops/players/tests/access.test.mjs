// Which URLs open what: from pages of any origin, by HEAD, and not with a token that is not valid.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { watch } from "../support/playback.mjs";
import { address, request } from "../support/service.mjs";
import { heights, opened, stream, tokenOf } from "../support/streams.mjs";
import { origins, Viewer } from "../support/viewer.mjs";

let job;
before(async () => {
  job = await stream({ type: "cmaf", poster: {}, sprite: {} });
});

/** The job's URL with another token. */
const withToken = (url, token) => url.replace(tokenOf(url), token);

/** Waits until a URL is answered with this status. */
async function until(url, status) {
  while ((await fetch(url, { method: "HEAD" })).status !== status) await pause(50);
}

/** Every player reports that it cannot load this job, since the status is this. */
async function reported(context, token, status) {
  const cases = {
    "hls.js": [job.playback_url, `hls.js manifestLoadError ${status}`],
    "dash.js": [job.dash_url, `dash.js ${status}`],
    "shaka-player": [job.dash_url, `shaka 1001 ${status}`],
    video: [job.playback_url, "video 4"],
  };
  for (const [player, [url, error]] of Object.entries(cases)) {
    await context.test(`in ${player}`, async (inner) => {
      const viewer = await opened(inner, player, withToken(url, token));
      const state = await viewer.until("an error", ({ errors }) => errors.length > 0, { errors: true });
      assert.ok(state.errors.some((text) => text.startsWith(error)), state.errors.join("\n"));
      assert.equal(state.frames, 0);
    });
  }
}

test("a page of an origin that is not listed plays too", async (context) => {
  for (const [player, url] of [["hls.js", job.playback_url], ["dash.js", job.dash_url]]) {
    const viewer = await opened(context, player, url, origins.other);
    await watch(viewer, heights);
    await viewer.requests(tokenOf(url));
  }
});

test("HEAD tells what GET answers, to pages too", async (context) => {
  const urls = [job.playback_url, job.dash_url, job.poster_url, job.sprite_url].map(address);
  urls.push(new URL("180p/init.mp4", urls[0]).href, new URL("180p/00001.m4s", urls[0]).href);
  const { page } = await Viewer.open(context, origins.other);
  const seen = await page.evaluate((all) => {
    const ask = async (url, method) => {
      const response = await fetch(url, { method });
      const { length } = await response.text();
      const names = ["content-type", "content-length", "etag", "accept-ranges"];
      return { length, answer: [response.status, ...names.map((name) => response.headers.get(name))] };
    };
    return Promise.all(all.map(async (url) => [await ask(url, "HEAD"), await ask(url, "GET")]));
  }, urls);
  for (const [head, get] of seen) {
    assert.deepEqual(head.answer, get.answer);
    assert.ok(head.answer[0] === 200 && head.answer.every((value) => value !== null), head.answer.join(" "));
    assert.ok(head.length === 0 && get.length > 0);
  }
});

test("a damaged token opens nothing", async (context) => {
  const token = tokenOf(job.playback_url);
  const middle = token.length - 10;
  const damaged = token.slice(0, middle) + (token[middle] === "A" ? "B" : "A") + token.slice(middle + 1);
  await reported(context, damaged, 401);
});

test("a token that has expired opens nothing", async (context) => {
  const { token } = await request("POST", "/tokens", { outputs: job.id, ttl: 2 });
  const url = address(withToken(job.playback_url, token));
  await until(url, 200);
  await until(url, 401);
  await reported(context, token, 401);
});

test("a token ends with the key that created it", async (context) => {
  const tenant = { name: "players", scopes: ["jobs:read"] };
  const key = await request("POST", "/api-keys", tenant);
  const { playback_url: path } = await request("GET", `/jobs/${job.id}`, undefined, { as: key.secret });
  await until(address(path), 200);
  await request("POST", `/api-keys/${key.id}/revoke`);
  await until(address(path), 401);
  await reported(context, tokenOf(path), 401);
});

test("a token for something else opens no outputs", async (context) => {
  const other = await stream({ type: "hls" });
  const { token: events } = await request("POST", "/tokens", { job: job.id });
  const { token: upload } = await request("POST", "/tokens", { upload: {} });
  for (const token of [events, upload]) {
    assert.equal((await fetch(address(withToken(job.playback_url, token)))).status, 401);
  }
  // It opens its own job's outputs only, of which none has this name.
  await reported(context, events, 401);
  const missing = address(withToken(job.dash_url, tokenOf(other.playback_url)));
  assert.equal((await fetch(missing)).status, 404);
});
