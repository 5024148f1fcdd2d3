"""Folders with raw data: the landing folder and the quarantine of each run.

A file appears in a folder whole, by a rename or a link; until then it is hidden, and no watch sees it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from include.files import flush
from include.runs.folder import RunFolder
from include.runs.landing import landing, legible, waiting_files
from include.settings import Settings
from retail_api.domain.files import StoredFile

log = logging.getLogger(__name__)

UPLOAD_PREFIX = ".upload-"
"""What the names of hidden files begin with."""

ABANDONED_SECONDS = 3600.0
"""An upload to which nothing was written for so long has lost its process."""


class Incoming:
    """A file that is being received, hidden in the folder it will be in.

    Attributes:
        replaced: Whether it was put in the place of another file.
        former: That file, kept for as long as it may have to be put back; None where the system lets nobody keep it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = _hidden(folder)
        self.replaced = False
        self.former: Path | None = None
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._stream: BinaryIO = self.path.open("xb")
        self._identity = (0, 0, 0)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of what has been received."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Take more of the content."""
        self._stream.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    def finish(self) -> None:
        """Bring the content to the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._identity = _identity(os.fstat(self._stream.fileno()))
        self._stream.close()

    def is_at(self, path: Path) -> bool:
        """Return whether this file, rather than another one, has a name."""
        try:
            return _identity(path.lstat()) == self._identity
        except FileNotFoundError:
            return False

    def discard(self) -> None:
        """Forget the content unless it has its name already, and the file in whose place it was put."""
        self._stream.close()
        self.path.unlink(missing_ok=True)
        if self.former is not None:
            self.former.unlink(missing_ok=True)


class Folder:
    """A folder of raw data.

    Attributes:
        run_id: Run whose quarantine it is; None for the landing folder.
    """

    def __init__(self, path: Path, run_id: str | None = None) -> None:
        self.path = path
        self.run_id = run_id

    def incoming(self, name: str) -> Incoming:
        """Return a new file that gets `name` by `add` or `replace`."""
        return Incoming(self.path, name)

    def find(self, name: str) -> Path | None:
        """Return the regular file `name`, None if there is none."""
        path = self.path / name
        if path.is_file() and not path.is_symlink():
            return path
        if "\\" in name:  # it may be how a name that is not UTF-8 is shown
            for other in self.path.glob("[!.]*"):
                if legible(other.name) == name and other.is_file() and not other.is_symlink():
                    return other
        return None

    def is_taken_by_a_folder(self, name: str) -> bool:
        """Return whether a folder has the name, which no file can take from it."""
        return (self.path / name).is_dir()

    def free_bytes(self) -> int:
        """Return how much room there is on the disk."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def add(self, incoming: Incoming) -> None:
        """Give a file its name.

        Raises:
            FileExistsError: If there is a file of this name.
        """
        os.link(incoming.path, self.path / incoming.name)
        incoming.path.unlink()

    def replace(self, incoming: Incoming) -> bool:
        """Give a file its name in place of the file that has it; return whether there was one."""
        path = self.path / incoming.name
        if self.find(incoming.name) == path:
            former = _hidden(self.path)
            try:
                os.link(path, former)
                incoming.replaced, incoming.former = True, former
            except FileNotFoundError:
                log.info("A run has claimed %s before it could be replaced", incoming.name)
            except PermissionError:
                incoming.replaced = True  # it is somebody else's, to which the system allows no second name
        incoming.path.replace(path)
        return incoming.replaced

    def take_back(self, incoming: Incoming) -> None:
        """Undo `add` or `replace`, unless the name has gone to another file or a run since."""
        path = self.path / incoming.name
        if not incoming.is_at(path):
            return
        if incoming.former is not None:
            incoming.former.replace(path)
        elif not incoming.replaced:
            path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Bring the names to the disk."""
        flush(self.path)

    def delete(self, name: str) -> bool:
        """Delete a file; return whether it was there."""
        path = self.find(name)
        if path is None:
            return False
        try:
            path.unlink()
        except FileNotFoundError:
            return False  # a run has claimed it in between
        return True

    def stored(self, path: Path) -> StoredFile | None:
        """Return what is known of a file, None if it is gone."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return StoredFile(
            area="landing" if self.run_id is None else "quarantine",
            name=legible(path.name),
            run_id=self.run_id,
            bytes=found.st_size,
            modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
        )


class FilesRepository:
    """The folders of one data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def landing(self) -> Folder:
        """Return the landing folder."""
        return Folder(landing(self._settings))

    def quarantine(self, run_id: str) -> Folder | None:
        """Return the quarantine of a run, None if it kept nothing out."""
        path = RunFolder(self._settings, run_id).quarantine
        return Folder(path, run_id) if path.is_dir() else None

    def landed(self) -> Iterator[StoredFile]:
        """Yield the files that wait in the landing folder, by name."""
        folder = self.landing()
        for path in waiting_files(self._settings):
            if (found := folder.stored(path)) is not None:
                yield found

    def forget_abandoned(self) -> None:
        """Delete uploads whose process has died."""
        before = time.time() - ABANDONED_SECONDS
        folders = [landing(self._settings), *(self._settings.data_dir / "quarantine").glob("*")]
        for path in (path for folder in folders for path in folder.glob(f"{UPLOAD_PREFIX}*")):
            try:
                if path.lstat().st_ctime < before:
                    path.unlink()
            except FileNotFoundError:
                continue  # another worker was faster
            except OSError:
                log.exception("%s of an upload that was abandoned cannot be deleted", path)

    def quarantined(self, run_id: str | None) -> Iterator[StoredFile]:
        """Yield the files in quarantine, of one run or of all, by run and name."""
        root = self._settings.data_dir / "quarantine"
        runs = [run_id] if run_id is not None else sorted(path.name for path in root.glob("*") if path.is_dir())
        for name in runs:
            folder = Folder(root / name, name)
            for path in sorted(folder.path.glob("[!.]*")):
                if folder.find(path.name) is not None and (found := folder.stored(path)) is not None:
                    yield found


def _hidden(folder: Path) -> Path:
    return folder / f"{UPLOAD_PREFIX}{uuid.uuid4().hex}"


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    """Return what identifies a file, even if another has been given the number of its inode."""
    return found.st_dev, found.st_ino, found.st_mtime_ns
