"""Reads the shipped configuration: what `ops/compose/production.yaml` gives each role, and new secrets for it."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "ops/compose/production.yaml"
NATS = ROOT / "ops/compose/nats.conf"
USERS = ROOT / "ops/nats/users.conf"

SETTING = re.compile(r"^\s+((?:FFAPI|NATS|POSTGRES)_\w+): (.+)$")
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")


def secrets():
    """The variables that `ops/compose/secrets` prints."""
    printed = subprocess.run([ROOT / "ops/compose/secrets"], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines())


def filled(reference, variables):
    """The value of a variable, or its default, as compose has it."""
    name, kind, default = reference.groups()
    return variables.get(name) or default if kind == "-" else variables[name]


def environment(block, variables):
    """
    The environment of a service, or of a shared part such as `x-common`, in the compose file.

    This reads the part of YAML that the file uses: a block ends at the next line that is not indented further.
    """
    lines = iter(COMPOSE.read_text().splitlines())
    head = re.compile(rf"^( *){re.escape(block.strip())}:\s*(?:&\w+)?$")
    found = next((match for line in lines if (match := head.match(line))), None)
    if not found:
        raise KeyError(f"{COMPOSE} has no {block}")
    depth, settings = len(found[1]), {}
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        if match := SETTING.match(line):
            value = match[2].split(" #")[0].strip().strip('"')
            settings[match[1]] = VARIABLE.sub(lambda name: filled(name, variables), value)
    return settings
