from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date

import pytest

from include.failover import replica
from include.failover.integrity import check_integrity
from include.failover.repair import compare_sides, days_with_facts, repair
from include.failover.sides import SIDES
from include.failover.state import Side
from include.operate import main
from include.settings import Settings, get_settings
from include.warehouse.connection.engine import open_engine, transaction
from tests.support.batches import Line, batch, key, lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.sides import both_sides_equal, contents
from tests.support.steps import publish, two_drops

DAY = date(2010, 12, 3)


@pytest.fixture
def lake(copy_of: Callable[[Callable[[Lake], None]], Lake]) -> Lake:
    """The lake and warehouse under test, with two drops."""
    return copy_of(two_drops)


def tamper(settings: Settings, side: Side, statement: str) -> None:
    """Change a side behind its back, without its constraints."""
    if side == "primary":
        with open_engine(settings) as engine, transaction(engine) as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("SET LOCAL search_path = retail_dwh")
            connection.exec_driver_sql(statement)
        return
    with closing(sqlite3.connect(replica.replica_link(settings))) as raw, raw:
        raw.execute("PRAGMA ignore_check_constraints = ON")
        raw.execute(statement)


# Decimals are scaled in the replica: 3 units are 30000 there.
OF_DAY = "WHERE date_key = 20101203 AND quantity IN (3, 30000)"
HARMS = {
    "days: a fact gone": f"DELETE FROM fact_sales {OF_DAY}",
    "days: a fact changed": f"UPDATE fact_sales SET kind = 'fee' {OF_DAY}",
    "days: a rate changed": f"UPDATE fact_sales SET rate_usd = rate_usd + 1 {OF_DAY}",
    "members: a description changed": "UPDATE dim_product SET description = 'OTHER' WHERE stock_code = 'P2'",
    "orphans: a product gone": "DELETE FROM dim_product WHERE stock_code = 'P2'",
    "orphans: a country gone": "DELETE FROM dim_country WHERE country = 'EIRE'",
    "keys: a customer renamed": "UPDATE dim_customer SET customer_id = 'X' WHERE customer_id = '17851'",
    "dates: a date_key moved": f"UPDATE fact_sales SET date_key = 20101204 {OF_DAY}",
    "balances: a fact of another batch": f"UPDATE fact_sales SET batch_id = '20261124T000002-00000002' {OF_DAY}",
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_found_and_repaired_from_gold(settings: Settings, side: Side, harm: str) -> None:
    assert check_integrity(settings, side).whole
    before = contents(settings, side)
    tamper(settings, side, HARMS[harm])
    found = check_integrity(settings, side)
    assert harm.split(":")[0] in {difference.check for difference in found.differences}
    assert all(difference.remedy for difference in found.differences)
    days = days_with_facts(settings, None, None)
    repair(settings, days)
    assert check_integrity(settings, side).whole
    assert contents(settings, side) == before
    again = repair(settings, days)
    assert all(rows == 0 for written in again.written.values() for rows in written.values())


@pytest.mark.parametrize("side", SIDES)
def test_a_fact_that_gold_lacks_is_found_and_deleted(settings: Settings, side: Side) -> None:
    before = contents(settings, side)
    columns = (
        "date_key, product_key, customer_key, country_key, invoice_key, sold_at, quantity, unit_price, amount, kind, "
        "currency, original_unit_price, original_amount, base_rate"
    )
    stray = "'00000000000000000000000000000001'"
    tamper(
        settings,
        side,
        f"INSERT INTO fact_sales (sale_id, {columns}, batch_id) SELECT {stray}, {columns}, batch_id FROM fact_sales "
        f"{OF_DAY}",
    )
    found = check_integrity(settings, side, DAY, DAY)
    [of_day] = [difference for difference in found.differences if difference.check == "days"]
    assert of_day.examples == ["1 not in Gold: 00000000000000000000000000000001"]
    assert of_day.remedy == "python -m include.operate repair --day 2010-12-03"
    assert check_integrity(settings, side, date(2010, 12, 4)).differences[0].check != "days"
    repair(settings, [DAY])
    assert check_integrity(settings, side).whole
    assert contents(settings, side) == before


@pytest.mark.parametrize("side", SIDES)
def test_amounts_that_are_not_quantity_times_price_are_found(settings: Settings, side: Side) -> None:
    if side == "primary":
        tamper(settings, side, "ALTER TABLE fact_sales DROP CONSTRAINT ck_fact_sales_amount")
    wrong = "UPDATE fact_sales SET amount = amount + 1, original_amount = original_amount + 1"
    tamper(settings, side, f"{wrong} {OF_DAY}")
    assert {"amounts", "days", "balances"} <= {found.check for found in check_integrity(settings, side).differences}


def test_a_day_that_neither_side_should_have_is_emptied(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.rebuild(3, DAY, []))
    assert DAY not in days_with_facts(settings, None, None)
    assert check_integrity(settings, "primary").whole  # the drops' receipts speak of before the rebuild
    assert compare_sides(settings).whole


def test_what_is_in_gold_but_was_never_published_is_no_difference(lake: Lake, settings: Settings) -> None:
    lake.drop(3, [Line(quantity=500), Line(code="NEW", invoice="NEW", customer="NEW", quantity=501)])
    for side in SIDES:
        found = check_integrity(settings, side)
        assert (found.whole, found.unpublished) == (True, [f"{batch(3)}:20101201"])
    repair(settings, days_with_facts(settings, None, None))
    assert contents(settings, "primary")["dim_product"].keys() == {key(f"P{number}") for number in range(7)}
    publish(settings, "run_3")
    assert compare_sides(settings).whole


def test_batches_that_a_side_has_no_record_of_are_found(settings: Settings) -> None:
    tamper(settings, "primary", f"DELETE FROM etl_batch WHERE batch_id = '{batch(2)}'")
    [found] = check_integrity(settings, "primary").differences
    assert (found.check, found.subject) == ("batches", batch(2))


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("RETAIL_DATA_DIR", str(settings.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def told(environment: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, object]]]:
    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        code = main(arguments)
        return code, json.loads(capsys.readouterr().out)

    return run


def test_the_commands(
    lake: Lake, settings: Settings, victim: Victim, told: Callable[..., tuple[int, dict[str, object]]]
) -> None:
    code, shown = told("status")
    assert (code, shown["serves"], shown["state"], shown["pending"]) == (0, "primary", "primary", [])
    sides = [shown["primary"], shown["replica"]]
    assert all(isinstance(side, dict) and side["rows"] == 80 and side["newest_batch"] == batch(2) for side in sides)
    assert told("compare")[0] == 0
    assert told("integrity", "--side", "replica", "--from", "2010-12-01", "--to", "2010-12-02")[0] == 0
    tamper(settings, "primary", HARMS["days: a fact gone"])
    code, shown = told("compare", "--day", "2010-12-03")
    assert code == 1
    assert isinstance(shown["differences"], dict)
    assert [len(shown["differences"][side]) for side in SIDES] == [1, 0]
    assert told("integrity")[0] == 1
    assert told("repair", "--day", "2010-12-03")[0] == 0
    assert told("integrity")[0] == 0
    with victim.down():
        publish(settings, lake.drop(3, lines_of(10, start=80)))
        code, shown = told("status")
        assert (code, shown["serves"], shown["pending"]) == (0, "replica", [batch(3)])
        assert isinstance(shown["primary"], dict)
        assert not shown["primary"]["reachable"]
        assert told("refresh-replica")[0] == 0
    code, shown = told("catch-up")
    assert (code, shown["batches"], shown["serves"]) == (0, [batch(3)], "primary")
    both_sides_equal(settings, settings)
