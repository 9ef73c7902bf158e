// Streams of the test video, and what their players must do.
import { inputs, captions } from "./media.mjs";
import { showCaptions, switchLanguages, switchRenditions, watch } from "./playback.mjs";
import { address, completed } from "./service.mjs";
import { Viewer } from "./viewer.mjs";

/** The lines of each rendition. */
export const heights = [180, 90];

/** A completed stream; `request` has what is special about it. */
export async function stream(request) {
  const variants = heights.map((height) => ({ name: `${height}p`, height }));
  return await completed("stream", {
    ...(await inputs()),
    variants,
    encoder_preset: "ultrafast",
    segment_duration: 2,
    ...request,
  });
}

/** The token in a URL of the API. */
export const tokenOf = (url) => /\/t\/([^/]+)\//.exec(url)[1];

/** A viewer who plays a path of the API. */
export async function opened(test, player, path, origin) {
  const viewer = await Viewer.open(test, origin);
  await viewer.play(player, { url: address(path) });
  return viewer;
}

/** Plays a path of the API, with every caption, language and rendition. What was requested, without the token. */
export async function playAll(test, player, path) {
  const viewer = await opened(test, player, path);
  await showCaptions(viewer, captions);
  await watch(viewer, heights);
  await switchLanguages(viewer);
  await switchRenditions(viewer, heights);
  return await requested(viewer, path);
}

/** Plays a path of the API in a player that has no choice of languages, renditions and captions. */
export async function playDefault(test, player, path) {
  const viewer = await opened(test, player, path);
  await watch(viewer, heights);
  return await requested(viewer, path);
}

async function requested(viewer, path) {
  const urls = await viewer.requests(tokenOf(path));
  return urls.map((url) => url.split("/outputs/")[1]);
}
