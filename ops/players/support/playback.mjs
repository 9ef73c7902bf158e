// What must be true of every playback.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

import { tones, video } from "./media.mjs";

const isNear = (pitch, tone) => Math.abs(pitch - tone) < 60;
const isWide = ({ width, height }) => Math.abs(width - (height * video.width) / video.height) < 2;
const isHeard = (pitch) => Object.values(tones).some((tone) => isNear(pitch, tone));

/** Plays the start, a part behind a seek, and the end; with sound, and the picture of the right time. */
export async function watch(viewer, heights = [video.height]) {
  const start = await viewer.until("the start plays", (state) => {
    return state.time > 1.5 && state.color === "red" && isHeard(state.pitch);
  });
  assert.ok(start.frames > 0 && Math.abs(start.duration - video.duration) < 0.2, JSON.stringify(start));
  assert.ok(heights.includes(start.height) && isWide(start), JSON.stringify(start));
  const target = video.turn + 2;
  await viewer.seek(target);
  await viewer.until("it plays after a seek", (state) => {
    const isPlaying = state.time > target + 0.5 && state.frames > start.frames;
    return isPlaying && state.color === "blue" && isHeard(state.pitch);
  });
  await viewer.seek(1);
  await viewer.until("it plays after a seek back", (state) => {
    return state.time > 1.5 && state.time < video.turn && state.color === "red";
  });
  await viewer.seek(video.duration - 1);
  await viewer.until("it ends", (state) => state.ended);
}

/** Plays again near the start. */
async function restart(viewer) {
  await viewer.seek(1);
  return await viewer.until("it plays again", (state) => state.time > 1.1 && state.time < 2 && isHeard(state.pitch));
}

/** Plays each language: its sound is what is heard. */
export async function switchLanguages(viewer) {
  const { languages } = await restart(viewer);
  assert.equal(languages.length, Object.keys(tones).length, JSON.stringify(languages));
  for (const [language, tone] of Object.entries(tones)) {
    // Some players shorten `deu` to `de`.
    const named = languages.find((listed) => language.startsWith(listed));
    assert.ok(named, `${language} in ${languages}`);
    await restart(viewer);
    await viewer.call("chooseLanguage", named);
    await viewer.until(`${language} is heard`, (state) => isNear(state.pitch, tone));
  }
}

/** Plays each rendition: its size is that of the picture. */
export async function switchRenditions(viewer, expected) {
  const { heights } = await restart(viewer);
  const sorted = (values) => [...values].sort((a, b) => a - b);
  assert.deepEqual(sorted(heights), sorted(expected));
  for (const height of expected) {
    await restart(viewer);
    await viewer.call("chooseHeight", height);
    await viewer.until(`${height} lines are played`, (state) => state.height === height && isWide(state));
  }
}

/** The cues of each language are loaded. */
export async function showCaptions(viewer, captions) {
  for (const [language, expected] of Object.entries(captions)) {
    await restart(viewer);
    await viewer.call("chooseCaptions", language);
    // Players may add cues that they share between segments, so that some occur twice.
    const isLoaded = (cues) => expected.every((cue) => cues?.some((loaded) => isDeepStrictEqual(loaded, cue)));
    await viewer.until(`${language} has its captions`, (state) => isLoaded(state.cues[language]));
  }
}

/** The first language is what is heard at the start. */
export async function startWithFirstLanguage(viewer) {
  const { pitch } = await viewer.until("the start is heard", (state) => state.time > 0.5 && isHeard(state.pitch));
  const [[language, tone]] = Object.entries(tones);
  assert.ok(isNear(pitch, tone), `${pitch} Hz instead of ${tone}, which is ${language}`);
}
