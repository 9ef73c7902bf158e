// Single files of the test video.
import { inputs } from "./media.mjs";
import { address, completed } from "./service.mjs";

/** A completed conversion with English captions in a file beside it, and the text track that a page makes of that. */
export async function convertedWithCaptions(file) {
  const { input, captions } = await inputs();
  const track = captions.find(({ language }) => language === "en");
  const operations = [{ type: "subtitles", mode: "sidecar", ...track }];
  const job = await completed("convert", { input, operations }, file);
  const { name } = job.outputs.find((output) => output.name.endsWith(".vtt"));
  const url = new URL(encodeURIComponent(name), address(job.playback_url)).href;
  return { job, tracks: [{ url, language: track.language }] };
}
