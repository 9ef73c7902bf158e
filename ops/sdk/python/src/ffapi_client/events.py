"""The events of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._sse import Message

LAST = {"job.completed", "job.failed", "job.cancelled", "job.outputs_expired", "job.outputs_deleted"}
"""The types of events after which a job has no more, unless it is retried."""


@dataclass(frozen=True)
class JobEvent:
    """An event of a job; `GET /asyncapi.json` says which fields the `data` of each type has."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    """Its position in the log; none for `job.progress`, which is not stored."""
    time: str | None = None
    """When it happened (RFC 3339); none for `job.progress`."""


def parse(message: Message) -> JobEvent:
    """The position of a stored event is also the message's `id`."""
    body = json.loads(message.data)
    return JobEvent(body["type"], body["data"], message.id, body.get("time"))
