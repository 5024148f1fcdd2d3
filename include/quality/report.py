"""The report on a batch that people read: one HTML file with everything in it, `data/quality/<run id>.html`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.files import write_atomically
from include.quality.gate import release_command
from include.quality.history import Verdict
from include.quality.record import QualityRecord
from include.quality.rules import DIMENSIONS, RULES, WEIGHTS
from include.runs.folder import RunFolder

TEMPLATE = "report.html.j2"


def write_report(run: RunFolder, record: QualityRecord, history: Sequence[Verdict]) -> str:
    """Write the HTML report of a run; return its path below the data folder.

    Args:
        run: The run.
        record: What the audit found.
        history: The batches scored last, oldest first.
    """
    data_dir = run.settings.data_dir
    # Matplotlib keeps a list of fonts; the home folder, its own choice, need not be writable.
    os.environ.setdefault("MPLCONFIGDIR", str(data_dir / "services" / "matplotlib"))
    path = data_dir / "quality" / f"{run.run_id}.html"
    write_atomically(path, render(record, history))
    return str(path.relative_to(data_dir))


def render(record: QualityRecord, history: Sequence[Verdict]) -> str:
    """Return the HTML report."""
    # Matplotlib takes a second to import.
    from include.quality.plots import STATUS_COLOURS, dimension_plot, history_plot

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(TEMPLATE).render(
        record=record,
        dimensions=DIMENSIONS,
        weights=WEIGHTS,
        formulas={rule.name: rule.formula for rule in RULES},
        history=history,
        history_plot=history_plot(history) if history else "",
        dimension_plot=dimension_plot(record.dimensions, record.bar),
        release_command=release_command(record.run_id),
        colours=STATUS_COLOURS,
    )


def percent(score: float | None) -> str:
    """Return a score in percent with one decimal; only a perfect one is 100 %, none is a dash."""
    if score is None:
        return "\N{EN DASH}"
    return "100 %" if score == 1 else f"{min(score * 100, 99.9):.1f} %"
