"""Fenced code blocks of Markdown pages."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^( *)(```+)\s*(.*?)\s*$")


@dataclass(frozen=True)
class Block:
    """One block. `line` is that of its opening fence; its own first line is the next one."""

    page: str
    line: int
    language: str
    attributes: dict[str, str]
    text: str
    # The block before it, if there are only blank lines in between.
    after: "Block | None" = field(default=None, repr=False)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def at_its_lines(self) -> str:
        """The text at the lines that it has in its page, so that interpreters report those."""
        return "\n" * self.line + self.text


def blocks(root: Path, page: str) -> list[Block]:
    """The blocks of a page, in order. Raises ValueError if one is not closed."""
    found: list[Block] = []
    inside: list[str] | None = None
    between = False
    for number, line in enumerate((root / page).read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if inside is None:
            if fence:
                indent, ticks, info = fence.groups()
                begun, inside, adjacent = number, [], bool(found) and not between
            elif line.strip():
                between = True
        elif fence and fence[2] == ticks and not fence[3]:
            language, *rest = info.split() or [""]
            attributes = dict(word.partition("=")[::2] for word in rest)
            text = "".join(f"{text}\n" for text in inside)
            found.append(Block(page, begun, language, attributes, text, found[-1] if adjacent else None))
            inside, between = None, False
        else:
            inside.append(line.removeprefix(indent))
    if inside is not None:
        raise ValueError(f"{page}:{begun}: the block is not closed")
    return found
