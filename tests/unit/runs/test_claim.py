"""Claiming: each file once, by name, by content, and again for a retried task."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import pytest

from include.files import sha256_of
from include.runs.folder import RunFolder, RunRecordMissing
from include.runs.landing import (
    UNFINISHED_SUFFIXES,
    claim_drop,
    claim_rebuild,
    has_changed,
    landing,
    put_back,
    waiting_files,
)
from include.runs.marks import batches_of_day, mark_days, mark_published, mark_seen, unpublished_batches
from include.settings import PROJECT_ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, settle_seconds=0)


@pytest.mark.parametrize("name", ["plain.csv", "with space.csv", 'it\'s "quoted".csv', "-dash.csv", "ünï.csv"])
def test_a_file_is_moved_out_of_the_landing_folder_under_its_name(settings: Settings, name: str) -> None:
    (landing(settings) / name).write_bytes(b"content")
    manifest = claim_drop(settings, "run-1")
    assert [file.name for file in manifest.files] == [name]
    assert RunFolder(settings, "run-1").original(name).read_bytes() == b"content"
    assert list(waiting_files(settings)) == []


def test_a_retried_claim_returns_the_first_manifest(settings: Settings) -> None:
    (landing(settings) / "a.csv").write_bytes(b"a")
    first = claim_drop(settings, "run-1")
    (landing(settings) / "b.csv").write_bytes(b"b")
    assert claim_drop(settings, "run-1") == first


def test_a_claim_cut_off_after_the_rename_is_completed_by_its_retry(settings: Settings) -> None:
    run = RunFolder(settings, "run-1")
    run.archive.mkdir(parents=True)
    (run.archive / "a.csv").write_bytes(b"a")
    assert [file.name for file in claim_drop(settings, "run-1").files] == ["a.csv"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_the_landing_folder_may_be_another_file_system(settings: Settings) -> None:
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (settings.data_dir / "landing").symlink_to(elsewhere)
        held = Path(elsewhere) / ".run-1"
        held.mkdir()
        (held / "a.csv").write_bytes(b"claimed by an attempt that was killed")
        (Path(elsewhere) / "b.csv").write_bytes(b"b")
        run = RunFolder(settings, "run-1")
        run.archive.mkdir(parents=True)
        run.original("a.csv").write_bytes(b"claimed by an att")
        assert [file.name for file in claim_drop(settings, "run-1").files] == ["a.csv"]
        assert run.original("a.csv").read_bytes() == b"claimed by an attempt that was killed"
        assert [path.name for path in Path(elsewhere).iterdir()] == ["b.csv"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_a_file_that_is_written_on_while_it_is_copied_is_copied_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    def copied(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        copies.append(target.read_bytes())
        if len(copies) == 1:
            with source.open("ab") as stream:
                stream.write(b" and the rest")

    monkeypatch.setattr("include.runs.landing.shutil.copy2", copied)
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (settings.data_dir / "landing").symlink_to(elsewhere)
        (Path(elsewhere) / "a.csv").write_bytes(b"the begin")
        claim_drop(settings, "run-1")
        assert copies == [b"the begin", b"the begin and the rest"]
        assert RunFolder(settings, "run-1").original("a.csv").read_bytes() == copies[-1]
        assert not list(Path(elsewhere).iterdir())


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system")
def test_a_file_that_cannot_be_copied_stays_and_the_others_are_claimed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(source: Path, target: Path) -> None:
        if source.name == "private.csv":
            raise PermissionError(13, "Permission denied")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("include.runs.landing.shutil.copy2", refused)
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (settings.data_dir / "landing").symlink_to(elsewhere)
        for name in ("a.csv", "private.csv"):
            (Path(elsewhere) / name).write_bytes(name.encode())
        assert [file.name for file in claim_drop(settings, "run-1").files] == ["a.csv"]
        assert [path.name for path in Path(elsewhere).iterdir()] == ["private.csv"]
        assert "private.csv may not be read" in caplog.text


def test_a_repeated_claim_takes_no_newer_file_of_the_same_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (landing(settings) / "daily.csv").write_bytes(b"first")
    with monkeypatch.context() as patched:
        patched.setattr("include.runs.landing.sha256_of", cut_off)
        with pytest.raises(KeyboardInterrupt):
            claim_drop(settings, "run-1")
    (landing(settings) / "daily.csv").write_bytes(b"second")
    claim_drop(settings, "run-1")
    assert RunFolder(settings, "run-1").original("daily.csv").read_bytes() == b"first"
    assert (landing(settings) / "daily.csv").read_bytes() == b"second"


def cut_off(path: Path) -> str:
    raise KeyboardInterrupt


def test_a_name_that_is_not_utf8_is_written_legibly(settings: Settings) -> None:
    Path(os.fsdecode(os.fsencode(landing(settings)) + b"/caf\xe9.csv")).write_bytes(b"x")
    (landing(settings) / "good.csv").write_bytes(b"y")
    claimed = claim_drop(settings, "run-1")
    assert [file.name for file in claimed.files] == ["caf\\xe9.csv", "good.csv"]
    assert RunFolder(settings, "run-1").manifest() == claimed


def test_a_file_that_may_not_be_read_keeps_no_other_from_loading(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (landing(settings) / "locked.csv").write_bytes(b"x")
    (landing(settings) / "open.csv").write_bytes(b"y")

    def denied(path: Path) -> str:
        if path.name == "locked.csv":
            raise PermissionError(13, "Permission denied")
        return sha256_of(path)

    monkeypatch.setattr("include.runs.landing.sha256_of", denied)
    found = {file.name: (file.status, file.problem) for file in claim_drop(settings, "run-1").files}
    assert found == {"locked.csv": ("unreadable", "Permission denied"), "open.csv": ("new", None)}


def test_a_file_that_somebody_is_writing_is_left(settings: Settings) -> None:
    with (landing(settings) / "slow.csv").open("wb") as writer:
        writer.write(b"x")
        writer.flush()
        assert claim_drop(settings, "run-1").files == []
    assert [file.name for file in claim_drop(settings, "run-2").files] == ["slow.csv"]


def test_a_file_written_to_after_its_claim_can_be_put_back(settings: Settings) -> None:
    (landing(settings) / "slow.csv").write_bytes(b"x")
    (claimed,) = claim_drop(settings, "run-1").files
    run = RunFolder(settings, "run-1")
    assert not has_changed(run, claimed)
    with run.original("slow.csv").open("ab") as writer:
        writer.write(b"more")
    assert has_changed(run, claimed)
    (landing(settings) / "slow.csv").write_bytes(b"another file of that name")
    assert put_back(run, claimed) == "slow-2.csv"
    assert (landing(settings) / "slow-2.csv").read_bytes() == b"xmore"


def test_names_that_are_not_there_are_noted(settings: Settings) -> None:
    (landing(settings) / "a.csv").write_bytes(b"x")
    assert claim_drop(settings, "run-1", ["a.csv", "b.csv"]).not_found == ["b.csv"]


def test_a_batch_is_unpublished_until_it_is_published(settings: Settings) -> None:
    first, second = claim_drop(settings, "run-1"), claim_drop(settings, "run-2")
    assert RunFolder(settings, "run-1").note_unpublished(first) == []
    assert RunFolder(settings, "run-2").note_unpublished(second) == [first.batch_id]
    mark_published(settings, first.batch_id)
    # A repeated attempt still says what the first may have taken.
    assert RunFolder(settings, "run-2").note_unpublished(second) == [first.batch_id]
    assert unpublished_batches(settings) == [second.batch_id]


def test_the_same_bytes_under_another_name_are_already_seen(settings: Settings) -> None:
    (landing(settings) / "a.csv").write_bytes(b"same")
    first = claim_drop(settings, "run-1")
    mark_seen(settings, first.files[0].sha256, "run-1")
    (landing(settings) / "b.csv").write_bytes(b"same")
    second = claim_drop(settings, "run-2")
    assert (second.files[0].status, second.files[0].first_run_id) == ("already_seen", "run-1")
    assert not second.has_work


def test_bytes_of_a_run_that_never_finished_are_taken_again(settings: Settings) -> None:
    for number in (1, 2):
        (landing(settings) / "a.csv").write_bytes(b"same")
        assert claim_drop(settings, f"run-{number}").files[0].status == "new"


def test_two_runs_that_claim_at_once_never_share_a_file(settings: Settings) -> None:
    for number in range(200):
        (landing(settings) / f"{number}.csv").write_bytes(str(number).encode())
    with ThreadPoolExecutor(4) as pool:
        manifests = list(pool.map(lambda number: claim_drop(settings, f"run-{number}"), range(4)))
    names = [file.name for manifest in manifests for file in manifest.files]
    assert sorted(names) == sorted(f"{number}.csv" for number in range(200))


@pytest.mark.parametrize("name", ["../a.csv", "/etc/passwd", "", "..", "a/b"])
def test_a_name_with_folders_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a file"):
        claim_drop(settings, "run-1", [name])


@pytest.mark.parametrize("name", [".hidden.csv", "a.csv.PART", "a.csv~", *(f"a{end}" for end in UNFINISHED_SUFFIXES)])
def test_unfinished_files_are_left(settings: Settings, name: str) -> None:
    (landing(settings) / name).write_bytes(b"x")
    assert list(waiting_files(settings)) == []


def test_what_is_no_regular_file_is_left(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_bytes(b"x")
    (landing(settings) / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    (landing(settings) / "folder.csv").mkdir()
    os.mkfifo(landing(settings) / "fifo.csv")
    assert list(waiting_files(settings)) == []


def test_the_documentation_names_what_is_left() -> None:
    text = (PROJECT_ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    assert " ".join(f"`{suffix}`" for suffix in UNFINISHED_SUFFIXES) in text


def test_a_file_still_being_written_is_left(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, settle_seconds=0.3)
    growing = landing(settings) / "a.csv"
    growing.write_bytes(b"x")
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(claim_drop, settings, "run-1")
        while not claimed.done():
            with growing.open("ab") as stream:
                stream.write(b"x")
    assert claimed.result().files == []


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", "a b"])
def test_a_run_id_that_is_no_file_name_is_refused(settings: Settings, run_id: str) -> None:
    with pytest.raises(ValueError, match="not a run id"):
        RunFolder(settings, run_id)


def test_a_missing_record_names_the_task_to_run_again(settings: Settings) -> None:
    with pytest.raises(RunRecordMissing, match="claim_files"):
        RunFolder(settings, "run-1").manifest()


def test_a_rebuild_takes_the_batches_of_its_day(settings: Settings) -> None:
    mark_days(settings, "b1", [date(2010, 12, 1), date(2010, 12, 2)])
    mark_days(settings, "b2", [date(2010, 12, 2)])
    assert batches_of_day(settings, date(2010, 12, 2)) == ["b1", "b2"]
    assert claim_rebuild(settings, "run-1", date(2010, 12, 1)).source_batches == ["b1"]
    assert not claim_rebuild(settings, "run-2", date(2010, 12, 3)).has_work


def zipped(path: Path, **members: bytes) -> Path:
    """Write an archive; a `__` in the name of a member stands for a point."""
    with ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def test_files_of_an_archive_are_claimed_one_by_one(settings: Settings) -> None:
    mark_seen(settings, hashlib.sha256(b"b").hexdigest(), "run-0")
    zipped(landing(settings) / "archive.zip", a__csv=b"a", b__csv=b"b")
    (landing(settings) / "c.csv").write_bytes(b"a")
    manifest = claim_drop(settings, "run-1", ["archive.zip", "c.csv"])
    assert [(file.name, file.bytes, file.status, file.first_run_id) for file in manifest.files] == [
        ("archive.zip/a.csv", 1, "new", None),
        ("archive.zip/b.csv", 1, "already_seen", "run-0"),
        ("c.csv", 1, "already_seen", "run-1"),
    ]
    assert manifest.not_found == []
    run = RunFolder(settings, "run-1")
    assert run.original("archive.zip/a.csv").read_bytes() == b"a"
    assert run.original("archive.zip").is_file()


def test_a_claim_cut_off_while_it_unpacks_is_completed_by_its_retry(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(landing(settings) / "archive.zip", a__csv=b"a", b__csv=b"b")
    with monkeypatch.context() as patched:
        patched.setattr("include.runs.landing.sha256_of", cut_off)
        with pytest.raises(KeyboardInterrupt):
            claim_drop(settings, "run-1")
    assert [file.name for file in claim_drop(settings, "run-1").files] == ["archive.zip/a.csv", "archive.zip/b.csv"]


def test_an_archive_that_cannot_be_unpacked_stays_one_file(settings: Settings) -> None:
    zipped(landing(settings) / "evil.zip", **{"../a": b"a"})
    (landing(settings) / "good.csv").write_bytes(b"b")
    files = claim_drop(settings, "run-1").files
    assert [(file.name, file.status) for file in files] == [("evil.zip", "new"), ("good.csv", "new")]


def test_an_archive_written_to_after_its_claim_is_put_back_as_a_whole(settings: Settings) -> None:
    zipped(landing(settings) / "archive.zip", a__csv=b"a", b__csv=b"b")
    first, second = claim_drop(settings, "run-1").files
    run = RunFolder(settings, "run-1")
    assert not has_changed(run, first)
    zipped(run.original("archive.zip"), a__csv=b"a", b__csv=b"b", c__csv=b"c")
    os.utime(run.original("archive.zip"), ns=(1, 1))
    assert has_changed(run, first)
    assert has_changed(run, second)
    assert put_back(run, first) == "archive.zip"
    assert not run.original(second.name).exists()
    assert [path.name for path in waiting_files(settings)] == ["archive.zip"]
    assert len(claim_drop(settings, "run-2").files) == 3
