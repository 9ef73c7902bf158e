// Plyr's controls over hls.js for playlists, or over the browser's own player for files.
import Plyr from "plyr";

import { open as openHls } from "./hls.mjs";
import { open as openFile } from "./video.mjs";

export function open(video, sources, fail) {
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet" });
  style.href = "/node_modules/plyr/dist/plyr.css";
  document.head.append(style);
  const isPlaylist = new URL(sources.url).pathname.endsWith(".m3u8");
  const player = (isPlaylist ? openHls : openFile)(video, sources, fail);
  const plyr = new Plyr(video, {
    // By default both come from Plyr's own servers.
    iconUrl: "/node_modules/plyr/dist/plyr.svg",
    blankVideo: "",
    captions: { active: true, language: "en", update: true },
    previewThumbnails: { enabled: sources.sprite !== undefined, src: sources.sprite },
  });
  plyr.on("error", ({ detail }) => fail(`plyr ${JSON.stringify(detail)}`));
  return player;
}
