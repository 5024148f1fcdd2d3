"""Restoring a backup: checked and made ready beside what is in use, put in place at the end.

Lake and records come from the backup, primary and replica are made from its Gold. Nothing that is in use changes
before all of it is there and has the row hashes of the manifest. From then on a marker names the backup that is being
put in place: a restore that is cut off after that is run again, and until then nothing is loaded or published.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import Field

from include.backup import lake, ledger
from include.backup.contents import NOTHING, contents_of, differences
from include.backup.making import ARCHIVE
from include.backup.manifest import (
    DATA,
    HOLDING,
    LAKE,
    BackupFailed,
    Contents,
    Manifest,
    backups_locked,
    damage,
    folders,
    read_manifest,
    require_whole,
    view_of,
)
from include.backup.primary import Load, holds_data, loading
from include.domain.model import Model
from include.domain.money import Money
from include.failover import (
    REPLICA_ERRORS,
    CaughtUp,
    FailoverState,
    ReplicaUnusable,
    StateFile,
    catch_up,
    known_batches,
    open_side,
    put_replica_in_place,
    receipts_on_disk,
    refresh_replica,
    replica_link,
    replica_of,
    schema_version,
)
from include.files import flush, write_durably
from include.lake.connect_server import ORPHANED_SECONDS, running_server
from include.lake.in_use import LakeNotFree, lake_alone, restoring
from include.settings import BACKED_UP_FOLDERS, Settings
from include.warehouse import GoldStar, GoldUnreadable, PublishError, PublishReport, WarehouseUnavailable

log = logging.getLogger(__name__)


class Part(Model):
    """What became of a part.

    Attributes:
        rows: Facts in it now.
        amount: GBP of these facts.
        days: Invoice days whose rows were compared with the manifest.
        differences: What differs from the manifest; none if all row hashes are the same.
    """

    rows: int
    amount: Money
    days: int
    differences: list[str] = Field(default_factory=list)


class Restored(Model):
    """What a restore did.

    Attributes:
        backup: Its name.
        made_at: The moment that it is of.
        parts: `primary`, `replica` and `gold`, each held against the manifest.
        audit_entries: Entries of the audit trail that the primary was brought; None if the backup has none.
        in_flight: Runs that had no receipt then: clear them in Airflow, or drop their files again.
        drop_again: Runs in the archive that the backup does not know: their files have to be dropped again.
        caught_up: What the primary alone was brought from Gold.
        replaced_seconds: How long it took to put the parts in place.
        warnings: Sentences worth reading.
    """

    backup: str
    made_at: datetime
    parts: dict[str, Part] = Field(default_factory=dict)
    audit_entries: int | None = None
    in_flight: list[str] = Field(default_factory=list)
    drop_again: list[str] = Field(default_factory=list)
    caught_up: CaughtUp | None = None
    seconds: float = 0.0
    replaced_seconds: float = 0.0
    warnings: list[str] = Field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every part has what the manifest says, and the primary what Gold has."""
        caught_up = self.caught_up is None or not self.caught_up.differences
        return caught_up and not any(part.differences for part in self.parts.values())


def restore(
    settings: Settings, name: str | None = None, *, replace: bool = False, only_primary: bool = False
) -> Restored:
    """Make warehouse, replica, lake and records what a backup has. One that was cut off can be run again.

    Args:
        settings: Where everything is.
        name: The backup; if not given the one whose restore was cut off, else the newest whole one.
        replace: Replace what has data.
        only_primary: Make PostgreSQL alone, from the Gold in use, with the audit trail of the backup.

    Raises:
        BackupFailed: If the backup is damaged or does not fit, a run is at work, or there is data and `replace` is not
            given; the old state stays unless the message says otherwise.
        WarehouseUnavailable: If the primary does not answer; the old state stays unless the message says otherwise.
    """
    started = time.monotonic()
    with backups_locked(settings):
        folder, manifest = _chosen(settings, name or _cut_off(settings))
        done = Restored(
            backup=manifest.name,
            made_at=manifest.made_at,
            audit_entries=manifest.audit_entries,
            in_flight=manifest.in_flight,
        )
        if manifest.audit_entries is None and settings.database_type != "sqlite":
            done.warnings.append("The backup was made without the primary: its audit trail is not restored.")
        try:
            if only_primary:
                _restore_primary(settings, folder, manifest, done, replace=replace)
            else:
                with lake_alone(settings), StateFile(settings).publishing(restoring=True):
                    _restore_all(settings, folder, manifest, done, replace=replace)
        except LakeNotFree as error:
            raise BackupFailed(f"{error} Nothing was changed.") from error
        except (GoldUnreadable, PublishError, ReplicaUnusable, OSError) as error:
            cut_off = f"Run `python -m include.operate restore {manifest.name}` again."
            after = cut_off if restoring(settings).exists() else "The old state stays."
            raise BackupFailed(f"Backup {manifest.name} was not restored: {error}. {after}") from error
    if only_primary:
        try:
            done.caught_up = catch_up(settings)
        except REPLICA_ERRORS as error:
            done.warnings.append(f"The primary is not caught up: {error} See `python -m include.operate catch-up`.")
    done.seconds = round(time.monotonic() - started, 2)
    return done


def _outlast_killed_steps(settings: Settings, alone_since: float) -> None:
    """Wait until the Spark server has cancelled the query of a step that was killed shortly before `alone_since`."""
    if running_server(settings) is not None:
        time.sleep(max(0.0, alone_since + 2 * ORPHANED_SECONDS - time.monotonic()))


def _cut_off(settings: Settings) -> str | None:
    marker = restoring(settings)
    return marker.read_text(encoding="utf-8") if marker.exists() else None


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


def _require_empty(settings: Settings, *, only_primary: bool = False) -> None:
    found = []
    if settings.database_type != "sqlite" and holds_data(settings):
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


def _restore_primary(settings: Settings, folder: Path, manifest: Manifest, done: Restored, *, replace: bool) -> None:
    """Make the primary from the Gold in use; the caller lets it catch up, after which it serves."""
    if settings.database_type == "sqlite":
        raise BackupFailed("DATABASE_TYPE is sqlite, so there is no primary. Nothing was changed.")
    record = StateFile(settings)
    with record.publishing():
        if not replace:
            _require_empty(settings, only_primary=True)
        reports = known_batches(settings)
        with GoldStar(settings) as gold:
            expected = contents_of(gold, settings, gold.pick_published(reports))
            load = Load(gold, expected, True, reports.values(), receipts_on_disk(settings), ledger.audit_trail(folder))
            # From the commit on the replica serves, until the primary is caught up.
            with loading(settings, load) as found, record.change() as noted:
                done.parts["primary"] = _part(found, [])
                noted.change_state("failed_over", f"The primary was restored beside backup {manifest.name}.")
    if _lacks_replica(settings):
        refresh_replica(settings)
        done.warnings.append("The replica was made again from Gold.")


def _restore_all(settings: Settings, folder: Path, manifest: Manifest, done: Restored, *, replace: bool) -> None:
    if not replace and _cut_off(settings) != manifest.name:
        _require_empty(settings)
    hashed = manifest.hash_version == schema_version()
    if not hashed:
        done.warnings.append(
            "The backup is of another version of the tables: rows, units and money were compared, not row hashes."
        )
    alone_since = time.monotonic()
    view = view_of(settings, folder)
    marker = restoring(settings)
    with _laid_out(settings, folder, manifest) as incoming:
        reports = ledger.batches(folder)
        fresh = None
        if manifest.star != NOTHING:
            fresh = replica_of(view, reports).path
            with open_side(view, "replica") as connection:
                found = contents_of(connection, view)
            done.parts["replica"] = _expected(manifest, found, "replica", hashed=hashed)
        _outlast_killed_steps(settings, alone_since)
        try:
            with _loaded(settings, folder, manifest, reports, hashed=hashed) as loaded:
                if loaded is not None:
                    done.parts["primary"] = _part(loaded, [])
                write_durably(marker, manifest.name)
        except (BackupFailed, WarehouseUnavailable) as error:
            if not marker.exists():
                raise
            raise type(error)(
                f"The primary did not say that it took backup {manifest.name}: {error} Run "
                f"`python -m include.operate restore {manifest.name}` again; until then nothing is published."
            ) from error
        begun = time.monotonic()
        _put_in_place(settings, folder, incoming, fresh)
    marker.unlink()
    flush(marker.parent)
    done.replaced_seconds = round(time.monotonic() - begun, 2)
    if manifest.star != NOTHING:
        with GoldStar(settings) as gold:
            found = contents_of(gold, settings, gold.pick_published(reports))
        done.parts["gold"] = _part(found, differences(manifest.star, found, hashed=hashed))
    done.drop_again = _later_runs(settings)


def _expected(manifest: Manifest, found: Contents, what: str, *, hashed: bool) -> Part:
    wrong = differences(manifest.star, found, hashed=hashed)
    if wrong:
        raise BackupFailed(
            f"The {what} that was made from backup {manifest.name} differs from its manifest: {'; '.join(wrong)}. "
            "Nothing was changed."
        )
    return _part(found, [])


def _part(found: Contents, wrong: list[str]) -> Part:
    return Part(rows=found.rows, amount=found.amount, days=len(found.days), differences=wrong)


@contextmanager
def _loaded(
    settings: Settings, folder: Path, manifest: Manifest, reports: dict[str, PublishReport], *, hashed: bool
) -> Iterator[Contents | None]:
    """Give the primary the Gold of a backup, in a transaction that is committed on leaving; None without a primary."""
    if settings.database_type == "sqlite":
        yield None
        return
    view = view_of(settings, folder)
    recorded = reports.values(), receipts_on_disk(view), ledger.audit_trail(folder)
    if manifest.star == NOTHING:
        with loading(settings, Load(None, NOTHING, hashed, *recorded)) as found:
            yield found
        return
    with GoldStar(view) as gold:
        gold.pick_published(reports)
        with loading(settings, Load(gold, manifest.star, hashed, *recorded)) as found:
            yield found


@contextmanager
def _laid_out(settings: Settings, folder: Path, manifest: Manifest) -> Iterator[list[Path]]:
    """Copy lake and records beside what they will replace; yield the copies, which are deleted on leaving."""
    data, root = settings.data_dir, settings.local_lake
    places = [(data, folder / DATA / name) for name in BACKED_UP_FOLDERS if name != ARCHIVE]
    places += [(root, folder / LAKE / layer) for layer in lake.LAYERS] if root is not None else []
    holdings = {base / HOLDING for base, _ in places} | {settings.replica / HOLDING}
    for holding in holdings:
        shutil.rmtree(holding, ignore_errors=True)
        holding.mkdir(parents=True)
    incoming = []
    try:
        for base, source in places:
            target = base / source.name
            if target.exists() and target.stat().st_dev != base.stat().st_dev:
                raise BackupFailed(
                    f"{target} is a file system of its own, so nothing can take its place at once. Nothing was changed."
                )
            copied = base / HOLDING / source.name
            copied.mkdir()
            if source.is_dir():
                shutil.copytree(source, copied, dirs_exist_ok=True)
            incoming.append(copied)
        _fill_archive(folder / DATA / ARCHIVE, data / ARCHIVE)
        os.sync()
        yield incoming
    finally:
        for holding in holdings:
            shutil.rmtree(holding, ignore_errors=True)


def _fill_archive(source: Path, target: Path) -> None:
    """Bring back files of the archive that are gone; those that are there stay, later ones too."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(".restored")
            shutil.copy2(path, partial)
            partial.replace(place)


def _put_in_place(settings: Settings, folder: Path, incoming: list[Path], fresh: Path | None) -> None:
    """Put in place what was laid out and made."""
    for copied in incoming:
        target = copied.parent.parent / copied.name
        if target.exists():
            shutil.rmtree(target)
        copied.rename(target)
    for base in {copied.parent.parent for copied in incoming}:
        flush(base)
    if settings.local_lake is None:
        lake.upload(settings, folder / LAKE)
    if fresh is None:
        replica_link(settings).unlink(missing_ok=True)
    else:
        put_replica_in_place(settings, fresh.rename(settings.replica / fresh.name))
    write_durably(StateFile(settings).path, FailoverState().model_dump_json(indent=2))
    ledger.put_back_undelivered(settings, folder)


def _lacks_replica(settings: Settings) -> bool:
    try:
        with open_side(settings, "replica"):
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
