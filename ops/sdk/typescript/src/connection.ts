import { successful } from "./problem.js";

/** Where the service is, and what gives access to it. */
export interface Settings {
  /** The address of the service, such as `https://media.example.com`. */
  url: string;
  /** An API key. A browser must not have one: give it a token or a URL with one (`POST /tokens`). */
  key?: string;
  /** A token of `POST /tokens`, sent as `?token=…`: for events and outputs only. */
  token?: string;
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch;
}

/** A request without its address. */
export interface Call {
  query?: object | undefined;
  headers?: Record<string, string> | undefined;
  body?: string | Blob | ReadableStream<Uint8Array> | undefined;
  signal?: AbortSignal | undefined;
}

/** Sends requests to one service. */
export class Connection {
  readonly #base: string;
  readonly #key: string | undefined;
  readonly #token: string | undefined;
  readonly #fetch: typeof fetch;

  constructor(settings: Settings) {
    this.#base = settings.url.replace(/\/+$/, "");
    this.#key = settings.key;
    this.#token = settings.token;
    this.#fetch = settings.fetch ?? ((input, init) => fetch(input, init));
  }

  /**
   * The full address of a path, such as a job's `playback_url`. Fields without a value are left out; those of an
   * object, such as a filter by labels, are parameters of their own.
   */
  address(path: string, query: object = {}): string {
    const url = new URL(this.#base + path);
    const isObject = (value: unknown) => typeof value === "object" && value !== null;
    const parameters = Object.entries(query).flatMap(([name, value]) =>
      isObject(value) ? Object.entries(value as object) : [[name, value] as [string, unknown]],
    );
    for (const [name, value] of parameters) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    if (this.#token !== undefined) url.searchParams.set("token", this.#token);
    return url.href;
  }

  /** The headers of a request: those that were given, and the key. */
  headers(more: Record<string, string> = {}): Record<string, string> {
    return this.#key === undefined ? more : { "X-API-Key": this.#key, ...more };
  }

  /**
   * Sends a request. Redirects are not followed, so that the key reaches no other host.
   *
   * @throws ProblemError if the response is not successful; TypeError if there is none.
   */
  async send(method: string, path: string, call: Call = {}): Promise<Response> {
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: this.headers(call.headers),
      redirect: "error",
      signal: call.signal ?? null,
    };
    if (call.body !== undefined) init.body = call.body;
    if (call.body instanceof ReadableStream) init.duplex = "half";
    return successful(await this.#fetch(this.address(path, call.query), init));
  }
}

/** Waits for some seconds. Rejects with the signal's reason if it is aborted. */
export async function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
