import assert from "node:assert/strict";
import { test } from "node:test";

import { verifyWebhook, WebhookError } from "@ffapi/client";

// The vector of the Standard Webhooks specification.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const now = 1614265330;
const signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const body = '{"test": 2432232314}';
const headers = {
  "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "webhook-timestamp": String(now),
  "webhook-signature": signature,
};

test("a signed webhook is parsed", async () => {
  assert.deepEqual(await verifyWebhook(secret, headers, body, { now }), { test: 2432232314 });
  const bytes = new TextEncoder().encode(body);
  await verifyWebhook(secret.slice("whsec_".length), new Headers(headers), bytes, { now: now + 299 });
  const upper = Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]);
  await verifyWebhook(secret, Object.fromEntries(upper) as Record<string, string>, body, { now });
  const both = { ...headers, "webhook-signature": `v1,AAAA v1a,${signature.slice(3)} ${signature}` };
  await verifyWebhook(secret, both, body, { now });
});

test("a webhook is verified without its secret", async () => {
  const publicKey = "whpk_KhbKlxAVfVxDeGpZmxWo2RKerhVo+ffbrECZQQJoZVw=";
  const asymmetric = "v1a,HYu0m/y2wk+JVxJASE/ufJD8IwruTuB42KXWVi6D/XYEfAEl2Cdr6nS+dWEv556+s+LHOW5zQKxXinBFNmQrCA==";
  const signed = { ...headers, "webhook-signature": `${signature} ${asymmetric}` };
  assert.deepEqual(await verifyWebhook(publicKey, signed, body, { now }), { test: 2432232314 });
  await assert.rejects(verifyWebhook(publicKey, headers, body, { now }), /no signature/);
  await assert.rejects(verifyWebhook(publicKey, signed, body + " ", { now }), /no signature/);
  await assert.rejects(verifyWebhook("whpk_AAAA", signed, body, { now }), WebhookError);
});

test("anything else is rejected", async () => {
  const rejected = async (why: RegExp, ...[key, given, text, options]: Parameters<typeof verifyWebhook>) =>
    assert.rejects(verifyWebhook(key, given, text, options), (error: unknown) => {
      assert.ok(error instanceof WebhookError);
      assert.match(error.message, why);
      return true;
    });
  await rejected(/no signature/, secret, headers, body.replace("4", "5"), { now });
  await rejected(/no signature/, "whsec_AAAA", headers, body, { now });
  await rejected(/no signature/, secret, { ...headers, "webhook-id": "msg_other" }, body, { now });
  await rejected(/no signature/, secret, { ...headers, "webhook-signature": "v1,%" }, body, { now });
  await rejected(/300 s/, secret, headers, body, { now: now + 301 });
  await rejected(/300 s/, secret, headers, body, { now: now - 301 });
  await rejected(/300 s/, secret, headers, body);
  await rejected(/not a number/, secret, { ...headers, "webhook-timestamp": "1e9" }, body, { now });
  await rejected(/webhook-signature is missing/, secret, { "webhook-id": "1", "webhook-timestamp": "1" }, body);
  await rejected(/the key/, "whsec_%", headers, body, { now });
});
