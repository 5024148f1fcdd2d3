"""The landing folder: what waits in it, and how a run claims it.

A claim is one atomic rename into a hidden folder of the run's own within the landing folder: of two runs that see the
same file one gets it. From there it moves to `archive/<run id>/`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from include.files import move_to_free_name, sha256_of
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.marks import batches_of_day, first_run_of
from include.settings import Settings
from include.sources.compression import UnpackLimits
from include.sources.model import SourceRejected
from include.sources.zip_archive import unpack

log = logging.getLogger(__name__)

UNFINISHED_SUFFIXES = (".part", ".tmp", ".partial", ".crdownload", ".filepart", ".swp")


def legible(name: str) -> str:
    r"""Return a file name that can be written down: bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def plain_names(names: list[str]) -> list[str]:
    """Return `names` of files in the landing folder.

    Raises:
        ValueError: If one is not a plain file name.
    """
    for name in names:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is not the name of a file in the landing folder: use a name without folders.")
    return names


def landing(settings: Settings) -> Path:
    """Return the landing folder, made if absent."""
    folder = settings.data_dir / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def waiting_files(settings: Settings) -> Iterator[Path]:
    """Yield the regular files in the landing folder that are not hidden and not marked as unfinished."""
    for path in sorted(landing(settings).iterdir()):
        hidden = path.name.startswith(".") or path.name.endswith("~")
        if hidden or path.suffix.lower() in UNFINISHED_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        yield path


def signature(path: Path) -> tuple[int, int] | None:
    """Return size and modification time (ns) of `path`, None if it is gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns


def is_being_written(path: Path) -> bool:
    """Return whether a process holds `path` open for writing, as far as the system can tell.

    Linux grants a read lease only on a file that nobody has open for writing. Where it grants none at all (the file of
    another user, a network file system) the answer is False and the settle time alone decides.
    """
    try:
        with path.open("rb") as stream:
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def settled_files(settings: Settings) -> list[Path]:
    """Return the waiting files that have not changed for `settle_seconds` and that nobody is writing."""
    now = time.time_ns()
    first = {path: signature(path) for path in waiting_files(settings)}
    young = [path for path, seen in first.items() if seen is not None and now - seen[1] < settings.settle_seconds * 1e9]
    if young:
        time.sleep(settings.settle_seconds)
    return [
        path
        for path, seen in first.items()
        if seen is not None and signature(path) == seen and not is_being_written(path)
    ]


def has_changed(run: RunFolder, file: ClaimedFile) -> bool:
    """Return whether a claimed file is no longer what was claimed: its writer went on after a long pause.

    Of a file from an archive, the archive counts.
    """
    if file.dropped_as != file.name:
        seen = signature(run.original(file.dropped_as))
        return seen is None or seen[1] != file.modified_ns
    return signature(run.original(file.name)) != (file.bytes, file.modified_ns)


def put_back(run: RunFolder, file: ClaimedFile) -> str:
    """Return a claimed file to the landing folder, to be claimed again once it has settled; return its name there.

    A file from an archive goes back as the archive: all that was unpacked of it is gone then.
    """
    shutil.rmtree(run.members / file.dropped_as, ignore_errors=True)
    return move_to_free_name(run.original(file.dropped_as), landing(run.settings) / file.dropped_as).name


def batch_id_of(run_id: str, claimed_at: datetime) -> str:
    """Return the batch id: claim time (UTC, so that batches sort by ingestion) and a hash of the run id."""
    return f"{claimed_at:%Y%m%dT%H%M%S}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def claim_drop(settings: Settings, run_id: str, only: list[str] | None = None) -> Manifest:
    """Claim settled files for a run and write its manifest.

    A second call for the same run (a retried or cleared task) returns the first call's manifest.

    Args:
        settings: Where the landing folder is.
        run_id: Airflow run id.
        only: Names to claim; all settled files if empty. A name is a plain file name in the landing folder.

    Raises:
        ValueError: If a name in `only` is not a plain file name.
    """
    plain_names(only or [])
    run = RunFolder(settings, run_id)
    if run.has_manifest():
        return run.manifest()
    held = landing(settings) / f".{run_id}"
    run.archive.mkdir(parents=True, exist_ok=True)
    held.mkdir(exist_ok=True)
    # What an attempt that was cut off has taken is the claim; newer files are left, as they may have the same names.
    if not any(run.archive.iterdir()) and not any(held.iterdir()):
        for path in settled_files(settings):
            if only and path.name not in only:
                continue
            try:
                path.rename(held / legible(path.name))
            except FileNotFoundError:
                continue  # another run claimed it first
    for path in sorted(held.iterdir()):
        try:
            _archive(path, run.archive / path.name, settings.settle_seconds)
        except PermissionError:
            back = move_to_free_name(path, landing(settings) / path.name)
            log.error("%s may not be read and stays in the landing folder: allow it (chmod a+r)", back.name)
    held.rmdir()
    claimed_at = datetime.now(UTC)
    files = []
    hashes: set[str] = set()
    for name, modified_ns in _dropped(run):
        path = run.original(name)
        file = ClaimedFile(name=name, sha256="", bytes=path.stat().st_size, status="new", modified_ns=modified_ns)
        try:
            file.sha256 = sha256_of(path)
        except PermissionError as error:
            file.status, file.problem = "unreadable", error.strerror
        else:
            first = first_run_of(settings, file.sha256)
            if (first is not None and first != run_id) or file.sha256 in hashes:
                file.status, file.first_run_id = "already_seen", first or run_id
            hashes.add(file.sha256)
        files.append(file)
    manifest = Manifest(
        run_id=run_id,
        batch_id=batch_id_of(run_id, claimed_at),
        kind="drop",
        claimed_at=claimed_at,
        files=files,
        not_found=sorted({*(only or [])} - {file.dropped_as for file in files}),
    )
    run.save_manifest(manifest)
    return manifest


def _archive(path: Path, target: Path, settle_seconds: float) -> None:
    """Move a held file; into another file system by a copy that begins anew if the file has changed meanwhile.

    Raises:
        PermissionError: If it has to be copied and may not be read.
    """
    while True:
        before = signature(path)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copy2(path, target)
            if signature(path) != before:
                time.sleep(settle_seconds)
                continue
            path.unlink()
        return


def _dropped(run: RunFolder) -> Iterator[tuple[str, int]]:
    """Yield the name and modification time (ns) of each claimed file; of an archive those of the files in it.

    An archive that cannot be unpacked stays one file, which is refused with the reason when it is read.
    """
    for path in sorted(run.archive.iterdir()):
        if path == run.members:
            continue
        modified_ns = path.stat().st_mtime_ns
        try:
            members = unpack(path, run.members / path.name, UnpackLimits())
        except (SourceRejected, PermissionError):
            members = None
        names = [path.name] if members is None else [f"{path.name}/{member}" for member in members]
        yield from ((name, modified_ns) for name in names)


def claim_rebuild(settings: Settings, run_id: str, day: date) -> Manifest:
    """Write the manifest of a run that rebuilds one invoice day from Bronze."""
    run = RunFolder(settings, run_id)
    if run.has_manifest():
        return run.manifest()
    claimed_at = datetime.now(UTC)
    manifest = Manifest(
        run_id=run_id,
        batch_id=batch_id_of(run_id, claimed_at),
        kind="rebuild",
        claimed_at=claimed_at,
        days=[day],
        source_batches=batches_of_day(settings, day),
    )
    run.save_manifest(manifest)
    return manifest
