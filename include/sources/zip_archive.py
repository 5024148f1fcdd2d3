"""ZIP archives of source files: unpacked as a whole, within declared bounds, or not at all."""

from __future__ import annotations

import shutil
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import BadZipFile, ZipFile, ZipInfo

from include.sources.compression import UnpackLimits
from include.sources.defects import reject
from include.sources.detection import is_zip_of_files

_COPY_BYTES = 1 << 20
_NAME_BYTES = 255
_ENCRYPTED = 0x1
_DRIVE = ":"


def unpack(path: Path, folder: Path, limits: UnpackLimits) -> list[str] | None:
    """Unpack an archive into a folder, which is made anew; what macOS adds for itself is left out.

    Args:
        path: Any file.
        folder: Where the members go, under their own names.
        limits: How many and how large they may be.

    Returns:
        The names of the members, with `/` between folders; None if the file is no ZIP archive of files.

    Raises:
        SourceRejected: corrupt_archive, encrypted_archive, unsafe_archive, archive_too_large, empty_archive. Nothing is
            left in the folder then.
        OSError: If the file cannot be read, or the folder not be written.
    """
    if not is_zip_of_files(path):
        return None
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with _readable(), ZipFile(path) as archive:
            members = _members(archive, limits)
            left = limits.allowed(path.stat().st_size)
            for name, member in members.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    left = _copy(source, copy, left, limits.allowed(path.stat().st_size))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return list(members)


def _members(archive: ZipFile, limits: UnpackLimits) -> dict[str, ZipInfo]:
    """Return the files of an archive by name.

    Raises:
        SourceRejected: encrypted_archive, unsafe_archive, archive_too_large, empty_archive.
    """
    found: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")
        if member.is_dir() or name.endswith("/") or name.startswith("__MACOSX/") or name.split("/")[-1] == ".DS_Store":
            continue
        if member.flag_bits & _ENCRYPTED:
            raise reject("encrypted_archive", value=name)
        if problem := _problem(name, member, found):
            raise reject("unsafe_archive", value=name, problem=problem)
        if len(found) == limits.max_members:
            raise reject("archive_too_large", limit=f"{limits.max_members:,} files")
        found[name] = member
    if not found:
        raise reject("empty_archive")
    return found


def _problem(name: str, member: ZipInfo, others: dict[str, ZipInfo]) -> str | None:
    """Return what makes a member unfit to be unpacked."""
    parts = name.split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        return "is a link or a special file"
    if _DRIVE in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
        return "has a name that leads out of the folder"
    if any(len(part.encode()) > _NAME_BYTES for part in parts) or not name.isprintable():
        return "has a name that no file can have here"
    folders = {str(parent) for parent in PurePosixPath(name).parents}
    if name in others or not folders.isdisjoint(others) or any(other.startswith(f"{name}/") for other in others):
        return "has the name of another one"
    return None


def _copy(source: IO[bytes], target: IO[bytes], left: int, allowed: int) -> int:
    """Copy a member and return how many of the bytes `left` are left. The size in its header is not trusted."""
    while piece := source.read(_COPY_BYTES):
        left -= len(piece)
        if left < 0:
            raise reject("archive_too_large", limit=f"{allowed:,} bytes")
        target.write(piece)
    return left


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what damage raises into the refusal of the file."""
    try:
        yield
    except (BadZipFile, NotImplementedError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise reject("corrupt_archive", detail=str(error)) from error
