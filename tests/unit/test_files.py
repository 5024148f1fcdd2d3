"""Writes, hashes and locks."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from include.files import lock, move_to_free_name, replacing, sha256_of, write_atomically, write_durably
from include.settings import PROJECT_ROOT

HOLDER = """
import sys
from pathlib import Path
from include.files import lock
with lock(Path(sys.argv[1]), 10):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("write", [write_atomically, write_durably])
@pytest.mark.parametrize("name", ["a.json", "x" * 255])
def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(
    tmp_path: Path, write: Callable[[Path, str], None], name: str
) -> None:
    path = tmp_path / "new folder" / name
    for text in ("first", "second, with £"):
        write(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_what_is_cut_off_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def cut_off() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_readable_by_its_owner_alone_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_atomically(path, "secret", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_writers_at_once_leave_the_content_of_one_of_them(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.json", [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_atomically(path, text), texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_moved_file_replaces_no_other(tmp_path: Path) -> None:
    for number, name in enumerate(["a.csv", "a-2.csv", "a-3.csv"]):
        source = tmp_path / "source"
        source.write_text(str(number))
        assert move_to_free_name(source, tmp_path / "a.csv") == tmp_path / name
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.csv": "0",
        "a-2.csv": "1",
        "a-3.csv": "2",
    }


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_a_file_moves_to_another_file_system_too(tmp_path: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (Path(elsewhere) / "a.csv").write_text("taken")
        source = tmp_path / "source"
        source.write_text("x")
        assert move_to_free_name(source, Path(elsewhere) / "a.csv").name == "a-2.csv"
        assert (Path(elsewhere) / "a-2.csv").read_text() == "x"
        assert not source.exists()


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(1 << 21))
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_lock_has_one_holder_and_is_free_when_that_dies(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TimeoutError, match=f"Another process has held {path}"):
            lock(path, 0.1)
        holder.kill()
        with lock(path, 10):
            pass
    with lock(path, 0):
        pass
