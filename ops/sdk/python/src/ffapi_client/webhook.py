"""Verification of webhooks by Standard Webhooks 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, cast

from .errors import WebhookError


class WebhookEvent(TypedDict):
    """The body of a webhook; the OpenAPI document says which fields the `data` of each type has."""

    type: str
    timestamp: str
    position: str
    data: dict[str, Any]


def verify_webhook(
    key: str,
    headers: Mapping[str, str],
    body: bytes | str,
    *,
    tolerance: float = 300.0,
    now: float | None = None,
) -> WebhookEvent:
    """Verifies a webhook and parses its body.

    `key` is the webhook's `secret` or `public_key`, or that of `GET /webhooks/signing-secret`: `whsec_…`
    verifies the signature `v1` (HMAC-SHA256), `whpk_…` the signature `v1a` (Ed25519), for which the extra
    `ffapi-client[ed25519]` is needed. `body` is exactly what was received, before any parsing. `tolerance` is how far its time may be from `now`, in seconds; `now` is
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
    is_public = key.startswith("whpk_")
    raw = _decode(key.removeprefix("whpk_").removeprefix("whsec_"))
    if not raw:
        raise WebhookError("the key is not whsec_ or whpk_ and base64")
    content = body.encode() if isinstance(body, str) else body
    signed = f"{given['webhook-id']}.{timestamp}.".encode() + content
    fits = _asymmetric(raw, signed) if is_public else _symmetric(raw, signed)
    # For a day after a rotation there are two signatures.
    for text in given["webhook-signature"].split(" "):
        version, _, signature = text.partition(",")
        if version == ("v1a" if is_public else "v1") and fits(_decode(signature) or b""):
            try:
                return cast(WebhookEvent, json.loads(content))
            except ValueError:
                raise WebhookError("the body is not JSON") from None
    raise WebhookError("no signature fits")


def _symmetric(secret: bytes, signed: bytes) -> Callable[[bytes], bool]:
    expected = hmac.digest(secret, signed, hashlib.sha256)
    return lambda signature: hmac.compare_digest(signature, expected)


def _asymmetric(public_key: bytes, signed: bytes) -> Callable[[bytes], bool]:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise WebhookError("a public key needs `pip install ffapi-client[ed25519]`") from None
    try:
        verifier = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError:
        raise WebhookError("the public key does not have 32 bytes") from None

    def fits(signature: bytes) -> bool:
        try:
            verifier.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return fits


def _decode(text: str) -> bytes | None:
    """The bytes of base64; none if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
