"""The model of alerts and recording rules, and the files that are written from it."""

import json
import re
from dataclasses import dataclass, field

# Where the pages of docs/runbooks are served; `generate --runbooks` sets another.
RUNBOOKS = "https://docs.example.com/ffapi/runbooks"


@dataclass
class Recording:
    """A series that is computed from others."""

    record: str
    expr: str
    labels: dict = field(default_factory=dict)


@dataclass
class Alert:
    """An alert, with series on which it fires and series on which it does not."""

    name: str
    severity: str  # critical: somebody acts now; warning: within a working day; info: nobody is notified
    wait: str  # `for`
    expr: str
    summary: str
    description: str
    bad: dict  # series and their values, a minute apart
    good: dict
    at: str = "30m"  # when the test asks
    labels: dict = field(default_factory=dict)  # those of the alert that fires on `bad`
    # How a check causes it on a running fleet; why it does not, if it does not.
    live: str = ""


@dataclass
class Group:
    name: str
    rules: list
    interval: str = ""
    # How often a test evaluates the rules.
    test_step: str = "1m"

    def alerts(self):
        return [rule for rule in self.rules if isinstance(rule, Alert)]


def scalar(text):
    """A YAML scalar."""
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./:-]*", text)
    return text if plain and not re.fullmatch(r"[0-9.]+", text) else json.dumps(text, ensure_ascii=False)


def expression(expr, indent):
    """The value of `expr`: a block if it has several lines."""
    lines = [line.rstrip() for line in expr.strip().splitlines()]
    if len(lines) == 1:
        return " " + scalar(lines[0])
    return " |-\n" + "\n".join(" " * indent + line for line in lines)


def mapping(key, values, indent):
    if not values:
        return ""
    pad = " " * indent
    return f"{pad}{key}:\n" + "".join(f"{pad}  {name}: {scalar(value)}\n" for name, value in values.items())


def annotations(alert, runbooks):
    return {"summary": alert.summary, "description": alert.description, "runbook_url": f"{runbooks}/{alert.name}.md"}


def rules_file(group, runbooks=RUNBOOKS, wait=None):
    """The rules of a group for Prometheus; `wait` replaces every `for`."""
    text = "# Written by ops/observability/generate.\ngroups:\n"
    text += f"  - name: ffapi-{group.name}\n"
    if group.interval and wait is None:
        text += f"    interval: {group.interval}\n"
    text += "    rules:\n"
    for rule in group.rules:
        if isinstance(rule, Recording):
            text += f"      - record: {rule.record}\n        expr:{expression(rule.expr, 10)}\n"
            text += mapping("labels", rule.labels, 8)
        else:
            text += f"      - alert: {rule.name}\n        expr:{expression(rule.expr, 10)}\n"
            text += f"        for: {wait or rule.wait}\n"
            text += mapping("labels", {"severity": rule.severity}, 8)
            text += mapping("annotations", annotations(rule, runbooks), 8)
    return text


def expanded(text, labels):
    """A template of an annotation with the labels of an alert."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels.get(match.group(1), ""), text)


def test_file(group, files, runbooks=RUNBOOKS):
    """Tests for promtool: each alert fires on its bad series and not on its good ones."""
    text = "# Written by ops/observability/generate.\nrule_files:\n"
    text += "".join(f"  - ../rules/{name}\n" for name in files)
    text += f"evaluation_interval: {group.test_step}\ntests:\n"
    for alert in group.alerts():
        for title, series in (("fires", alert.bad), ("does not fire", alert.good)):
            text += f"  - name: {alert.name} {title}\n    interval: 1m\n    input_series:\n"
            for name, values in series.items():
                text += f"      - series: {json.dumps(name)}\n        values: {json.dumps(values)}\n"
            text += f"    alert_rule_test:\n      - eval_time: {alert.at}\n        alertname: {alert.name}\n"
            if title == "fires":
                text += "        exp_alerts:\n          - exp_labels:\n"
                for name, value in {"severity": alert.severity, **alert.labels}.items():
                    text += f"              {name}: {json.dumps(value)}\n"
                text += "            exp_annotations:\n"
                for name, value in annotations(alert, runbooks).items():
                    value = expanded(value, alert.labels)
                    text += f"              {name}: {json.dumps(value, ensure_ascii=False)}\n"
            else:
                text += "        exp_alerts: []\n"
    return text
