// What the tests call in the page, as `ffapi`. Each player's module exports `open(video, sources, fail)`, whose
// result has `languages()`, `heights()`, `chooseLanguage()`, `chooseHeight()` and `chooseCaptions()`, as far as
// the player has them; `fail` receives the player's errors as text.
import { observe, pixels } from "./observe.mjs";

const modules = {
  "dash.js": "./dash.mjs",
  "hls.js": "./hls.mjs",
  plyr: "./plyr.mjs",
  "shaka-player": "./shaka.mjs",
  video: "./video.mjs",
};
const video = document.getElementById("video");
const observed = observe(video);
const errors = [];
const fail = (error) => errors.push(error);
video.addEventListener("error", () => fail(`video ${video.error.code} ${video.error.message}`));
let player = {};

globalThis.ffapi = {
  /** Opens `sources.url`, with `sources.poster`, `sources.sprite` and `sources.tracks` where they are given. */
  async open(name, sources) {
    const { open } = await import(modules[name]);
    video.poster = sources.poster ?? "";
    for (const { url, language } of sources.tracks ?? []) {
      const track = Object.assign(document.createElement("track"), { src: url, srclang: language, label: language });
      track.onerror = () => fail(`track ${url}`);
      video.append(track);
      track.track.mode = "hidden";
    }
    player = await open(video, sources, fail);
    video.play().catch((error) => fail(`play ${error}`));
  },
  seek(time) {
    video.currentTime = time;
    video.play().catch((error) => fail(`play ${error}`));
  },
  /** The colour of one pixel of a picture. */
  async colorOf(url, x, y) {
    const image = Object.assign(new Image(), { crossOrigin: "anonymous", src: url });
    await image.decode();
    return pixels()(image, x, y);
  },
  call: (method, value) => player[method](value),
  state: () => ({
    ...observed(),
    errors,
    languages: player.languages?.() ?? [],
    heights: player.heights?.() ?? [],
  }),
};
