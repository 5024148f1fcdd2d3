"""What a backup is on disk: one folder with a manifest that names every file, listed, checked and thinned out."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from include.domain.model import Model
from include.domain.money import Money
from include.failover import Figures, locked
from include.files import flush, sha256_of
from include.settings import Settings

MANIFEST = "manifest.json"
LAKE = "lake"
DATA = "data"
BATCHES = "batches.jsonl"
AUDIT = "audit.jsonl"
UNDELIVERED = "audit.sqlite"
"""Places in the folder of a backup."""

HOLDING = ".restore"
"""Folder beside what a restore replaces, where that is laid out."""

PARTIAL_PREFIX = ".partial-"
LOCK_SECONDS = 3600.0
_EXAMPLES = 5


class BackupFailed(Exception):
    """No backup was made, or none was restored; the message says why, what is as it was, and what to do."""


class BackupDamaged(BackupFailed):
    """A backup is not what its manifest says."""


class Contents(Model):
    """What a side or Gold has of the star.

    Attributes:
        rows: Facts.
        amount: GBP, sum over the facts.
        days: Rows, units, GBP and row hash of each invoice day.
        members: Hash of all members of each dimension but the unknown one.
    """

    rows: int
    amount: Money
    days: dict[date, Figures]
    members: dict[str, str]


class StoredFile(Model):
    """One file of a backup.

    Attributes:
        modified_ns: Modification time, ns; a restored file gets it again.
    """

    bytes: int
    sha256: str
    modified_ns: int


class Manifest(Model):
    """What a backup holds.

    Attributes:
        made_at: The moment that it is of.
        seconds: How long it took to make.
        locked_seconds: How long publishes had to wait for it.
        newest_batch: Batch published last.
        batches: How many batches were published.
        audit_entries: How many entries of the audit trail it holds; None if the primary was left out.
        in_flight: Runs that had no receipt: at work, held or failed.
        star: What a restore gives both sides: what Gold has of the published batches.
        hash_version: Version of the tables that row hashes are made of; others cannot be compared.
        tables: Delta version of each table, by `layer/name`.
        files: Every other file of the backup, by path in its folder.
        warnings: Sentences worth reading.
    """

    format: Literal[2] = 2
    name: str
    made_at: datetime
    seconds: float = 0.0
    locked_seconds: float = 0.0
    newest_batch: str | None = None
    batches: int = 0
    audit_entries: int | None = None
    in_flight: list[str] = Field(default_factory=list)
    star: Contents
    hash_version: str
    tables: dict[str, int] = Field(default_factory=dict)
    files: dict[str, StoredFile] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(file.bytes for file in self.files.values())


class BackupEntry(Model):
    """A backup in a list.

    Attributes:
        damage: What is wrong with it; empty if it is whole.
    """

    name: str
    made_at: datetime | None = None
    age_hours: float | None = None
    bytes: int = 0
    rows: int | None = None
    amount: Money | None = None
    newest_batch: str | None = None
    audit_entries: int | None = None
    damage: list[str] = Field(default_factory=list)


class Backups(Model):
    """The backups there are, newest first.

    Attributes:
        unfinished: Folders of backups that are being made, or were when their process died.
    """

    folder: Path
    backups: list[BackupEntry]
    unfinished: list[str] = Field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether none of them is damaged."""
        return not any(entry.damage for entry in self.backups)


def view_of(settings: Settings, folder: Path) -> Settings:
    """Return settings under which lake and records of a backup are read as if they were in use, and nothing else is."""
    return settings.model_copy(
        update={
            "data_dir": folder / DATA,
            "lake_uri": str(folder / LAKE),
            "backup_dir": settings.backups,
            "replica_dir": settings.replica / HOLDING,
            "database_type": "sqlite",
        }
    )


@contextmanager
def backups_locked(settings: Settings) -> Iterator[Path]:
    """Hold the lock of making, restoring and thinning out backups on this host; yield their folder.

    Raises:
        BackupFailed: If the folder cannot be made.
        WarehouseUnavailable: If others hold it too long.
    """
    folder = settings.backups
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BackupFailed(
            f"The folder of the backups, {folder}, cannot be made: {error.strerror}. Set RETAIL_BACKUP_DIR to another."
        ) from error
    with locked(folder / ".lock", LOCK_SECONDS):
        yield folder


def folders(settings: Settings) -> list[Path]:
    """Return the folders of finished backups, newest first."""
    found = settings.backups.glob("[0-9]*") if settings.backups.is_dir() else ()
    return sorted((path for path in found if path.is_dir()), key=lambda path: path.name, reverse=True)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        BackupDamaged: If it is missing or unreadable.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no manifest of this version"
        raise BackupDamaged(f"Backup {folder.name} has no readable manifest: {reason}.") from error


def files_of(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, in order.

    Raises:
        BackupDamaged: If it holds what is neither a file nor a folder.
    """
    for parent, names, files in os.walk(folder):
        names.sort()
        for name in sorted(files):
            path = Path(parent) / name
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BackupDamaged(f"{path} is no regular file, so it is not of a backup.")
            yield path


def described(folder: Path) -> dict[str, StoredFile]:
    """Return every file of a backup but its manifest, by path in its folder, flushed to disk."""
    found = {}
    for path in files_of(folder):
        if path.parent == folder and path.name == MANIFEST:
            continue
        flush(path)
        about = path.stat()
        found[str(path.relative_to(folder))] = StoredFile(
            bytes=about.st_size, sha256=sha256_of(path), modified_ns=about.st_mtime_ns
        )
    return found


def damage(folder: Path, manifest: Manifest, *, hashed: bool = True) -> list[str]:
    """Return what of a backup is not as its manifest says.

    Args:
        folder: The backup's.
        manifest: Its manifest.
        hashed: Compare the content of every file, not only its size.
    """
    found = []
    for name, file in manifest.files.items():
        path = folder / name
        try:
            if path.is_symlink() or not path.is_file():
                found.append(f"{name} is missing")
            elif path.stat().st_size != file.bytes:
                found.append(f"{name} has {path.stat().st_size} bytes, not {file.bytes}")
            elif hashed and sha256_of(path) != file.sha256:
                found.append(f"{name} has other content")
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}")
    try:
        there = {str(path.relative_to(folder)) for path in files_of(folder)}
    except BackupDamaged as error:
        return [*found, str(error)]
    found += [f"{name} is not in the manifest" for name in sorted(there - manifest.files.keys() - {MANIFEST})]
    return found


def require_whole(folder: Path) -> Manifest:
    """Return the manifest of a backup that is whole to the last byte.

    Raises:
        BackupDamaged: If it is not; the message names some of what is wrong.
    """
    manifest = read_manifest(folder)
    found = damage(folder, manifest)
    if found:
        more = f" and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
        raise BackupDamaged(
            f"Backup {folder.name} is damaged, so nothing was restored from it: {'; '.join(found[:_EXAMPLES])}{more}. "
            "`python -m include.operate backups` shows which others are whole."
        )
    return manifest


def list_backups(settings: Settings, *, hashed: bool = True) -> Backups:
    """Return the backups there are, each held against its manifest.

    Args:
        settings: Where backups are.
        hashed: Compare the content of every file, not only its size.
    """
    now = datetime.now(UTC)
    entries = []
    for folder in folders(settings):
        try:
            manifest = read_manifest(folder)
        except BackupDamaged as error:
            entries.append(BackupEntry(name=folder.name, damage=[str(error)]))
            continue
        entries.append(
            BackupEntry(
                name=folder.name,
                made_at=manifest.made_at,
                age_hours=round((now - manifest.made_at) / timedelta(hours=1), 2),
                bytes=manifest.bytes,
                rows=manifest.star.rows,
                amount=manifest.star.amount,
                newest_batch=manifest.newest_batch,
                audit_entries=manifest.audit_entries,
                damage=damage(folder, manifest, hashed=hashed),
            )
        )
    partial = sorted(path.name for path in settings.backups.glob(f"{PARTIAL_PREFIX}*"))
    return Backups(folder=settings.backups, backups=entries, unfinished=partial)


def thin_out(settings: Settings) -> list[str]:
    """Delete backups beyond those to keep; return their names.

    The newest `backup_keep` whole ones stay, and those younger than `backup_keep_days`. Whole means here that every
    file has its size. A damaged one does not count, and stays until as many whole ones are newer.
    """
    entries = list_backups(settings, hashed=False).backups
    youngest = datetime.now(UTC) - timedelta(days=settings.backup_keep_days)
    deleted, whole = [], 0
    for entry in entries:
        if whole >= settings.backup_keep and not (entry.made_at and entry.made_at > youngest):
            delete(settings.backups / entry.name)
            deleted.append(entry.name)
        elif not entry.damage:
            whole += 1
    return deleted


def delete(folder: Path) -> None:
    """Delete a backup; one that is cut off in between is no longer in the list."""
    hidden = folder.with_name(f"{PARTIAL_PREFIX}{folder.name.removeprefix(PARTIAL_PREFIX)}")
    if hidden != folder:
        folder.rename(hidden)
    shutil.rmtree(hidden)
