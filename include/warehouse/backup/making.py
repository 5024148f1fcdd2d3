"""Making a backup: everything of one moment, in a folder that gets its name when it is whole."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
from pydantic import Field

from include.domain.model import Model
from include.failover import FailoverState, ReplicaUnusable, StateFile, replica, replica_link
from include.files import flush, write_durably
from include.runs.folder import RunFolder
from include.settings import BACKED_UP_FOLDERS, Settings
from include.warehouse import GoldStar, GoldUnreadable, WarehouseUnavailable
from include.warehouse.backup import lake
from include.warehouse.backup.contents import contents_of, differences
from include.warehouse.backup.manifest import (
    DATA,
    LAKE,
    MANIFEST,
    PARTIAL_PREFIX,
    PRIMARY,
    REPLICA,
    BackupFailed,
    Contents,
    Manifest,
    backups_locked,
    damage,
    described,
    thin_out,
)
from include.warehouse.backup.primary import Snapshot, snapshot
from include.warehouse.backup.programs import require_readable

log = logging.getLogger(__name__)

ARCHIVE = "archive"
"""Folder that only grows: it is copied after the lock is free."""


class BackedUp(Model):
    """What a backup has become.

    Attributes:
        path: Its folder.
        rows: Facts of the side that served.
        amount: GBP of these facts.
        parts: Part -> facts in it.
        in_flight: Runs that had no receipt: at work, held or failed.
        bytes: Size of its files; those of the lake may be shared with the lake.
        locked_seconds: How long publishes had to wait for it.
        deleted: Older backups that were deleted.
    """

    path: Path
    made_at: datetime
    rows: int
    amount: Decimal
    newest_batch: str | None
    parts: dict[str, int]
    tables: int
    in_flight: list[str]
    files: int
    bytes: int
    seconds: float
    locked_seconds: float
    warnings: list[str] = Field(default_factory=list)
    deleted: list[str] = Field(default_factory=list)


@dataclass
class _Moment:
    """What is held of the moment a backup is of."""

    made_at: datetime
    record: FailoverState
    tables: list[lake.Pinned]
    gold: GoldStar | None


def view_of(settings: Settings, folder: Path) -> Settings:
    """Return settings under which the parts of a backup are read as if they were in use."""
    return settings.model_copy(
        update={
            "data_dir": folder / DATA,
            "lake_uri": str(folder / LAKE),
            "replica_dir": folder / REPLICA,
            "backup_dir": settings.backups,
        }
    )


def back_up(settings: Settings, *, without_primary: bool = False) -> BackedUp:
    """Make a backup, check it, and delete those beyond what the settings keep.

    Publishes wait while the records and the replica are copied and a snapshot of the primary is opened; the rest is
    read from that snapshot and from versions of the Delta tables, beside them.

    Args:
        settings: Where everything is.
        without_primary: Leave the primary out, as when it is away; a restore then fills it from Gold.

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
    parts = {"primary": manifest.primary, "replica": manifest.replica, "gold": manifest.gold}
    return BackedUp(
        path=backups / name,
        made_at=manifest.made_at,
        rows=manifest.rows,
        amount=manifest.amount,
        newest_batch=manifest.newest_batch,
        parts={part: contents.rows for part, contents in parts.items() if contents},
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
    has_primary = settings.database_type != "sqlite" and not without_primary
    with ExitStack() as stack:
        begun = time.monotonic()
        with StateFile(settings).publishing():
            locked = time.monotonic()
            _copy_records(settings, folder)
            primary = stack.enter_context(_primary(settings)) if has_primary else None
            moment = _hold(settings, folder, stack)
            locked_seconds = time.monotonic() - locked
        log.info("The lock was waited for %.1f s and held %.1f s.", locked - begun, locked_seconds)
        manifest = Manifest(
            name=name,
            made_at=moment.made_at,
            locked_seconds=round(locked_seconds, 2),
            state=moment.record.state,
            in_flight=_unfinished_runs(view_of(settings, folder)),
            hash_version=replica.schema_version(),
            lake="files" if settings.local_lake else "versions",
            tables={pinned.name: pinned.version for pinned in moment.tables},
        )
        if primary is not None:
            manifest.dump_version = primary.dump(settings, folder / PRIMARY)
            manifest.primary = primary.contents(settings)
            require_readable(folder / PRIMARY, manifest.dump_version)
        if settings.local_lake is not None:
            for pinned in moment.tables:
                lake.copy(pinned, settings.local_lake / pinned.name, folder / LAKE / pinned.name)
        manifest.gold = _gold(settings, folder, moment, manifest)
    _copy_tree(settings.data_dir / ARCHIVE, folder / DATA / ARCHIVE)
    manifest.replica = _replica(view_of(settings, folder), manifest)
    _settle_figures(settings, manifest)
    manifest.files = described(folder)
    return manifest


@contextmanager
def _primary(settings: Settings) -> Iterator[Snapshot]:
    try:
        with snapshot(settings) as found:
            yield found
    except WarehouseUnavailable as error:
        raise WarehouseUnavailable(
            f"{error} No backup was made. `python -m include.operate backup --without-primary` backs up the rest, "
            "from which a restore can fill the primary again."
        ) from error


def _copy_records(settings: Settings, folder: Path) -> None:
    """Copy the records of the runs.

    They come before sides and tables, and later layers of tables before earlier ones: so a restored record never tells
    of rows that are not there. A run at work may have left rows that its records do not tell of yet, as when it is
    killed, and writes them again.
    """
    for name in BACKED_UP_FOLDERS:
        if name != ARCHIVE:
            _copy_tree(settings.data_dir / name, folder / DATA / name)


def _unfinished_runs(view: Settings) -> list[str]:
    paths = (view.data_dir / "runs").glob("*/manifest.json")
    return sorted(path.parent.name for path in paths if not RunFolder(view, path.parent.name).receipt.exists())


def _hold(settings: Settings, folder: Path, stack: ExitStack) -> _Moment:
    """Copy the replica and the record of who serves, and pin what has versions."""
    record = StateFile(settings)
    made_at = datetime.now(UTC)
    (folder / REPLICA).mkdir()
    _copy_replica(settings, folder / REPLICA)
    state = record.read()
    write_durably(folder / REPLICA / record.path.name, state.model_dump_json(indent=2))
    tables = lake.pin(settings)
    gold = None
    if settings.local_lake is None:  # a local lake is read from its copy
        try:
            gold = stack.enter_context(GoldStar(settings))
        except GoldUnreadable as error:
            log.info("%s", error)
    return _Moment(made_at, state, tables, gold)


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


def _copy_replica(settings: Settings, target: Path) -> None:
    source = replica_link(settings)
    if not source.exists():
        return
    copied = target / source.name
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=replica.BUSY_SECONDS)) as raw,
            closing(sqlite3.connect(copied)) as copy,
        ):
            raw.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        log.warning("The replica is left out of the backup: %s", error)
        copied.unlink(missing_ok=True)


def _replica(view: Settings, manifest: Manifest) -> Contents | None:
    """Return what the copy of the replica has; delete a copy that cannot be used."""
    path = replica_link(view)
    if not path.exists():
        manifest.warnings.append("There was no usable replica; a restore makes it anew from Gold.")
        return None
    try:
        wrong = replica.damage(view)
        if not wrong:
            with replica.reading(view) as connection:
                return contents_of(connection, view, replica.schema_version())
        reason = "; ".join(wrong)
    except ReplicaUnusable as error:
        reason = str(error).replace(str(path), "")
    path.unlink()
    manifest.warnings.append(f"The replica was left out; a restore makes it anew from Gold: {reason}")
    return None


def _gold(settings: Settings, folder: Path, moment: _Moment, manifest: Manifest) -> Contents | None:
    if not any(name.startswith("gold/") for name in manifest.tables):
        return None
    try:
        if moment.gold is not None:
            return contents_of(moment.gold, settings)
        with GoldStar(view_of(settings, folder)) as gold:
            return contents_of(gold, settings)
    except (GoldUnreadable, duckdb.Error) as error:
        manifest.warnings.append(f"Gold cannot be read, so it is backed up as it is: {error}")
        return None


def _settle_figures(settings: Settings, manifest: Manifest) -> None:
    """Say what the serving side had, and what the sides have otherwise than each other."""
    serving = manifest.primary if manifest.state == "primary" else manifest.replica
    serving = serving or manifest.replica or manifest.primary
    if serving is not None:
        manifest.rows, manifest.amount, manifest.newest_batch = serving.rows, serving.amount, serving.newest_batch
    if manifest.primary and manifest.replica and manifest.state == "primary":
        # The replica has members as Gold merged them, which may be ahead by a batch that is about to be published.
        wrong = differences(manifest.primary.model_copy(update={"members": {}}), manifest.replica)
        if wrong:
            manifest.warnings.append(f"Primary and replica differ: {json.dumps(wrong)}. See `compare`.")
    if manifest.primary is None and settings.database_type != "sqlite":
        manifest.warnings.append("The primary was left out; a restore fills it from Gold.")
