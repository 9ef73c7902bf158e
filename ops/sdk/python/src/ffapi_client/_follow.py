"""Following the events of a job."""

from __future__ import annotations

from typing import cast

import httpx

from ._service import Service, filled
from ._sse import Decoder
from ._steps import Emit, Plan, Read, Sleep
from .errors import ProblemError
from .events import LAST, JobEvent, parse

SILENCE = 45.0
"""A stream is dead if it is silent for this time in seconds; the service sends a heartbeat every 15 s."""
DELAY, LONGEST_DELAY = 0.5, 30.0
"""Delays between two connections in seconds: the first, which is doubled each time, and the longest."""


def follow(service: Service, job: str, after: str | None, attempts: int) -> Plan[JobEvent]:
    """The events up to the job's end, in order and without repetition."""
    url = service.address(filled("/jobs/{id}/events", {"id": job}))
    failed = 0
    while True:
        # A job that is retried goes on after an event that ended it: the last one before the end counts.
        over, pause = False, 0.0
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        try:
            reply = yield from service.ask("GET", url, headers, silence=SILENCE, stream=True)
            if reply.status == 204:
                return  # The job has ended, and has no events after this one.
            decoder = Decoder()
            while received := cast(bytes, (yield Read())):
                for message in decoder.feed(received):
                    failed, over = 0, message.event in LAST
                    after = message.id or after
                    yield Emit(parse(message))
            if over:
                return
            raise httpx.RemoteProtocolError("the stream ended before the job")
        except (httpx.TransportError, ProblemError) as error:
            failed += 1
            final = isinstance(error, ProblemError) and error.retry_hint == "no_retry"
            if final or failed >= attempts:
                raise
            pause = getattr(error, "retry_after", None) or 0.0
        yield Sleep(max(pause, min(LONGEST_DELAY, DELAY * 2 ** min(failed, 10))))
