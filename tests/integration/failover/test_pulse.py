from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Connection, func, select, text

from include.failover.reads import Warehouse
from include.failover.replica.file import replica_link
from include.failover.state import Breaker, StateFile, locked
from include.pipeline import publish
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable
from include.warehouse.schema.tables import star_table
from tests.integration.failover.lake import Lake
from tests.integration.failover.servers import Victim
from tests.integration.warehouse.batches import lines_of

SOON = 2.0


def total(connection: Connection) -> Decimal | None:
    amount: Decimal | None = connection.execute(select(func.sum(star_table("fact_sales").c.amount))).scalar_one()
    return amount


def slow(connection: Connection) -> Decimal | None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_sleep(4)"))
    return total(connection)


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings of somebody who has slow work to do."""
    return settings.model_copy(update={"primary_patience_seconds": 30.0})


@pytest.fixture
def warehouse(lake: Lake, patient: Settings) -> Iterator[Warehouse]:
    publish(patient, lake.drop(1, lines_of(40)))
    with Warehouse(patient, pulse=True) as opened:
        opened.read(total)
        yield opened


def test_reads_under_way_and_new_ones_go_to_the_replica_soon(warehouse: Warehouse, victim: Victim) -> None:
    expected = warehouse.read(total).value
    with ThreadPoolExecutor(8) as readers:
        under_way = [readers.submit(warehouse.read, slow) for _ in range(3)]
        time.sleep(0.5)
        with victim.stopped():
            started = time.monotonic()
            new = [readers.submit(warehouse.read, total) for _ in range(3)]
            answers = [reader.result() for reader in (*under_way, *new)]
            assert time.monotonic() - started < SOON
            assert {(answer.value, answer.side) for answer in answers} == {(expected, "replica")}
            started = time.monotonic()
            for _ in range(20):
                assert warehouse.read(total).side == "replica"
            assert time.monotonic() - started < SOON
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
    end = time.monotonic() + 15
    while warehouse.read(total).side == "replica":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert StateFile(patient).read().breaker == Breaker()


def test_a_read_that_gets_its_connection_just_after_the_silence_was_noticed_does_not_wait(
    warehouse: Warehouse, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warehouse._primary is not None
    connect, gone_on = warehouse._primary.connect, []

    def late() -> Connection:
        connection = connect()
        victim.signal(signal.SIGSTOP)
        end = time.monotonic() + 10
        while warehouse.primary_answers():
            assert time.monotonic() < end
            time.sleep(0.01)
        gone_on.append(time.monotonic())
        return connection

    monkeypatch.setattr(warehouse._primary, "connect", late)
    try:
        assert warehouse.read(total).side == "replica"
        assert time.monotonic() - gone_on[0] < 0.7
    finally:
        victim.signal(signal.SIGCONT)


def test_a_silent_primary_that_has_to_be_connected_to_is_found_out_each_time_as_soon(
    warehouse: Warehouse, victim: Victim
) -> None:
    with victim.stopped():
        while warehouse.primary_answers():
            time.sleep(0.01)
        seen = []
        for _ in range(30):
            started = time.monotonic()
            assert not warehouse.primary_answers()
            seen.append(time.monotonic() - started)
            time.sleep(0.1)
    assert max(seen) < 0.2


def test_readers_do_not_queue_for_the_record_while_the_primary_is_known_to_have_failed(
    warehouse: Warehouse, patient: Settings
) -> None:
    file = StateFile(patient)
    with file.change() as noted:
        noted.breaker = Breaker(failures=2, retry_at=datetime.now(UTC) + timedelta(seconds=60), reason="it is away")
    with locked(file.folder / "state.lock", 1):
        started = time.monotonic()
        assert warehouse.read(total).side == "replica"
        file.failed("it is still away")
        assert time.monotonic() - started < SOON


def test_neither_side_is_told_soon(warehouse: Warehouse, patient: Settings, victim: Victim) -> None:
    replica_link(patient).unlink()
    with victim.stopped():
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(WarehouseUnavailable, match="Neither side answers"):
                warehouse.read(total)
            assert time.monotonic() - started < SOON


def test_the_asking_ends_when_nobody_wants_to_know(
    lake: Lake, patient: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.warehouse.connection.heartbeat.PULSE_IDLE_SECONDS", 0.2)
    publish(patient, lake.drop(1, lines_of(40)))
    with Warehouse(patient, pulse=True) as warehouse:
        warehouse.read(total)
        query = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '% pulse'")
        end = time.monotonic() + 10
        while warehouse._ask_primary(lambda connection: connection.execute(query).scalar_one(), 5):
            assert time.monotonic() < end
            time.sleep(0.1)
