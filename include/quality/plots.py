"""Plots of the report, as SVG elements that refer to nothing outside the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from include.quality.history import Verdict
from include.quality.record import Score, Status

INK, RULE, GOOD, FAIR, BAD, NEUTRAL = "#1f2933", "#d9dee5", "#2f7d5b", "#b7791f", "#c0392b", "#9aa5b1"
STATUS_COLOURS: dict[Status, str] = {"passed": GOOD, "released": FAIR, "held": BAD, "nothing_to_score": NEUTRAL}

_LABELS = 12


def dimension_plot(dimensions: Sequence[Score], bar: float) -> Markup:
    """Return the scores of the dimensions as bars, red where they are below the bar of the overall score."""
    figure = Figure(figsize=(6.4, 2.1), layout="constrained")
    axes = figure.add_subplot()
    names = [item.name for item in dimensions]
    scores = [100 * (item.score or 0) for item in dimensions]
    places = range(len(names))
    axes.barh(places, [100] * len(names), color=RULE, height=0.45)
    colours = [GOOD if score >= 100 * bar else BAD for score in scores]
    axes.barh(places, scores, color=colours, height=0.45)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("score, %")
    _plain(axes)
    return _svg(figure)


def history_plot(history: Sequence[Verdict]) -> Markup:
    """Return the overall scores of batches, oldest first, with the bar each had to reach."""
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.add_subplot()
    scored = [(number, item.overall, item.status) for number, item in enumerate(history) if item.overall is not None]
    numbers, scores = [number for number, _, _ in scored], [100 * overall for _, overall, _ in scored]
    axes.plot(numbers, scores, color=NEUTRAL, linewidth=1, zorder=1)
    axes.scatter(numbers, scores, c=[STATUS_COLOURS[status] for _, _, status in scored], s=30, zorder=3)
    bars = [100 * item.bar for item in history]
    axes.plot(
        range(-1, len(bars) + 1), [*bars[:1], *bars, *bars[-1:]], color=BAD, linewidth=1, linestyle="--", zorder=2
    )
    every = -(-len(history) // _LABELS)
    labelled = [number for number in range(len(history)) if (len(history) - 1 - number) % every == 0]
    axes.set_xticks(labelled, [f"{history[number].scored_at:%d %b\n%H:%M}" for number in labelled])
    axes.set_xlim(-0.5, max(len(history), 10) - 0.5)
    axes.set_ylim(0, 105)
    axes.set_ylabel("overall score, %")
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    _plain(axes)
    return _svg(figure)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)


def _svg(figure: Figure) -> Markup:
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fonts = ["DejaVu Sans"]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "quality", "font.sans-serif": fonts}):
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Within HTML an SVG element needs no namespaces, which look like addresses of other sites.
    return Markup(re.sub(r' xmlns(:xlink)?="[^"]*"', "", body))
