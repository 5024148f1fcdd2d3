from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Connection, event, func, select, text

from include.failover.reads import Warehouse
from include.failover.replica.file import replica_link
from include.failover.state import Breaker, StateFile
from include.files import lock
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable
from include.warehouse.schema.tables import star_table
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.steps import one_drop
from tests.support.waiting import PATIENCE_SECONDS, eventually


def total(connection: Connection) -> Decimal | None:
    amount: Decimal | None = connection.execute(select(func.sum(star_table("fact_sales").c.amount))).scalar_one()
    return amount


def slow(connection: Connection) -> Decimal | None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_sleep(4)"))
    return total(connection)


@pytest.fixture
def lake(copy_of: Callable[[Callable[[Lake], None]], Lake]) -> Lake:
    """The lake and warehouse under test, with one drop."""
    return copy_of(one_drop)


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings with which nobody gives up a silent primary of their own accord before the test has failed."""
    return settings.model_copy(update={"primary_patience_seconds": 3600.0})


@pytest.fixture
def warehouse(lake: Lake, patient: Settings) -> Iterator[Warehouse]:
    with Warehouse(patient, pulse=True) as opened:
        opened.read(total)
        yield opened


def test_reads_under_way_and_new_ones_go_to_the_replica_soon(warehouse: Warehouse, victim: Victim) -> None:
    expected = warehouse.read(total).value
    reading = threading.Semaphore(0)

    def endless(connection: Connection) -> Decimal | None:
        if connection.dialect.name == "postgresql":
            reading.release()
            connection.execute(text("SELECT pg_sleep(3600)"))
        return total(connection)

    with ThreadPoolExecutor(8) as readers:
        under_way = [readers.submit(warehouse.read, endless) for _ in range(3)]
        for _ in under_way:
            assert reading.acquire(timeout=PATIENCE_SECONDS)
        with victim.stopped():
            new = [readers.submit(warehouse.read, total) for _ in range(3)]
            answers = [reader.result() for reader in (*under_way, *new)]
            assert {(answer.value, answer.side) for answer in answers} == {(expected, "replica")}
            for _ in range(20):
                assert warehouse.read(total).side == "replica"
            assert not warehouse.primary_answers()


def test_slow_work_on_a_primary_that_is_well_is_left_alone(warehouse: Warehouse) -> None:
    assert warehouse.read(slow).side == "primary"
    assert (warehouse.primary_latency_ms or 0) > 0


def test_the_primary_serves_again_when_it_is_back(
    warehouse: Warehouse, patient: Settings, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.failover.state.OPEN_SECONDS", 1.0)
    with victim.stopped():
        assert [warehouse.read(total).side for _ in range(3)] == ["replica"] * 3
    eventually(lambda: warehouse.read(total).side == "primary")
    assert StateFile(patient).read().breaker == Breaker()


def test_a_read_that_gets_its_connection_just_after_the_silence_was_noticed_asks_nothing(
    warehouse: Warehouse, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warehouse._primary is not None
    engine, asked = warehouse._primary, list[str]()
    connect = engine.connect

    def late() -> Connection:
        connection = connect()
        victim.signal(signal.SIGSTOP)
        eventually(lambda: not warehouse.primary_answers())
        event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
        return connection

    monkeypatch.setattr(engine, "connect", late)
    try:
        assert warehouse.read(total).side == "replica"
    finally:
        victim.signal(signal.SIGCONT)
    assert asked == []


def test_a_primary_that_stays_silent_is_known_to_be_all_the_time(warehouse: Warehouse, victim: Victim) -> None:
    assert warehouse._pulse is not None
    with victim.stopped():
        eventually(lambda: not warehouse.primary_answers())
        known = []
        for _ in range(50):
            known.append(warehouse._pulse.silent())
            time.sleep(0.1)
    assert all(known)


def test_readers_do_not_queue_for_the_record_while_the_primary_is_known_to_have_failed(
    warehouse: Warehouse, patient: Settings
) -> None:
    file = StateFile(patient)
    with file.change() as noted:
        noted.breaker = Breaker(failures=2, retry_at=datetime.now(UTC) + timedelta(hours=1), reason="it is away")
    with ThreadPoolExecutor(1) as reader, lock(file.folder / "state.lock", 1):
        assert reader.submit(warehouse.read, total).result(30).side == "replica"
        reader.submit(file.failed, "it is still away").result(30)


def test_neither_side_is_told_soon(warehouse: Warehouse, patient: Settings, victim: Victim) -> None:
    replica_link(patient).unlink()
    with victim.stopped():
        for _ in range(3):
            with pytest.raises(WarehouseUnavailable, match="Neither side answers"):
                warehouse.read(total)


def test_the_asking_ends_when_nobody_wants_to_know(
    lake: Lake, patient: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.warehouse.connection.heartbeat.PULSE_IDLE_SECONDS", 0.2)
    with Warehouse(patient, pulse=True) as warehouse:
        warehouse.read(total)
        query = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '% pulse'")
        eventually(lambda: not warehouse._ask_primary(lambda connection: connection.execute(query).scalar_one(), 5))
