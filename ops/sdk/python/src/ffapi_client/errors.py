"""What the service rejects, and what is not from the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, cast

from .models import Problem


class ProblemError(Exception):
    """The service rejected a request, or failed to carry it out.

    `problem` is the body of the response (RFC 9457; `docs/errors.md` lists its kinds), `retry_hint` is
    `retry` if the same request may succeed later, and `retry_after` the seconds to wait before that, if
    the response says so.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem['status']} {problem['title']}: {problem['detail']}")
        self.problem = problem
        self.status = problem["status"]
        self.retry_hint: Literal["retry", "no_retry"] = problem["retry_hint"]
        self.retry_after = retry_after


class WebhookError(Exception):
    """A webhook that is not from the service, or is too old. Answer it with a status 4xx."""


def problem_error(status: int, headers: Mapping[str, str], content: bytes, url: str) -> ProblemError:
    """The error of a response; one is made up if a proxy answered in the service's place."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not (isinstance(body, dict) and "retry_hint" in body):
        body = {
            "type": "about:blank",
            "title": "Unexpected response",
            "status": status,
            "detail": content[:200].decode(errors="replace") or "the response is not from the service",
            "instance": url,
            "request_id": headers.get("x-request-id", ""),
            "retry_hint": "retry" if status == 429 or status >= 500 else "no_retry",
        }
    return ProblemError(cast(Problem, body), _seconds(headers.get("retry-after")))


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds, which may be a number or a date."""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
