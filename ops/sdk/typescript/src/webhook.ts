import type { webhooks } from "./schema.js";

/** The body of a webhook; `type` says which fields its `data` has. */
export type WebhookEvent =
  webhooks[keyof webhooks]["post"]["requestBody"]["content"]["application/json"];

/** A webhook that is not from the service, or is too old. Answer it with a status 4xx. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
}

/** How a webhook is verified. */
export interface VerifyOptions {
  /** How far its time may be from `now`, in seconds; 300 by default. */
  tolerance?: number;
  /** The time in seconds since 1970; that of the clock by default. */
  now?: number;
}

/** The headers of a request: as `fetch` or as Node has them. Upper and lower case do not matter. */
export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

/**
 * Verifies a webhook by Standard Webhooks 1.0.0 and parses its body.
 *
 * @param key the webhook's `secret` or `public_key`, or that of `GET /webhooks/signing-secret`: `whsec_…`
 *   verifies the signature `v1` (HMAC-SHA256), `whpk_…` the signature `v1a` (Ed25519).
 * @param body the body exactly as it was received, before any parsing.
 * @throws WebhookError if a header is missing, no signature fits, or the time is off by more than the
 *   tolerance.
 */
export async function verifyWebhook(
  key: string,
  headers: WebhookHeaders,
  body: string | Uint8Array,
  options: VerifyOptions = {},
): Promise<WebhookEvent> {
  const { tolerance = 300, now = Date.now() / 1000 } = options;
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature");
  if (!/^\d{1,15}$/.test(timestamp)) throw new WebhookError("webhook-timestamp is not a number");
  if (Math.abs(now - Number(timestamp)) > tolerance) {
    throw new WebhookError(`webhook-timestamp is more than ${tolerance} s from now`);
  }
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = joined(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  const isPublic = key.startsWith("whpk_");
  const raw = decode(key.replace(/^(whsec|whpk)_/, ""));
  if (raw === undefined || raw.length === 0) {
    throw new WebhookError("the key is not whsec_ or whpk_ and base64");
  }
  const version = isPublic ? "v1a," : "v1,";
  const algorithm = isPublic ? { name: "Ed25519" } : { name: "HMAC", hash: "SHA-256" };
  let verifier: CryptoKey;
  try {
    verifier = await crypto.subtle.importKey("raw", raw, algorithm, false, ["verify"]);
  } catch {
    throw new WebhookError("the key cannot be used: is it complete?");
  }
  // For a day after a rotation there are two signatures. `verify` compares in constant time.
  for (const given of signatures.split(" ")) {
    const signature = given.startsWith(version) ? decode(given.slice(version.length)) : undefined;
    if (signature === undefined) continue;
    if (await crypto.subtle.verify(algorithm.name, verifier, signature, signed)) {
      try {
        return JSON.parse(text) as WebhookEvent;
      } catch {
        throw new WebhookError("the body is not JSON");
      }
    }
  }
  throw new WebhookError("no signature fits");
}

function header(headers: WebhookHeaders, name: string): string {
  let value: string | string[] | null | undefined;
  if (headers instanceof Headers) value = headers.get(name);
  else value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value !== "string" || value === "") throw new WebhookError(`${name} is missing`);
  return value;
}

/** The bytes of base64, or nothing if it is not base64. */
function decode(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
