"""The steps of an operation, which a client carries out. They keep the operations free of I/O.

An operation is a generator (a `Plan`) that yields steps and receives the reply to each. A transport error is
raised at the step that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] | None = None
    sent: Callable[[int], object] | None = None
    """Called with the number of bytes of each part of the body that was sent."""
    silence: float = 75.0
    """Seconds without any bytes of the response after which the connection is dead."""


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    """Its body; empty if it is read by `Read`."""


@dataclass(frozen=True)
class Send:
    """Sends a request. The reply is a `Reply`."""

    call: Call
    stream: bool = False
    """True to read the body of a successful response by `Read`."""


@dataclass(frozen=True)
class Read:
    """Reads more of the streamed body. The reply is `bytes`; empty at the end."""


@dataclass(frozen=True)
class Sleep:
    """Waits."""

    seconds: float


@dataclass(frozen=True)
class Run:
    """Calls a function that may block, such as one that reads a file. The reply is its result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Hands a value to the caller."""

    value: T


Step: TypeAlias = Send | Read | Sleep | Run
Plan: TypeAlias = Generator[Step | Emit[T], Any, None]


def timeout(call: Call) -> httpx.Timeout:
    """The times in seconds after which a connection counts as dead."""
    return httpx.Timeout(call.silence, connect=10.0)
