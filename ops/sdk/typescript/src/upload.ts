import type { Connection } from "./connection.js";
import { successful } from "./problem.js";
import type { Schemas } from "./types.js";

/**
 * What can be uploaded. In Node, `openAsBlob` of `node:fs` makes a Blob of a file without reading it. Of the
 * browsers, only Chrome sends streams, over HTTP/2.
 */
export type Source = Blob | ReadableStream<Uint8Array>;

/** How a file is uploaded. */
export interface UploadOptions {
  /** Its name; that of a `File` by default. */
  name?: string;
  /** Size in bytes of a stream, if it is known. */
  size?: number;
  /** Called with the bytes sent so far, and all bytes if their number is known. */
  onProgress?: (sent: number, total: number | undefined) => void;
  /** The `url` of a token from `POST /tokens {"upload": …}`: no key is needed then. */
  to?: string;
  /** A repeated upload with the same key and content gets the first response, for 48 hours. */
  idempotencyKey?: string;
  /** Aborts the upload. */
  signal?: AbortSignal;
}

/**
 * Uploads a file. In a browser, the progress of a Blob is what was sent (XMLHttpRequest); elsewhere
 * and for a stream, what was read from the source.
 *
 * @throws ProblemError if the service rejects it; TypeError if the connection breaks.
 */
export async function upload(
  connection: Connection,
  source: Source,
  options: UploadOptions,
): Promise<Schemas["Upload"]> {
  const { onProgress, signal, to = "/api/v1/uploads" } = options;
  const isBlob = source instanceof Blob;
  const name = options.name ?? ("name" in source ? String(source.name) : undefined);
  const size = isBlob ? source.size : options.size;
  const headers: Record<string, string> = { "Content-Type": "application/octet-stream" };
  if (name !== undefined) headers["Content-Disposition"] = disposition(name);
  if (options.idempotencyKey !== undefined) headers["Idempotency-Key"] = options.idempotencyKey;

  if (isBlob && onProgress && typeof XMLHttpRequest !== "undefined") {
    const all = connection.headers(headers);
    const response = await sendByXhr(connection.address(to), all, source, onProgress, signal);
    return (await (await successful(response)).json()) as Schemas["Upload"];
  }
  let body: Source = source;
  if (onProgress) {
    body = counted(isBlob ? source.stream() : source, (sent) => onProgress(sent, size));
  }
  // A browser sets the length by itself and ignores this one.
  if (body !== source || !isBlob) {
    if (size !== undefined) headers["Content-Length"] = String(size);
  }
  const response = await connection.send("POST", to, { headers, body, signal });
  return (await response.json()) as Schemas["Upload"];
}

/** The header that carries the name (RFC 6266). */
function disposition(name: string): string {
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename*=UTF-8''${encoded}`;
}

/** The same stream; reports how many bytes were read. */
function counted(
  stream: ReadableStream<Uint8Array>,
  report: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  let bytes = 0;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        controller.enqueue(chunk);
        report(bytes);
      },
    }),
  );
}

/** Sends a Blob so that the browser reports what it has sent, which `fetch` cannot. */
function sendByXhr(
  url: string,
  headers: Record<string, string>,
  body: Blob,
  onProgress: (sent: number, total: number) => void,
  signal: AbortSignal | undefined,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    const abort = (): void => request.abort();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.loaded, body.size);
    request.onload = () => {
      const received = new Headers();
      for (const name of ["content-type", "retry-after", "x-request-id"]) {
        const value = request.getResponseHeader(name);
        if (value !== null) received.set(name, value);
      }
      const { status, statusText } = request;
      resolve(new Response(request.responseText, { status, statusText, headers: received }));
    };
    request.onerror = () => reject(new TypeError("the connection broke"));
    request.onabort = () => reject(signal?.reason as Error);
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort, { once: true });
    request.send(body);
  });
}
