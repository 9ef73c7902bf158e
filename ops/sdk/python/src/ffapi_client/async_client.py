"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, Unpack, overload

import httpx

from . import _operations as operations
from ._client import BaseClient, Options, parsed
from ._follow import follow
from ._source import Progress, Source
from ._steps import Plan, Reply
from ._async import drive
from ._target import Target
from .events import JobEvent
from .models import Job, Upload

T = TypeVar("T")


class AsyncClient(BaseClient[httpx.AsyncClient]):
    """The same as `Client` for asyncio and trio. Use it in `async with`, or call `close`."""

    def _new_http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient()

    @overload
    async def request(self, method: str, path: str, *, to: type[T], **options: Unpack[Options]) -> T: ...
    @overload
    async def request(self, method: str, path: str, **options: Unpack[Options]) -> Any: ...
    async def request(
        self, method: str, path: str, *, to: type[object] = object, **options: Unpack[Options]
    ) -> Any:
        """See `Client.request`."""
        return parsed(await self.send(method, path, **options))

    async def send(self, method: str, path: str, **options: Unpack[Options]) -> Reply:
        """See `Client.send`."""
        return await self._run(operations.send(self._service, method, path, options))

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        on_progress: Progress | None = None,
        to: str | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """See `Client.upload`."""
        return await self._run(
            operations.upload(self._service, source, name, on_progress, to, idempotency_key)
        )

    def events(self, job: str, *, after: str | None = None, attempts: int = 10) -> AsyncIterator[JobEvent]:
        """See `Client.events`."""
        return self._drive(follow(self._service, job, after, attempts))

    async def wait(self, job: str, *, timeout: float | None = None) -> Job:
        """See `Client.wait`."""
        return await self._run(operations.wait(self._service, job, timeout))

    @overload
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
        to: type[T],
    ) -> AsyncIterator[T]: ...
    @overload
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
    ) -> AsyncIterator[Any]: ...
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
        to: type[object] = object,
    ) -> AsyncIterator[Any]:
        """See `Client.paginate`."""
        return self._drive(operations.paginate(self._service, path, query, parts))

    async def download(self, job: str, name: str, target: Target, *, range: str | None = None) -> int:
        """See `Client.download`."""
        return await self._run(operations.download(self._service, job, name, target, range))

    async def close(self) -> None:
        """Closes the connections."""
        if self._owned:
            await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, plan: Plan[T]) -> T:
        async with aclosing(drive(self._http, plan)) as values:
            return await anext(values)

    def _drive(self, plan: Plan[T]) -> AsyncIterator[T]:
        return drive(self._http, plan)
