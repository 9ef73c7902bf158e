// Uploads in a browser, with a stand-in for its XMLHttpRequest.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, ProblemError } from "@ffapi/client";

class Request {
  static last: Request;
  static answer = { status: 201, type: "application/json", body: "{}" };
  readonly upload: { onprogress?: (event: { loaded: number }) => void } = {};
  readonly sent: Record<string, string> = {};
  address = "";
  status = 0;
  statusText = "";
  responseText = "";
  onload?: () => void;
  onerror?: () => void;
  onabort?: () => void;
  onloadend?: () => void;
  constructor() {
    Request.last = this;
  }
  open(method: string, url: string): void {
    this.address = `${method} ${url}`;
  }
  setRequestHeader(name: string, value: string): void {
    this.sent[name] = value;
  }
  getResponseHeader(name: string): string | null {
    return name === "content-type" ? Request.answer.type : null;
  }
  send(body: Blob): void {
    setTimeout(() => {
      this.upload.onprogress?.({ loaded: body.size });
      if (Request.answer.status === 0) this.onerror?.();
      else {
        this.status = Request.answer.status;
        this.responseText = Request.answer.body;
        this.onload?.();
      }
      this.onloadend?.();
    }, 5);
  }
  abort(): void {
    this.onabort?.();
  }
}

const page = new Client({ url: "https://media.example.com/" });
const file = new File(["abc"], "a b.mp4");
const to = "/api/v1/t/ffview_1/upload";

test("a browser reports what it has sent", async (context) => {
  Object.assign(globalThis, { XMLHttpRequest: Request });
  context.after(() => Reflect.deleteProperty(globalThis, "XMLHttpRequest"));
  const progress: unknown[] = [];
  const onProgress = (sent: number, total: number | undefined) => progress.push([sent, total]);

  Request.answer.body = '{"id": "upload_1"}';
  assert.equal((await page.upload(file, { to, onProgress })).id, "upload_1");
  assert.equal(Request.last.address, `POST https://media.example.com${to}`);
  assert.deepEqual(Request.last.sent, {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": "attachment; filename*=UTF-8''a%20b.mp4",
  });
  assert.deepEqual(progress, [[3, 3]]);

  const problem = { title: "Too large", status: 413, detail: "…", retry_hint: "no_retry" };
  Request.answer = { status: 413, type: "application/problem+json", body: JSON.stringify(problem) };
  await assert.rejects(page.upload(file, { to, onProgress }), (error: unknown) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual(error.problem, problem);
    return true;
  });
  Request.answer.status = 0;
  await assert.rejects(page.upload(file, { to, onProgress }), TypeError);
  const stop = new AbortController();
  const stopped = page.upload(file, { to, onProgress, signal: stop.signal });
  stop.abort(new Error("stop"));
  await assert.rejects(stopped, /stop/);
});
