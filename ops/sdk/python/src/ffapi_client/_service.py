"""Requests to one service."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode

from ._steps import Call, Reply, Send, Step
from .errors import problem_error


class Service:
    """The address of a service, and what gives access to it."""

    def __init__(self, url: str, key: str | None, token: str | None) -> None:
        self._base, self._key, self._token = url.rstrip("/"), key, token

    def address(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """The full address of a path. Fields without a value are left out."""
        fields = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        if self._token is not None:
            fields["token"] = self._token
        separator = "&" if "?" in path else "?"
        return f"{self._base}{path}" + (separator + urlencode(fields) if fields else "")

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None = None,
        *,
        sent: Callable[[int], object] | None = None,
        silence: float = 75.0,
        stream: bool = False,
    ) -> Generator[Step, Any, Reply]:
        """Sends a request. Redirects are not followed, so that the key reaches no other host.

        Raises ProblemError if the response is not successful (2xx or 304).
        """
        key = {} if self._key is None else {"X-API-Key": self._key}
        call = Call(method, url, {**key, **headers}, body, sent, silence)
        reply = cast(Reply, (yield Send(call, stream)))
        if 200 <= reply.status < 300 or reply.status == 304:
            return reply
        raise problem_error(reply.status, reply.headers, reply.content, url)


def filled(path: str, parts: Mapping[str, object] | None = None) -> str:
    """A path of the documentation with its parts filled in: `/jobs/{id}`."""

    def part(found: re.Match[str]) -> str:
        value = (parts or {}).get(found[1])
        if value in (None, ""):
            raise TypeError(f"the path {path} needs {found[1]}")
        return quoted(value)

    return "/api/v1" + re.sub(r"\{(\w+)\}", part, path)


def quoted(part: object) -> str:
    """A part of a path."""
    return quote(str(part), safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
