"""Delta tables by version: which there are, the files of one version, and taking a table back to one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from include.backup.manifest import BackupFailed
from include.settings import Settings
from include.warehouse.tables import STAR

LAYERS = ("gold", "quality", "reference", "silver", "bronze")
"""Later layers first: what is pinned last is then never behind what was made from it."""

TABLES = (
    *[f"gold/{name}" for name in STAR],
    "gold/sales_aggregates",
    "quality/scores",
    "quality/profiles",
    *[f"reference/{name}" for name in ("fx_rates", "countries", "products")],
    "silver/invoice_lines",
    "silver/quarantine",
    "bronze/invoice_lines",
)
"""Tables that are looked for in an object store, which cannot be listed as a folder can."""

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
    """Open every Delta table at its newest version, later layers first.

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


def _names(settings: Settings) -> list[str]:
    if settings.local_lake is None:
        return list(TABLES)
    logs = settings.local_lake.glob(f"[!.]*/*/{_LOG}")
    names = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in logs)
    rank = {layer: number for number, layer in enumerate(LAYERS)}
    return sorted(names, key=lambda name: rank.get(name.partition("/")[0], 0))


def copy(pinned: Pinned, source: Path, target: Path) -> None:
    """Make a folder that holds one version of a table: its log up to there and the files that are live in it.

    Files of rows are linked where the file system can: Delta never changes one.

    Raises:
        BackupFailed: If a file that is live is gone, or the copy is not of that version.
    """
    try:
        for uri in pinned.table.file_uris():
            place = _path_of(uri).relative_to(source)
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(source / place, target / place)
        _copy_log(source / _LOG, target / _LOG, pinned.version)
        copied = DeltaTable(str(target))
        missing = [uri for uri in copied.file_uris() if not _path_of(uri).is_file()]
    except (DeltaError, OSError, ValueError) as error:
        raise BackupFailed(
            f"Version {pinned.version} of Delta table {pinned.name} cannot be copied: {error}"
        ) from error
    if copied.version() != pinned.version or missing:
        raise BackupFailed(
            f"The copy of Delta table {pinned.name} has version {copied.version()} instead of {pinned.version} "
            f"and lacks {len(missing)} files."
        )


def _path_of(uri: str) -> Path:
    if "://" not in uri:
        return Path(uri)
    path = Path(urlsplit(uri).path)
    return path if path.exists() else Path(unquote(str(path)))


def _copy_log(source: Path, target: Path, version: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        found = _LOG_FILE.match(path.name)
        # The hint at the last checkpoint is left out: it may point beyond this version, and readers do without.
        if found and int(found[1]) <= version:
            shutil.copy2(path, target / path.name)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def require_versions(settings: Settings, versions: Mapping[str, int]) -> None:
    """Raise unless every table can be taken back to its version.

    Raises:
        BackupFailed: Naming the table.
    """
    for name, version in versions.items():
        uri = f"{settings.lake}/{name}"
        try:
            DeltaTable(uri, version=version)
        except (DeltaError, OSError) as error:
            raise BackupFailed(
                f"Delta table {name} cannot be taken back to version {version} at {uri}: {error}. "
                "Versions live only as long as nobody vacuums them away; nothing was changed."
            ) from error


def take_back(settings: Settings, versions: Mapping[str, int]) -> None:
    """Give every table the content of its version, in a commit of its own; one that is at it stays."""
    for name, version in versions.items():
        table = DeltaTable(f"{settings.lake}/{name}")
        if table.version() != version:
            table.restore(version)
