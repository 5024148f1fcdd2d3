"""What the sides hold that Gold cannot give again: which batches were published, and the audit trail of the API."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, select

from include.backup.manifest import AUDIT, BATCHES, UNDELIVERED
from include.settings import Settings
from include.warehouse import AuditEntry, PublishReport, star_table

_LOT = 500


def save_batches(folder: Path, reports: Iterable[PublishReport]) -> None:
    """Write what is known of the published batches into a backup, one a line."""
    (folder / BATCHES).write_text("".join(f"{report.model_dump_json()}\n" for report in reports), encoding="utf-8")


def batches(folder: Path) -> dict[str, PublishReport]:
    """Return the published batches of a backup, by batch, in the order they were published."""
    with (folder / BATCHES).open(encoding="utf-8") as lines:
        reports = [PublishReport.model_validate_json(line) for line in lines]
    return {report.batch_id: report for report in reports}


def save_audit_trail(folder: Path, primary: Connection) -> int:
    """Write the audit trail of the primary into a backup, one entry a line; return how many there are."""
    trail = star_table("etl_audit")
    query = select(trail).order_by(trail.c.occurred_at, trail.c.audit_id)
    rows = primary.execute(query, execution_options={"yield_per": _LOT}).mappings()
    written = 0
    with (folder / AUDIT).open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(f"{AuditEntry.model_validate(dict(row)).model_dump_json()}\n")
            written += 1
    return written


def audit_trail(folder: Path) -> Iterator[list[AuditEntry]]:
    """Yield the entries of the audit trail in a backup, in lots; none if it was made without the primary."""
    if not (folder / AUDIT).exists():
        return
    with (folder / AUDIT).open(encoding="utf-8") as lines:
        while lot := list(islice(lines, _LOT)):
            yield [AuditEntry.model_validate_json(line) for line in lot]


def save_undelivered(settings: Settings, folder: Path) -> None:
    """Copy the entries of the audit trail that wait on this host for the primary into a backup."""
    source = settings.api / UNDELIVERED
    if source.exists():
        with closing(sqlite3.connect(source)) as waiting, closing(sqlite3.connect(folder / UNDELIVERED)) as copied:
            waiting.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")


def put_back_undelivered(settings: Settings, folder: Path) -> None:
    """Let the entries that waited wait again; the API brings them, to the same effect if they were brought before."""
    source, target = folder / UNDELIVERED, settings.api / UNDELIVERED
    if not source.exists():
        return
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        return
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS saved", (str(source),))
        # A change that was not done then has its outcome by now.
        connection.execute("INSERT OR IGNORE INTO entry SELECT * FROM saved.entry WHERE state = 'closed'")
