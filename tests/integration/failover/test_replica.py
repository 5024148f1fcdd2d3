from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, MetaData, Numeric, Table, func, select

from include.domain.star import DIMENSION_RULES
from include.failover import replica, standby
from include.failover.repair import compare_sides
from include.failover.replica import changing
from include.failover.replica.schema import _scaled_check
from include.failover.sides import open_side
from include.settings import Settings
from include.warehouse.publishing.batches import recorded_batches_of
from include.warehouse.schema.portable import ScaledDecimal, rounded, rounded_product
from include.warehouse.schema.tables import FACT, STAR, star_table
from tests.support.batches import Line, lines_of
from tests.support.lake import Lake
from tests.support.steps import one_drop, publish

amounts = st.decimals(Decimal(1 - 10**12), Decimal(10**12 - 1), places=6)
rates = st.decimals(Decimal("0.00000001"), Decimal("99999.99999999"), places=8)


@given(amount=amounts, rate=rates, places=st.sampled_from([0, 2]))
@example(amount=Decimal("168469.6000"), rate=Decimal("131.55"), places=0)
@example(amount=Decimal("-0.0100"), rate=Decimal("0.5"), places=2)
@example(amount=Decimal("-0.0100"), rate=Decimal("50"), places=0)
@example(amount=Decimal("999999999999.999999"), rate=Decimal("99999.99999999"), places=0)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_converted_amounts_are_rounded_as_exact_decimals_are(amount: Decimal, rate: Decimal, places: int) -> None:
    expression = rounded_product("a", "r", 14 - places)
    scaled = [int(amount.scaleb(6)), int(rate.scaleb(8))]
    with sqlite3.connect(":memory:") as connection:
        found = connection.execute(f"SELECT {expression} FROM (SELECT ? AS a, ? AS r)", scaled).fetchone()[0]
    product = scaled[0] * scaled[1]
    unit = 10 ** (14 - places)
    exact = (abs(product) + unit // 2) // unit
    if exact < 10**18:
        assert found == (exact if product >= 0 else -exact)
        assert isinstance(found, int)


@given(amount=amounts, places=st.sampled_from([0, 2]))
@hypothesis_settings(max_examples=100, deadline=None)
def test_amounts_in_their_own_currency_are_rounded_as_exact_decimals_are(amount: Decimal, places: int) -> None:
    with sqlite3.connect(":memory:") as connection:
        query = f"SELECT {rounded('a', 6 - places)} FROM (SELECT ? AS a)"
        (found,) = connection.execute(query, [int(amount.scaleb(6))]).fetchone()
    assert Decimal(found).scaleb(-places) == amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


@given(value=st.decimals(Decimal(-(10**14)), Decimal(10**14), places=4))
def test_decimals_survive_a_round_trip(value: Decimal) -> None:
    kind = ScaledDecimal(4)
    kept = kind.process_bind_param(value, None)
    assert isinstance(kept, int)
    back = kind.process_result_value(kept, None)
    assert back == value
    assert str(back) == f"{value:.4f}" or value == 0


def test_a_decimal_with_more_places_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4 decimal places"):
        ScaledDecimal(4).process_bind_param(Decimal("0.00001"), None)


def test_a_check_that_cannot_be_scaled_is_refused() -> None:
    table = Table("t", MetaData(), Column("a", Numeric(14, 4)), Column("b", Numeric(18, 2)))
    for check in ("a > 5", "a = b"):
        with pytest.raises(ValueError, match="cannot be carried over"):
            _scaled_check(table, check)
    assert _scaled_check(table, "a BETWEEN -1 AND 1") == "a BETWEEN -10000 AND 10000"


def test_sums_are_exact(lake: Lake, settings: Settings) -> None:
    lines = [Line(quantity=number, price=Decimal("0.0001") * number) for number in range(1, 400)]
    publish(settings, lake.drop(1, lines))
    with replica.reading(settings) as connection:
        fact = star_table(FACT)
        found = connection.execute(select(func.sum(fact.c.amount), func.sum(fact.c.unit_price))).one()
    assert tuple(found) == (sum(line.amount for line in lines), sum(line.price for line in lines))


def test_the_tables_are_those_of_the_primary(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(10)))
    for table in replica.REPLICA_TABLES:
        with open_side(settings, "primary") as connection:
            query = (
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'retail_dwh' AND table_name = "
            )
            there = {row[0] for row in connection.exec_driver_sql(f"{query}'{table}'")}
        with sqlite3.connect(replica.replica_link(settings)) as copy:
            here = {row[1] for row in copy.execute(f"PRAGMA table_xinfo({table})")}
        assert here == there
    for rule in DIMENSION_RULES:
        table_of = star_table(rule.table)
        unknown = select(table_of).where(table_of.c[rule.key] == 0)
        with open_side(settings, "primary") as connection:
            there_row = connection.execute(unknown).one()
        with replica.reading(settings) as connection:
            assert connection.execute(unknown).one() == there_row


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE fact_sales SET amount = amount + 1, original_amount = original_amount + 1",
            "ck_fact_sales_amount",
        ),
        ("UPDATE fact_sales SET amount = amount + 1", "ck_fact_sales_converted"),
        ("UPDATE fact_sales SET kind = 'gift'", "ck_fact_sales_kind"),
        ("UPDATE fact_sales SET quantity = 10000010000, amount_declared = 1", "ck_fact_sales_quantity_range"),
        (
            "UPDATE fact_sales SET unit_price = 1000000000001, original_unit_price = 1000000000001, "
            "amount_declared = 1",
            "original_unit_price_range",
        ),
        ("UPDATE fact_sales SET product_key = 1", "FOREIGN KEY"),
        ("DELETE FROM dim_country WHERE country_key <> 0", "FOREIGN KEY"),
        ("UPDATE dim_invoice SET kind = 'gift'", "ck_dim_invoice_kind"),
    ],
)
def test_the_replica_keeps_its_constraints(
    copy_of: Callable[[Callable[[Lake], None]], Lake], statement: str, said: str
) -> None:
    with sqlite3.connect(replica.replica_link(copy_of(one_drop).settings)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=said):
            connection.execute(statement)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_batch_is_visible_whole_or_not_at_all(
    journal: str, lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"replica_journal": journal})
    publish(settings, lake.drop(1, lines_of(10)))
    with closing(sqlite3.connect(replica.replica_link(settings))) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == (journal,)
    counted: list[int] = []
    stamped = changing._stamp

    def look(connection: Connection) -> None:
        with replica.reading(settings) as other:
            counted.append(other.execute(select(func.count()).select_from(star_table(FACT))).scalar_one())
        stamped(connection)

    monkeypatch.setattr(changing, "_stamp", look)
    publish(settings, lake.drop(2, lines_of(10, start=10)))
    assert counted == [10]
    with replica.reading(settings) as connection:
        assert {
            name: connection.execute(select(func.count()).select_from(star_table(name))).scalar_one() for name in STAR
        }[FACT] == 20


def test_the_cost_of_a_batch_follows_the_batch(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(3000)))
    before = replica.replica_link(settings).resolve()
    found = publish(settings, lake.drop(2, lines_of(10, start=3000)))
    assert found is not None
    assert replica.replica_link(settings).resolve() == before
    with replica.reading(settings) as connection:
        [report] = recorded_batches_of(connection, [found.batch_id]).values()
    assert report.rows_staged[FACT] == 10
    assert report.rows_staged["dim_product"] <= 7


def test_a_large_batch_makes_the_replica_anew(lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "LARGE_BATCH", 20)
    files = []
    for number, lines in ((1, lines_of(10)), (2, lines_of(30, start=10)), (3, lines_of(12, start=40))):
        publish(settings, lake.drop(number, lines))
        files.append(replica.replica_link(settings).resolve().name)
    assert files[0] != files[1] == files[2]
    assert compare_sides(settings).whole
