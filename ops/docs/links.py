"""Links between pages, and their indexes."""

import os
import re
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`\n]*`")


def prose(text: str) -> list[tuple[int, str]]:
    """The lines outside fenced blocks, with their numbers."""
    kept, inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            kept.append((number, line))
    return kept


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for _, line in prose(text):
        if heading := re.match(r"#+ (.*)", line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            name = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            count = found.get(name, -1) + 1
            found[name] = count
            if count:
                found[f"{name}-{count}"] = 0
    return set(found)


def targets(root: Path, page: str) -> list[tuple[int, str, str]]:
    """The links of a page to files here: line, file from the root, anchor."""
    found = []
    for number, line in prose((root / page).read_text()):
        for link in LINK.findall(CODE.sub(lambda code: code[0].replace("[", " ").replace("]", " "), line)):
            if "://" in link or link.startswith("mailto:"):
                continue
            path, _, anchor = link.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            found.append((number, file, anchor))
    return found


def broken(root: Path, page: str) -> list[str]:
    """Links that lead nowhere."""
    wrong = []
    for line, file, anchor in targets(root, page):
        target = root / file
        if not target.exists():
            wrong.append(f"{page}:{line}: {file} does not exist")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text())):
            wrong.append(f"{page}:{line}: {file} has no heading #{anchor}")
    return wrong


# Which page lists those of a folder; docs/README.md lists all others.
INDEXES = {"docs/adr": "docs/adr/README.md", "docs/runbooks": "docs/alerts.md"}


def unlisted(root: Path) -> list[str]:
    """Pages that no index lists."""
    wrong = []
    for path in sorted((root / "docs").rglob("*.md")):
        page, folder = str(path.relative_to(root)), str(path.parent.relative_to(root))
        index = INDEXES.get(folder, "docs/README.md")
        index = "docs/README.md" if index == page else index
        if page not in {"docs/README.md", *(file for _, file, _ in targets(root, index))}:
            wrong.append(f"{page} is not listed by {index}")
    return wrong
