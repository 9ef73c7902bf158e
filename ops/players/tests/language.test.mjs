// Which language a player starts with, if the viewer has chosen none: the input's first.
import { test } from "node:test";

import { startWithFirstLanguage } from "../support/playback.mjs";
import { opened, stream } from "../support/streams.mjs";

test("a stream in several languages starts with the first one", async (context) => {
  const { playback_url: hls, dash_url: dash } = await stream({ type: "cmaf" });
  const cases = { "hls.js": [hls], "dash.js": [dash], "shaka-player": [hls, dash], video: [hls] };
  for (const [player, paths] of Object.entries(cases)) {
    for (const path of paths) {
      await context.test(`in ${player}, ${path.split("/").at(-1)}`, async (inner) => {
        await startWithFirstLanguage(await opened(inner, player, path));
      });
    }
  }
});
