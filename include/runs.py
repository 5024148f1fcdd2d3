"""Landing folder, claims and the records each run leaves behind.

A claim is one atomic rename into a hidden folder of the run's own within the landing folder: of two runs that see the
same file one gets it. From there it moves to `archive/<run id>/`. What a run owns is written to
`runs/<run id>/manifest.json`; each stage leaves its record in `runs/<run id>/stages/<stage>.json` for the next one to
verify.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from include.domain.model import Model
from include.files import move_to_free_name, sha256_of, write_atomically
from include.settings import Settings

RUN_ID = re.compile(r"^[A-Za-z0-9_.~:+-]{1,250}$")
UNFINISHED_SUFFIXES = (".part", ".tmp", ".partial", ".crdownload", ".filepart", ".swp")

ModelT = TypeVar("ModelT", bound=BaseModel)


class RunRecordMissing(Exception):
    """A stage needs the record of an earlier stage that is not there."""


class ClaimedFile(Model):
    """A file that this run took out of the landing folder.

    Attributes:
        status: `already_seen` when `first_run_id` loaded these bytes before or takes them from another file of the same
            drop; `unreadable` when the system did not let us read them.
        modified_ns: Modification time at the claim, ns.
        problem: What the system said of an unreadable file.
    """

    name: str
    sha256: str
    bytes: int
    status: Literal["new", "already_seen", "unreadable"]
    modified_ns: int = 0
    first_run_id: str | None = None
    problem: str | None = None


class Manifest(Model):
    """What a run works on: the files of a drop, or the invoice days to rebuild.

    Attributes:
        not_found: Names that were asked for and were not in the landing folder.
    """

    run_id: str
    batch_id: str
    kind: Literal["drop", "rebuild"]
    claimed_at: datetime
    files: list[ClaimedFile] = Field(default_factory=list)
    days: list[date] = Field(default_factory=list)
    source_batches: list[str] = Field(default_factory=list)
    not_found: list[str] = Field(default_factory=list)

    @property
    def new_files(self) -> list[ClaimedFile]:
        """Files whose bytes no earlier run has loaded."""
        return [file for file in self.files if file.status == "new"]

    @property
    def input_bytes(self) -> int:
        """Bytes the run has to read."""
        return sum(file.bytes for file in self.new_files)

    @property
    def has_work(self) -> bool:
        """Whether the Spark stages have anything to do."""
        return bool(self.new_files) or bool(self.source_batches)


class RunFolder:
    """Paths and records of one run below the data folder."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        """Name the run.

        Raises:
            ValueError: If `run_id` is not an Airflow run id; it becomes a file name.
        """
        if not RUN_ID.match(run_id):
            raise ValueError(f"{run_id!r} is not a run id")
        self.settings = settings
        self.run_id = run_id
        self.path = settings.data_dir / "runs" / run_id
        self.archive = settings.data_dir / "archive" / run_id
        self.quarantine = settings.data_dir / "quarantine" / run_id
        self.staged = self.path / "staged"
        self.receipt = settings.data_dir / "receipts" / f"{run_id}.json"

    def manifest(self) -> Manifest:
        """Return the manifest written by the claim.

        Raises:
            RunRecordMissing: If the run has claimed nothing yet.
        """
        return self._read(self.path / "manifest.json", Manifest, "claim_files")

    def save_manifest(self, manifest: Manifest) -> None:
        """Write the manifest atomically."""
        write_atomically(self.path / "manifest.json", manifest.model_dump_json(indent=2))

    def has_manifest(self) -> bool:
        """Return whether this run has claimed."""
        return (self.path / "manifest.json").exists()

    def stage(self, name: str, model: type[ModelT]) -> ModelT:
        """Return the record stage `name` left.

        Raises:
            RunRecordMissing: If that stage has not finished.
        """
        return self._read(self.path / "stages" / f"{name}.json", model, name)

    def save_stage(self, name: str, record: BaseModel) -> None:
        """Write the record of stage `name` atomically."""
        write_atomically(self.path / "stages" / f"{name}.json", record.model_dump_json(indent=2))

    def note_unpublished(self, manifest: Manifest) -> list[str]:
        """Record that Silver is about to get a drop's batch, and which other batches in it are not live.

        Returns:
            The other batches; of a drop, those that were not live at an earlier attempt too, as it may have taken
            lines from them.
        """
        others = {*unpublished_batches(self.settings)}
        if manifest.kind == "drop":
            path = self.path / "unpublished.json"
            others |= {*json.loads(path.read_text(encoding="utf-8"))} if path.exists() else set()
            others -= {manifest.batch_id}
            write_atomically(path, json.dumps(sorted(others)))
            if not (self.path / "stages" / "publish.json").exists():
                mark_unpublished(self.settings, manifest.batch_id)
        return sorted(others)

    def original(self, name: str) -> Path:
        """Return where the claimed bytes of file `name` are."""
        return self.archive / name

    def _read(self, path: Path, model: type[ModelT], stage: str) -> ModelT:
        try:
            return model.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise RunRecordMissing(
                f"{path} does not exist: task {stage} of run {self.run_id} has not finished. Clear it and run it again."
            ) from None


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
    """Return whether a claimed file is no longer what was claimed: its writer went on after a long pause."""
    return signature(run.original(file.name)) != (file.bytes, file.modified_ns)


def put_back(run: RunFolder, file: ClaimedFile) -> str:
    """Return a claimed file to the landing folder, to be claimed again once it has settled; return its name there."""
    return move_to_free_name(run.original(file.name), landing(run.settings) / file.name).name


def batch_id_of(run_id: str, claimed_at: datetime) -> str:
    """Return the batch id: claim time (UTC, so that batches sort by ingestion) and a hash of the run id."""
    return f"{claimed_at:%Y%m%dT%H%M%S}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def _seen_record(settings: Settings, sha256: str) -> Path:
    return settings.data_dir / "runs" / ".seen" / sha256[:2] / f"{sha256}.json"


def first_run_of(settings: Settings, sha256: str) -> str | None:
    """Return the run that loaded these bytes, None if none has."""
    try:
        content = json.loads(_seen_record(settings, sha256).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(content["run_id"])


def mark_seen(settings: Settings, sha256: str, run_id: str) -> None:
    """Record that `run_id` has loaded these bytes; the first run to do so stays the owner."""
    record = _seen_record(settings, sha256)
    if not record.exists():
        write_atomically(record, json.dumps({"run_id": run_id}))


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
    # The landing folder may be a file system of its own; a copy that is cut off is made again from what is held.
    for path in sorted(held.iterdir()):
        shutil.move(path, run.archive / path.name)
    held.rmdir()
    claimed_at = datetime.now(UTC)
    files = []
    hashes: set[str] = set()
    for path in sorted(run.archive.iterdir()):
        stat = path.stat()
        file = ClaimedFile(name=path.name, sha256="", bytes=stat.st_size, status="new", modified_ns=stat.st_mtime_ns)
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
        not_found=sorted({*(only or [])} - {file.name for file in files}),
    )
    run.save_manifest(manifest)
    return manifest


def _day_folder(settings: Settings, day: date) -> Path:
    return settings.data_dir / "runs" / ".days" / day.isoformat()


def mark_days(settings: Settings, batch_id: str, days: list[date]) -> None:
    """Record that Bronze rows of `batch_id` belong to these invoice days."""
    for day in days:
        folder = _day_folder(settings, day)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / batch_id).touch()


def batches_of_day(settings: Settings, day: date) -> list[str]:
    """Return the batches with Bronze rows of an invoice day, oldest first."""
    folder = _day_folder(settings, day)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _unpublished(settings: Settings) -> Path:
    return settings.data_dir / "runs" / ".unpublished"


def mark_unpublished(settings: Settings, batch_id: str) -> None:
    """Record that Silver may hold lines of a batch that are not live."""
    folder = _unpublished(settings)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / batch_id).touch()


def mark_published(settings: Settings, batch_id: str) -> None:
    """Record that the lines of a batch are live."""
    (_unpublished(settings) / batch_id).unlink(missing_ok=True)


def unpublished_batches(settings: Settings) -> list[str]:
    """Return the batches whose lines are in Silver and not live: those of runs at work, held or failed."""
    folder = _unpublished(settings)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


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
