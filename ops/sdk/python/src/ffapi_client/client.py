"""The synchronous client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, TypeVar, Unpack, overload

import httpx

from . import _operations as operations
from ._client import BaseClient, Options, parsed
from ._follow import follow
from ._source import Progress, Source
from ._steps import Plan, Reply
from ._sync import drive
from ._target import Target
from .events import JobEvent
from .models import Job, Upload

T = TypeVar("T")


class Client(BaseClient[httpx.Client]):
    """A client of one service. Use it in `with`, or call `close`.

    `url` is the service's address, `key` an API key, `token` one of `POST /tokens` (for events and outputs
    only); `http` replaces the HTTP client. All methods raise ProblemError if the service rejects a request,
    and httpx.TransportError if it cannot be reached.
    """

    def _new_http(self) -> httpx.Client:
        return httpx.Client()

    @overload
    def request(self, method: str, path: str, *, to: type[T], **options: Unpack[Options]) -> T: ...
    @overload
    def request(self, method: str, path: str, **options: Unpack[Options]) -> Any: ...
    def request(
        self, method: str, path: str, *, to: type[object] = object, **options: Unpack[Options]
    ) -> Any:
        """Sends a request and returns the JSON of the response, which has the type `to` (of `models`).

        Paths are those of the documentation: `request("GET", "/jobs/{id}", parts={"id": id}, to=Job)`.
        """
        return parsed(self.send(method, path, **options))

    def send(self, method: str, path: str, **options: Unpack[Options]) -> Reply:
        """The same, but returns the response: for its headers, for 304, and for what is not JSON."""
        return self._run(operations.send(self._service, method, path, options))

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        on_progress: Progress | None = None,
        to: str | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """Uploads a file: a path, bytes, or an open binary file. Use the `id` of the result as a job's `input`.

        `name` is its name, by default that of the path. `on_progress(sent, total)` gets numbers of bytes;
        `total` is None if it is unknown. `to` is the `url` of a token of `POST /tokens {"upload": …}`, which
        needs no key. A repeated upload with the same `idempotency_key` and content gets the first response,
        for 48 hours.
        """
        return self._run(
            operations.upload(self._service, source, name, on_progress, to, idempotency_key)
        )

    def events(self, job: str, *, after: str | None = None, attempts: int = 10) -> Iterator[JobEvent]:
        """The events of a job up to its end; a connection that breaks is resumed after the last event.

        `after` is the `id` of the last event that was seen. After `attempts` failed connections in a row the
        error is raised.
        """
        return self._drive(follow(self._service, job, after, attempts))

    def wait(self, job: str, *, timeout: float | None = None) -> Job:
        """Waits for a job to end and returns it: `completed`, `failed` or `cancelled`.

        Raises TimeoutError after `timeout` seconds, if it is given.
        """
        return self._run(operations.wait(self._service, job, timeout))

    @overload
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
        to: type[T],
    ) -> Iterator[T]: ...
    @overload
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
    ) -> Iterator[Any]: ...
    def paginate(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        parts: Mapping[str, object] | None = None,
        to: type[object] = object,
    ) -> Iterator[Any]:
        """All entries of a list, page by page, which have the type `to`; `limit` is that of one page.

        `paginate("/jobs", {"status": "completed"}, to=JobSummary)`.
        """
        return self._drive(operations.paginate(self._service, path, query, parts))

    def download(self, job: str, name: str, target: Target, *, range: str | None = None) -> int:
        """Downloads an output to a path or an open binary file, and returns the number of bytes.

        A file at a path appears when it is complete. `range` is a part of the output, like `bytes=0-1023`.
        """
        return self._run(operations.download(self._service, job, name, target, range))

    def close(self) -> None:
        """Closes the connections."""
        if self._owned:
            self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, plan: Plan[T]) -> T:
        with closing(drive(self._http, plan)) as values:
            return next(values)

    def _drive(self, plan: Plan[T]) -> Iterator[T]:
        return drive(self._http, plan)
