"""Names in the text of pages: endpoints, commands with their options, and settings."""

import functools
import json
import re
import subprocess
import tomllib
from pathlib import Path

from links import CODE, prose

ENDPOINT = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9_{}./-]*)")
# Paths beside the API, its beginning, and those of other services.
OTHERS = {"/", "/docs", "/metrics", "/openapi.json", "/asyncapi.json", "/livez", "/readyz", "/api/v1/", "/loki/api/v1/push"}
COMMAND = re.compile(r"ffapi((?: [a-z][a-z-]*)+)(.*)")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
SETTING = re.compile(r"[a-z]+(?:\.[a-z_]+)+")
VARIABLE = re.compile(r"FFAPI_([A-Z_]+__[A-Z_]+)")
# Files, an event, a value of the chart, and a placeholder.
NO_SETTINGS = {"backup.key", "secrets.json", "log.restored", "gateway.autoscaling", "section.key"}


def endpoints(root: Path, text: str) -> list[str]:
    """Endpoints that docs/api/openapi.json does not have."""
    wrong = []
    for method, path in ENDPOINT.findall(text):
        path = path.rstrip(".")
        full = f"{method} {path if path.startswith('/api/v1') else f'/api/v1{path}'}"
        if path not in OTHERS and not any(endpoint.fullmatch(full) for endpoint in known_endpoints(root)):
            wrong.append(f"{method} {path}")
    return wrong


@functools.cache
def known_endpoints(root: Path) -> list[re.Pattern]:
    paths = json.loads((root / "docs/api/openapi.json").read_text())["paths"]
    return [
        re.compile(f"{method.upper()} {re.sub('{[^}]*}', '[^/]+', path)}")
        for path, methods in paths.items()
        for method in methods
    ]


@functools.cache
def usage(program: Path, command: str) -> str:
    """The help of a command, of as many of its words as are commands."""
    words = command.split()
    for count in range(len(words), 0, -1):
        done = subprocess.run([program, *words[:count], "--help"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
    return ""


def commands(program: Path, text: str) -> list[str]:
    """Commands and options that the program does not have."""
    if not (named := COMMAND.fullmatch(text)):
        return []
    shown = usage(program, named[1])
    return [named[0]] if not shown or any(option not in shown for option in OPTION.findall(named[2])) else []


@functools.cache
def known_settings(root: Path) -> dict:
    text = (root / "docs/settings.md").read_text()
    return tomllib.loads(text.split("```toml\n")[1].split("```")[0])


def is_setting(root: Path, name: str) -> bool:
    """True for a setting, or a section, of docs/settings.md."""
    place = known_settings(root)
    words = name.split(".")
    for index, word in enumerate(words):
        if not isinstance(place, dict):
            return False
        # Stores and tiers have names of the reader.
        is_name = index == 1 and words[0] in ("stores", "tiers") and word not in place
        place = next(iter(place.values())) if is_name else place.get(word)
        if place is None:
            return False
    return True


def settings(root: Path, text: str) -> list[str]:
    """Settings that docs/settings.md does not list; a test of the program compares that with the code."""
    variables = [name.removesuffix("_FILE").lower().replace("__", ".") for name in VARIABLE.findall(text)]
    fields = [text] if SETTING.fullmatch(text) and text.split(".")[0] in known_settings(root) else []
    return [name for name in (*variables, *fields) if name not in NO_SETTINGS and not is_setting(root, name)]


def unknown(root: Path, program: Path, page: str) -> list[str]:
    """Names in a page that nothing has."""
    wrong = []
    for number, line in prose((root / page).read_text()):
        for code in CODE.findall(line):
            text = code.strip("`")
            named = endpoints(root, text) + commands(program, text) + settings(root, text)
            wrong += [f"{page}:{number}: `{name}` does not exist" for name in named]
    return wrong
