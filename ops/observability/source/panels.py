"""The model of dashboards, and the JSON that Grafana reads."""

from dataclasses import dataclass, field

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
API = {"type": "yesoreyeram-infinity-datasource", "uid": "${api}"}
# What a panel says that is empty while nothing is wrong.
ONLY = "Only has data after "


@dataclass
class Query:
    expr: str
    legend: str = "__auto"


@dataclass
class Columns:
    """Rows of an answer of the API: `root` selects the rows, `columns` their fields and titles."""

    url: str
    root: str
    columns: dict


@dataclass
class Panel:
    title: str
    queries: list
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    text: str = ""
    # What must have happened for the panel to have data, if it is empty in normal operation.
    after: str = ""
    # The value and colour of each threshold.
    thresholds: list = field(default_factory=list)
    stacked: bool = False
    maximum: float | None = None


@dataclass
class Row:
    title: str
    panels: list


@dataclass
class Dashboard:
    uid: str
    title: str
    text: str
    rows: list
    uses_api: bool = False


def rate(name, *labels, by="", window="$__rate_interval"):
    """The sum of rates of a counter."""
    by = f" by ({by})" if by else ""
    return (
        f"sum{by} (rate({name}{{{','.join(labels)}}}[{window}]))" if labels else f"sum{by} (rate({name}[{window}]))"
    )


def share(part, whole):
    return f"({part}) / ({whole})"


def quantile(q, name, *labels, by=""):
    """A quantile of a histogram."""
    selector = f"{{{','.join(labels)}}}" if labels else ""
    by = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({by}) (rate({name}_bucket{selector}[$__rate_interval])))"


def quantiles(name, *labels):
    return [Query(quantile(q, name, *labels), f"p{round(float(q) * 100)}") for q in ("0.5", "0.95", "0.99")]


def target(query, index):
    name = chr(ord("A") + index)
    if isinstance(query, Columns):
        columns = [
            {"selector": selector, "text": text, "type": "string" if selector in STRINGS else "number"}
            for selector, text in query.columns.items()
        ]
        return {
            "refId": name,
            "datasource": API,
            "type": "json",
            "source": "url",
            "format": "table",
            "parser": "backend",
            "url": query.url,
            "url_options": {"method": "GET", "data": ""},
            "root_selector": query.root,
            "columns": columns,
        }
    return {"refId": name, "datasource": PROMETHEUS, "expr": query.expr, "legendFormat": query.legend}


# Fields of the API that are text.
STRINGS = {
    "tenant",
    "tier",
    "status",
    "name",
    "host",
    "sandbox",
    "worker",
    "day",
    "kind",
    "job.id",
    "job.kind",
    "job.error.code",
}


def field_config(panel):
    steps = [{"color": "green", "value": None}] + [
        {"color": color, "value": value} for value, color in panel.thresholds
    ]
    defaults = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind in ("stat", "gauge") else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.maximum is not None:
        defaults |= {"min": 0, "max": panel.maximum}
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 10,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
        }
    return {"defaults": defaults, "overrides": []}


def options(panel):
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "stat":
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    if panel.kind == "gauge":
        return {"reduceOptions": reduce, "showThresholdMarkers": True}
    return {"showHeader": True}


def panel_json(panel, number, x, y):
    targets = [target(query, index) for index, query in enumerate(panel.queries)]
    if panel.kind == "table":
        for one in targets:
            if "expr" in one:
                one |= {"format": "table", "instant": True}
    text = f"{ONLY}{panel.after}." if panel.after else ""
    made = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(part for part in (panel.text, text) if part),
        "datasource": targets[0]["datasource"],
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": field_config(panel),
        "options": options(panel),
        "targets": targets,
    }
    if panel.kind == "table" and "expr" in targets[0]:
        made["transformations"] = [
            {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True, "__name__": True}}}
        ]
    return made


def laid_out(rows):
    """The panels of all rows, each row's from the left to the right."""
    all_, number, y = [], 1, 0
    for row in rows:
        all_.append(
            {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }
        )
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > 24:
                x, y, height = 0, y + height, 0
            all_.append(panel_json(panel, number, x, y))
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height
    return all_


def variable(name, label, plugin):
    return {
        "name": name,
        "label": label,
        "type": "datasource",
        "query": plugin,
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def dashboard_json(dashboard):
    variables = (
        [variable("api", "ffapi", API["type"])]
        if dashboard.uses_api
        else [variable("datasource", "Prometheus", "prometheus")]
    )
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["ffapi"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "tags": ["ffapi"],
                "title": "ffapi",
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": variables},
        "panels": laid_out(dashboard.rows),
    }
