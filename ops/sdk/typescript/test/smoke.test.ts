// Runs against a service: FFAPI_URL is its address, FFAPI_KEY an API key, FFAPI_VIDEO a video file.
import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { test } from "node:test";

import { Client, ProblemError, type JobEvent, type Schemas } from "@ffapi/client";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

const url = setting("FFAPI_URL");
const client = new Client({ url, key: setting("FFAPI_KEY") });
const output = `sdk/typescript-${Date.now()}.mp4`;
let upload: Schemas["Upload"];
let job: Schemas["Job"];

test("a file is uploaded, with progress", async () => {
  const file = await openAsBlob(setting("FFAPI_VIDEO"));
  const progress: number[] = [];
  upload = await client.upload(file, {
    name: "ein Häs'chen.mp4",
    onProgress: (sent, total) => {
      assert.equal(total, file.size);
      progress.push(sent);
    },
  });
  assert.equal(upload.size, file.size);
  assert.equal(upload.file_name, "ein Häs'chen.mp4");
  assert.equal(progress.at(-1), file.size);
  assert.ok(progress.every((sent, index) => sent > (progress[index - 1] ?? 0)));
  // Without progress, and as a stream of unknown size: the content is the same.
  const again = await client.upload(file);
  const stream = await client.upload(file.stream(), { name: "b.mp4" });
  assert.equal(again.sha256, upload.sha256);
  assert.equal(stream.sha256, upload.sha256);
});

test("a job is followed to its end", async () => {
  const submitted = await client.request("POST", "/convert", {
    body: { input: upload.id, output, operations: [{ type: "scale", height: 180 }] },
    headers: { "Idempotency-Key": output },
  });
  const events: JobEvent[] = [];
  for await (const event of client.events(submitted.job.id)) {
    events.push(event);
    if (event.type === "job.progress") assert.ok(event.data.progress <= 100);
    else assert.ok(event.id && event.time);
  }
  const types = events.map((event) => event.type);
  assert.equal(types[0], "job.queued");
  assert.equal(types.at(-1), "job.completed");
  assert.ok(types.includes("job.progress"));

  job = await client.wait(submitted.job.id);
  assert.equal(job.status, "completed");

  const stored = events.filter((event) => event.id !== undefined);
  const rest: JobEvent[] = [];
  const after = stored[1]?.id ?? "";
  for await (const event of client.events(job.id, { after })) rest.push(event);
  assert.deepEqual(rest, stored.slice(2));
  const last = stored.at(-1)?.id ?? "";
  for await (const event of client.events(job.id, { after: last })) assert.fail(event.type);
});

test("events resume after a broken connection", async () => {
  let connections = 0;
  const cutting: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    connections += 1;
    if (connections > 2 || response.body === null) return response;
    // The first two connections break after their first event.
    const reader = response.body.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    const text = new TextDecoder().decode(value);
    const first = text.slice(0, text.indexOf("\n\n") + 2);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(`${first}id: 9-`));
      },
      pull(controller) {
        controller.error(new TypeError("cut"));
      },
    });
    return new Response(body, response);
  };
  const fragile = new Client({ url, key: setting("FFAPI_KEY"), fetch: cutting });
  const ids: (string | undefined)[] = [];
  for await (const event of fragile.events(job.id)) ids.push(event.id);
  const whole: (string | undefined)[] = [];
  for await (const event of client.events(job.id)) whole.push(event.id);
  assert.deepEqual(ids, whole);
  assert.equal(connections, 3);
});

test("an output is downloaded", async () => {
  const [file] = job.outputs;
  assert.ok(file?.name);
  const whole = await (await client.download(job.id, file.name)).blob();
  assert.equal(whole.size, file.size);
  const part = await client.download(job.id, file.name, { range: "bytes=0-99" });
  assert.equal(part.status, 206);
  assert.equal((await part.blob()).size, 100);
  // A path in the job, with a token in it, needs no key.
  const open = await fetch(client.address(job.playback_url ?? ""), { method: "HEAD" });
  assert.equal(open.headers.get("content-length"), String(file.size));
});

test("lists are read page by page", async () => {
  const ids: string[] = [];
  for await (const entry of client.paginate("/uploads", { limit: 1 })) {
    ids.push(entry.id);
    if (ids.length === 3) break;
  }
  assert.equal(new Set(ids).size, 3);
  assert.ok(ids.includes(upload.id));
  const outputs: Schemas["Output"][] = [];
  const path = { id: job.id };
  for await (const entry of client.paginate("/jobs/{id}/outputs", { limit: 1 }, { path })) outputs.push(entry);
  assert.equal(outputs.length, job.outputs_total);
});

test("a rejected request throws its problem", async () => {
  const operations = [{ type: "scale", heigth: 180 }] as unknown as Schemas["Operation"][];
  const rejected = client.request("POST", "/convert", { body: { input: upload.id, output, operations } });
  await assert.rejects(rejected, (error: unknown) => {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.status, 422);
    assert.equal(error.retry_hint, "no_retry");
    assert.equal(error.problem.errors?.[0]?.pointer, "#/operations/0/heigth");
    return true;
  });
  const unknown = client.events("job_unknown").next();
  await assert.rejects(unknown, (error: unknown) => error instanceof ProblemError && error.status === 404);
  const aborted = client.wait(job.id, { signal: AbortSignal.abort(new Error("stop")) });
  await assert.rejects(aborted, /stop/);
});

test("a page uploads to a URL with a token, without a key", async () => {
  const grant = await client.request("POST", "/tokens", { body: { upload: { max_bytes: 5_000_000 } } });
  const page = new Client({ url });
  const file = await openAsBlob(setting("FFAPI_VIDEO"));
  const sent = await page.upload(file, { name: "c.mp4", to: grant.url ?? "" });
  assert.equal(sent.sha256, upload.sha256);
});

// Not run: what the types must accept and reject.
export async function types(): Promise<void> {
  const shown = await client.request("GET", "/jobs/{id}", { path: { id: "job_1" } });
  shown.status satisfies string;
  // @ts-expect-error a path needs its parts
  await client.request("GET", "/jobs/{id}");
  // @ts-expect-error there is no such path
  await client.request("GET", "/job");
  // @ts-expect-error there is no such method
  await client.request("DELETE", "/convert");
  // @ts-expect-error a body is required
  await client.request("POST", "/convert");
  // @ts-expect-error a field is missing
  await client.request("POST", "/convert", { body: { input: "a" } });
  // @ts-expect-error a field is unknown
  await client.request("POST", "/convert", { body: { input: "a", output: "b", outptu: "c" } });
  await client.request("GET", "/jobs", { query: { status: "queued", limit: 1 } });
  // @ts-expect-error there is no such parameter
  await client.request("GET", "/jobs", { query: { statsu: "queued" } });
  // @ts-expect-error a list of events has no cursor
  client.paginate("/jobs/{id}/events");
  for await (const event of client.events("job_1")) {
    if (event.type === "job.failed") event.data.error satisfies object;
  }
}
