"""Whether every panel of every dashboard has data, and what it shows."""

import json
from pathlib import Path

DASHBOARDS = Path(__file__).resolve().parent / "dashboards"
ONLY = "Only has data after "


def panels():
    """Dashboard and panel, as Grafana reads them."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield dashboard, panel


def is_for_faults(panel):
    return ONLY in panel["description"]


def field(value, selector):
    for part in selector.split(".") if selector else []:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def rows(fleet, target):
    """The rows that a table of the API shows."""
    path = target["url"].removeprefix("/api/v1")
    assert path != target["url"], target["url"]
    status, answer = fleet.call("GET", path)
    found = field(answer, target["root_selector"]) if status == 200 else None
    found = found if isinstance(found, list) else [found] if found else []
    return [{column["text"]: field(row, column["selector"]) for column in target["columns"]} for row in found]


def empty(fleet, monitoring, start, end, after_faults):
    """The queries without data, and the columns that no row has."""
    for dashboard, panel in panels():
        if is_for_faults(panel) and not after_faults:
            continue
        for target in panel["targets"]:
            name = f"{dashboard['title']} / {panel['title']}"
            if "expr" in target:
                if not list(monitoring.over(target["expr"], start, end)):
                    yield f"{name}: {target['expr']}"
                continue
            found = rows(fleet, target)
            missing = [
                column["text"] for column in target["columns"] if all(row[column["text"]] is None for row in found)
            ]
            if missing:
                yield f"{name}: no {', '.join(missing)} at {target['url']}"
