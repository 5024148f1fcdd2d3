"""A batch that scores below the bar is held: it is not published until a person releases it and says why."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

from include.files import write_atomically
from include.quality.findings import QualityRecord, Release, Status
from include.quality.reconciliation import AuditFailed
from include.runs.folder import RunFolder, RunRecordMissing
from include.settings import Settings

STAGE = "audit"
"""Name of the stage whose record is a `QualityRecord`."""

_SHOWN_COSTS = 5
_SMALLEST_COST = 0.00005


class QualityBelowBar(AuditFailed):
    """The batch scores below the bar; nothing of it is published until a person releases it."""


class NotReleased(Exception):
    """There is nothing to release, or no reason was given."""


def release_of(run: RunFolder) -> Release | None:
    """Return the release of a run, None if there is none."""
    try:
        return Release.model_validate_json((run.path / "release.json").read_bytes())
    except FileNotFoundError:
        return None


def decide(overall: float | None, bar: float, release: Release | None) -> Status:
    """Return what becomes of a batch.

    A release holds for the score it was given at or a better one: a batch that has become worse since is held again.

    Args:
        overall: Overall score; None if the batch brought no row, so that there is nothing to publish.
        bar: Score below which a batch is held.
        release: The decision of a person to publish the batch, if there is one.
    """
    if overall is None:
        return "nothing_to_score"
    if overall >= bar:
        return "passed"
    return "released" if release is not None and overall >= release.score else "held"


def release_command(run_id: str) -> str:
    """Return the command that releases a run."""
    return f'python -m include.quality release {shlex.quote(run_id)} --reason "why it may be published"'


def keep_marker(run: RunFolder, record: QualityRecord) -> None:
    """Make or remove the marker of a batch in `runs/.held/`, which is there while the batch is held."""
    marker = _held_folder(run.settings) / record.batch_id
    if record.status == "held":
        write_atomically(marker, run.run_id)
    else:
        marker.unlink(missing_ok=True)


def held_batches(settings: Settings) -> dict[str, str]:
    """Return the batches that are held, oldest first, with their runs: batch id -> run id."""
    folder = _held_folder(settings)
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    return {path.name: path.read_text(encoding="utf-8") for path in found}


def _held_folder(settings: Settings) -> Path:
    return settings.data_dir / "runs" / ".held"


def costs(record: QualityRecord) -> list[str]:
    """Return what the rules took off the score, to four decimals, most first, in words."""
    found = [(rule.cost, rule) for rule in record.rules if rule.cost is not None and rule.cost >= _SMALLEST_COST]
    found.sort(key=lambda item: -item[0])
    return [f"{rule.name} {cost:.4f} ({rule.failing:,} of {rule.rows:,})" for cost, rule in found]


def stop_if_held(record: QualityRecord) -> None:
    """Stop the run if its batch is held.

    Raises:
        QualityBelowBar: With score and bar, what cost how much, and the command that releases the batch.
    """
    if record.status == "held":
        raise QualityBelowBar(why_held(record))


def why_held(record: QualityRecord) -> str:
    """Return what to know about a held batch: score and bar, what cost how much, the report, how to release it."""
    return (
        f"Batch {record.batch_id} scores {record.overall:.4f}, below the bar of {record.bar:.4f}: nothing of it is "
        f"published. It lost by {', '.join(costs(record)[:_SHOWN_COSTS])}. The report is data/{record.report}. "
        f"To publish it anyway, run\n    {release_command(record.run_id)}\n"
        f"in the project folder and clear the task audit of run {record.run_id}."
    )


def release(run: RunFolder, reason: str, by: str) -> Release:
    """Record that a person lets a held batch be published; the next try of the audit passes.

    Args:
        run: The held run.
        reason: Why it may be published.
        by: Who decides.

    Raises:
        NotReleased: If the reason or the name is empty, or the run is not held.
    """
    if not reason.strip():
        raise NotReleased('A release needs a reason: say with --reason "..." why the batch may be published.')
    if not by.strip():
        raise NotReleased("A release needs a name: say with --by who decides.")
    try:
        record = run.stage(STAGE, QualityRecord)
    except RunRecordMissing:
        raise NotReleased(f"Run {run.run_id} has not been audited, so there is nothing to release.") from None
    known = release_of(run)
    if record.status != "held" or record.overall is None:
        score = "brought no rows" if record.overall is None else f"scores {record.overall:.4f}"
        verdict = "was released before" if record.status == "released" else "is not held"
        raise NotReleased(
            f"Run {run.run_id} {verdict}: it {score}, with a bar of {record.bar:.4f}. There is nothing to release."
        )
    if known is not None and record.overall >= known.score:
        raise NotReleased(
            f"Run {run.run_id} was released by {known.by} at {known.at:%Y-%m-%d %H:%M} UTC: clear its task audit."
        )
    decision = Release(by=by.strip(), at=datetime.now(UTC), reason=reason.strip(), score=record.overall)
    write_atomically(run.path / "release.json", decision.model_dump_json(indent=2))
    return decision
