"""What is of its own kind: the primary alone, the audit trail, one side missing, a lake elsewhere, a pooler between."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyarrow.fs import copy_files
from pydantic import SecretStr
from sqlalchemy import func, make_url, select

from include.backup import BackupFailed, back_up, list_backups, restore, restoring
from include.failover import (
    compare_sides,
    known_batches,
    open_side,
    replica_link,
    serving_side,
)
from include.pipeline import receipt
from include.settings import Settings
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
from tests.support.backups import AUDITED, destroy, everything
from tests.support.batches import Line, batch, lines_of
from tests.support.bucket import bucket
from tests.support.lake import Lake
from tests.support.pooler import BINARY, pooler
from tests.support.servers import Victim
from tests.support.sides import contents
from tests.support.steps import publish

DAY = date(2010, 12, 2)


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
    assert done.whole
    assert done.parts["primary"].rows == len(before["primary"]["fact_sales"])
    assert done.warnings == ([] if replica_there else ["The replica was made again from Gold."])
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
        save_entries(connection, [later, AUDITED[1].model_copy(update={"outcome": "failed"})])
        connection.exec_driver_sql(f"DELETE FROM retail_dwh.etl_audit WHERE audit_id = '{AUDITED[0].audit_id}'")
    restore(settings, replace=True)
    with open_side(settings, "primary") as connection:
        trail = star_table("etl_audit")
        found = {row.audit_id: row.outcome for row in connection.execute(select(trail.c.audit_id, trail.c.outcome))}
    outcomes = ["done", "failed", "done", "refused"]
    assert found == dict(zip([entry.audit_id for entry in [*AUDITED, later]], outcomes, strict=True))


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
            "UPDATE retail_dwh.fact_sales SET quantity = quantity + 1, amount = unit_price * (quantity + 1), "
            "original_amount = unit_price * (quantity + 1) "
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


def test_no_secret_is_in_a_backup(settings: Settings) -> None:
    password = make_url(settings.database_url.get_secret_value()).password
    assert password
    for path in back_up(settings).path.rglob("*"):
        assert path.is_dir() or str(password).encode() not in path.read_bytes()


def test_what_is_not_the_warehouses_stays(settings: Settings) -> None:
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE retail_dwh.notes AS SELECT 'mine' AS text")
        connection.exec_driver_sql("CREATE VIEW public.mine AS SELECT count(*) AS rows FROM retail_dwh.fact_sales")
    back_up(settings)
    restore(settings, replace=True)
    with open_side(settings, "primary") as connection:
        assert connection.exec_driver_sql("SELECT text FROM retail_dwh.notes").scalar_one() == "mine"
        assert connection.exec_driver_sql("SELECT rows FROM public.mine").scalar_one() == 80


def test_files_of_a_local_lake_are_shared_and_only_live_ones_are_there(lake: Lake, settings: Settings) -> None:
    made = back_up(settings)
    source = DeltaTable(settings.table("gold", "dim_product"))
    copied = DeltaTable(str(made.path / "lake" / "gold" / "dim_product"))
    assert copied.version() == source.version()
    files = list((made.path / "lake" / "gold" / "dim_product").glob("*.parquet"))
    assert len(files) == len(source.file_uris())
    assert all(path.stat().st_nlink == 2 for path in files)
    assert len(list((settings.data_dir / "lake" / "gold" / "dim_product").glob("*.parquet"))) > len(files)


def test_a_lake_in_an_object_store_is_copied_and_restored(
    make: Callable[[str], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        lake = make("remote")
        remote = lake.settings = lake.settings.model_copy(update={"lake_uri": "s3://retail/lake"})
        publish(remote, lake.drop(1, lines_of(40)))
        receipt(remote, "run_1")
        before = everything(remote)
        made = back_up(remote)
        assert (made.rows, made.warnings) == (40, [])
        publish(remote, lake.drop(2, lines_of(20, start=40)))
        assert restore(remote, replace=True).whole
        assert everything(remote) == before
        publish(remote, lake.drop(3, lines_of(20, start=60)))
        assert compare_sides(remote).whole
        with monkeypatch.context() as patch:
            patch.setattr("include.backup.lake.copy_files", fail_at(copy_files, 4))
            with pytest.raises(BackupFailed, match=f"restore {made.path.name}` again"):
                restore(remote, replace=True)
        assert restore(remote).whole
        assert everything(remote) == before
    local = remote.model_copy(update={"lake_uri": ""})
    assert restore(local, replace=True).whole
    assert everything(local) == before


def fail_at(real: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Return a function that does what `real` does until it fails at its `number`-th call."""
    calls: list[None] = []

    def failing(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            raise OSError("The object store is away")
        return real(*arguments, **named)

    return failing


@pytest.mark.skipif(BINARY is None, reason="pgbouncer is not installed")
def test_through_a_transaction_pooler(settings: Settings, tmp_path: Path) -> None:
    before = everything(settings)
    with pooler(tmp_path, settings.database_url.get_secret_value()) as url:
        address = SecretStr(url.render_as_string(hide_password=False))
        pooled = settings.model_copy(update={"database_url": address, "database_pooler": "transaction"})
        assert back_up(pooled).rows == 80
        destroy(settings)
        assert restore(pooled).whole
    assert everything(settings) == before
