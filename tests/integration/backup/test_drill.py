from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pydantic import SecretStr

from include.failover import (
    SIDES,
    StateFile,
    check_integrity,
    compare_sides,
    known_batches,
    open_side,
    refresh_replica,
    replica_link,
    serving_side,
)
from include.files import write_durably
from include.operate import main
from include.pipeline import receipt
from include.runs.folder import RunFolder
from include.runs.marks import mark_unpublished
from include.settings import PROJECT_ROOT, Settings, get_settings
from include.warehouse import (
    GoldUnreadable,
    WarehouseUnavailable,
    current_revision,
    downgrade,
    open_engine,
    recorded_batches,
    transaction,
    upgrade,
)
from include.warehouse.backup import lake as lake_parts
from include.warehouse.backup import programs, restoring
from include.warehouse.backup.making import back_up
from include.warehouse.backup.manifest import MANIFEST, BackupDamaged, BackupFailed, list_backups, read_manifest
from include.warehouse.backup.restoring import restore, resume
from tests.support.batches import Line, batch, lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.sides import contents
from tests.support.steps import publish

DAY = date(2010, 12, 2)


@pytest.fixture(autouse=True)
def published(lake: Lake, settings: Settings) -> None:
    for number, start in ((1, 0), (2, 40)):
        publish(settings, lake.drop(number, lines_of(40, start=start)))
        receipt(settings, f"run_{number}")


def everything(settings: Settings) -> dict[str, Any]:
    """Return the row hashes of all three, the batches and receipts of both sides, and the record."""
    found: dict[str, Any] = {side: contents(settings, side) for side in SIDES} | {"gold": contents(settings, None)}
    for side in SIDES:
        with open_side(settings, side) as connection:
            found[f"{side} batches"] = recorded_batches(connection)
            schema = "retail_dwh." if side == "primary" else ""
            query = f"SELECT run_id, amount_loaded FROM {schema}etl_receipt ORDER BY 1"
            found[f"{side} receipts"] = [row[0] for row in connection.exec_driver_sql(query)]
    record = StateFile(settings).read()
    files = {
        path: path.read_bytes() for name in ("runs", "receipts") for path in (settings.data_dir / name).rglob("*.json")
    }
    return found | {"state": record.state, "open": record.batches, "files": files}


def destroy(settings: Settings) -> None:
    """Lose the schema, the replica, the lake and the records."""
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("DROP SCHEMA retail_dwh CASCADE")
        connection.exec_driver_sql("DROP SCHEMA retail_staging CASCADE")
    shutil.rmtree(settings.replica)
    shutil.rmtree(settings.data_dir / "lake")
    for name in ("runs", "receipts"):
        shutil.rmtree(settings.data_dir / name)


def test_everything_lost_comes_back_to_the_row(lake: Lake, settings: Settings) -> None:
    before = everything(settings)
    made = back_up(settings)
    assert made.warnings == []
    assert made.parts == {"primary": 80, "replica": 80, "gold": 80}
    assert made.newest_batch == batch(2)
    destroy(settings)
    done = restore(settings)
    assert done.whole
    assert {name: (part.rows, part.differences) for name, part in done.parts.items()} == {
        name: (80, []) for name in ("primary", "replica", "gold")
    }
    assert everything(settings) == before
    assert before["primary"] == before["replica"] == before["gold"]
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
        assert run("restore", "--resume") == (0, {"backup": None, "outcome": "left"})
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
    assert made.parts == {"primary": 80, "replica": 80, "gold": 100}
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


@pytest.mark.parametrize("replica_there", [True, False])
def test_a_primary_older_than_gold_is_caught_up(lake: Lake, settings: Settings, replica_there: bool) -> None:
    made = back_up(settings)
    of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    publish(settings, lake.rebuild(4, DAY, [*of_day[1:], Line(sold_at=datetime(2010, 12, 2, 23, 1), quantity=99)]))
    before = {side: contents(settings, side) for side in SIDES}
    if not replica_there:
        shutil.rmtree(settings.replica)
    done = restore(settings, made.path.name, replace=True, only_primary=True)
    assert done.parts["primary"].differences == []
    assert done.caught_up is not None
    assert (done.caught_up.batches, done.caught_up.differences) == ([batch(3), batch(4)], [])
    assert serving_side(settings) == "primary"
    assert {side: contents(settings, side) for side in SIDES} == before
    assert compare_sides(settings).whole


def test_until_it_is_caught_up_a_restored_primary_does_not_serve(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))

    def away(_: Settings) -> None:
        raise GoldUnreadable("Gold is away.")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "catch_up", away)
        done = restore(settings, made.path.name, replace=True, only_primary=True)
    assert "Gold is away." in done.warnings[0]
    assert serving_side(settings) == "replica"
    found = publish(settings, lake.drop(4, lines_of(20, start=100)))
    assert found is not None
    assert found.warnings == ["The primary was caught up with 1 batches and serves again."]
    assert compare_sides(settings).whole


HARMS: dict[str, Callable[[Path], object]] = {
    "primary.dump has other content": lambda folder: flip(folder / "primary.dump"),
    "replica/warehouse.sqlite has other content": lambda folder: flip(folder / "replica" / "warehouse.sqlite"),
    "data/runs/run_1/manifest.json is missing": lambda folder: (folder / "data/runs/run_1/manifest.json").unlink(),
    "primary.dump has 10 bytes": lambda folder: os.truncate(folder / "primary.dump", 10),
    "data/more is not in the manifest": lambda folder: (folder / "data" / "more").write_text("1"),
    "no readable manifest": lambda folder: os.truncate(folder / MANIFEST, 100),
}


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


def environment(settings: Settings) -> dict[str, str]:
    return {
        "RETAIL_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "RETAIL_PRIMARY_PATIENCE_SECONDS": "2",
    }


DYING = """
import os, signal, sys
from include.settings import Settings
from include.failover import replica

from include.warehouse.backup import lake, making, manifest, primary, restoring

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

what, module, name, number = sys.argv[1:]
calls = []
real = getattr(sys.modules[module], name)
def dying(*arguments, **named):
    calls.append(1)
    if len(calls) == int(number):
        die()
    return real(*arguments, **named)
setattr(sys.modules[module], name, dying)
if what == "backup":
    making.back_up(Settings())
else:
    restoring.restore(Settings(), replace=True)
"""


def die_in(settings: Settings, what: str, module: str, name: str, number: int = 1) -> None:
    """Make a process back up or restore, and kill itself when it calls a function for the `number`-th time."""
    done = subprocess.run(
        [sys.executable, "-c", DYING, what, module, name, str(number)],
        env=os.environ | environment(settings) | {"PYTHONPATH": str(PROJECT_ROOT)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("include.warehouse.backup.making", "_copy_replica"),
        ("include.warehouse.backup.primary", "dump"),
        ("include.warehouse.backup.lake", "_copy_log"),
        ("include.warehouse.backup.making", "write_durably"),
        ("include.warehouse.backup.making", "described"),
        ("include.warehouse.backup.making", "flush"),
    ],
)
def test_killed_while_it_backs_up_it_leaves_no_half_backup(settings: Settings, module: str, name: str) -> None:
    whole = back_up(settings).path.name
    before = everything(settings)
    die_in(settings, "backup", module, name)
    listed = list_backups(settings)
    assert listed.whole
    assert [entry.name for entry in listed.backups][-1] == whole
    assert len(listed.backups) + len(listed.unfinished) == 2
    assert everything(settings) == before
    back_up(settings)
    assert list_backups(settings).unfinished == []


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        ("include.warehouse.backup.restoring", "_copied", 3),
        ("include.warehouse.backup.restoring", "_fill_archive", 1),
        ("include.warehouse.backup.primary", "_copy_rows", 1),
        ("include.warehouse.backup.primary", "differences", 1),
        ("include.warehouse.backup.restoring", "write_durably", 2),
    ],
)
def test_killed_before_its_commit_a_restore_leaves_the_old_state(
    lake: Lake, settings: Settings, module: str, name: str, number: int
) -> None:
    back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    before = everything(settings)
    die_in(settings, "restore", module, name, number)
    assert everything(settings) == before
    found = publish(settings, lake.drop(4, lines_of(20, start=100)))
    assert found is not None
    assert (found.warehouse, found.warnings) == ("primary", [])
    assert compare_sides(settings).whole
    assert restore(settings, replace=True).whole
    assert not list(settings.data_dir.rglob(".restore"))


@pytest.mark.parametrize("point", ["_put_in_place", "first move", "replica"])
def test_killed_after_its_commit_a_restore_is_finished(lake: Lake, settings: Settings, point: str) -> None:
    before = everything(settings)
    back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    match point:
        case "first move":
            die_in(settings, "restore", "include.warehouse.backup.restoring", "flush")
        case "replica":
            die_in(settings, "restore", "include.failover.replica", "put_in_place")
        case _:
            die_in(settings, "restore", "include.warehouse.backup.restoring", point)
    with pytest.raises(WarehouseUnavailable, match="--resume"):
        refresh_replica(settings)
    with pytest.raises(WarehouseUnavailable, match="--resume"):
        back_up(settings)
    assert resume(settings).outcome == "restored"
    assert everything(settings) == before
    assert compare_sides(settings).whole
    assert resume(settings).backup is None


def test_a_restore_noted_and_never_committed_is_taken_back(
    lake: Lake, settings: Settings, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    before = everything(settings)
    real = write_durably

    def cut(path: Path, text: str) -> None:
        real(path, text)
        if path.name == "restore.json":
            victim.kill()

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "write_durably", cut)
        with pytest.raises(WarehouseUnavailable, match="did not say whether it took"):
            restore(settings, replace=True)
    with pytest.raises(WarehouseUnavailable, match=r"cannot be told|does not answer"):
        resume(settings)
    victim.start()
    assert resume(settings).outcome == "left"
    assert everything(settings) == before
    assert not list(settings.data_dir.rglob(".restore"))


def test_publishes_beside_backups_are_in_them_whole_or_not_at_all(lake: Lake, settings: Settings) -> None:
    size = 300
    stop = threading.Event()
    published: list[int] = [1, 2]

    def go_on() -> None:
        for number in range(3, 40):
            if stop.is_set():
                return
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
        manifest = read_manifest(entry.path)
        assert manifest.primary is not None
        assert manifest.replica is not None
        assert manifest.primary.days == manifest.replica.days
        assert manifest.primary.newest_batch == manifest.replica.newest_batch
        assert entry.warnings == []
    after = {side: contents(settings, side) for side in SIDES}
    done = restore(settings, made[0].path.name, replace=True, only_primary=True)
    assert done.caught_up is not None
    assert len(done.caught_up.batches) == len(published) - (counts[0] - 80) // size - 2
    assert {side: contents(settings, side) for side in SIDES} == after
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
        (settings.backups / name / "primary.dump").unlink()
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


def test_without_its_primary_the_rest_is_backed_up_and_fills_it_again(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    with victim.down():
        with pytest.raises(WarehouseUnavailable, match="--without-primary"):
            back_up(settings)
        assert list_backups(settings).backups == []
        publish(settings, lake.drop(3, lines_of(20, start=80)))
        made = back_up(settings, without_primary=True)
        assert "primary was left out" in made.warnings[0]
        assert made.parts == {"replica": 100, "gold": 100}
    before = contents(settings, "replica")
    destroy(settings)
    done = restore(settings)
    assert done.caught_up is not None
    assert done.caught_up.batches == [batch(1), batch(2), batch(3)]
    assert done.whole
    assert contents(settings, "primary") == contents(settings, "replica") == before
    assert serving_side(settings) == "primary"


def test_a_damaged_replica_is_left_out_and_made_anew(settings: Settings) -> None:
    before = contents(settings, "replica")
    replica_link(settings).resolve().write_bytes(b"no database")
    made = back_up(settings)
    assert "replica" not in made.parts
    destroy(settings)
    done = restore(settings)
    assert done.warnings == ["The replica was made anew from Gold."]
    assert contents(settings, "replica") == before


def test_a_warehouse_that_is_a_file_alone(make: Callable[[str], Lake]) -> None:
    there = make("alone")
    there.settings = there.settings.model_copy(update={"database_type": "sqlite", "database_url": SecretStr("")})
    publish(there.settings, there.drop(1, lines_of(40)))
    before = contents(there.settings, "replica")
    made = back_up(there.settings)
    assert (made.parts, made.warnings, made.rows) == ({"replica": 40, "gold": 40}, [], 40)
    publish(there.settings, there.drop(2, lines_of(40, start=40)))
    done = restore(there.settings, replace=True)
    assert done.whole
    assert contents(there.settings, "replica") == before


def test_an_older_migration_is_restored_and_brought_to_the_newest(settings: Settings) -> None:
    before = contents(settings, "primary")
    downgrade(settings, "0003")
    made = back_up(settings)
    manifest = read_manifest(made.path)
    assert manifest.primary is not None
    assert manifest.primary.version == "0003"
    newest = upgrade(settings)
    assert restore(settings, replace=True).whole
    with open_side(settings, "primary") as connection:
        assert current_revision(connection, settings) == newest
    assert contents(settings, "primary") == before


def test_keys_and_indices_are_as_before_and_what_is_not_the_warehouses_stays(settings: Settings) -> None:
    def schema() -> list[tuple[Any, ...]]:
        with open_side(settings, "primary") as connection:
            return [
                tuple(row)
                for row in connection.exec_driver_sql(
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                    "WHERE connamespace = 'retail_dwh'::regnamespace UNION ALL "
                    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'retail_dwh' "
                    "ORDER BY 1, 2"
                )
            ]

    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE retail_dwh.notes AS SELECT 'mine' AS text")
        connection.exec_driver_sql("CREATE VIEW public.mine AS SELECT count(*) AS rows FROM retail_dwh.fact_sales")
    before = schema()
    back_up(settings)
    restore(settings, replace=True)
    assert schema() == before
    with open_side(settings, "primary") as connection:
        assert connection.exec_driver_sql("SELECT text FROM retail_dwh.notes").scalar_one() == "mine"
        assert connection.exec_driver_sql("SELECT rows FROM public.mine").scalar_one() == 80


def test_a_dump_that_is_not_what_the_manifest_says_is_not_committed(settings: Settings) -> None:
    made = back_up(settings)
    manifest = read_manifest(made.path)
    assert manifest.primary is not None
    day = min(manifest.primary.days)
    manifest.primary.days[day] = manifest.primary.days[day].model_copy(update={"digest": "0" * 64})
    (made.path / MANIFEST).write_text(manifest.model_dump_json())
    before = everything(settings)
    with pytest.raises(BackupFailed, match=f"differs from the backup: {day}"):
        restore(settings, replace=True)
    assert everything(settings) == before


def test_in_an_object_store_tables_are_taken_back_by_version(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "local_lake", None)
    before = {side: contents(settings, side) for side in (*SIDES, None)}
    made = back_up(settings)
    manifest = read_manifest(made.path)
    assert manifest.lake == "versions"
    assert not (made.path / "lake").exists()
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    version = DeltaTable(settings.table("gold", "fact_sales")).version()
    done = restore(settings, replace=True)
    assert done.whole
    assert {side: contents(settings, side) for side in (*SIDES, None)} == before
    table = DeltaTable(settings.table("gold", "fact_sales"))
    assert table.version() == version + 1
    assert table.history(1)[0]["operation"] == "RESTORE"
    manifest.tables["gold/fact_sales"] = 99
    with pytest.raises(BackupFailed, match="cannot be taken back to version 99"):
        lake_parts.require_versions(settings, manifest.tables)


def test_files_of_a_local_lake_are_shared_and_only_live_ones_are_there(lake: Lake, settings: Settings) -> None:
    made = back_up(settings)
    source = DeltaTable(settings.table("gold", "dim_product"))
    copied = DeltaTable(str(made.path / "lake" / "gold" / "dim_product"))
    assert copied.version() == source.version()
    files = list((made.path / "lake" / "gold" / "dim_product").glob("*.parquet"))
    assert len(files) == len(source.file_uris())
    assert all(path.stat().st_nlink == 2 for path in files)
    assert len(list((settings.data_dir / "lake" / "gold" / "dim_product").glob("*.parquet"))) > len(files)


def test_a_pg_dump_older_than_the_server_is_refused_before_anything_is_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n")
    old.chmod(0o755)
    monkeypatch.setattr(programs, "_candidates", lambda name: iter([old]))
    with pytest.raises(BackupFailed, match=r"PostgreSQL 18 or newer is needed: .* is of version 15\. Install it"):
        back_up(settings)
    assert list_backups(settings).backups == []
    monkeypatch.setattr(programs, "_candidates", lambda name: iter(()))
    with pytest.raises(BackupFailed, match="there is none"):
        back_up(settings)


def test_the_password_is_on_no_command_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    real = subprocess.Popen

    def listening(command: list[str], **named: Any) -> Any:
        seen.append([str(word) for word in command])
        return real(command, **named)

    monkeypatch.setattr(subprocess, "Popen", listening)
    back_up(settings)
    url = settings.database_url.get_secret_value()
    password = url.partition("retail:")[2].partition("@")[0]
    assert any("pg_dump" in command[0] for command in seen)
    assert all(password not in word for command in seen for word in command)
