"""Making a backup: everything of one moment, in a folder that gets its name when it is whole."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from include.backup import lake, ledger
from include.backup.contents import NOTHING, contents_of, differences
from include.backup.manifest import (
    DATA,
    LAKE,
    MANIFEST,
    PARTIAL_PREFIX,
    BackupFailed,
    Contents,
    Manifest,
    backups_locked,
    damage,
    described,
    thin_out,
    view_of,
)
from include.backup.primary import snapshot
from include.domain.model import Model
from include.domain.money import Money
from include.failover import ReplicaUnusable, StateFile, known_batches, open_side, schema_version
from include.files import flush, write_durably
from include.runs.folder import RunFolder
from include.runs.marks import unpublished_batches
from include.settings import BACKED_UP_FOLDERS, Settings
from include.warehouse import GoldStar, GoldUnreadable, PublishReport, WarehouseUnavailable

log = logging.getLogger(__name__)

ARCHIVE = "archive"
"""Folder that only grows: it is copied after the lock is free."""


class BackedUp(Model):
    """What a backup has become.

    Attributes:
        path: Its folder.
        rows: Facts that a restore makes.
        amount: GBP of these facts.
        audit_entries: Entries of the audit trail; None if the primary was left out.
        in_flight: Runs that had no receipt: at work, held or failed.
        bytes: Size of its files; those of a local lake may be shared with the lake.
        locked_seconds: How long publishes had to wait for it.
        deleted: Older backups that were deleted.
    """

    path: Path
    made_at: datetime
    rows: int
    amount: Money
    newest_batch: str | None
    batches: int
    audit_entries: int | None
    tables: int
    in_flight: list[str]
    files: int
    bytes: int
    seconds: float
    locked_seconds: float
    warnings: list[str] = Field(default_factory=list)
    deleted: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class _Moment:
    """What is held of the moment a backup is of.

    Attributes:
        served: Connection to the side that serves; None if neither can be read.
    """

    made_at: datetime
    reports: dict[str, PublishReport]
    tables: list[lake.Pinned]
    primary: Connection | None
    served: Connection | None


def back_up(settings: Settings, *, without_primary: bool = False) -> BackedUp:
    """Make a backup, check it, and delete those beyond what the settings keep.

    Publishes wait while the records are copied and one state of each side and of each Delta table is opened. The rest
    is read from these, beside whatever is published meanwhile.

    Args:
        settings: Where everything is.
        without_primary: Leave out the audit trail of the API, which the primary has, as when it is away.

    Raises:
        BackupFailed: If a part cannot be backed up, or what was written is not what was read; nothing is left of it.
        WarehouseUnavailable: If the primary does not answer, or others hold a lock too long.
    """
    started = time.monotonic()
    with backups_locked(settings) as backups:
        for leftover in backups.glob(f"{PARTIAL_PREFIX}*"):
            shutil.rmtree(leftover)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S-%f}"
        folder = backups / f"{PARTIAL_PREFIX}{name}"
        try:
            folder.mkdir(mode=0o700)
            manifest = _fill(settings, folder, name, without_primary=without_primary)
            manifest.seconds = round(time.monotonic() - started, 2)
            write_durably(folder / MANIFEST, manifest.model_dump_json(indent=1))
            wrong = damage(folder, manifest)
            if wrong:
                raise BackupFailed(f"What was written is not what was read: {'; '.join(wrong)}. No backup was made.")
            folder.rename(backups / name)
            flush(backups)
        except OSError as error:
            raise BackupFailed(f"No backup was made: {error}.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        deleted = thin_out(settings)
    return BackedUp(
        path=backups / name,
        made_at=manifest.made_at,
        rows=manifest.star.rows,
        amount=manifest.star.amount,
        newest_batch=manifest.newest_batch,
        batches=manifest.batches,
        audit_entries=manifest.audit_entries,
        tables=len(manifest.tables),
        in_flight=manifest.in_flight,
        files=len(manifest.files),
        bytes=manifest.bytes,
        seconds=round(time.monotonic() - started, 2),
        locked_seconds=manifest.locked_seconds,
        warnings=manifest.warnings,
        deleted=deleted,
    )


def _fill(settings: Settings, folder: Path, name: str, *, without_primary: bool) -> Manifest:
    warnings: list[str] = []
    audit_entries = None
    with ExitStack() as stack:
        begun = time.monotonic()
        with StateFile(settings).publishing():
            locked = time.monotonic()
            _copy_records(settings, folder)
            # Before the primary is opened: an entry that is delivered in between is in both rather than in neither.
            ledger.save_undelivered(settings, folder)
            moment = _hold(settings, stack, warnings, without_primary=without_primary)
            locked_seconds = time.monotonic() - locked
        log.info("The lock was waited for %.1f s and held %.1f s.", locked - begun, locked_seconds)
        ledger.save_batches(folder, moment.reports.values())
        if moment.primary is not None:
            audit_entries = ledger.save_audit_trail(folder, moment.primary)
        for pinned in moment.tables:
            lake.copy(settings, pinned, folder / LAKE / pinned.name)
        star = _star(settings, folder, moment, warnings)
    _copy_tree(settings.data_dir / ARCHIVE, folder / DATA / ARCHIVE)
    return Manifest(
        name=name,
        made_at=moment.made_at,
        locked_seconds=round(locked_seconds, 2),
        newest_batch=next(reversed(moment.reports), None),
        batches=len(moment.reports),
        audit_entries=audit_entries,
        in_flight=_unfinished_runs(settings, folder),
        star=star,
        hash_version=schema_version(),
        tables={pinned.name: pinned.version for pinned in moment.tables},
        files=described(folder),
        warnings=warnings,
    )


def _copy_records(settings: Settings, folder: Path) -> None:
    """Copy the records of the runs.

    They come before sides and tables, and later layers of tables before earlier ones: so a restored record never names
    rows that are not there. A run at work may have left rows that its records do not name yet, as when it is killed,
    and writes them again.
    """
    for name in BACKED_UP_FOLDERS:
        if name != ARCHIVE:
            _copy_tree(settings.data_dir / name, folder / DATA / name)


def _unfinished_runs(settings: Settings, folder: Path) -> list[str]:
    view = view_of(settings, folder)
    paths = (view.data_dir / "runs").glob("*/manifest.json")
    return sorted(path.parent.name for path in paths if not RunFolder(view, path.parent.name).receipt.exists())


def _hold(settings: Settings, stack: ExitStack, warnings: list[str], *, without_primary: bool) -> _Moment:
    """Open one state of the sides and of the Delta tables."""
    made_at = datetime.now(UTC)
    connection = copied = None
    if settings.database_type != "sqlite":
        if without_primary:
            warnings.append("The primary was left out, and with it the audit trail of the API.")
        else:
            connection = stack.enter_context(_primary(settings))
    try:
        copied = stack.enter_context(open_side(settings, "replica"))
    except ReplicaUnusable as error:
        log.info("%s", error)
    return _Moment(
        made_at,
        known_batches(settings, connection),
        lake.pin(settings),
        connection,
        connection if connection is not None and StateFile(settings).read().state == "primary" else copied,
    )


@contextmanager
def _primary(settings: Settings) -> Iterator[Connection]:
    try:
        with snapshot(settings) as connection:
            yield connection
    except WarehouseUnavailable as error:
        raise WarehouseUnavailable(
            f"{error} No backup was made. `python -m include.operate backup --without-primary` backs up all but the "
            "audit trail of the API."
        ) from error


def _star(settings: Settings, folder: Path, moment: _Moment, warnings: list[str]) -> Contents:
    """Return what a restore will make of the copy of Gold, held against what the serving side has.

    Raises:
        BackupFailed: If Gold cannot be read.
    """
    if not any(pinned.name.startswith("gold/") for pinned in moment.tables):
        return NOTHING
    view = view_of(settings, folder)
    try:
        with GoldStar(view) as gold:
            left_out = gold.pick_published(moment.reports)
            star = contents_of(gold, view, left_out)
    except GoldUnreadable as error:
        raise BackupFailed(f"{error}. No backup was made: a restore makes the warehouse from Gold.") from error
    if moment.served is None:
        warnings.append("Neither side could be read, so Gold was not held against what was served.")
        return star
    try:
        served = contents_of(moment.served, settings)
    except (DatabaseError, sqlite3.DatabaseError) as error:
        if moment.served is moment.primary:
            raise
        warnings.append(f"The replica cannot be read, so Gold was not held against what was served: {error}")
        return star
    if left_out or unpublished_batches(view):
        # Members of these batches may be in Gold as they will be once they are published.
        served = served.model_copy(update={"members": star.members})
    if wrong := differences(star, served):
        warnings.append(
            f"A restore makes what Gold has, and the warehouse differs from it: {'; '.join(wrong)}. Of a run between "
            "Gold and publish that is to be expected; otherwise see `python -m include.operate compare`."
        )
    return star


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a folder whose files may be replaced or deleted meanwhile, with their times."""
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, place)
        except FileNotFoundError:
            continue  # a file under its temporary name, or of a run that has finished
