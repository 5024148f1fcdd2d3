"""The files of the lake: each Delta table at one version, copied into a backup and put back; in object stores too."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, PyFileSystem, copy_files

from include.backup.manifest import BackupFailed
from include.settings import Settings

LAYERS = ("gold", "quality", "reference", "silver", "bronze")
"""Later layers first: what is pinned last is then never behind what was made from it."""

_LOG = "_delta_log"
_LOG_FILE = re.compile(r"^(?:\d{20}\.)?(\d{20})\.(?:json|crc|compacted\.json|checkpoint\..+)$")


@dataclass(frozen=True)
class Pinned:
    """A Delta table at one version.

    Attributes:
        name: `layer/name`.
    """

    name: str
    table: DeltaTable
    version: int


def pin(settings: Settings) -> list[Pinned]:
    """Open every Delta table of the layers at its newest version, later layers first.

    Raises:
        BackupFailed: If one cannot be opened.
    """
    found = []
    for name in _names(settings):
        uri = f"{settings.lake}/{name}"
        try:
            if DeltaTable.is_deltatable(uri):
                table = DeltaTable(uri)
                found.append(Pinned(name, table, int(table.version())))
        except (DeltaError, OSError) as error:
            raise BackupFailed(f"Delta table {name} cannot be read at {uri}: {error}") from error
    return found


def _names(settings: Settings) -> Iterator[str]:
    store = _store(settings)
    for layer in LAYERS:
        entries = store.get_file_info(FileSelector(layer, allow_not_found=True))
        yield from sorted(entry.path for entry in entries if entry.type == FileType.Directory)


def _store(settings: Settings) -> FileSystem:
    """Return the lake as delta-rs opens it, with paths relative to its root."""
    if settings.local_lake is not None:
        settings.local_lake.mkdir(parents=True, exist_ok=True)
    return PyFileSystem(DeltaStorageHandler(settings.lake))


def copy(settings: Settings, pinned: Pinned, target: Path) -> None:
    """Make a folder that holds one version of a table: its log up to there and the files that are live in it.

    Files of rows in a local lake are linked where the file system can: Delta never changes one.

    Raises:
        BackupFailed: If a file that is live is gone, or the copy is not of that version.
    """
    try:
        store = _store(settings)
        live = {unquote(path) for path in pa.table(pinned.table.get_add_actions())["path"].to_pylist()}
        for path in live:
            _bring(settings, store, f"{pinned.name}/{path}", target / path, link=True)
        for entry in store.get_file_info(FileSelector(f"{pinned.name}/{_LOG}")):
            found = _LOG_FILE.match(entry.base_name)
            # The hint at the last checkpoint is left out: it may point beyond this version, and readers do without.
            if found and int(found[1]) <= pinned.version:
                _bring(settings, store, entry.path, target / _LOG / entry.base_name)
        copied = DeltaTable(str(target))
        missing = [path for path in live if not (target / path).is_file()]
    except (DeltaError, OSError) as error:
        raise BackupFailed(
            f"Version {pinned.version} of Delta table {pinned.name} cannot be copied: {error}"
        ) from error
    if copied.version() != pinned.version or missing:
        raise BackupFailed(
            f"The copy of Delta table {pinned.name} has version {copied.version()} instead of {pinned.version} "
            f"and lacks {len(missing)} files."
        )


def _bring(settings: Settings, store: FileSystem, source: str, target: Path, *, link: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if settings.local_lake is None:
        copy_files(source, str(target), source_filesystem=store, destination_filesystem=LocalFileSystem())
    elif link:
        _link_or_copy(settings.local_lake / source, target)
    else:
        shutil.copy2(settings.local_lake / source, target)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def upload(settings: Settings, source: Path) -> None:
    """Make the tables in an object store what a backup has; cut off, it can be done again.

    Args:
        settings: Name the object store.
        source: Folder of the lake in the backup.

    Raises:
        OSError: If the object store does not take it.
    """
    store = _store(settings)
    for layer in LAYERS:
        for entry in store.get_file_info(FileSelector(layer, allow_not_found=True, recursive=True)):
            if entry.type == FileType.File:
                store.delete_file(entry.path)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    # The log comes last, in order: a table is there for its readers when its rows are.
    for path in sorted(files, key=lambda path: path.parent.name == _LOG):
        place = str(path.relative_to(source))
        copy_files(str(path), place, source_filesystem=LocalFileSystem(), destination_filesystem=store)
