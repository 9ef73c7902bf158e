// Code blocks of the documentation, and a video of its reader.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export const bunny = fileURLToPath(new URL("../../../.tools/media/bigbuckbunny.mp4", import.meta.url));

/** The blocks of a page of `docs` that begin with this fence, in order. */
export async function blocks(page, fence) {
  const text = await readFile(new URL(`../../../docs/${page}`, import.meta.url), "utf8");
  const found = text.split(`\`\`\`${fence}\n`).slice(1);
  return found.map((block) => block.split("```")[0]);
}
