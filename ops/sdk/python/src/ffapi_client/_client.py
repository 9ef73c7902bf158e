"""What both clients have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar

import httpx

from ._service import Service
from ._steps import Reply

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


class Options(TypedDict, total=False):
    """What a request has besides its method and path."""

    parts: Mapping[str, object]
    """The parts of the path: `{"id": "job_…"}` for `/jobs/{id}`."""
    query: Mapping[str, object]
    """The parameters of the query; those that are None are left out."""
    headers: Mapping[str, str]
    body: Mapping[str, object]
    """The JSON body."""


class BaseClient(Generic[Http]):
    """The service, and the HTTP client, which is closed with this one if it was made by it."""

    def __init__(
        self, url: str, *, key: str | None = None, token: str | None = None, http: Http | None = None
    ) -> None:
        self._service = Service(url, key, token)
        self._owned = http is None
        self._http: Http = self._new_http() if http is None else http

    def _new_http(self) -> Http:
        raise NotImplementedError

    def address(self, path: str) -> str:
        """The full address of a path that a response contains, such as `playback_url`."""
        return self._service.address(path)


def parsed(reply: Reply) -> Any:
    """The JSON of a response."""
    return json.loads(reply.content)
