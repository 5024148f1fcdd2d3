from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from include.failover.catching_up import catch_up
from include.failover.reads import READ_LOCK_SECONDS, Answer, Warehouse
from include.failover.standby import refresh_replica
from include.failover.state import FAILURES_TO_OPEN, Breaker, StateFile
from include.settings import Settings
from include.warehouse import WarehouseUnavailable, newest_batch, open_engine, transaction
from include.warehouse.publishing import indices
from include.warehouse.publishing import publish as publishing
from include.warehouse.publishing.checks import check_facts
from include.warehouse.schema.tables import star_table
from tests.support.batches import lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.steps import one_drop, publish
from tests.support.waiting import PATIENCE_SECONDS

FACT = star_table("fact_sales")


def total(connection: Connection) -> tuple[int, Decimal]:
    rows, amount = connection.execute(select(func.count(), func.sum(FACT.c.amount))).one()
    return rows, amount


@pytest.fixture
def lake(copy_of: Callable[[Callable[[Lake], None]], Lake]) -> Lake:
    """The lake and warehouse under test, with one drop."""
    return copy_of(one_drop)


@pytest.fixture
def warehouse(lake: Lake, settings: Settings) -> Iterator[Warehouse]:
    with Warehouse(settings) as opened:
        yield opened


def expected() -> tuple[int, Decimal]:
    lines = lines_of(40)
    return len(lines), sum((line.amount for line in lines), Decimal(0))


def test_the_primary_answers_while_it_is_well(warehouse: Warehouse) -> None:
    answer = warehouse.read(total)
    assert (answer.value, answer.headers) == (expected(), {"X-Warehouse": "primary"})


def test_readers_of_a_dead_primary_notice_only_a_header(
    warehouse: Warehouse, settings: Settings, victim: Victim
) -> None:
    warehouse.read(total)
    with victim.down():
        for _ in range(4):
            answer = warehouse.read(total)
            assert (answer.value, answer.headers) == (expected(), {"X-Warehouse": "replica"})
        # Nothing was published meanwhile, so the primary has missed nothing.
        assert StateFile(settings).read().state == "primary"
    with StateFile(settings).change() as noted:
        noted.breaker.retry_at = datetime.now(UTC) - timedelta(seconds=1)
    assert warehouse.read(total).side == "primary"
    assert StateFile(settings).read().breaker == Breaker()


def test_a_read_that_the_primary_drops_in_the_middle_is_answered_by_the_replica(
    warehouse: Warehouse, victim: Victim
) -> None:
    asked: list[str] = []

    def work(connection: Connection) -> tuple[int, Decimal]:
        asked.append(connection.dialect.name)
        if asked == ["postgresql"]:
            victim.kill()
        return total(connection)

    try:
        answer = warehouse.read(work)
    finally:
        victim.start()
    assert (answer.value, answer.side, asked[-1]) == (expected(), "replica", "sqlite")


def test_a_server_that_was_restarted_does_not_cost_its_pooled_readers_an_answer(
    warehouse: Warehouse, victim: Victim
) -> None:
    warehouse.read(total)
    with victim.down():
        pass
    assert warehouse.read(total).side == "primary"


def test_a_stopped_primary_is_asked_until_the_breaker_opens_and_no_longer(
    warehouse: Warehouse, settings: Settings, victim: Victim
) -> None:
    warehouse.read(total)
    with victim.stopped():
        for _ in range(FAILURES_TO_OPEN + 3):
            assert warehouse.read(total, timeout_seconds=1).side == "replica"
        # Each reader who asks the primary and gets no answer counts one failure.
        assert StateFile(settings).read().breaker.failures == FAILURES_TO_OPEN


def test_a_slow_primary_trips_the_breaker(warehouse: Warehouse, settings: Settings) -> None:
    def slow(connection: Connection) -> tuple[int, Decimal]:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_sleep(3600)"))
        return total(connection)

    for _ in range(FAILURES_TO_OPEN):
        assert warehouse.read(slow, timeout_seconds=0.3).side == "replica"
    assert "statement timeout" in StateFile(settings).read().breaker.reason
    assert warehouse.read(total).side == "replica"


def test_one_reader_tries_a_primary_that_has_failed(warehouse: Warehouse, settings: Settings) -> None:
    file = StateFile(settings)
    with file.change() as noted:
        noted.breaker = Breaker(failures=2, retry_at=datetime.now(UTC) - timedelta(seconds=1))
    with ThreadPoolExecutor(max_workers=8) as pool:
        claimed = list(pool.map(lambda _: file.claim_trial(), range(8)))
    assert claimed.count(True) == 1
    assert warehouse.serves() == "replica"


def test_a_wrong_question_is_an_error_and_no_failure_of_the_primary(warehouse: Warehouse, settings: Settings) -> None:
    def wrong(connection: Connection) -> Any:
        return connection.execute(text("SELECT no_such_column")).all()

    with pytest.raises(DBAPIError, match="no_such_column"):
        warehouse.read(wrong)
    assert StateFile(settings).read().breaker == Breaker()


def test_reads_cannot_write(warehouse: Warehouse, settings: Settings) -> None:
    def write(connection: Connection) -> int:
        return connection.execute(FACT.delete()).rowcount

    with pytest.raises(DBAPIError, match="read-only"):
        warehouse.read(write)
    assert StateFile(settings).read().breaker == Breaker()
    assert warehouse.read(total).value == expected()


def test_a_primary_that_is_behind_never_answers(
    warehouse: Warehouse, lake: Lake, settings: Settings, victim: Victim
) -> None:
    with victim.down():
        publish(settings, lake.drop(2, lines_of(10, start=40)))
    for _ in range(3):
        answer = warehouse.read(total)
        assert (answer.value[0], answer.side) == (50, "replica")
    catch_up(settings)
    answer = warehouse.read(total)
    assert (answer.value[0], answer.side) == (50, "primary")


def test_what_was_read_before_the_replica_took_over_is_read_again(
    warehouse: Warehouse, lake: Lake, settings: Settings
) -> None:
    def work(connection: Connection) -> tuple[int, Decimal]:
        found = total(connection)
        if connection.dialect.name == "postgresql":
            with StateFile(settings).change() as noted:
                noted.change_state("failed_over", "another process saw the primary die")
        return found

    assert warehouse.read(work).side == "replica"


def test_a_read_sees_one_state_whatever_is_published_meanwhile(
    warehouse: Warehouse, lake: Lake, settings: Settings
) -> None:
    def work(connection: Connection) -> list[tuple[int, Decimal]]:
        before = total(connection)
        publish(settings, lake.drop(2, lines_of(10, start=40)))
        return [before, total(connection)]

    answer = warehouse.read(work, timeout_seconds=PATIENCE_SECONDS)
    assert (answer.value, answer.side) == ([expected(), expected()], "primary")
    assert warehouse.read(total).value[0] == 50


def test_a_connection_is_to_whoever_serves(warehouse: Warehouse, settings: Settings, victim: Victim) -> None:
    with warehouse.connection() as given:
        assert (given.side, total(given.value)) == ("primary", expected())
    with victim.down(), warehouse.connection() as given:
        assert (given.side, total(given.value)) == ("replica", expected())


def test_a_reader_follows_a_replica_that_is_made_anew(
    warehouse: Warehouse, lake: Lake, settings: Settings, victim: Victim
) -> None:
    with victim.down():
        assert warehouse.read(total).value == expected()
        with warehouse.connection() as old:
            refresh_replica(settings)
            assert total(old.value) == expected()
        publish(settings, lake.drop(2, lines_of(10, start=40)))
        assert warehouse.read(total).value[0] == 50


def test_answers_are_the_same_on_both_sides(warehouse: Warehouse, settings: Settings, victim: Victim) -> None:
    product, invoice = star_table("dim_product"), star_table("dim_invoice")
    batch, day = star_table("etl_batch"), star_table("dim_date")
    queries = [
        select(FACT).order_by(FACT.c.sale_id),
        select(FACT.c.kind, func.sum(FACT.c.amount), func.sum(FACT.c.amount_usd), func.max(FACT.c.unit_price_jpy))
        .group_by(FACT.c.kind)
        .order_by(FACT.c.kind),
        select(product).order_by(product.c.product_key),
        select(star_table("dim_country")).order_by(star_table("dim_country").c.country_key),
        select(star_table("dim_customer")).order_by(star_table("dim_customer").c.customer_key),
        select(invoice).order_by(invoice.c.invoice_key),
        select(day).order_by(day.c.date_key),
        select(batch),
        select(FACT.c.sale_id).where(FACT.c.amount > Decimal("10.05")).order_by(FACT.c.sale_id),
    ]

    def ask(connection: Connection) -> list[Any]:
        return [connection.execute(query).all() for query in queries]

    there = warehouse.read(ask)
    with victim.down():
        here = warehouse.read(ask)
    assert (there.side, here.side) == ("primary", "replica")
    assert here.value == there.value
    assert [[type(value) for value in row] for row in here.value[0]] == [
        [type(value) for value in row] for row in there.value[0]
    ]


@contextmanager
def locked_facts(settings: Settings) -> Iterator[None]:
    """Hold the facts as a publish does that makes their indices."""
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.execute(text(f"LOCK TABLE {settings.warehouse_schema}.fact_sales IN ACCESS EXCLUSIVE MODE"))
        yield


def test_readers_of_locked_facts_are_answered_by_the_replica_and_the_primary_has_not_failed(
    warehouse: Warehouse, settings: Settings
) -> None:
    with locked_facts(settings):
        for _ in range(FAILURES_TO_OPEN + 1):
            answer = warehouse.read(total)
            assert (answer.value, answer.side) == (expected(), "replica")
        assert warehouse.read(newest_batch).side == "primary"
        record = StateFile(settings).read()
        assert (record.state, record.breaker) == ("primary", Breaker())
    assert warehouse.read(total).side == "primary"


def test_readers_see_the_star_as_it_was_while_a_publish_makes_the_indices(
    warehouse: Warehouse, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Answer[tuple[int, Decimal]]] = []

    def check(*arguments: Any) -> Any:
        seen.append(warehouse.read(total))
        return check_facts(*arguments)

    monkeypatch.setattr(publishing, "BULK_FACTS", 1)
    monkeypatch.setattr(indices, "OUTWEIGHS", 1)
    monkeypatch.setattr(publishing, "check_facts", check)
    publication = publish(settings, lake.drop(2, lines_of(60, start=40)))
    assert publication is not None
    assert publication.warehouse == "primary"
    assert [(answer.value, answer.side) for answer in seen] == [(expected(), "replica")]
    record = StateFile(settings).read()
    assert (record.state, record.breaker) == ("primary", Breaker())
    answer = warehouse.read(total)
    assert (answer.value[0], answer.side) == (100, "primary")


def test_without_a_replica_readers_of_locked_facts_are_told_why_they_get_no_answer(
    warehouse: Warehouse, settings: Settings
) -> None:
    shutil.rmtree(settings.replica)
    with locked_facts(settings), pytest.raises(WarehouseUnavailable, match=r"Primary: .*lock timeout"):
        warehouse.read(total)
    assert warehouse.read(total).value == expected()


def test_work_that_cannot_be_repeated_waits_for_locked_facts(warehouse: Warehouse, settings: Settings) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool, warehouse.connection() as given:
        with locked_facts(settings):
            counted = pool.submit(total, given.value)
            with pytest.raises(TimeoutError):
                counted.result(timeout=2 * READ_LOCK_SECONDS)
        assert (counted.result(), given.side) == (expected(), "primary")
