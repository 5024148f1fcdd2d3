"""Restoring a backup: checked first, made ready beside what is in use, put in place at the end.

The primary is loaded in a transaction. Before it is committed, a note beside the record (`restore.json`) says what has
to be moved once it is. A restore that dies before the commit leaves the old state; one that dies after it is finished
by `resume`, which asks the primary what became of the transaction. Until then nobody publishes.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import Field, ValidationError
from sqlalchemy import Connection

from include.domain.model import Model
from include.failover import (
    REPLICA_ERRORS,
    Breaker,
    CaughtUp,
    FailoverState,
    ReplicaUnusable,
    StateFile,
    catch_up,
    refresh_replica,
    replica,
    replica_link,
)
from include.files import flush, write_durably
from include.settings import BACKED_UP_FOLDERS, Settings
from include.warehouse import GoldStar, WarehouseUnavailable
from include.warehouse.backup import lake, primary
from include.warehouse.backup.contents import contents_of, differences
from include.warehouse.backup.making import ARCHIVE
from include.warehouse.backup.manifest import (
    DATA,
    LAKE,
    PRIMARY,
    REPLICA,
    BackupFailed,
    Contents,
    Manifest,
    backups_locked,
    damage,
    folders,
    read_manifest,
    require_whole,
)

log = logging.getLogger(__name__)

_HOLDING = ".restore"
"""Folder beside what is replaced: `incoming` takes its place, `replaced` is deleted."""


class Part(Model):
    """What became of a part.

    Attributes:
        rows: Facts in it now.
        amount: GBP of these facts.
        days: Invoice days whose rows were compared with the manifest.
        differences: What is otherwise than the manifest says; none if all row hashes are the same.
    """

    rows: int
    amount: Decimal
    days: int
    differences: list[str] = Field(default_factory=list)


class Restored(Model):
    """What a restore did.

    Attributes:
        backup: Its name.
        made_at: The moment everything is of.
        parts: Primary, replica and Gold.
        caught_up: What the primary was brought afterwards from Gold.
        in_flight: Runs that were at work, held or failed at that moment: clear or run them again.
        drop_again: Folders of the archive whose runs are later than the backup: drop their files again.
        seconds: All of it.
        replaced_seconds: How long it took to put the parts in place, from the commit of the primary on.
    """

    backup: str
    made_at: datetime
    parts: dict[str, Part] = Field(default_factory=dict)
    caught_up: CaughtUp | None = None
    in_flight: list[str] = Field(default_factory=list)
    drop_again: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    seconds: float = 0.0
    replaced_seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything is what the backup has, or Gold."""
        return not any(part.differences for part in self.parts.values()) and not (
            self.caught_up and self.caught_up.differences
        )


class Resumed(Model):
    """What became of a restore that was cut off.

    Attributes:
        backup: What was being restored; None if nothing had been.
        outcome: `restored`, or `left`: the old state stays.
    """

    backup: str | None = None
    outcome: str


class _Move(Model):
    """A file or folder that takes the place of another, which is kept aside until the end."""

    incoming: Path
    target: Path
    replaced: Path


class _Note(Model):
    """What a restore has made ready.

    Attributes:
        transaction: Of the primary; None if there is no primary.
        moves: In order.
        holdings: Folders to delete at the end.
        replica: File that becomes the replica; None to have none.
        versions: Versions to take Delta tables in an object store back to.
    """

    backup: str
    transaction: str | None = None
    moves: list[_Move] = Field(default_factory=list)
    holdings: list[Path] = Field(default_factory=list)
    replica: Path | None = None
    versions: dict[str, int] = Field(default_factory=dict)


def restore(
    settings: Settings, name: str | None = None, *, replace: bool = False, only_primary: bool = False
) -> Restored:
    """Make warehouse, replica, lake and records what a backup has.

    Args:
        settings: Where everything is.
        name: The backup; the newest whole one if not given.
        replace: Replace what has data.
        only_primary: Restore PostgreSQL alone, then bring it what Gold has beyond the backup.

    Raises:
        BackupFailed: If the backup is damaged or does not fit, or there is data and `replace` is not given; the old
            state stays.
        WarehouseUnavailable: If the primary does not answer; the old state stays unless the message says otherwise.
    """
    started = time.monotonic()
    with backups_locked(settings):
        folder, manifest = _chosen(settings, name)
        done = Restored(backup=manifest.name, made_at=manifest.made_at, in_flight=manifest.in_flight)
        try:
            with StateFile(settings).publishing():
                if not replace:
                    _require_empty(settings, only_primary)
                if only_primary:
                    _restore_primary(settings, folder, manifest, done)
                else:
                    _restore_all(settings, folder, manifest, done)
        except OSError as error:
            cut = StateFile(settings).restore.exists()
            after = "Run `python -m include.operate restore --resume`." if cut else "The old state stays."
            raise BackupFailed(f"Backup {manifest.name} was not restored: {error}. {after}") from error
        _complete(settings, manifest, done, only_primary)
    done.seconds = round(time.monotonic() - started, 2)
    return done


def resume(settings: Settings) -> Resumed:
    """Finish a restore that was cut off, or clear away what it left if the primary never took it.

    Raises:
        WarehouseUnavailable: If the primary does not answer, so that it cannot be told.
    """
    record = StateFile(settings)
    with backups_locked(settings), record.publishing(restoring=True):
        if not record.restore.exists():
            return Resumed(outcome="left")
        try:
            note = _Note.model_validate_json(record.restore.read_bytes())
        except ValidationError as error:
            raise BackupFailed(
                f"{record.restore} is damaged. Delete it and restore a backup again with --replace."
            ) from error
        if note.transaction is not None and primary.fate(settings, note.transaction) == "aborted":
            record.restore.unlink()
            _clear(note)
            return Resumed(backup=note.backup, outcome="left")
        _put_in_place(settings, note)
        return Resumed(backup=note.backup, outcome="restored")


def _chosen(settings: Settings, name: str | None) -> tuple[Path, Manifest]:
    if name is not None:
        if Path(name).name != name or not (settings.backups / name).is_dir() or name.startswith("."):
            known = ", ".join(folder.name for folder in folders(settings)) or "none"
            raise BackupFailed(f"There is no backup {name!r} in {settings.backups}. There are: {known}.")
        folder = settings.backups / name
        return folder, require_whole(folder)
    for folder in folders(settings):
        try:
            manifest = read_manifest(folder)
        except BackupFailed as error:
            log.warning("%s", error)
            continue
        wrong = damage(folder, manifest)
        if not wrong:
            return folder, manifest
        log.warning("Backup %s is passed over: %s", folder.name, "; ".join(wrong[:3]))
    raise BackupFailed(f"There is no whole backup in {settings.backups}. Make one: `python -m include.operate backup`.")


def _require_empty(settings: Settings, only_primary: bool) -> None:
    found = []
    if settings.database_type != "sqlite" and primary.holds_data(settings):
        found.append("the primary")
    if not only_primary:
        found += ["the replica"] if replica_link(settings).exists() else []
        found += ["the lake"] if any(pinned.name.startswith("gold/") for pinned in lake.pin(settings)) else []
        found += ["the records of the runs"] if any((settings.data_dir / "runs").glob("[!.]*/manifest.json")) else []
    if found:
        raise BackupFailed(
            f"There is data in {', '.join(found)}, and a restore replaces it for good: say --replace to do so. "
            "`python -m include.operate backup` keeps it first. Nothing was changed."
        )


def _restore_primary(settings: Settings, folder: Path, manifest: Manifest, done: Restored) -> None:
    if settings.database_type == "sqlite" or manifest.primary is None:
        raise BackupFailed(f"Backup {manifest.name} and these settings have no primary in common. Nothing was changed.")
    record = StateFile(settings)
    # From the commit on whoever is ahead has to serve.
    with primary.loading(settings, manifest, folder / PRIMARY) as loaded, record.change() as noted:
        _note_primary(done, loaded)
        noted.change_state("failed_over", f"The primary was restored from backup {manifest.name} and may lack batches.")


def _note_primary(done: Restored, loaded: primary.Loaded) -> None:
    """Tell what was compared with the manifest before the commit."""
    if loaded.contents is not None:
        done.parts["primary"] = _part(loaded.contents, [])


def _restore_all(settings: Settings, folder: Path, manifest: Manifest, done: Restored) -> None:
    record = StateFile(settings)
    note = _Note(backup=manifest.name)
    try:
        _make_ready(settings, folder, manifest, note)
        with _loaded(settings, folder, manifest) as loaded:
            if loaded is not None:
                note.transaction = loaded.transaction
                _note_primary(done, loaded)
            write_durably(record.restore, note.model_dump_json(indent=2))
            begun = time.monotonic()
    except BaseException as error:
        if not record.restore.exists():
            _clear(note)
            raise
        if isinstance(error, Exception):
            raise WarehouseUnavailable(
                f"The primary did not say whether it took backup {manifest.name}: {error} Run "
                "`python -m include.operate restore --resume` when it answers; nothing is published until then."
            ) from error
        raise
    _put_in_place(settings, note)
    done.replaced_seconds = round(time.monotonic() - begun, 2)


@contextmanager
def _loaded(settings: Settings, folder: Path, manifest: Manifest) -> Iterator[primary.Loaded | None]:
    if settings.database_type == "sqlite":
        yield None
        return
    with primary.loading(settings, manifest, folder / PRIMARY if manifest.primary else None) as loaded:
        yield loaded


def _make_ready(settings: Settings, folder: Path, manifest: Manifest, note: _Note) -> None:
    """Lay out beside what is in use what will take its place."""
    data = settings.data_dir
    _incoming(note, data, [name for name in BACKED_UP_FOLDERS if name != ARCHIVE], folder / DATA)
    if manifest.lake == "files":
        root = settings.local_lake
        if root is None:
            raise BackupFailed(
                f"Backup {manifest.name} holds the files of a local lake, and RETAIL_LAKE_URI names an object store: "
                "leave it out or name a folder. Nothing was changed."
            )
        there = {path.name for path in root.glob("[!.]*") if path.is_dir()} if root.is_dir() else set()
        layers = sorted({name.partition("/")[0] for name in manifest.tables} | (there & {*lake.LAYERS}))
        _incoming(note, root, layers, folder / LAKE)
    else:
        lake.require_versions(settings, manifest.tables)
        note.versions = dict(manifest.tables)
    settings.replica.mkdir(parents=True, exist_ok=True)
    if manifest.replica:
        note.replica = replica.fresh_path(settings, datetime.now(UTC))
        _copied(folder / REPLICA / replica_link(settings).name, note.replica)
        with closing(sqlite3.connect(note.replica)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")  # a backup has no files beside it; in use, readers go on in writes
    state = StateFile(settings).path
    held = _held(note, settings.replica)
    write_durably(held / "incoming" / state.name, _record_after(folder, manifest).model_dump_json(indent=2))
    note.moves.append(_move(held, settings.replica, state.name))
    _fill_archive(folder / DATA / ARCHIVE, data / ARCHIVE)
    os.sync()


def _record_after(folder: Path, manifest: Manifest) -> FailoverState:
    record = FailoverState.model_validate_json((folder / REPLICA / "state.json").read_bytes())
    record.breaker = Breaker()
    if manifest.primary is None:
        record.change_state(
            "failed_over", f"Backup {manifest.name} was made without the primary, which is filled from Gold."
        )
    return record


def _held(note: _Note, root: Path) -> Path:
    """Return the holding folder below `root`, emptied of what an earlier restore left."""
    held = root / _HOLDING
    if held not in note.holdings:
        shutil.rmtree(held, ignore_errors=True)
        note.holdings.append(held)
        (held / "incoming").mkdir(parents=True)
        (held / "replaced").mkdir()
    return held


def _move(held: Path, root: Path, name: str) -> _Move:
    target = root / name
    if target.exists() and target.stat().st_dev != held.stat().st_dev:
        raise BackupFailed(
            f"{target} is a file system of its own, so nothing can take its place at once. Nothing was changed."
        )
    return _Move(incoming=held / "incoming" / name, target=target, replaced=held / "replaced" / name)


def _incoming(note: _Note, root: Path, names: list[str], source: Path) -> None:
    held = _held(note, root)
    for name in names:
        (held / "incoming" / name).mkdir()
        for path in sorted((source / name).rglob("*")):
            if path.is_file():
                _copied(path, held / "incoming" / name / path.relative_to(source / name))
        note.moves.append(_move(held, root, name))


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _fill_archive(source: Path, target: Path) -> None:
    """Bring back files of the archive that are gone; those that are there stay, later ones too."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_file() and not place.exists():
            partial = place.with_name(".restored")
            _copied(path, partial)
            partial.replace(place)


def _put_in_place(settings: Settings, note: _Note) -> None:
    """Put in place what was made ready; may be killed anywhere and repeated."""
    for move in note.moves:
        if not move.incoming.exists():
            continue
        if move.target.exists():
            move.target.rename(move.replaced)
        move.incoming.rename(move.target)
    for root in {move.target.parent for move in note.moves}:
        flush(root)
    if note.replica is not None:
        replica.put_in_place(settings, note.replica)
    else:
        replica_link(settings).unlink(missing_ok=True)
    lake.take_back(settings, note.versions)
    StateFile(settings).restore.unlink()
    _clear(note, keep_replica=True)


def _clear(note: _Note, *, keep_replica: bool = False) -> None:
    for held in note.holdings:
        shutil.rmtree(held, ignore_errors=True)
    if note.replica is not None and not keep_replica:
        note.replica.unlink(missing_ok=True)


def _complete(settings: Settings, manifest: Manifest, done: Restored, only_primary: bool) -> None:
    """Hold what is in place against the manifest, and bring the sides what they lack."""
    has_primary = settings.database_type != "sqlite"
    hashed = manifest.hash_version == replica.schema_version()
    if not hashed:
        done.warnings.append(
            "The backup is of another version of the tables: rows, units and money were compared, not row hashes."
        )
    if not only_primary:
        if manifest.replica:
            try:
                with replica.reading(settings) as connection:
                    done.parts["replica"] = _compared(settings, manifest.replica, connection, hashed)
            except ReplicaUnusable as error:
                log.warning("%s", error)
        if manifest.gold:
            with GoldStar(settings) as gold:
                done.parts["gold"] = _compared(settings, manifest.gold, gold, hashed)
        done.drop_again = _later_runs(settings)
    if _lacks_replica(settings) and any(pinned.name == "gold/fact_sales" for pinned in lake.pin(settings)):
        refresh_replica(settings)
        done.warnings.append("The replica was made anew from Gold.")
    if has_primary and (only_primary or not manifest.primary):
        try:
            done.caught_up = catch_up(settings)
        except (BackupFailed, *REPLICA_ERRORS) as error:
            done.warnings.append(f"The primary is not caught up: {error} See `python -m include.operate catch-up`.")


def _compared(settings: Settings, expected: Contents, source: Connection | GoldStar, hashed: bool) -> Part:
    found = contents_of(source, settings)
    return _part(found, differences(expected, found, hashed=hashed))


def _part(found: Contents, wrong: list[str]) -> Part:
    return Part(rows=found.rows, amount=found.amount, days=len(found.days), differences=wrong)


def _lacks_replica(settings: Settings) -> bool:
    try:
        with replica.reading(settings):
            return False
    except ReplicaUnusable:
        return True


def _later_runs(settings: Settings) -> list[str]:
    archive = settings.data_dir / ARCHIVE
    runs = settings.data_dir / "runs"
    found = (path for path in archive.iterdir() if path.is_dir()) if archive.is_dir() else ()
    return sorted(
        path.name for path in found if not (runs / path.name / "manifest.json").exists() and any(path.iterdir())
    )
