// The service under test: FFAPI_URL is its address, FFAPI_KEY an API key, which no page gets.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

export function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}: ops/players/run does`);
  return value;
}

const service = setting("FFAPI_URL");
const key = setting("FFAPI_KEY");
let outputs = 0;

/** The URL of a path that the API returned. */
export const address = (path) => service + path;

/** Sends a request to the API, with the given key; the response's body. */
export async function request(method, path, body, { headers, as = key } = {}) {
  const isForm = body instanceof FormData;
  const response = await fetch(address(`/api/v1${path}`), {
    method,
    headers: { "x-api-key": as, ...(isForm ? {} : { "content-type": "application/json" }), ...headers },
    body: isForm ? body : body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** Uploads a file; the id of the upload. */
export async function upload(path) {
  const form = new FormData();
  form.append("file", new Blob([await readFile(path)]), basename(path));
  return (await request("POST", "/uploads", form)).id;
}

/** A new job of this kind, when it is completed. `file` is the name of its output, if that is one file. */
export async function completed(kind, body, file = "") {
  outputs += 1;
  const output = `players/${process.pid}-${outputs}/${file}`.replace(/\/$/, "");
  const submitted = await request("POST", `/${kind}`, { ...body, output });
  return await settled(submitted.job.id);
}

/** A job when it has ended; it must be completed. */
async function settled(id) {
  for (;;) {
    const job = await request("GET", `/jobs/${id}`, undefined, { headers: { prefer: "wait=30" } });
    if (job.status === "completed") return job;
    if (job.completed_at || job.error || job.status === "cancelled") {
      throw new Error(`${id} ${job.status}: ${JSON.stringify(job.error)}`);
    }
  }
}
