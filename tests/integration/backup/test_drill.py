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
from sqlalchemy import func, select

from include.backup import BackupFailed, back_up, list_backups, restore, restoring
from include.backup.manifest import MANIFEST, BackupDamaged, read_manifest
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
from include.lake.in_use import LakeNotFree, lake_alone, lake_in_use
from include.operate import main
from include.pipeline import publish, receipt
from include.runs import RunFolder, mark_unpublished
from include.settings import PROJECT_ROOT, Settings, get_settings
from include.warehouse import (
    AuditEntry,
    GoldUnreadable,
    WarehouseUnavailable,
    open_engine,
    recorded_batches,
    save_entries,
    star_table,
    transaction,
)
from tests.integration.failover.lake import Lake
from tests.integration.failover.servers import Victim
from tests.integration.failover.test_failover import contents
from tests.integration.warehouse.batches import Line, batch, lines_of

DAY = date(2010, 12, 2)


@pytest.fixture(autouse=True)
def published(lake: Lake, settings: Settings) -> None:
    for number, start in ((1, 0), (2, 40)):
        publish(settings, lake.drop(number, lines_of(40, start=start)))
        receipt(settings, f"run_{number}")
    with open_engine(settings) as engine, transaction(engine) as connection:
        save_entries(connection, AUDITED)


AUDITED = [
    AuditEntry(
        username="ann\u00e9",
        address="10.0.0.1",
        action="POST /api/v1/files",
        target=f"/api/v1/files?n={number}",
        outcome="done",
        status=201,
        details={"files": [f"{number}.csv"], "rows": number},
    )
    for number in range(3)
]


def everything(settings: Settings) -> dict[str, Any]:
    """Return the row hashes of all three, the batches and receipts of both sides, and the record."""
    found: dict[str, Any] = {side: contents(settings, side) for side in SIDES} | {"gold": contents(settings, None)}
    with open_side(settings, "primary") as connection:
        trail = star_table("etl_audit")
        found["audit"] = [tuple(row) for row in connection.execute(select(trail).order_by(trail.c.audit_id))]
    for side in SIDES:
        with open_side(settings, side) as connection:
            found[f"{side} batches"] = recorded_batches(connection)
            schema = "retail_dwh." if side == "primary" else ""
            for table in ("etl_receipt", "etl_quality"):
                query = f"SELECT * FROM {schema}{table} ORDER BY 1, 2, 3"
                found[f"{side} {table}"] = [tuple(row) for row in connection.exec_driver_sql(query)]
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


@pytest.mark.parametrize("replica_there", [True, False])
def test_a_primary_alone_is_made_from_the_gold_in_use(lake: Lake, settings: Settings, replica_there: bool) -> None:
    made = back_up(settings)
    of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    publish(settings, lake.rebuild(4, DAY, [*of_day[1:], Line(sold_at=datetime(2010, 12, 2, 23, 1), quantity=99)]))
    before = everything(settings)
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("DROP SCHEMA retail_dwh CASCADE")
    if not replica_there:
        shutil.rmtree(settings.replica)
    done = restore(settings, made.path.name, only_primary=True)
    assert (done.whole, done.parts["primary"].rows, done.warnings) == (
        True,
        100,
        [] if replica_there else ["The replica was made again from Gold."],
    )
    assert serving_side(settings) == "primary"
    assert everything(settings) == before
    assert compare_sides(settings).whole


def test_until_it_is_caught_up_a_primary_that_was_made_alone_does_not_serve(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(settings)

    def away(_: Settings) -> None:
        raise GoldUnreadable("Gold is away.")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "catch_up", away)
        done = restore(settings, made.path.name, replace=True, only_primary=True)
    assert "Gold is away." in done.warnings[0]
    assert serving_side(settings) == "replica"
    found = publish(settings, lake.drop(4, lines_of(20, start=100)))
    assert found is not None
    assert found.warnings == ["The primary was caught up with 0 batches and serves again."]
    assert compare_sides(settings).whole


def test_audit_entries_that_were_written_since_stay(settings: Settings) -> None:
    back_up(settings)
    later = AuditEntry(
        username="bob", address="10.0.0.2", action="DELETE /x", target="/x", outcome="refused", status=403
    )
    with open_engine(settings) as engine, transaction(engine) as connection:
        save_entries(connection, [later])
        connection.exec_driver_sql(f"DELETE FROM retail_dwh.etl_audit WHERE audit_id = '{AUDITED[0].audit_id}'")
    restore(settings, replace=True)
    with open_side(settings, "primary") as connection:
        found = set(connection.execute(select(star_table("etl_audit").c.audit_id)).scalars())
    assert found == {entry.audit_id for entry in [*AUDITED, later]}


@pytest.mark.parametrize("lost", [True, False])
def test_audit_entries_that_waited_for_the_primary_wait_again(settings: Settings, lost: bool) -> None:
    path = settings.api / "audit.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as waiting, waiting:
        waiting.execute("CREATE TABLE entry (id TEXT PRIMARY KEY, at REAL, state TEXT, document TEXT)")
        waiting.executemany("INSERT INTO entry VALUES (?, 1, ?, '{}')", [("a", "closed"), ("b", "open")])
    back_up(settings)
    if lost:
        path.unlink()
    else:
        with closing(sqlite3.connect(path)) as waiting, waiting:
            waiting.execute("DELETE FROM entry")
            waiting.execute("INSERT INTO entry VALUES ('c', 2, 'open', '{}')")
    restore(settings, replace=True)
    with closing(sqlite3.connect(path)) as waiting:
        found = [row[0] for row in waiting.execute("SELECT id FROM entry ORDER BY 1")]
    assert found == (["a", "b"] if lost else ["a", "c"])


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


def environment(settings: Settings) -> dict[str, str]:
    return {
        "RETAIL_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "RETAIL_PRIMARY_PATIENCE_SECONDS": "2",
    }


DYING = """
import os, signal, sys
from include.settings import Settings
from include.backup import lake, ledger, making, primary, restoring

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
        ("include.backup.making", "known_batches"),
        ("include.backup.ledger", "save_audit_trail"),
        ("include.backup.lake", "_bring"),
        ("include.backup.making", "write_durably"),
        ("include.backup.making", "described"),
        ("include.backup.making", "flush"),
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
        ("include.backup.restoring", "_fill_archive", 1),
        ("include.backup.restoring", "replica_of", 1),
        ("include.backup.primary", "copy_picked", 3),
        ("include.backup.primary", "differences", 1),
        ("include.backup.restoring", "write_durably", 1),
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


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        ("include.backup.restoring", "_put_in_place", 1),
        ("include.backup.restoring", "flush", 1),
        ("include.backup.restoring", "put_replica_in_place", 1),
        ("include.backup.restoring", "write_durably", 2),
        ("include.backup.ledger", "put_back_undelivered", 1),
    ],
)
def test_killed_while_parts_are_put_in_place_a_restore_is_run_again(
    lake: Lake, settings: Settings, module: str, name: str, number: int
) -> None:
    before = everything(settings)
    made = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    die_in(settings, "restore", module, name, number)
    for work in (refresh_replica, back_up):
        with pytest.raises(WarehouseUnavailable, match=f"restore {made.path.name}"):
            work(settings)
    with pytest.raises(LakeNotFree, match=f"restore {made.path.name}"):
        receipt(settings, "run_1")
    assert restore(settings).whole
    assert everything(settings) == before
    assert compare_sides(settings).whole
    assert not list(settings.data_dir.rglob(".restore"))
    assert list(settings.replica.glob("warehouse-*.sqlite")) == [replica_link(settings).resolve()]


def test_a_primary_that_dies_before_its_commit_is_given_the_backup_again(
    lake: Lake, settings: Settings, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything(settings)
    made = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    real = write_durably

    def cut(path: Path, text: str) -> None:
        real(path, text)
        if path.name == "restoring":
            victim.kill()

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "write_durably", cut)
        with pytest.raises(WarehouseUnavailable, match=f"did not say that it took.*restore {made.path.name}"):
            restore(settings, replace=True)
    victim.start()
    with pytest.raises(WarehouseUnavailable, match="cut off"):
        refresh_replica(settings)
    assert restore(settings).whole
    assert everything(settings) == expected


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


def test_without_its_primary_all_but_the_audit_trail_is_backed_up(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    with victim.down():
        with pytest.raises(WarehouseUnavailable, match="--without-primary"):
            back_up(settings)
        assert list_backups(settings).backups == []
        publish(settings, lake.drop(3, lines_of(20, start=80)))
        made = back_up(settings, without_primary=True)
    assert made.warnings == ["The primary was left out, and with it the audit trail of the API."]
    assert (made.rows, made.batches, made.audit_entries) == (100, 3, None)
    before = contents(settings, "replica")
    destroy(settings)
    done = restore(settings)
    assert (done.whole, done.warnings) == (
        True,
        ["The backup was made without the primary: its audit trail is not restored."],
    )
    assert contents(settings, "primary") == contents(settings, "replica") == before
    assert list(known_batches(settings)) == [batch(1), batch(2), batch(3)]
    assert serving_side(settings) == "primary"


def test_a_batch_that_the_primary_lacks_is_restored_to_both_sides(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    with victim.down():
        publish(settings, lake.drop(3, lines_of(20, start=80)))
        receipt(settings, "run_3")
    made = back_up(settings)
    assert (made.rows, made.warnings) == (100, [])
    assert restore(settings, replace=True).whole
    found = everything(settings)
    assert found["primary"] == found["replica"] == found["gold"]
    assert found["primary batches"] == found["replica batches"]
    assert [row[0] for row in found["primary etl_receipt"]] == ["run_1", "run_2", "run_3"]
    assert (found["state"], found["open"]) == ("primary", [])


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_replica_is_made_again_from_gold(settings: Settings, harm: str) -> None:
    before = contents(settings, "replica")
    if harm == "gone":
        shutil.rmtree(settings.replica)
    else:
        replica_link(settings).resolve().write_bytes(b"no database")
    assert back_up(settings).warnings == []
    destroy(settings)
    assert restore(settings).warnings == []
    assert contents(settings, "replica") == before


def test_a_warehouse_that_differs_from_gold_is_backed_up_with_a_warning(settings: Settings) -> None:
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql(
            "UPDATE retail_dwh.fact_sales SET quantity = quantity + 1, amount = unit_price * (quantity + 1) "
            "WHERE date_key = 20101202"
        )
    [warning] = back_up(settings).warnings
    assert "differs from it: 2010-12-02" in warning


def test_a_warehouse_that_is_a_file_alone(make: Callable[[str], Lake]) -> None:
    there = make("alone")
    there.settings = there.settings.model_copy(update={"database_type": "sqlite", "database_url": SecretStr("")})
    publish(there.settings, there.drop(1, lines_of(40)))
    before = contents(there.settings, "replica")
    made = back_up(there.settings)
    assert (made.rows, made.warnings, made.audit_entries) == (40, [], None)
    publish(there.settings, there.drop(2, lines_of(40, start=40)))
    done = restore(there.settings, replace=True)
    assert (done.whole, set(done.parts), done.warnings) == (True, {"replica", "gold"}, [])
    assert contents(there.settings, "replica") == before


def test_a_system_that_has_published_nothing(make: Callable[[str], Lake]) -> None:
    there = make("new").settings
    made = back_up(there)
    assert (made.rows, made.batches, made.warnings) == (0, 0, [])
    other = make("used")
    publish(other.settings, other.drop(1, lines_of(10)))
    used = other.settings.model_copy(update={"backup_dir": there.backups})
    assert restore(used, replace=True).whole
    with open_side(used, "primary") as connection:
        assert connection.execute(select(func.count()).select_from(star_table("fact_sales"))).scalar_one() == 0
        assert connection.execute(select(func.count()).select_from(star_table("dim_date"))).scalar_one() == 1
        assert recorded_batches(connection) == {}
    assert not replica_link(used).exists()


def test_what_is_not_the_warehouses_stays(settings: Settings) -> None:
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE retail_dwh.notes AS SELECT 'mine' AS text")
        connection.exec_driver_sql("CREATE VIEW public.mine AS SELECT count(*) AS rows FROM retail_dwh.fact_sales")
    back_up(settings)
    restore(settings, replace=True)
    with open_side(settings, "primary") as connection:
        assert connection.exec_driver_sql("SELECT text FROM retail_dwh.notes").scalar_one() == "mine"
        assert connection.exec_driver_sql("SELECT rows FROM public.mine").scalar_one() == 80


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


def test_a_step_that_was_killed_does_not_keep_restores_away(settings: Settings) -> None:
    back_up(settings)
    script = "import os, signal\nfrom include.lake.in_use import lake_in_use\nfrom include.settings import Settings\n"
    script += "with lake_in_use(Settings()):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment(settings) | {"PYTHONPATH": str(PROJECT_ROOT)},
        cwd=PROJECT_ROOT,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert restore(settings, replace=True).whole


def test_files_of_a_local_lake_are_shared_and_only_live_ones_are_there(lake: Lake, settings: Settings) -> None:
    made = back_up(settings)
    source = DeltaTable(settings.table("gold", "dim_product"))
    copied = DeltaTable(str(made.path / "lake" / "gold" / "dim_product"))
    assert copied.version() == source.version()
    files = list((made.path / "lake" / "gold" / "dim_product").glob("*.parquet"))
    assert len(files) == len(source.file_uris())
    assert all(path.stat().st_nlink == 2 for path in files)
    assert len(list((settings.data_dir / "lake" / "gold" / "dim_product").glob("*.parquet"))) > len(files)


def test_an_object_store_is_copied_and_restored_by_its_own_interface(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = settings.model_copy(update={"lake_uri": f"file://{settings.data_dir}/lake"})
    lake.settings = remote
    monkeypatch.setattr(Settings, "local_lake", None)
    before = everything(remote)
    made = back_up(remote)
    assert made.warnings == []
    for path in made.path.rglob("*.parquet"):
        assert path.stat().st_nlink == 1
    publish(remote, lake.drop(3, lines_of(20, start=80)))
    destroy(remote)
    assert restore(remote).whole
    assert everything(remote) == before
    assert publish(remote, lake.drop(4, lines_of(20, start=80))) is not None
    assert compare_sides(remote).whole
