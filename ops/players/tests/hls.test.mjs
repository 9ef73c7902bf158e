// HLS in hls.js, Shaka Player, and Chromium's own player, which `<video src>` uses.
import assert from "node:assert/strict";
import { test } from "node:test";

import { playAll, playDefault, stream } from "../support/streams.mjs";

const cases = {
  "fMP4 segments": { type: "hls" },
  "transport stream segments": { type: "hls", segment_format: "ts" },
  "CMAF": { type: "cmaf" },
  "one fMP4 file for each rendition": { type: "hls", segments: "single_file" },
  "one transport stream for each rendition": { type: "hls", segments: "single_file", segment_format: "ts" },
  "one CMAF file for each rendition": { type: "cmaf", segments: "single_file" },
  "encrypted fMP4 segments": { type: "hls", encryption: "aes-128" },
  "encrypted transport stream segments": { type: "hls", encryption: "aes-128", segment_format: "ts" },
  "encrypted, one file for each rendition": { type: "hls", encryption: "aes-128", segments: "single_file" },
};

/** Chromium 156 itself fails at encrypted fMP4 with an initialization segment that is listed before the key. */
function isPlayedBy(player, { encryption, segment_format: format }) {
  return player !== "video" || !encryption || format === "ts";
}

for (const [name, request] of Object.entries(cases)) {
  test(name, async (context) => {
    const { playback_url: url } = await stream(request);
    for (const [player, play] of [["hls.js", playAll], ["shaka-player", playAll], ["video", playDefault]]) {
      if (!isPlayedBy(player, request)) continue;
      await context.test(`${player} plays it`, async (inner) => {
        const paths = await play(inner, player, url);
        assert.equal(paths.includes("key.bin"), request.encryption !== undefined, paths.join(" "));
      });
    }
  });
}
