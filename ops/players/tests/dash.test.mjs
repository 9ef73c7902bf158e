// DASH in dash.js and Shaka Player.
import assert from "node:assert/strict";
import { test } from "node:test";

import { playAll, stream } from "../support/streams.mjs";

const cases = {
  "segments": { type: "dash" },
  "CMAF": { type: "cmaf" },
  "one file for each rendition": { type: "dash", segments: "single_file" },
  "one CMAF file for each rendition": { type: "cmaf", segments: "single_file" },
};

for (const [name, request] of Object.entries(cases)) {
  test(name, async (context) => {
    const { dash_url: url, playback_url: playback } = await stream(request);
    if (request.type === "dash") assert.equal(playback, url);
    for (const player of ["dash.js", "shaka-player"]) {
      await context.test(`${player} plays it`, (inner) => playAll(inner, player, url));
    }
  });
}
