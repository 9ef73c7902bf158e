"""Carries out steps without blocking the event loop (asyncio or trio)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from ._steps import Call, Emit, Plan, Reply, Run, Send, Sleep, Step, timeout

T = TypeVar("T")


async def drive(http: httpx.AsyncClient, plan: Plan[T]) -> AsyncGenerator[T, None]:
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
                reply = await transport.perform(step)
            except Exception as raised:  # The plan decides what to do about it.
                error = raised
    finally:
        plan.close()
        with anyio.CancelScope(shield=True):
            await transport.close()


class _Transport:
    """Sends requests, one at a time."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._body: AsyncIterator[bytes] | None = None

    async def perform(self, step: Step) -> Any:
        """The reply to a step."""
        match step:
            case Send():
                return await self._send(step)
            case Run():
                return await anyio.to_thread.run_sync(step.function)
            case Sleep():
                return await anyio.sleep(step.seconds)
            case _:
                return b"" if self._body is None else await anext(self._body, b"")

    async def _send(self, step: Send) -> Reply:
        await self.close()
        call = step.call
        body = call.body if isinstance(call.body, bytes | None) else _reported(call, call.body)
        request = self._http.build_request(
            call.method, call.url, headers=call.headers, content=body, timeout=timeout(call)
        )
        response = self._response = await self._http.send(request, stream=True, follow_redirects=False)
        if step.stream and response.is_success:
            self._body = response.aiter_bytes()
            return Reply(response.status_code, response.headers, b"")
        content = await response.aread()
        return Reply(response.status_code, response.headers, content)

    async def close(self) -> None:
        """Ends the response that is being read."""
        if self._response is not None:
            await self._response.aclose()
            self._response = None


async def _reported(call: Call, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts of a body, which are read in a thread; reports those that were sent."""
    while chunk := await anyio.to_thread.run_sync(next, chunks, b""):
        yield chunk
        if call.sent is not None:
            call.sent(len(chunk))
