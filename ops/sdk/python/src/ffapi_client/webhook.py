"""Verification of webhooks by Standard Webhooks 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from .errors import WebhookError


class WebhookEvent(TypedDict):
    """The body of a webhook; the OpenAPI document says which fields the `data` of each type has."""

    type: str
    timestamp: str
    position: str
    data: dict[str, Any]


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes | str,
    *,
    tolerance: float = 300.0,
    now: float | None = None,
) -> WebhookEvent:
    """Verifies a webhook (`v1`, HMAC-SHA256) and parses its body.

    `secret` is the webhook's, or that of `GET /webhooks/signing-secret`: `whsec_…`. `body` is exactly what
    was received, before any parsing. `tolerance` is how far its time may be from `now`, in seconds; `now` is
    in seconds since 1970, that of the clock by default. Upper and lower case of headers do not matter.

    Raises WebhookError if a header is missing, no signature fits, or the time is off by more than the
    tolerance.
    """
    given = {name.lower(): value for name, value in headers.items()}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not given.get(name):
            raise WebhookError(f"{name} is missing")
    timestamp = given["webhook-timestamp"]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 15):
        raise WebhookError("webhook-timestamp is not a number")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise WebhookError(f"webhook-timestamp is more than {tolerance:g} s from now")
    key = _decode(secret.removeprefix("whsec_"))
    if not key:
        raise WebhookError("the secret is not whsec_ and base64")
    content = body.encode() if isinstance(body, str) else body
    signed = f"{given['webhook-id']}.{timestamp}.".encode() + content
    expected = hmac.digest(key, signed, hashlib.sha256)
    # For a day after a rotation there are two signatures.
    for signature in given["webhook-signature"].split(" "):
        version, _, mac = signature.partition(",")
        if version == "v1" and hmac.compare_digest(_decode(mac) or b"", expected):
            try:
                return cast(WebhookEvent, json.loads(content))
            except ValueError:
                raise WebhookError("the body is not JSON") from None
    raise WebhookError("no signature fits")


def _decode(text: str) -> bytes | None:
    """The bytes of base64; none if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
