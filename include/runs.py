"""Landing folder, claims and the records each run leaves behind.

A claim is one atomic rename into a hidden folder of the run's own within the landing folder: of two runs that see the
same file one gets it. From there it moves to `archive/<run id>/`. What a run owns is written to
`runs/<run id>/manifest.json`; each stage leaves its record in `runs/<run id>/stages/<stage>.json` for the next one to
verify.
"""

from __future__ import annotations

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

from pydantic import BaseModel, ConfigDict, Field

from include.settings import Settings

RUN_ID = re.compile(r"^[A-Za-z0-9_.~:+-]{1,250}$")
UNFINISHED_SUFFIXES = (".part", ".tmp", ".partial", ".crdownload", ".filepart", ".swp")
_CHUNK = 1 << 20

ModelT = TypeVar("ModelT", bound=BaseModel)


class RunRecordMissing(Exception):
    """A stage needs the record of an earlier stage that is not there."""


class ClaimedFile(BaseModel):
    """A file that this run took out of the landing folder.

    Attributes:
        status: `already_seen` when these bytes were loaded by `first_run_id` before.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    bytes: int
    status: Literal["new", "already_seen"]
    first_run_id: str | None = None


class Manifest(BaseModel):
    """What a run works on: the files of a drop, or the invoice days to rebuild."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    batch_id: str
    kind: Literal["drop", "rebuild"]
    claimed_at: datetime
    files: list[ClaimedFile] = Field(default_factory=list)
    days: list[date] = Field(default_factory=list)
    source_batches: list[str] = Field(default_factory=list)

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


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """Return where this process writes the content of `path` before it gets that name; short, however long that is."""
    return path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{os.getpid()}")


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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


def settled_files(settings: Settings) -> list[Path]:
    """Return the waiting files that have not changed for `settle_seconds`."""
    now = time.time_ns()
    first = {path: signature(path) for path in waiting_files(settings)}
    young = [path for path, seen in first.items() if seen is not None and now - seen[1] < settings.settle_seconds * 1e9]
    if young:
        time.sleep(settings.settle_seconds)
    return [path for path, seen in first.items() if seen is not None and signature(path) == seen]


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
    for name in only or []:
        if Path(name).name != name or name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is not the name of a file in the landing folder: use a name without folders.")
    run = RunFolder(settings, run_id)
    if run.has_manifest():
        return run.manifest()
    run.archive.mkdir(parents=True, exist_ok=True)
    held = landing(settings) / f".{run_id}"
    held.mkdir(exist_ok=True)
    for path in settled_files(settings):
        if only and path.name not in only:
            continue
        try:
            path.rename(held / path.name)
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
        sha256 = sha256_of(path)
        first = first_run_of(settings, sha256)
        seen = (first is not None and first != run_id) or sha256 in hashes
        files.append(
            ClaimedFile(
                name=path.name,
                sha256=sha256,
                bytes=path.stat().st_size,
                status="already_seen" if seen else "new",
                first_run_id=(first or run_id) if seen else None,
            )
        )
        hashes.add(sha256)
    manifest = Manifest(
        run_id=run_id, batch_id=batch_id_of(run_id, claimed_at), kind="drop", claimed_at=claimed_at, files=files
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
