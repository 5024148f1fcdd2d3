"""What a run owns: its folders, its manifest and the record of each stage.

The claim writes `runs/<run id>/manifest.json`; each stage leaves its record in `runs/<run id>/stages/<stage>.json` for
the stages after it.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from include.domain.model import Model
from include.files import write_atomically
from include.runs.marks import mark_unpublished, unpublished_batches
from include.settings import Settings

RUN_ID = re.compile(r"^[A-Za-z0-9_.~:+-]{1,250}$")

ModelT = TypeVar("ModelT", bound=BaseModel)


class RunRecordMissing(Exception):
    """A stage needs the record of an earlier stage that is not there."""


class ClaimedFile(Model):
    """A file that this run took out of the landing folder, or out of an archive that it took from there.

    Attributes:
        name: Its name; `archive.zip/sales.csv` for a file from an archive. No file of the landing folder has a `/`.
        status: `already_seen` when `first_run_id` loaded these bytes before or takes them from another file of the same
            drop; `unreadable` when the system did not open the file.
        modified_ns: Modification time at the claim, ns; that of the archive for a file from one.
        problem: Why the system did not open an unreadable file.
    """

    name: str
    sha256: str
    bytes: int
    status: Literal["new", "already_seen", "unreadable"]
    modified_ns: int = 0
    first_run_id: str | None = None
    problem: str | None = None

    @property
    def dropped_as(self) -> str:
        """Name of the file that lay in the landing folder: its own, or that of the archive it comes from."""
        return dropped_as(self.name)


def dropped_as(name: str) -> str:
    """Return under which name a claimed file lay in the landing folder."""
    return name.partition("/")[0]


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
        self.members = self.archive / ".members"
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
        return (self.members if "/" in name else self.archive) / name

    def _read(self, path: Path, model: type[ModelT], stage: str) -> ModelT:
        try:
            return model.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise RunRecordMissing(
                f"{path} does not exist: task {stage} of run {self.run_id} has not finished. Clear it and run it again."
            ) from None
