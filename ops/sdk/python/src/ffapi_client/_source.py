"""Files that are uploaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias
from urllib.parse import quote

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the content itself, or an open binary file, which is read from its position."""

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes so far, and all bytes if their number is known."""

CHUNK = 256 * 1024


class OpenSource:
    """An opened source; use it in `with`, which closes what was opened here."""

    def __init__(self, source: Source, name: str | None) -> None:
        self._owned = True
        self.file: BinaryIO
        if isinstance(source, bytes):
            self.file = BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            self.file = open(source, "rb")
            name = name or Path(source).name
        else:
            self.file, self._owned = source, False
        self.name = name
        self.size = self._remaining()

    def _remaining(self) -> int | None:
        if not self.file.seekable():
            return None
        start = self.file.tell()
        end = self.file.seek(0, os.SEEK_END)
        self.file.seek(start)
        return end - start

    def chunks(self) -> Iterator[bytes]:
        """The content."""
        while chunk := self.file.read(CHUNK):
            yield chunk

    def report_to(self, progress: Progress | None) -> Callable[[int], object] | None:
        """Adds up what was sent, and reports the sum."""
        if progress is None:
            return None
        sent = 0

        def report(more: int) -> None:
            nonlocal sent
            sent += more
            progress(sent, self.size)

        return report

    def headers(self) -> dict[str, str]:
        """The headers that describe it; the name as in RFC 6266."""
        headers = {"Content-Type": "application/octet-stream"}
        if self.size is not None:
            headers["Content-Length"] = str(self.size)
        if self.name is not None:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(self.name, safe='')}"
        return headers

    def __enter__(self) -> OpenSource:
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            self.file.close()
