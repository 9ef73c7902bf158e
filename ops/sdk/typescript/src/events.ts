import { sleep, type Connection } from "./connection.js";
import { ProblemError } from "./problem.js";
import type { webhooks } from "./schema.js";
import { messages, type Message } from "./sse.js";

/** The types of a job's events. */
export type JobEventType = Extract<keyof webhooks, `job.${string}`>;

type WebhookBody<T extends JobEventType> =
  webhooks[T]["post"]["requestBody"]["content"]["application/json"];

/** An event of a job; `type` says which fields its `data` has. */
export type JobEvent = {
  [T in JobEventType]: {
    type: T;
    /** Its position in the log; absent for `job.progress`, which is not stored. */
    id?: string;
    /** When it happened (RFC 3339); absent for `job.progress`. */
    time?: string;
    data: WebhookBody<T>["data"];
  };
}[JobEventType];

/** How events are followed. */
export interface EventOptions {
  /** The `id` of the last event that was seen; events after it follow. All events by default. */
  after?: string;
  /** Failed connections in a row before the error is thrown; 10 by default. */
  attempts?: number;
  /** Ends the stream; its reason is thrown. */
  signal?: AbortSignal;
}

/** Delays between two connections in seconds: the first, which is doubled each time, and the longest. */
const DELAY = 0.5;
const LONGEST_DELAY = 30;
const LAST = /^job\.(completed|failed|cancelled|outputs_expired|outputs_deleted)$/;

/**
 * The events of a job up to its end, in order and without repetition. A connection that breaks is
 * opened again after the last event.
 *
 * @throws ProblemError if the service rejects the request and a retry would not help.
 */
export async function* follow(
  connection: Connection,
  job: string,
  options: EventOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  const { signal, attempts = 10 } = options;
  const path = `/api/v1/jobs/${encodeURIComponent(job)}/events`;
  let after = options.after;
  let failed = 0;
  for (;;) {
    let wait = 0;
    // A job that is retried goes on after an event that ended it: the last one before the end counts.
    let over = false;
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (after !== undefined) headers["Last-Event-ID"] = after;
      const response = await connection.send("GET", path, { headers, signal });
      // The job has ended, and has no events after this one.
      if (response.status === 204 || response.body === null) return;
      for await (const message of messages(response.body)) {
        failed = 0;
        after = message.id ?? after;
        over = LAST.test(message.event);
        yield parse(message);
      }
      if (over) return;
      throw new TypeError("the stream ended before the job");
    } catch (error) {
      signal?.throwIfAborted();
      failed += 1;
      const final = error instanceof ProblemError && error.retry_hint === "no_retry";
      if (final || failed >= attempts) throw error;
      wait = (error instanceof ProblemError ? error.retryAfter : undefined) ?? 0;
    }
    const delay = Math.min(LONGEST_DELAY, DELAY * 2 ** Math.min(failed, 10));
    await sleep(Math.max(wait, delay), signal);
  }
}

/** The position of a stored event is also the message's `id`. */
function parse(message: Message): JobEvent {
  const { type, time, data } = JSON.parse(message.data) as JobEvent;
  return { type, id: message.id, time, data } as JobEvent;
}
