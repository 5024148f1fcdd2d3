from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, select

from include.failover import publishing, replica
from include.failover.catching_up import catch_up
from include.failover.figures import Scope, side_figures
from include.failover.integrity import check_integrity
from include.failover.published import known_batches
from include.failover.reads import read, serving_side
from include.failover.repair import compare_sides, repair
from include.failover.sides import SIDES, open_side
from include.failover.standby import refresh_replica
from include.failover.state import StateFile
from include.failover.status import status
from include.pipeline import receipt
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, open_engine, transaction
from include.warehouse.publishing.batches import PublishError
from include.warehouse.schema.migrations import downgrade, upgrade
from include.warehouse.schema.tables import star_table
from tests.support.batches import Line, batch, lines_of
from tests.support.lake import Lake
from tests.support.processes import commands
from tests.support.servers import Victim
from tests.support.sides import both_sides_equal, contents, totals_of
from tests.support.steps import publish

DAY = date(2010, 12, 2)


def test_a_batch_is_live_on_both_sides_and_equal_to_gold(lake: Lake, settings: Settings) -> None:
    found = publish(settings, lake.drop(1, lines_of(40), stage=True))
    assert found is not None
    assert (found.warehouse, found.warnings) == ("primary", [])
    assert found.rows_written["fact_sales"] == 40
    assert contents(settings, "primary") == contents(settings, "replica") == contents(settings, None)
    with open_side(settings, "primary") as primary, open_side(settings, "replica") as copy:
        assert side_figures(primary, settings, Scope()) == side_figures(copy, settings, Scope())
    assert StateFile(settings).read().batches == []
    assert compare_sides(settings).whole


def test_drops_and_rebuilds_keep_both_sides_alike(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(40), stage=True))
    publish(settings, lake.drop(2, lines_of(40, start=30)))
    of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
    publish(settings, lake.rebuild(3, DAY, [*of_day[2:], Line(sold_at=datetime(2010, 12, 2, 23, 1), quantity=99)]))
    assert contents(settings, "primary")["fact_sales"] == contents(settings, None)["fact_sales"]
    assert contents(settings, "primary") == contents(settings, "replica")
    assert list(known_batches(settings)) == [batch(1), batch(2), batch(3)]


def test_a_dead_primary_is_passed_over_and_caught_up(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim
) -> None:
    for each in (lake, undisturbed):
        publish(each.settings, each.drop(1, lines_of(40), stage=True))
    with victim.down():
        second = publish(settings, lake.drop(2, lines_of(40, start=30)))
        of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
        third = publish(settings, lake.rebuild(3, DAY, of_day[1:]))
        record = StateFile(settings).read()
        pending = [of.batch_id for of in record.batches_in_state("pending")]
        assert (record.state, pending) == ("failed_over", [batch(2), batch(3)])
        assert contents(settings, "replica")["fact_sales"] == contents(settings, None)["fact_sales"]
    assert second is not None
    assert third is not None
    assert (second.warehouse, third.warehouse) == ("replica", "replica")
    assert "could not take batch" in second.warnings[0]
    assert serving_side(settings) == "replica"
    fourth = publish(settings, lake.drop(4, lines_of(5, start=70)))
    assert fourth is not None
    assert (fourth.warehouse, fourth.warnings) == (
        "primary",
        ["The primary was caught up with 2 batches and serves again."],
    )
    publish(undisturbed.settings, undisturbed.drop(2, lines_of(40, start=30)))
    publish(undisturbed.settings, undisturbed.rebuild(3, DAY, of_day[1:]))
    publish(undisturbed.settings, undisturbed.drop(4, lines_of(5, start=70)))
    both_sides_equal(settings, undisturbed.settings)
    assert StateFile(settings).read().state == "primary"


def test_the_receipt_says_which_side_took_the_batch_and_reaches_both(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish(settings, lake.drop(1, lines_of(20)))
    assert receipt(settings, "run_1").warehouse == "primary"
    with victim.down():
        publish(settings, lake.drop(2, lines_of(20, start=20)))
        found = receipt(settings, "run_2")
        assert found.warehouse == "replica"
        assert any("could not take batch" in warning for warning in found.warnings)
        assert status(settings).receipts == ["run_2"]
        assert check_integrity(settings, "replica").whole
    done = catch_up(settings)
    assert (done.batches, done.receipts, done.serves) == ([batch(2)], ["run_2"], "primary")
    for side in SIDES:
        with open_side(settings, side) as connection:
            table = star_table("etl_receipt")
            rows = connection.execute(select(table.c.run_id, table.c.amount_loaded).order_by(table.c.run_id)).all()
        assert [row[0] for row in rows] == ["run_1", "run_2"]
        assert rows[1][1] == found.amount_loaded
        assert check_integrity(settings, side).whole


def test_a_receipt_alone_waits_for_the_primary(lake: Lake, settings: Settings, victim: Victim) -> None:
    publish(settings, lake.drop(1, lines_of(20)))
    with victim.down():
        receipt(settings, "run_1")
    assert StateFile(settings).read().state == "primary"
    assert StateFile(settings).read().receipts == ["run_1"]
    assert catch_up(settings).receipts == ["run_1"]
    assert check_integrity(settings, "primary").whole


@contextmanager
def at_statement(number: int, act: Callable[[Any], None]) -> Iterator[list[str]]:
    """Call `act` with the DBAPI connection before the `number`-th statement on PostgreSQL; yield the statements."""
    seen: list[str] = []

    def count(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if conn.dialect.name == "postgresql":
            seen.append(statement)
            if len(seen) == number + 1:
                act(conn.connection.driver_connection)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def terminate(settings: Settings) -> Callable[[Any], None]:
    """Return a function that has the server end the process behind a connection."""
    url = settings.database_url.get_secret_value().replace("+psycopg", "")

    def act(connection: Any) -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

    return act


def test_a_lost_connection_to_a_primary_that_answers_is_tried_once_more(lake: Lake, settings: Settings) -> None:
    run_id = lake.drop(1, lines_of(20))
    with at_statement(12, terminate(settings)) as statements:
        found = publish(settings, run_id)
    assert len(statements) > 12
    assert found is not None
    assert (found.warehouse, found.warnings) == ("primary", [])
    assert contents(settings, "primary") == contents(settings, "replica")


def test_cut_at_each_statement_both_sides_end_as_if_nothing_had_happened(
    lake: Lake, undisturbed: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, thorough: bool
) -> None:
    publish(settings, lake.drop(1, lines_of(30)))
    with at_statement(-1, lambda _: None) as statements:
        publish(settings, lake.drop(2, lines_of(12, start=30)))
    # After the batch is recorded and its staging dropped, the commit follows; then old staging is purged.
    drops = sum("DROP TABLE" in statement for statement in statements)
    every = 1 if thorough else 10
    cuts = [number for number, statement in enumerate(statements) if "set_config" not in statement][::every]
    monkeypatch.setattr(publishing, "primary_is_up", lambda *_: False)
    for number in cuts:
        with at_statement(number, terminate(settings)) as seen:
            found = publish(settings, lake.drop(3 + number, lines_of(12, start=40 + 8 * number)))
        assert found is not None
        live = sum("DROP TABLE" in statement for statement in seen[:number]) == drops
        assert found.warehouse == ("primary" if live else "replica")
        if not live:
            assert serving_side(settings) == "replica"
            assert catch_up(settings).batches == [batch(3 + number)]
        assert StateFile(settings).read().state == "primary"
    publish(undisturbed.settings, undisturbed.drop(1, lines_of(30)))
    publish(undisturbed.settings, undisturbed.drop(2, lines_of(12, start=30)))
    for number in cuts:
        publish(undisturbed.settings, undisturbed.drop(3 + number, lines_of(12, start=40 + 8 * number)))
    both_sides_equal(settings, undisturbed.settings)


@pytest.mark.parametrize("harm", ["killed", "stopped"])
@pytest.mark.parametrize("staged", [True, False])
def test_harmed_at_random_moments_both_sides_end_as_if_nothing_had_happened(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim, staged: bool, harm: str, thorough: bool
) -> None:
    act, undo = victim.kill, victim.start
    if harm == "stopped":
        act, undo = partial(victim.signal, signal.SIGSTOP), partial(victim.signal, signal.SIGCONT)
    chance = random.Random(20101201 + staged)
    size = 1500
    for each in (lake, undisturbed):
        publish(each.settings, each.drop(1, lines_of(size)))
        with at_statement(-1, lambda _: None) as statements:
            publish(each.settings, each.drop(2, lines_of(size // 2, start=size), stage=staged))
    sides = Counter[str]()
    for number in range(3, 3 + (20 if thorough else 2)):
        lines = lines_of(size // 2, start=number * size // 2 - 100)
        run_id = lake.drop(number, lines, stage=staged)
        killer = threading.Timer(chance.uniform(0, 0.02), act)
        # Before a statement or in the middle of it, up to the commit and what follows it.
        moment = chance.randrange(len(statements) - 2)
        try:
            with at_statement(moment, partial(_start, killer)):
                found = publish(settings, run_id)
        finally:
            killer.join()
            undo()
        assert found is not None
        sides[found.warehouse] += 1
        publish(undisturbed.settings, undisturbed.drop(number, lines))
    assert sides["replica"] > 0
    catch_up(settings)
    both_sides_equal(settings, undisturbed.settings)


def _start(killer: threading.Timer, _: Any) -> None:
    killer.start()


def test_a_server_that_is_stopped_in_the_middle_of_a_publish_is_given_up(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim
) -> None:
    for each in (lake, undisturbed):
        publish(each.settings, each.drop(1, lines_of(30)))
    run_id = lake.drop(2, lines_of(30, start=20))
    try:
        with at_statement(25, lambda _: victim.signal(signal.SIGSTOP)) as statements:
            found = publish(settings, run_id)
        answer = read(settings, totals_of)
        assert answer.headers == {"X-Warehouse": "replica"}
    finally:
        victim.signal(signal.SIGCONT)
    assert found is not None
    assert found.warehouse == "replica"
    assert len(statements) == 26  # it waits for one answer, and asks nothing more
    # What the stopped server does once it goes on must not put the primary back in charge.
    time.sleep(1)
    assert read(settings, totals_of).side == "replica"
    assert catch_up(settings).serves == "primary"
    publish(undisturbed.settings, undisturbed.drop(2, lines_of(30, start=20)))
    both_sides_equal(settings, undisturbed.settings)


def test_a_publish_asks_nothing_of_a_server_that_is_stopped(lake: Lake, settings: Settings, victim: Victim) -> None:
    publish(settings, lake.drop(1, lines_of(30)))
    run_id = lake.drop(2, lines_of(30, start=20))
    with victim.stopped(), at_statement(-1, lambda _: None) as statements:
        found = publish(settings, run_id)
    assert statements == []
    assert found is not None
    assert found.warehouse == "replica"
    assert catch_up(settings).batches == [batch(2)]


def test_what_the_answer_to_a_commit_was_does_not_matter(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(30)))
    run_id = lake.drop(2, lines_of(30, start=20))
    lost: list[bool] = []

    def lose_the_answer(connection: Any) -> None:
        batches = "SELECT count(*) FROM retail_dwh.etl_batch WHERE batch_id = %s"
        raw = connection.connection.driver_connection
        if connection.dialect.name == "postgresql" and raw.execute(batches, [batch(2)]).fetchone()[0] and not lost:
            lost.append(True)
            raw.commit()
            raw.close()

    event.listen(Engine, "commit", lose_the_answer)
    try:
        found = publish(settings, run_id)
    finally:
        event.remove(Engine, "commit", lose_the_answer)
    assert lost == [True]
    assert found is not None
    assert found.warehouse == "primary"
    both_sides_equal(settings, settings)


@pytest.mark.parametrize("alive", [True, False])
def test_ten_publishes_at_once(lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim, alive: bool) -> None:
    lines = lines_of(200)
    parts = {number: lines[(number - 1) * 15 : (number - 1) * 15 + 40] for number in range(1, 11)}
    runs = [lake.drop(number, part, stage=alive) for number, part in parts.items()]
    for number, part in parts.items():
        publish(undisturbed.settings, undisturbed.drop(number, part))
    with nullcontext() if alive else victim.down():
        codes, told = commands([["include.pipeline", "publish", run_id] for run_id in runs], settings)
    assert codes == [0] * 10, told
    assert all(f'"warehouse": "{"primary" if alive else "replica"}"' in text for text in told)
    replicated(runs[:2], settings)
    if not alive:
        assert sorted(catch_up(settings).batches) == [batch(number) for number in range(1, 11)]
    both_sides_equal(settings, undisturbed.settings)
    assert StateFile(settings).read().batches == []


def replicated(runs: list[str], settings: Settings) -> None:
    """Bring the replica what the primary has, by a process for each run, side by side."""
    codes, told = commands([["include.pipeline", "replicate", run_id] for run_id in runs], settings)
    assert codes == [0] * len(runs), told


def test_two_processes_decide_alike(lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim) -> None:
    """One finds the primary dead, the other finds it back: neither publishes past the other."""
    publish(settings, lake.drop(1, lines_of(30)))
    with victim.down():
        publish(settings, lake.drop(2, lines_of(30, start=20)))
        runs = [lake.drop(number, lines_of(30, start=20 * number)) for number in (3, 4)]
    codes, told = commands(
        [
            ["include.pipeline", "publish", runs[0]],
            ["include.operate", "catch-up"],
            ["include.pipeline", "publish", runs[1]],
        ],
        settings,
    )
    assert codes == [0, 0, 0], told
    replicated(runs, settings)
    record = StateFile(settings).read()
    assert (record.state, record.batches, record.unverified_days) == ("primary", [], [])
    for number, start in ((1, 0), (2, 20), (3, 60), (4, 80)):
        publish(undisturbed.settings, undisturbed.drop(number, lines_of(30, start=start)))
    both_sides_equal(settings, undisturbed.settings)


def test_a_catch_up_killed_anywhere_is_repeated(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim
) -> None:
    chance = random.Random(20111209)
    publish(settings, lake.drop(1, lines_of(30)))
    publish(undisturbed.settings, undisturbed.drop(1, lines_of(30)))
    with victim.down():
        for number in range(2, 6):
            lines = lines_of(800, start=400 * number)
            publish(settings, lake.drop(number, lines))
            undisturbed.drop(number, lines)
    for number in range(2, 6):
        publish(undisturbed.settings, f"run_{number}")
    for _ in range(6):
        commands([["include.operate", "catch-up"]], settings, kill_after=chance.uniform(0.1, 1.0))
        with open_side(settings, "primary") as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM retail_dwh.fact_sales").scalar_one()
        if StateFile(settings).read().state == "primary":
            break
        assert read(settings, totals_of).side == "replica"
        assert rows <= len(lake.lines)
    catch_up(settings)
    both_sides_equal(settings, undisturbed.settings)


def test_a_primary_that_lost_its_history_does_not_serve_until_it_has_it_again(
    lake: Lake, undisturbed: Lake, settings: Settings
) -> None:
    for number in (1, 2):
        for each in (lake, undisturbed):
            publish(each.settings, each.drop(number, lines_of(30, start=20 * number)))
    downgrade(settings, "base")
    upgrade(settings)
    found = publish(settings, lake.drop(3, lines_of(30, start=60)))
    publish(undisturbed.settings, undisturbed.drop(3, lines_of(30, start=60)))
    assert found is not None
    assert found.warehouse == "replica"
    assert "lacks batch" in found.warnings[0]
    assert catch_up(settings).batches == [batch(1), batch(2), batch(3)]
    both_sides_equal(settings, undisturbed.settings)


def test_a_primary_that_differs_after_catching_up_does_not_serve(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim
) -> None:
    for each in (lake, undisturbed):
        publish(each.settings, each.drop(1, lines_of(30)))
        publish(each.settings, each.drop(2, lines_of(20, start=30)))
    with victim.down():
        publish(settings, lake.drop(3, lines_of(30, start=60)))
    publish(undisturbed.settings, undisturbed.drop(3, lines_of(30, start=60)))
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("DELETE FROM retail_dwh.fact_sales WHERE date_key = 20101203 AND quantity < 10")
    done = catch_up(settings)
    assert [found.subject for found in done.differences] == ["2010-12-03"]
    assert done.serves == "replica"
    assert StateFile(settings).read().state == "failed_over"
    assert "2010-12-03" in StateFile(settings).read().reason
    assert read(settings, totals_of).side == "replica"
    repair(settings, [date(2010, 12, 3)])
    assert catch_up(settings).serves == "primary"
    both_sides_equal(settings, undisturbed.settings)


@pytest.mark.parametrize("harm", ["deleted", "overwritten", "truncated", "outdated"])
def test_a_replica_that_cannot_be_used_is_made_anew(lake: Lake, settings: Settings, harm: str) -> None:
    publish(settings, lake.drop(1, lines_of(300)))
    file = replica.replica_link(settings).resolve()
    match harm:
        case "deleted":
            file.unlink()
        case "overwritten":
            file.write_bytes(b"\0" * file.stat().st_size)
        case "truncated":
            os.truncate(file, 5000)
        case _:
            with sqlite3.connect(file) as connection:
                connection.execute("UPDATE replica_state SET value = 'older' WHERE name = 'schema'")
    found = status(settings).replica
    assert not found.reachable
    assert "refresh-replica" in found.problem
    done = publish(settings, lake.drop(2, lines_of(20, start=300)))
    assert done is not None
    assert (done.warehouse, done.warnings) == ("primary", [])
    both_sides_equal(settings, settings)
    assert status(settings).replica.problem == ""
    assert len(list(settings.replica.glob("warehouse-*.sqlite"))) == 1


def test_damage_in_the_middle_of_the_replica_is_found_and_mended(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(3000)))
    file = replica.replica_link(settings).resolve()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2 // 4096 * 4096)
        stream.write(b"\xff" * 8192)
    assert status(settings).replica.problem
    assert not check_integrity(settings, "replica").whole
    refresh_replica(settings)
    assert check_integrity(settings, "replica").whole
    both_sides_equal(settings, settings)


def test_a_replica_lost_while_it_serves_is_made_anew_with_what_the_primary_lacks(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish(settings, lake.drop(1, lines_of(30)))
    with victim.down():
        publish(settings, lake.drop(2, lines_of(30, start=20)))
        lake.drop(9, lines_of(5, start=500))  # in Gold, but never published
        replica.replica_link(settings).resolve().unlink()
        with pytest.raises(WarehouseUnavailable, match=r"Neither side answers.*refresh-replica"):
            read(settings, totals_of)
        done = refresh_replica(settings)
        assert done.left_out == {batch(9): 5}
        assert read(settings, totals_of).value["rows"] == 50
    assert catch_up(settings).batches == [batch(2)]
    both_sides_equal(settings, settings)


def test_a_replica_that_cannot_be_written_costs_a_warning_and_is_brought_up_to_date(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, lake.drop(1, lines_of(30)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(replica, "apply_batch", full)
        found = publish(settings, lake.drop(2, lines_of(30, start=20)))
        assert found is not None
        assert found.warehouse == "primary"
        assert "The replica lacks batch" in found.warnings[0]
        assert status(settings).replica_lacks == [batch(2)]
    publish(settings, lake.drop(3, lines_of(30, start=40)))
    both_sides_equal(settings, settings)
    assert status(settings).replica_lacks == []


def test_a_batch_that_contradicts_itself_is_refused_by_either_side(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish(settings, lake.drop(1, lines_of(30)))
    run_id = lake.drop(2, [Line(kind="gift", quantity=1000)])
    before = contents(settings, "primary")
    with pytest.raises(PublishError, match="kind"):
        publish(settings, run_id)
    with victim.down(), pytest.raises(PublishError, match="kind"):
        publish(settings, run_id)
    assert StateFile(settings).read().batches == []
    assert contents(settings, "replica") == before
    assert catch_up(settings).serves == "primary"
    both = {side: contents(settings, side) for side in SIDES}
    assert both["primary"] == both["replica"] == before


def test_a_record_that_is_damaged_stops_everything_and_one_that_is_deleted_is_made_anew(
    lake: Lake, undisturbed: Lake, settings: Settings, victim: Victim
) -> None:
    for each in (lake, undisturbed):
        publish(each.settings, each.drop(1, lines_of(30)))
    with victim.down():
        publish(settings, lake.drop(2, lines_of(30, start=20)))
    publish(undisturbed.settings, undisturbed.drop(2, lines_of(30, start=20)))
    path = StateFile(settings).path
    path.write_text(path.read_text()[:-20])
    for act in (lambda: read(settings, totals_of), lambda: publish(settings, "run_2"), lambda: catch_up(settings)):
        with pytest.raises(WarehouseUnavailable, match=r"state\.json is damaged"):
            act()
    path.unlink()
    found = publish(settings, lake.drop(3, lines_of(30, start=40)))
    assert found is not None
    assert found.warehouse == "replica"
    assert catch_up(settings).batches == [batch(2), batch(3)]
    publish(undisturbed.settings, undisturbed.drop(3, lines_of(30, start=40)))
    both_sides_equal(settings, undisturbed.settings)
