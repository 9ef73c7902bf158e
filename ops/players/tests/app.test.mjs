// The site of docs/app.md works as it is written there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { blankPage } from "../support/chromium.mjs";
import { blocks, bunny } from "../support/docs.mjs";
import { address, request, setting } from "../support/service.mjs";

const port = setting("APP_PORT");
const site = `http://localhost:${port}`;
const LIMIT = 120_000;

/** Starts the server of the page, in a folder with its files; it ends with the test. */
async function start(test) {
  const folder = await mkdtemp(join(tmpdir(), "ffapi-app-"));
  test.after(() => rm(folder, { recursive: true }));
  for (const [file, fence] of [["server.mjs", "js file=server.mjs"], ["index.html", "html file=index.html"]]) {
    const [text] = await blocks("app.md", fence);
    await writeFile(join(folder, file), text.replaceAll("http://localhost:8080", address("")).replaceAll("9000", port));
  }
  await symlink(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
  await request("PATCH", "/accounts/site", { tier: "premium" });
  const scopes = ["jobs:read", "jobs:write"];
  const { secret: key } = await request("POST", "/api-keys", { name: "site", tenant: "site", scopes });
  const hook = { url: `http://127.0.0.1:${port}/hook`, events: ["job.completed", "job.failed"] };
  const { secret } = await request("POST", "/webhooks", hook, { as: key });
  const env = { ...process.env, KEY: key, SECRET: secret };
  const server = spawn(process.execPath, ["server.mjs"], { cwd: folder, env, stdio: "inherit" });
  test.after(async () => {
    server.kill();
    await once(server, "exit");
  });
  for (;;) {
    try {
      return (await fetch(`${site}/videos`)).ok;
    } catch {
      assert.equal(server.exitCode, null);
    }
  }
}

/** Whether the video of this number plays. */
const plays = (number) => document.querySelectorAll("video")[number].currentTime > 1;

test("the site of docs/app.md takes three videos, plays one with preview images, and deletes one", async (context) => {
  await start(context);
  const page = await blankPage(context);
  page.setDefaultTimeout(LIMIT);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(site);
  const buffer = await readFile(bunny);
  const names = ["one.mp4", "two.mp4", "three.mp4"];
  await page.locator("#files").setInputFiles(names.map((name) => ({ name, mimeType: "video/mp4", buffer })));
  await page.waitForFunction(() => document.querySelectorAll("section video").length === 3);
  const titles = await page.locator("h2").allTextContents();
  assert.deepEqual(titles.toSorted(), names.toSorted());

  const section = page.locator("section").first();
  const image = page.waitForResponse((response) => /sprite-1\.jpg$/.test(response.url()));
  await section.locator("video").evaluate((video) => video.play());
  await page.waitForFunction(plays, 0);
  await section.locator(".plyr__progress input").hover();
  assert.equal((await image).status(), 200);
  await section.locator(".plyr__preview-thumb--is-shown img").first().waitFor();

  await section.getByRole("button", { name: "Delete" }).click();
  await page.waitForFunction(() => document.querySelectorAll("section").length === 2);
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll("section video").length === 2);
  assert.equal((await page.locator("h2").allTextContents()).includes(titles[0]), false);
  assert.deepEqual(errors, []);
});
