"""The drawings of a report as SVG: real text, the page's colours, no script."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    name: f"#0000{at:02x}"
    for at, name in enumerate(
        ("ink", "faint", "line", "before", "after", "refused", "flow", "back"), start=1
    )
}
"""Stands for the page's colour of that name, so that a drawing follows light and dark."""
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_SERIES = 6
_REASONS = 4
_SMALL = (4.6, 2.7)
"""Inches of a drawing that takes half of a wide page. It is scaled to the width of the window, and
its words with it: on a telephone those of a wider one could not be read."""


def histogram(bars: Mapping[str, Any]) -> str | None:
    """Scores before and after, as overlaid steps. None: there are no scores."""
    width = bars["width"]
    if not bars["before"] and not bars["after"]:
        return None
    figure, axes = _figure(*_SMALL)
    for name, label in (("before", "alt texts"), ("after", "captions that were kept")):
        counts = {round(float(at) / width): n for at, n in bars[name].items()}
        if not counts:
            continue
        places = range(min(counts), max(counts) + 1)
        steps = [counts.get(at, 0) for at in places]
        edges = [at * width for at in (*places, places.stop)]
        axes.stairs(steps, edges, fill=True, alpha=0.35, color=_COLOURS[name])
        axes.stairs(steps, edges, color=_COLOURS[name], linewidth=1.6, label=label)
    axes.set_xlabel("cosine of text and image")
    axes.set_ylabel("pairs")
    _legend(axes)
    return _svg(figure, "scores")


def thresholds(changes: Sequence[Mapping[str, Any]]) -> str | None:
    """Thresholds over time. None: none was measured."""
    import matplotlib.dates

    dates: Any = matplotlib.dates  # has no types

    series: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
    for each in changes:
        point = datetime.fromisoformat(each["at"]), each["threshold"]
        series.setdefault((each["stage"], each["language"]), []).append(point)
    if not series:
        return None
    figure, axes = _figure(*_SMALL)
    longest = sorted(series.items(), key=lambda it: -len(it[1]))[:_SERIES]
    for at, ((stage, language), points) in enumerate(sorted(longest)):
        times: Any = [when for when, _ in points]
        axes.plot(
            times,
            [value for _, value in points],
            drawstyle="steps-post",
            marker="o",
            markersize=3,
            color=_COLOURS["before" if stage == "score" else "after"],
            linestyle=_DASHES[at % len(_DASHES)],
            label=f"{stage}, {language}",
        )
    locator = dates.AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_ylabel("cosine")
    _legend(axes)
    return _svg(figure, "thresholds")


def flow(numbers: Mapping[str, Any]) -> str | None:
    """The pairs from stage to stage; what is refused falls out below. None: there are none."""
    total = numbers["flow"][0]["came"]
    if not total:
        return None
    figure, axes = _figure(11, 4.1)
    axes.set_axis_off()
    steps = {step["stage"]: step for step in numbers["flow"]}
    scale = 100 / total
    gap = 26.0
    came = {name: step["came"] * scale for name, step in steps.items()}
    clean = numbers["clean"] * scale
    through = min(came["recaption"], came["select"])
    past = max(0.0, came["score"] - _lost(steps["score"]) * scale - came["recaption"])
    x = {"crawled": 0.0, "ingest": 1.5, "score": 3.4, "recaption": 5.2, "select": 7.0, "clean": 8.9}
    _band(axes, x["crawled"], x["ingest"], 0, 0, came["ingest"])
    _band(axes, x["ingest"], x["score"], 0, 0, came["score"])
    _band(axes, x["score"], x["select"], 0, 0, past)
    low = past + gap
    _band(axes, x["score"], x["recaption"], past, low, came["recaption"], "after")
    out = came["recaption"] - _lost(steps["recaption"]) * scale
    _band(axes, x["recaption"], x["select"], low, past, min(out, through), "after")
    _band(axes, x["select"], x["clean"], 0, 0, clean)
    tops = dict.fromkeys(x, 0.0) | {"recaption": low}
    sizes = {**came, "crawled": came["ingest"], "clean": clean}
    counts = {name: step["came"] for name, step in steps.items()}
    counts |= {"crawled": total, "clean": numbers["clean"]}
    above = partial(axes.text, ha="center", va="bottom")
    for name, at in x.items():
        top, size = tops[name], sizes[name]
        axes.fill_betweenx(
            [-top, -top - max(size, 0.6)], at - 0.03, at + 0.03, color=_COLOURS["ink"], linewidth=0
        )
        above(at, 12.5 - top, name, size=12, color=_COLOURS["ink"], weight="bold")
        above(at, 3 - top, f"{counts[name]:,}", size=11, color=_COLOURS["faint"])
    for name in ("ingest", "score", "recaption", "select"):
        lost = _lost(steps[name]) * scale
        if lost:
            kept = came[name] - lost + tops[name]
            bottom = 132.0
            _band(axes, x[name], x[name] + 0.75, kept, bottom - lost, lost, "refused")
            _reasons(axes, x[name] + 0.82, -(bottom - lost / 2), steps[name])
    axes.set_xlim(-0.6, 9.6)
    axes.set_ylim(-156, 26)
    return _svg(figure, "flow")


def _lost(step: Mapping[str, Any]) -> int:
    return int(sum(step["rejected"].values()) + step["dead"])


def _band(
    axes: Axes,
    left: float,
    right: float,
    start: float,
    end: float,
    size: float,
    colour: str = "flow",
) -> None:
    """A band of this height, from `start` below the top on the left to `end` on the right."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if size <= 0:
        return
    middle = (left + right) / 2
    points = [
        (left, -start),
        (middle, -start),
        (middle, -end),
        (right, -end),
        (right, -end - size),
        (middle, -end - size),
        (middle, -start - size),
        (left, -start - size),
        (left, -start),
    ]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(points, codes), color=_COLOURS[colour], alpha=0.45, linewidth=0))


def _reasons(axes: Axes, x: float, y: float, step: Mapping[str, Any]) -> None:
    found = [*step["rejected"].items(), *([("dead", step["dead"])] if step["dead"] else [])]
    found.sort(key=lambda each: -each[1])
    lines = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in found[:_REASONS]]
    if rest := sum(count for _, count in found[_REASONS:]):
        lines.append(f"{rest:,} for {len(found) - _REASONS} other reasons")
    colour = _COLOURS["refused"]
    told = f"{_lost(step):,} refused"
    axes.text(x, y + 4, told, size=11, weight="bold", va="bottom", color=colour)
    for at, line in enumerate(lines):
        axes.text(x, y - 7.5 * at, line, size=9.5, va="top", color=_COLOURS["faint"])


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_COLOURS["line"])
    axes.tick_params(colors=_COLOURS["faint"], length=0, labelsize=9)
    axes.grid(axis="y", color=_COLOURS["line"], linewidth=0.6)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_COLOURS["faint"])
        label.set_fontsize(9)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(
        frameon=False,
        fontsize=9,
        labelcolor=_COLOURS["ink"],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        borderaxespad=0,
    )


def _svg(figure: Figure, name: str) -> str:
    """Without the XML head, ids that another drawing has, fonts and colours of its own."""
    import matplotlib

    file = io.StringIO()
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "kaption",
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(settings):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(font: [^;\"]*?px )[^;\"]*", r"\1system-ui, sans-serif", svg)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for variable, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    width, height = (round(float(each)) for each in figure.get_size_inches() * 72)
    head = f'<svg viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">'
    # Titles and links of groups are of no use: the words beside the drawing say what it shows.
    return head + svg[svg.index(">") + 1 :]
