"""Checks of blocks that are not run: by what reads them, or at least by a parser."""

import configparser
import json
import re
import subprocess
import tomllib
from html.parser import HTMLParser

import yaml
from blocks import Block
from service import Service

# Elements without an end.
VOID = {"input", "img", "br", "meta", "link", "source", "track"}


def command(arguments: list[str], text: str | None = None, **options) -> str | None:
    """What a program says against its input."""
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, **options)
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def bash(_service: Service, block: Block) -> str | None:
    return command(["bash", "-n"], block.at_its_lines)


def javascript(service: Service, block: Block) -> str | None:
    file = service.temporary / "block.mjs"
    file.write_text(block.at_its_lines)
    return command(["node", "--check", str(file)])


def python(_service: Service, block: Block) -> str | None:
    try:
        compile(block.at_its_lines, block.page, "exec")
    except SyntaxError as error:
        return str(error)
    return None


def settings(service: Service, text: str) -> str | None:
    """What the program says against settings in TOML."""
    tomllib.loads(text)
    file = service.temporary / "settings.toml"
    # Secrets that are referred to would be fetched.
    file.write_text(re.sub(r'"(vault|aws):[^"]*"', '"a secret"', text))
    environment = service.environment()
    return command(
        [str(service.program), "--config", str(file), "config", "print", "--data-dir", str(service.temporary / "none")],
        env=environment,
    )


def toml(service: Service, block: Block) -> str | None:
    return settings(service, block.text)


def scrape(service: Service, text: str) -> str | None:
    """What promtool says against a configuration of Prometheus."""
    file = service.temporary / "prometheus.yml"
    file.write_text(text)
    return command([str(service.root / ".tools/bin/promtool"), "check", "config", "--syntax-only", str(file)])


def values(service: Service, document: dict) -> str | None:
    """Values of the chart: known ones, and in `config` valid settings."""
    known = set(yaml.safe_load((service.root / "ops/helm/ffapi/values.yaml").read_text()))
    if unknown := set(document) - known:
        return f"the chart has no values {sorted(unknown)}"
    return settings(service, document["config"])


def yaml_(service: Service, block: Block) -> str | None:
    document = yaml.safe_load(block.text)
    if isinstance(document, dict) and "scrape_configs" in document:
        return scrape(service, block.text)
    if isinstance(document, dict) and isinstance(document.get("config"), str):
        return values(service, document)
    return None


class Elements(HTMLParser):
    """The elements of a page that are not closed, or closed without being open, and its scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.wrong: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.unclosed: list[str] = []
        self.kind: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.unclosed.append(tag)
        self.kind = dict(attrs).get("type")

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.unclosed or self.unclosed.pop() != tag):
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.unclosed and self.unclosed[-1] == "script":
            self.scripts.append((self.kind, data))


def html(service: Service, block: Block) -> str | None:
    """Every element is closed, and scripts can be parsed."""
    elements = Elements(block.text)
    wrong = elements.wrong + [f"<{tag}> is not closed" for tag in elements.unclosed]
    for kind, script in elements.scripts:
        if kind == "importmap":
            json.loads(script)
            continue
        file = service.temporary / "script.mjs"
        file.write_text(script)
        if error := command(["node", "--check", str(file)]):
            wrong.append(error)
    return "\n".join(wrong) or None


def terraform(service: Service, block: Block) -> str | None:
    """The arguments of a module are its variables, and all required ones."""
    source = re.search(r'source\s*=\s*"\./([^"]+)"', block.text)
    if not source:
        return "no `source` of a module here"
    declared = {}
    for file in (service.root / source[1]).glob("*.tf"):
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', file.read_text(), re.MULTILINE | re.DOTALL):
            declared[name] = "default" in body
    given = set(re.findall(r"^  (\w+)\s*=", block.text, re.MULTILINE)) - {"source"}
    required = {name for name, has_default in declared.items() if not has_default}
    if given - set(declared) or required - given:
        return f"not variables: {sorted(given - set(declared))}; missing: {sorted(required - given)}"
    return None


def ini(_service: Service, block: Block) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(block.text)
    return None


def json_(service: Service, block: Block) -> str | None:
    """A body that the service accepts."""
    json.loads(block.text)
    return service.post(block.attributes["post"], block.text)


def tried(check, service: Service, block: Block) -> str | None:
    """What a check says, or the parser that it uses."""
    try:
        return check(service, block)
    except (ValueError, yaml.YAMLError, configparser.Error) as error:
        return str(error)
