"""Backing up, losing everything or a part of it, restoring, and comparing to the row."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from include.backup import BackupFailed, back_up, list_backups, restore
from include.backup.manifest import MANIFEST, BackupDamaged, read_manifest
from include.failover import (
    SIDES,
    check_integrity,
    compare_sides,
    known_batches,
    replica_link,
)
from include.lake.in_use import LakeNotFree, lake_alone, lake_in_use
from include.operate import main
from include.pipeline import receipt
from include.runs.folder import RunFolder
from include.runs.marks import mark_unpublished
from include.settings import Settings, get_settings
from tests.support.backups import destroy, everything
from tests.support.batches import batch, lines_of
from tests.support.lake import Lake
from tests.support.processes import environment
from tests.support.sides import contents
from tests.support.steps import publish


def test_everything_lost_comes_back_to_the_row(lake: Lake, settings: Settings) -> None:
    before = everything(settings)
    made = back_up(settings)
    assert made.warnings == []
    assert (made.rows, made.batches, made.audit_entries, made.newest_batch) == (80, 2, 3, batch(2))
    destroy(settings)
    done = restore(settings)
    assert done.whole
    assert {name: (part.rows, part.differences) for name, part in done.parts.items()} == {
        name: (80, []) for name in ("primary", "replica", "gold")
    }
    assert everything(settings) == before
    assert before["primary"] == before["replica"] == before["gold"]
    assert done.audit_entries == 3
    assert all(check_integrity(settings, side).whole for side in SIDES)
    assert compare_sides(settings).whole
    with closing(sqlite3.connect(replica_link(settings))) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    third = publish(settings, lake.drop(3, lines_of(20, start=70)))
    assert third is not None
    assert (third.warehouse, third.warnings) == ("primary", [])
    assert compare_sides(settings).whole


def test_the_command_line_makes_lists_and_restores(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, Any]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    try:
        assert run("backup")[0] == 0
        code, listed = run("backups")
        assert (code, len(listed["backups"]), listed["backups"][0]["damage"]) == (0, 1, [])
        assert listed["backups"][0]["rows"] == 80
        code, said = run("restore")
        assert code == 1
        assert "--replace" in said
        assert "the primary, the replica, the lake, the records of the runs" in said
        name = listed["backups"][0]["name"]
        code, restored = run("restore", name, "--replace")
        assert (code, restored["backup"], restored["parts"]["primary"]["differences"]) == (0, name, [])
        code, said = run("restore", "../elsewhere", "--replace")
        assert code == 1
        assert name in said
    finally:
        get_settings.cache_clear()


def test_a_run_in_flight_goes_on_where_it_was(lake: Lake, undisturbed: Lake, settings: Settings) -> None:
    run_id = lake.drop(3, lines_of(20, start=80))
    mark_unpublished(settings, batch(3))
    run = RunFolder(settings, run_id)
    run.archive.mkdir(parents=True)
    run.original("3.csv").write_text("a,b")
    os.utime(run.original("3.csv"), ns=(1_700_000_000_123_456_789,) * 2)
    made = back_up(settings)
    assert made.in_flight == ["run_3"]
    assert (made.rows, made.warnings) == (80, [])
    publish(settings, run_id)
    destroy(settings)
    shutil.rmtree(settings.data_dir / "archive")
    done = restore(settings)
    assert (done.whole, done.in_flight, done.drop_again) == (True, ["run_3"], [])
    assert run.original("3.csv").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert contents(settings, "primary") == contents(settings, "replica")
    assert list(known_batches(settings)) == [batch(1), batch(2)]
    found = publish(settings, run_id)
    assert found is not None
    assert found.facts_loaded == 20
    receipt(settings, run_id)
    assert compare_sides(settings).whole
    assert contents(settings, "primary") == contents(settings, None)


def test_an_older_backup_takes_everything_back_and_says_what_to_drop_again(lake: Lake, settings: Settings) -> None:
    before = everything(settings)
    back_up(settings)
    run_id = lake.drop(3, lines_of(20, start=80))
    archive = RunFolder(settings, run_id).archive
    archive.mkdir(parents=True)
    (archive / "3.csv").write_text("later")
    publish(settings, run_id)
    with pytest.raises(BackupFailed, match="--replace"):
        restore(settings)
    done = restore(settings, replace=True)
    assert (done.whole, done.drop_again) == (True, [run_id])
    assert (archive / "3.csv").read_text() == "later"
    assert everything(settings) == before
    assert not list(settings.data_dir.rglob(".restore"))
    assert len(list(settings.replica.glob("warehouse-*.sqlite"))) == 1


HARMS: dict[str, Callable[[Path], object]] = {
    "audit.jsonl has other content": lambda folder: flip(folder / "audit.jsonl"),
    "lake/gold/fact_sales/.* has other content": lambda folder: flip(
        replaced(next((folder / "lake/gold/fact_sales").rglob("*.parquet")))
    ),
    "data/runs/run_1/manifest.json is missing": lambda folder: (folder / "data/runs/run_1/manifest.json").unlink(),
    "batches.jsonl has 10 bytes": lambda folder: os.truncate(folder / "batches.jsonl", 10),
    "data/more is not in the manifest": lambda folder: (folder / "data" / "more").write_text("1"),
    "no readable manifest": lambda folder: os.truncate(folder / MANIFEST, 100),
}


def replaced(path: Path) -> Path:
    """Give a file that shares its bytes with the lake bytes of its own."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("said", HARMS)
def test_a_damaged_backup_is_refused_and_an_older_whole_one_taken(lake: Lake, settings: Settings, said: str) -> None:
    older = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    newer = back_up(settings)
    before = everything(settings)
    HARMS[said](newer.path)
    with pytest.raises(BackupDamaged, match=said):
        restore(settings, newer.path.name, replace=True)
    assert everything(settings) == before
    listed = list_backups(settings)
    assert [bool(entry.damage) for entry in listed.backups] == [True, False]
    assert not listed.whole
    done = restore(settings, replace=True)
    assert (done.backup, done.whole, done.parts["primary"].rows) == (older.path.name, True, 80)


def test_publishes_beside_backups_are_in_them_whole_or_not_at_all(lake: Lake, settings: Settings) -> None:
    size = 300
    stop = threading.Event()
    published: list[int] = [1, 2]

    def go_on() -> None:
        for number in range(3, 40):
            if stop.is_set():
                return
            mark_unpublished(settings, batch(number))  # as Silver does, before anything of a batch is in Gold
            publish(settings, lake.drop(number, lines_of(size, start=100 + number * size)))
            published.append(number)

    publisher = threading.Thread(target=go_on)
    publisher.start()
    made = []
    for _ in range(4):
        time.sleep(0.3)
        made.append(back_up(settings))
    stop.set()
    publisher.join()
    counts = [entry.rows for entry in made]
    assert len(set(counts)) > 1
    for entry in made:
        assert entry.warnings == []
        assert entry.rows == 80 + (entry.batches - 2) * size
    after = {side: contents(settings, side) for side in SIDES}
    assert restore(settings, made[0].path.name, replace=True, only_primary=True).whole
    assert {side: contents(settings, side) for side in SIDES} == after
    assert len(known_batches(settings)) == len(published)
    last = restore(settings, made[-1].path.name, replace=True)
    assert last.whole
    assert last.parts["primary"].rows == last.parts["replica"].rows == counts[-1]
    assert compare_sides(settings).whole


def test_the_newest_are_kept_and_never_the_only_whole_one_deleted(settings: Settings) -> None:
    keeping = settings.model_copy(update={"backup_keep": 2})
    first = back_up(keeping).path.name
    second = back_up(keeping).path.name
    assert back_up(keeping).deleted == [first]
    newest = list_backups(settings).backups[0].name
    for name in (second, newest):
        (settings.backups / name / "audit.jsonl").unlink()
    fourth = back_up(keeping)
    assert fourth.deleted == []  # of three, two are damaged
    assert [entry.name for entry in list_backups(settings).backups] == [fourth.path.name, newest, second]
    fifth = back_up(keeping)
    assert sorted(fifth.deleted) == sorted([newest, second])
    young = settings.model_copy(update={"backup_keep": 1, "backup_keep_days": 1})
    assert back_up(young).deleted == []
    only = settings.model_copy(update={"backup_keep": 1})
    sixth = back_up(only)
    assert [entry.name for entry in list_backups(settings).backups] == [sixth.path.name]


def test_gold_that_is_not_what_the_manifest_says_is_not_put_in_place(settings: Settings) -> None:
    made = back_up(settings)
    manifest = read_manifest(made.path)
    day = min(manifest.star.days)
    manifest.star.days[day] = manifest.star.days[day].model_copy(update={"digest": "0" * 64})
    (made.path / MANIFEST).write_text(manifest.model_dump_json())
    before = everything(settings)
    with pytest.raises(BackupFailed, match=f"differs from its manifest: {day}"):
        restore(settings, replace=True)
    assert everything(settings) == before


def test_a_restore_and_the_steps_of_runs_exclude_each_other(lake: Lake, settings: Settings) -> None:
    back_up(settings)
    before = everything(settings)
    with lake_in_use(settings), lake_in_use(settings):
        with pytest.raises(BackupFailed, match="A step of a run is at work"):
            restore(settings, replace=True)
        assert back_up(settings).rows == 80
    assert everything(settings) == before
    with lake_alone(settings), pytest.raises(LakeNotFree, match="is being restored"), lake_in_use(settings, 0.3):
        pass
    assert restore(settings, replace=True).whole
