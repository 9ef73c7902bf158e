"""Whether what docs/metrics.md says to autoscalers has data."""

import re

from panels import field
from stack import ROOT

DOCUMENT = ROOT / "docs/metrics.md"


def faults(fleet, monitoring, start, end):
    text = DOCUMENT.read_text()
    queries = re.findall(r"^\s+query: (.+)$", text, re.MULTILINE)
    places = re.findall(r"(queue\.\w+\.\w+)", text)
    if len(queries) < 2 or len(places) < 2:
        yield "docs/metrics.md has no triggers"
    for query in queries:
        if not list(monitoring.over(query, start, end)):
            yield f"no data: {query}"
    _, stats = fleet.call("GET", "/admin/stats")
    for place in places:
        if not isinstance(field(stats, place), int):
            yield f"GET /admin/stats has no number at {place}"
