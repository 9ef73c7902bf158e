"""The vector of the Standard Webhooks specification."""

from __future__ import annotations

import unittest

from ffapi_client import WebhookError, verify_webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1614265330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": SIGNATURE,
}


class Webhooks(unittest.TestCase):
    def test_a_signed_webhook_is_parsed(self) -> None:
        self.assertEqual(verify_webhook(SECRET, HEADERS, BODY, now=NOW), {"test": 2432232314})
        verify_webhook(SECRET.removeprefix("whsec_"), HEADERS, BODY.decode(), now=NOW + 299)
        verify_webhook(SECRET, {name.title(): value for name, value in HEADERS.items()}, BODY, now=NOW)
        both = {**HEADERS, "webhook-signature": f"v1,AAAA v1a,{SIGNATURE[3:]} {SIGNATURE}"}
        verify_webhook(SECRET, both, BODY, now=NOW)

    def test_a_webhook_is_verified_without_its_secret(self) -> None:
        public_key = "whpk_KhbKlxAVfVxDeGpZmxWo2RKerhVo+ffbrECZQQJoZVw="
        asymmetric = (
            "v1a,HYu0m/y2wk+JVxJASE/ufJD8IwruTuB42KXWVi6D/XYEfAEl2Cdr6nS+"
            "dWEv556+s+LHOW5zQKxXinBFNmQrCA=="
        )
        signed = {**HEADERS, "webhook-signature": f"{SIGNATURE} {asymmetric}"}
        self.assertEqual(verify_webhook(public_key, signed, BODY, now=NOW), {"test": 2432232314})
        for headers, body in ((HEADERS, BODY), (signed, BODY + b" ")):
            with self.assertRaisesRegex(WebhookError, "no signature"):
                verify_webhook(public_key, headers, body, now=NOW)

    def test_anything_else_is_rejected(self) -> None:
        def rejected(
            why: str, secret: str, headers: dict[str, str], body: bytes, now: float | None = NOW
        ) -> None:
            with self.assertRaisesRegex(WebhookError, why):
                verify_webhook(secret, headers, body, now=now)

        rejected("no signature", SECRET, HEADERS, BODY.replace(b"4", b"5"))
        rejected("no signature", "whsec_AAAA", HEADERS, BODY)
        rejected("no signature", SECRET, {**HEADERS, "webhook-id": "msg_other"}, BODY)
        rejected("no signature", SECRET, {**HEADERS, "webhook-signature": "v1,%"}, BODY)
        rejected("300 s", SECRET, HEADERS, BODY, NOW + 301)
        rejected("300 s", SECRET, HEADERS, BODY, NOW - 301)
        rejected("300 s", SECRET, HEADERS, BODY, None)
        rejected("not a number", SECRET, {**HEADERS, "webhook-timestamp": "1e9"}, BODY)
        rejected("signature is missing", SECRET, {"webhook-id": "1", "webhook-timestamp": "1"}, BODY)
        rejected("the key", "whsec_%", HEADERS, BODY)
