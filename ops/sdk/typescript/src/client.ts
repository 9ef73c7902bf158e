import { Connection, sleep, type Settings } from "./connection.js";
import { follow, type EventOptions, type JobEvent } from "./events.js";
import type {
  Entry, ListQuery, Method, Operation, OptionsArgument, PagedPath, PathOf, Result, Schemas,
} from "./types.js";
import { upload, type Source, type UploadOptions } from "./upload.js";

/** Parts of a path, such as a job's id in `/jobs/{id}`. */
type PathParts = Record<string, string | number>;

/** A page of a list. */
interface Page<T> {
  data: T[];
  has_more: boolean;
  next_cursor?: string;
}

/** The options of any operation, as they are at run time. */
interface AnyOptions {
  path?: PathParts;
  query?: object;
  headers?: Record<string, unknown>;
  body?: unknown;
  signal?: AbortSignal;
}

/** `Prefer: wait` in seconds: the service waits for a minute at most. */
const WAIT = 50;

/** A client of one service. Its methods throw `ProblemError` if the service rejects a request. */
export class Client {
  readonly #connection: Connection;

  constructor(settings: Settings) {
    this.#connection = new Connection(settings);
  }

  /**
   * Sends a request and returns the JSON of the response. Paths are those of the documentation:
   * `request("GET", "/jobs/{id}", { path: { id } })`.
   */
  async request<M extends Method, P extends PathOf<M>>(
    method: M,
    path: P,
    ...options: OptionsArgument<Operation<M, P>>
  ): Promise<Result<Operation<M, P>>> {
    const response = await this.send(method, path, ...options);
    return (await response.json()) as Result<Operation<M, P>>;
  }

  /** The same, but returns the response: for its headers, for 304, and for what is not JSON. */
  async send<M extends Method, P extends PathOf<M>>(
    method: M,
    path: P,
    ...[options]: OptionsArgument<Operation<M, P>>
  ): Promise<Response> {
    const { path: parts, query, headers = {}, body, signal } = (options ?? {}) as AnyOptions;
    const all: Record<string, string> = {};
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) all[name] = String(value);
    }
    if (body !== undefined) all["Content-Type"] = "application/json";
    const json = body === undefined ? undefined : JSON.stringify(body);
    const call = { query, headers: all, body: json, signal };
    return this.#connection.send(method, filled(path, parts), call);
  }

  /** Uploads a file; use the `id` of the result as a job's `input`. */
  async upload(source: Source, options: UploadOptions = {}): Promise<Schemas["Upload"]> {
    return upload(this.#connection, source, options);
  }

  /** The events of a job up to its end; a connection that breaks is resumed after the last event. */
  events(job: string, options: EventOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    return follow(this.#connection, job, options);
  }

  /**
   * Waits for a job to end and returns it, whether it is `completed`, `failed` or `cancelled`. A time
   * limit is `{ signal: AbortSignal.timeout(milliseconds) }`, whose reason is thrown.
   */
  async wait(job: string, options: { signal?: AbortSignal } = {}): Promise<Schemas["Job"]> {
    const headers = { Prefer: `wait=${WAIT}` };
    for (;;) {
      const shown = await this.request("GET", "/jobs/{id}", { path: { id: job }, headers, ...options });
      if (["completed", "failed", "cancelled"].includes(shown.status)) return shown;
      await sleep(0.5, options.signal);
    }
  }

  /**
   * All entries of a list, page by page; `limit` is the number of entries of one page.
   * `paginate("/jobs", { status: "completed" })`.
   */
  async *paginate<P extends PagedPath>(
    path: P,
    query?: ListQuery<P>,
    options: { path?: PathParts; signal?: AbortSignal } = {},
  ): AsyncGenerator<Entry<P>, void, undefined> {
    const { path: parts, signal } = options;
    let cursor: string | undefined;
    do {
      const call = { query: { ...query, cursor }, headers: { Accept: "application/json" }, signal };
      const response = await this.#connection.send("GET", filled(path, parts), call);
      const page = (await response.json()) as Page<Entry<P>>;
      yield* page.data;
      cursor = page.has_more ? page.next_cursor : undefined;
    } while (cursor !== undefined);
  }

  /**
   * Downloads an output of a job. The response has its bytes (`body`, `blob()`, …); only those of the
   * range, like `bytes=0-1023`, if there is one.
   */
  async download(
    job: string,
    name: string,
    options: { range?: string; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const { range, signal } = options;
    const headers: Record<string, string> = range === undefined ? {} : { Range: range };
    // The output of a stream may be in a folder.
    const encoded = name.split("/").map(encodeURIComponent).join("/");
    const path = `${filled("/jobs/{id}/outputs", { id: job })}/${encoded}`;
    return this.#connection.send("GET", path, { headers, signal });
  }

  /** The full address of a path that a response contains, such as `playback_url`. */
  address(path: string): string {
    return this.#connection.address(path);
  }
}

/** A path with its parts filled in. */
function filled(path: string, parts: PathParts = {}): string {
  return `/api/v1${path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const part = parts[name];
    if (part === undefined || part === "") throw new TypeError(`the path ${path} needs ${name}`);
    return encodeURIComponent(part);
  })}`;
}
