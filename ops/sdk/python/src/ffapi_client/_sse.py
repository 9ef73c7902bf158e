"""Server-sent events, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """A server-sent event as it was received."""

    event: str
    data: str
    id: str | None
    """The position to resume from; none for events that are not stored."""


class Decoder:
    """Splits bytes into server-sent events; an incomplete one at the end is dropped.

    Lines end with LF or CRLF only: other characters that Unicode regards as line ends may be in the data.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._fields: list[tuple[str, str]] = []

    def feed(self, received: bytes) -> list[Message]:
        """The events that are complete with these bytes."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        messages = []
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                field, _, value = text.partition(":")
                self._fields.append((field, value.removeprefix(" ")))
                continue
            if message := self._message():
                messages.append(message)
            self._fields = []
        return messages

    def _message(self) -> Message | None:
        data = [value for field, value in self._fields if field == "data"]
        # The last value of a field counts.
        fields = dict(self._fields)
        if not data:
            return None
        return Message(fields.get("event", "message"), "\n".join(data), fields.get("id"))
