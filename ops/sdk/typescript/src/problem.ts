import type { Schemas } from "./types.js";

/** The body of an error response (RFC 9457); `docs/errors.md` lists its kinds. */
export type Problem = Schemas["Problem"];

/** The service rejected a request, or failed to carry it out. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  /** The body of the response. */
  readonly problem: Problem;
  /** The HTTP status. */
  readonly status: number;
  /** `retry` if the same request may succeed later. */
  readonly retry_hint: Problem["retry_hint"];
  /** Seconds to wait before a retry, if the response says so. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(`${problem.status} ${problem.title}: ${problem.detail}`);
    this.problem = problem;
    this.status = problem.status;
    this.retry_hint = problem.retry_hint;
    this.retryAfter = retryAfter;
  }
}

/**
 * The response itself if it is successful (2xx or 304).
 *
 * @throws ProblemError for any other status.
 */
export async function successful(response: Response): Promise<Response> {
  if (response.ok || response.status === 304) return response;
  throw new ProblemError(await problemOf(response), retryAfter(response.headers));
}

/** The problem that a response states; one is made up if a proxy answered in the service's place. */
async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => "");
  if (/^application\/(problem\+)?json\b/.test(response.headers.get("content-type") ?? "")) {
    try {
      const body: unknown = JSON.parse(text);
      if (typeof body === "object" && body !== null && "retry_hint" in body) return body as Problem;
    } catch {
      // It is no JSON, whatever its type says.
    }
  }
  const temporary = response.status === 429 || response.status >= 500;
  return {
    type: "about:blank",
    title: response.statusText || "Unexpected response",
    status: response.status,
    detail: text.slice(0, 200) || "the response is not from the service",
    instance: response.url,
    request_id: response.headers.get("x-request-id") ?? "",
    retry_hint: temporary ? "retry" : "no_retry",
  };
}

/** `Retry-After` in seconds, which may be a number or a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}
