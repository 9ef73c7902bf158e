/** A server-sent event as it was received. */
export interface Message {
  event: string;
  data: string;
  /** The position to resume from; absent for events that are not stored. */
  id: string | undefined;
}

/** A stream is dead if it is silent for this time (seconds); the service sends a heartbeat every 15 s. */
const SILENCE = 45;

/**
 * Splits a stream into server-sent events; an incomplete one at the end is dropped.
 *
 * @throws Error if nothing arrives for 45 seconds, or the connection breaks.
 */
export async function* messages(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<Message, void, undefined> {
  let message = empty();
  let data: string[] = [];
  for await (const line of lines(body)) {
    if (line === "") {
      if (data.length > 0) yield { ...message, data: data.join("\n") };
      message = empty();
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") message.event = value;
    else if (field === "id") message.id = value;
    else if (field === "data") data.push(value);
  }
}

function empty(): Message {
  return { event: "message", data: "", id: undefined };
}

/** The complete lines of a stream, without their line ends (LF, CRLF). */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) yield part.replace(/\r$/, "");
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** The next bytes of a stream. The time in which the caller handles an event does not count as silence. */
async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    const error = new Error(`the stream was silent for ${SILENCE} s`);
    timer = setTimeout(() => reject(error), SILENCE * 1000);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}
