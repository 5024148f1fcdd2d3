"""The report on a batch that people read: one HTML file with everything in it, `data/quality/<run id>.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.files import write_atomically
from include.quality.findings import QualityRecord, Status
from include.quality.history import Verdict
from include.quality.holding import release_command
from include.quality.rules import DIMENSIONS, RULES, WEIGHTS
from include.runs.folder import RunFolder

TEMPLATE = "report.html.j2"
STATUS_COLOURS: dict[Status, str] = {
    "passed": "#2f7d5b",
    "released": "#b7791f",
    "held": "#c0392b",
    "nothing_to_score": "#9aa5b1",
}


def write_report(run: RunFolder, record: QualityRecord, history: Sequence[Verdict]) -> str:
    """Write the HTML report of a run; return its path below the data folder.

    Args:
        run: The run.
        record: What the audit found.
        history: The batches scored last, oldest first.
    """
    data_dir = run.settings.data_dir
    path = data_dir / "quality" / f"{run.run_id}.html"
    write_atomically(path, render(record, history))
    return str(path.relative_to(data_dir))


def render(record: QualityRecord, history: Sequence[Verdict]) -> str:
    """Return the HTML report."""
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
        release_command=release_command(record.run_id),
        colours=STATUS_COLOURS,
    )


def percent(score: float | None) -> str:
    """Return a score in percent with one decimal; only a perfect one is 100 %, none is a dash."""
    if score is None:
        return "\N{EN DASH}"
    return "100 %" if score == 1 else f"{min(score * 100, 99.9):.1f} %"
