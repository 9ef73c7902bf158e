"""Files that are downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, TypeAlias

Target: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file."""


class OpenTarget:
    """An opened target; use it in `with`. A file at a path appears when it is complete."""

    def __init__(self, target: Target) -> None:
        self._path = Path(target) if isinstance(target, (str, os.PathLike)) else None
        self._part = None if self._path is None else self._path.with_name(f"{self._path.name}.part")
        self._file: BinaryIO
        if self._part is not None:
            self._file = open(self._part, "wb")
        else:
            assert not isinstance(target, (str, os.PathLike))
            self._file = target

    def write(self, content: bytes) -> None:
        self._file.write(content)

    def __enter__(self) -> OpenTarget:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._path is None or self._part is None:
            return
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)
