// Inputs: made by the system's ffmpeg, and uploaded once in each process.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { upload } from "./service.mjs";

/** The left half of the picture is red up to `turn`, then blue. */
export const video = { width: 320, height: 180, duration: 12, turn: 6 };

/** The frequency of the sound of each language in hertz; the first language is the default. */
export const tones = { eng: 400, deu: 1000, fra: 2000 };

/** The captions of each language: the text, and from which to which second it is shown. */
export const captions = {
  en: [["Good morning", 1, 3], ["Good night", 7, 11]],
  de: [["Guten Morgen", 1, 3], ["Schöne Träume", 7, 11]],
};

async function make(folder) {
  const { width, height, duration, turn } = video;
  const box = (color, enable) => `drawbox=w=iw/2:h=ih:t=fill:color=${color}:enable='${enable}'`;
  const boxes = [box("red", `lt(t,${turn})`), box("blue", `gte(t,${turn})`)];
  const picture = [`testsrc2=size=${width}x${height}:rate=25`, ...boxes].join(",");
  const sources = [picture, ...Object.values(tones).map((tone) => `sine=frequency=${tone}`)];
  const file = join(folder, "input.mp4");
  const codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"];
  await promisify(execFile)("ffmpeg", [
    ...["-v", "error", ...sources.flatMap((source) => ["-f", "lavfi", "-i", source])],
    ...sources.flatMap((_, index) => ["-map", `${index}`]),
    ...Object.keys(tones).flatMap((language, index) => [`-metadata:s:a:${index}`, `language=${language}`]),
    ...codecs,
    ...["-t", `${duration}`, file],
  ]);
  return file;
}

async function makeCaptions(folder, language) {
  const file = join(folder, `${language}.srt`);
  const time = (second) => `00:00:${String(second).padStart(2, "0")},000`;
  const cues = captions[language].map(([text, ...times]) => `${times.map(time).join(" --> ")}\n${text}\n`);
  await writeFile(file, cues.map((cue, index) => `${index + 1}\n${cue}`).join("\n"));
  return file;
}

async function uploadAll() {
  const folder = await mkdtemp(join(tmpdir(), "ffapi-players-"));
  try {
    const input = await upload(await make(folder));
    const languages = Object.keys(captions);
    const files = await Promise.all(languages.map((language) => makeCaptions(folder, language)));
    const tracks = await Promise.all(files.map(upload));
    return { input, captions: languages.map((language, index) => ({ input: tracks[index], language })) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

let uploads;

/** The ids of the uploaded video and captions. */
export const inputs = () => (uploads ??= uploadAll());
