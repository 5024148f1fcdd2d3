"""Files that appear whole, their hashes, and locks between processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside `path` to write to; its file becomes `path` when the block ends without an error.

    A reader sees the old content or the new, never a part. The folder is made if absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace the content of a file whole.

    Args:
        path: The file; made if absent, with its folder.
        text: Its new content.
        mode: Its permissions, less what the process's umask takes away.
    """
    with replacing(path) as partial:
        partial.touch(mode)
        partial.write_text(text, encoding="utf-8")


def write_durably(path: Path, text: str) -> None:
    """Replace the content of a file whole, so that it survives a power cut from the return of this function on."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
        flush(partial)
    flush(path.parent)


def flush(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_to_free_name(source: Path, target: Path) -> Path:
    """Move a file to `target`, or to `target` with `-2`, `-3`, ... before its suffix if that is taken.

    Returns:
        Where it is now. No other file is replaced.
    """
    free, number = target, 1
    while True:
        try:
            os.link(source, free)  # fails if the name is taken, unlike a rename
        except FileExistsError:
            pass
        except OSError:  # another file system, or somebody else's file, to which the system allows no second name
            if not free.exists():
                shutil.move(source, free)
                return free
        else:
            source.unlink()
            return free
        number += 1
        free = target.with_stem(f"{target.stem}-{number}")


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock(path: Path, seconds: float) -> AbstractContextManager[object]:
    """Take the lock that a file stands for: one holder at a time on the host.

    It is released at the end of the `with` block, or by the system when its holder dies.

    Args:
        path: The file; made if absent, with its folder.
        seconds: How long to wait for the present holder.

    Raises:
        TimeoutError: If it is held for longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(path, thread_local=False).acquire(timeout=seconds, poll_interval=0.02)
    except Timeout:
        raise TimeoutError(
            f"Another process has held {path} for {seconds:.0f} seconds. See what it does, or end it."
        ) from None
