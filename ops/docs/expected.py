"""What a block says that it prints, compared with what it printed.

`…` stands for any text. In a block ```json after a shell block, numbers may differ, a list shows the first entries, and
an object shows all fields unless its last one is `"…"`.
"""

import json
import re

COMMENT = re.compile(r"(?:#|//) => (.*)$")


def pattern(text: str) -> re.Pattern:
    """A line, of which `…` may be any part."""
    return re.compile(".*".join(re.escape(part) for part in text.strip().split("…")))


def lines(expected: list[str], printed: str) -> str | None:
    """What is missing, if the lines do not occur in this order."""
    remaining = iter(printed.splitlines())
    for line in expected:
        wanted = pattern(line)
        if not any(wanted.fullmatch(shown.strip()) for shown in remaining):
            return f"not printed: {line.strip()}"
    return None


def comments(text: str) -> list[str]:
    """The lines that the comments `# => …` or `// => …` of a block say."""
    return [match[1] for line in text.splitlines() if (match := COMMENT.search(line))]


def shape(expected, actual, path: str = "#") -> str | None:
    """Where a JSON value differs from the one that is shown."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return f"{path}: {actual!r} is no object"
        more = expected.get("…") is not None
        named = {name for name in expected if name != "…"}
        if missing := named - set(actual):
            return f"{path}: {sorted(missing)} missing in {sorted(actual)}"
        if not more and (others := set(actual) - named):
            return f"{path}: {sorted(others)} not shown"
        differences = (shape(expected[name], actual[name], f"{path}/{name}") for name in named)
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) < len([entry for entry in expected if entry != "…"]):
            return f"{path}: {actual!r} has not as many entries"
        if (not expected or expected[-1] != "…") and len(actual) > len(expected):
            return f"{path}: {len(actual)} entries, not {len(expected)}"
        differences = (
            shape(entry, actual[index], f"{path}/{index}") for index, entry in enumerate(expected) if entry != "…"
        )
    elif isinstance(expected, str) and "…" in expected:
        return None if pattern(expected).fullmatch(str(actual)) else f"{path}: {actual!r} is not like {expected!r}"
    elif isinstance(expected, (int, float)) and not isinstance(expected, bool):
        numeric = isinstance(actual, (int, float)) and not isinstance(actual, bool)
        return None if numeric else f"{path}: {actual!r} is no number"
    else:
        return None if actual == expected else f"{path}: {actual!r} is not {expected!r}"
    return next(filter(None, differences), None)


def document(printed: str):
    """The last JSON document that was printed; None if there is none."""
    decoder = json.JSONDecoder()
    starts = [match.start() for match in re.finditer(r"^[\[{]", printed, re.MULTILINE)]
    ended, found = 0, None
    for start in starts:
        if start >= ended:
            try:
                found, ended = decoder.raw_decode(printed, start)
            except ValueError:
                continue
    return found
