"""Carries out steps and waits for each."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import httpx

from ._steps import Call, Emit, Plan, Reply, Run, Send, Sleep, Step, timeout

T = TypeVar("T")


def drive(http: httpx.Client, plan: Plan[T]) -> Generator[T, None, None]:
    """The values that a plan emits."""
    transport = _Transport(http)
    reply: Any = None
    error: Exception | None = None
    try:
        while True:
            try:
                step = plan.send(reply) if error is None else plan.throw(error)
            except StopIteration:
                return
            reply, error = None, None
            if isinstance(step, Emit):
                yield step.value
                continue
            try:
                reply = transport.perform(step)
            except Exception as raised:  # The plan decides what to do about it.
                error = raised
    finally:
        plan.close()
        transport.close()


class _Transport:
    """Sends requests, one at a time."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._body: Iterator[bytes] = iter(())

    def perform(self, step: Step) -> Any:
        """The reply to a step."""
        match step:
            case Send():
                return self._send(step)
            case Run():
                return step.function()
            case Sleep():
                return time.sleep(step.seconds)
            case _:
                return next(self._body, b"")

    def _send(self, step: Send) -> Reply:
        self.close()
        call = step.call
        body = call.body if isinstance(call.body, bytes | None) else _reported(call, call.body)
        request = self._http.build_request(
            call.method, call.url, headers=call.headers, content=body, timeout=timeout(call)
        )
        response = self._response = self._http.send(request, stream=True, follow_redirects=False)
        if step.stream and response.is_success:
            self._body = response.iter_bytes()
            return Reply(response.status_code, response.headers, b"")
        content = response.read()
        return Reply(response.status_code, response.headers, content)

    def close(self) -> None:
        """Ends the response that is being read."""
        if self._response is not None:
            self._response.close()
            self._response = None


def _reported(call: Call, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The parts of a body; reports those that were sent."""
    for chunk in chunks:
        yield chunk
        if call.sent is not None:
            call.sent(len(chunk))
