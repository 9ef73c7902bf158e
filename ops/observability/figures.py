"""Draws what the panels of a dashboard show, in their places, for docs: there is no Grafana on a developer's machine.

These are figures of the panels' data, not screenshots.
"""

import matplotlib
import numpy
from matplotlib import pyplot
from PIL import Image

from panels import panels, rows

matplotlib.use("agg")
BACK, PANEL, INK, DIM = "#111217", "#181b1f", "#d8d9da", "#8e8e8e"
COLOURS = [
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#8ab8ff",
    "#37872d",
    "#fade2a",
    "#e02f44",
]
# Of a unit of the grid, in inches.
WIDE, HIGH = 0.62, 0.34
SHOWN_SERIES = 6


def legend(metric, template):
    if template == "__auto":
        return ", ".join(metric.values()) or "value"
    for name, value in metric.items():
        template = template.replace("{{%s}}" % name, value)
    return template


def text_of(value, unit):
    if unit == "percentunit":
        return f"{value:.2%}" if abs(value) < 10 else f"{value:.0%}"
    if unit in ("bytes", "Bps"):
        for name in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 1024 or name == "TiB":
                return f"{value:.3g} {name}" + ("/s" if unit == "Bps" else "")
            value /= 1024
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    return f"{value:.4g}" + {"reqps": " req/s", "ops": " /s"}.get(unit, "")


def colour(value, config):
    steps = [step for step in config["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    return {"green": COLOURS[0], "orange": COLOURS[3], "red": COLOURS[4]}[steps[-1]["color"]]


def plot(axes, panel, found, start):
    config, stacked = (
        panel["fieldConfig"]["defaults"],
        panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal",
    )
    found = sorted(found, key=lambda one: -max(value for _, value in one[1]))[:SHOWN_SERIES]
    below = {}
    for number, (label, points) in enumerate(found):
        xs, ys = [at - start for at, _ in points], [value for _, value in points]
        if stacked:
            ys = [value + below.get(x, 0) for x, value in zip(xs, ys)]
            below |= dict(zip(xs, ys))
        axes.plot(xs, ys, color=COLOURS[number % len(COLOURS)], linewidth=1, label=label)
    axes.set_ylim(bottom=0, top=config.get("max") and config["max"] * 1.05)
    axes.yaxis.set_major_formatter(lambda value, _: text_of(value, config["unit"]))
    axes.tick_params(colors=DIM, labelsize=5, length=0, pad=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    axes.grid(color="#2c3235", linewidth=0.4)
    axes.legend(
        fontsize=4.5,
        loc="upper left",
        bbox_to_anchor=(0, -0.12),
        ncols=3,
        frameon=False,
        labelcolor=INK,
        handlelength=1,
        columnspacing=1,
    )


def number(axes, panel, found):
    config = panel["fieldConfig"]["defaults"]
    axes.axis("off")
    last = [(label, points[-1][1]) for label, points in found]
    for place, (label, value) in enumerate(last):
        x = (place + 0.5) / len(last)
        axes.text(
            x,
            0.5,
            text_of(value, config["unit"]),
            color=colour(value, config),
            fontsize=15 if len(last) == 1 else 11,
            ha="center",
            va="center",
        )
        if len(last) > 1:
            axes.text(x, 0.2, label, color=INK, fontsize=6, ha="center")


def table(axes, lines):
    axes.axis("off")
    if not lines:
        axes.text(0.5, 0.5, "No data", color=DIM, fontsize=7, ha="center")
        return
    titles = list(lines[0])
    cells = [
        [
            str(line.get(title, "")) if not isinstance(line.get(title), float) else f"{line[title]:.3f}"
            for title in titles
        ]
        for line in lines[:10]
    ]
    drawn = axes.table(
        cellText=cells,
        colLabels=titles,
        loc="upper left",
        cellLoc="left",
        bbox=[0, max(0, 1 - 0.12 * (len(cells) + 1)), 1, min(1, 0.12 * (len(cells) + 1))],
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(5)
    for (line, _), cell in drawn.get_celld().items():
        cell.set(facecolor=PANEL, edgecolor="#2c3235", linewidth=0.4)
        cell.get_text().set_color(DIM if line == 0 else INK)


def fill(axes, fleet, monitoring, panel, start, end):
    if "expr" not in panel["targets"][0]:
        table(axes, [row for target in panel["targets"] for row in rows(fleet, target)])
        return
    if panel["type"] == "table":
        now = [metric for target in panel["targets"] for metric, _ in monitoring.now(target["expr"])]
        table(axes, [{name: value for name, value in metric.items() if not name.startswith("__")} for metric in now])
        return
    found = [
        (legend(metric, target["legendFormat"]), points)
        for target in panel["targets"]
        for metric, points in monitoring.over(target["expr"], start, end)
    ]
    if not found:
        axes.axis("off")
        axes.text(0.5, 0.5, "No data", color=DIM, fontsize=7, ha="center")
    elif panel["type"] == "timeseries":
        plot(axes, panel, found, start)
    else:
        number(axes, panel, found)


def draw(fleet, monitoring, folder, start, end):
    """A picture of each dashboard over a time."""
    folder.mkdir(parents=True, exist_ok=True)
    dashboards = {}
    for dashboard, panel in panels():
        dashboards.setdefault(dashboard["uid"], (dashboard, []))[1].append(panel)
    for uid, (dashboard, shown) in dashboards.items():
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        high = max(place["y"] + place["h"] for place in places) + 1
        figure = pyplot.figure(figsize=(24 * WIDE, high * HIGH), facecolor=BACK, dpi=80)
        figure.text(0.005, 1 - 0.6 / high, dashboard["title"], color=INK, fontsize=12, va="center")
        for panel in dashboard["panels"]:
            x, y, w, h = (panel["gridPos"][name] for name in "xywh")
            bottom = 1 - (y + 1 + h) / high
            if panel["type"] == "row":
                figure.text(0.005, bottom + 0.4 / high, f"▾ {panel['title']}", color=INK, fontsize=9, va="center")
                continue
            card = figure.add_axes(
                [x / 24 + 0.001, bottom + 0.05 / high, w / 24 - 0.002, (h - 0.1) / high], facecolor=PANEL
            )
            card.set(xticks=[], yticks=[])
            for side in card.spines.values():
                side.set_color("#2c3235")
            card.text(
                0.012 * 8 / w, 1 - 0.3 / h, panel["title"], color=INK, fontsize=7, va="top", transform=card.transAxes
            )
            is_plot = panel["type"] == "timeseries"
            inner = [
                x / 24 + (0.03 if is_plot else 0.006),
                bottom + (1.9 if is_plot else 0.2) / high,
                w / 24 - (0.036 if is_plot else 0.012),
                (h - (3.3 if is_plot else 1.4)) / high,
            ]
            axes = figure.add_axes(inner, facecolor=PANEL)
            for side in axes.spines.values():
                side.set_visible(False)
            fill(axes, fleet, monitoring, panel, start, end)
        figure.canvas.draw()
        # Few colours make a small file.
        picture = Image.fromarray(numpy.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        picture.quantize(160, dither=Image.Dither.NONE).save(folder / f"{uid}.png", optimize=True)
        pyplot.close(figure)
