// The upload by tus of docs/uploads.md works as it is written there, in Node.js.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { blocks, bunny } from "../support/docs.mjs";
import { address, request, setting } from "../support/service.mjs";

test("the upload by tus of docs/uploads.md arrives", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "ffapi-tus-"));
  context.after(() => rm(folder, { recursive: true }));
  await symlink(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
  const [block] = await blocks("uploads.md", "js no_run=players");
  const names = `import { readFile } from "node:fs/promises";
    const key = ${JSON.stringify(setting("FFAPI_KEY"))};
    const file = Object.assign(await readFile(${JSON.stringify(bunny)}), { name: "video.mp4" });`;
  const script = join(folder, "upload.mjs");
  await writeFile(script, `${names}\n${block.replaceAll("http://localhost:8080", address(""))}`);
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 60_000 });
  const upload = await request("GET", `/uploads/${stdout.trim()}`);
  assert.equal(upload.size, (await stat(bunny)).size);
});
