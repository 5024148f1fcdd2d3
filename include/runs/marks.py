"""Marks that runs leave for later runs, below `runs/`.

`.days` holds the batches of each invoice day in Bronze, `.unpublished` the batches in Silver that are not live, `.seen`
the run that loaded a file, by content hash.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from include.files import write_atomically
from include.settings import Settings


def mark_days(settings: Settings, batch_id: str, days: list[date]) -> None:
    """Record that Bronze rows of `batch_id` belong to these invoice days."""
    for day in days:
        _mark(_day_folder(settings, day), batch_id)


def batches_of_day(settings: Settings, day: date) -> list[str]:
    """Return the batches with Bronze rows of an invoice day, oldest first."""
    return _marked(_day_folder(settings, day))


def mark_unpublished(settings: Settings, batch_id: str) -> None:
    """Record that Silver may hold lines of a batch that are not live."""
    _mark(_unpublished(settings), batch_id)


def mark_published(settings: Settings, batch_id: str) -> None:
    """Record that the lines of a batch are live."""
    (_unpublished(settings) / batch_id).unlink(missing_ok=True)


def unpublished_batches(settings: Settings) -> list[str]:
    """Return the batches whose lines are in Silver and not live: those of running, held and failed runs."""
    return _marked(_unpublished(settings))


def mark_seen(settings: Settings, sha256: str, run_id: str) -> None:
    """Record that `run_id` has loaded these bytes; the first run to do so stays the owner."""
    path = _seen(settings, sha256)
    if not path.exists():
        write_atomically(path, json.dumps({"run_id": run_id}))


def first_run_of(settings: Settings, sha256: str) -> str | None:
    """Return the run that loaded these bytes, None if none has."""
    try:
        content = json.loads(_seen(settings, sha256).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(content["run_id"])


def _day_folder(settings: Settings, day: date) -> Path:
    return settings.data_dir / "runs" / ".days" / day.isoformat()


def _unpublished(settings: Settings) -> Path:
    return settings.data_dir / "runs" / ".unpublished"


def _seen(settings: Settings, sha256: str) -> Path:
    return settings.data_dir / "runs" / ".seen" / sha256[:2] / f"{sha256}.json"


def _mark(folder: Path, batch_id: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / batch_id).touch()


def _marked(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
