from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, select

from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.schema.tables import star_table
from tests.support.batches import Line, batch, stage_rows, star_of

RATES = (date(2010, 12, 1), "ecb", None, *map(Decimal, ("1.5626", "1.1882", "1.5893", "1.6169", "131.55")))
MISSING = (None, None, "no_rate_near_day", None, None, None, None, None)
EARLY, LATE = datetime(2026, 11, 1), datetime(2026, 11, 2)


def put(engine: Engine, settings: Settings, number: int, line: Line, fx: tuple[Any, ...]) -> None:
    rows = star_of([line], batch(number))
    rows["fact_sales"] = [row + fx for row in rows["fact_sales"]]
    stage_rows(engine, settings, batch(number), rows)
    publish(engine, settings, batch(number), "run", "drop", f"gold {number}")


def fact(engine: Engine) -> dict[str, Any]:
    with transaction(engine) as connection:
        return dict(connection.execute(select(star_table("fact_sales"))).mappings().one())


def test_amounts_are_converted_at_the_rate_of_the_line_and_rounded_half_up(engine: Engine, settings: Settings) -> None:
    put(engine, settings, 1, Line(quantity=-3, price=Decimal("2.5500")), RATES)
    found = fact(engine)
    # -7.65 GBP: x 1.5626 = -11.95389, x 131.55 = -1006.3575; 2.55 x 1.1882 = 3.02991, x 131.55 = 335.4525
    assert (found["amount_usd"], found["amount_jpy"]) == (Decimal("-11.95"), Decimal("-1006"))
    assert (found["unit_price_eur"], found["unit_price_jpy"]) == (Decimal("3.03"), Decimal("335"))
    assert (found["fx_date"], found["fx_source"], found["fx_missing"]) == (date(2010, 12, 1), "ecb", None)


def test_a_half_is_rounded_away_from_zero(engine: Engine, settings: Settings) -> None:
    halves = (*RATES[:3], Decimal("0.5"), *RATES[4:7], Decimal("0.5"))
    put(engine, settings, 1, Line(quantity=-1, price=Decimal("0.01")), halves)
    assert fact(engine)["amount_usd"] == Decimal("-0.01")
    put(engine, settings, 2, Line(quantity=-1, price=Decimal("0.01")), (*halves[:7], Decimal("50")))
    assert fact(engine)["amount_jpy"] == Decimal("-1")


def test_rates_found_later_reach_the_line_that_lacked_them(engine: Engine, settings: Settings) -> None:
    put(engine, settings, 1, Line(), MISSING)
    before = fact(engine)
    assert (before["fx_missing"], before["amount_usd"]) == ("no_rate_near_day", None)
    put(engine, settings, 2, Line(), RATES)
    after = fact(engine)
    assert (after["fx_missing"], after["amount_usd"]) == (None, Decimal("23.91"))
    assert after["batch_id"] == before["batch_id"]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_what_was_recorded_last_about_a_product_stays(engine: Engine, settings: Settings, order: list[int]) -> None:
    answers = [
        ("uncategorised", None, None, Decimal("0.310"), "v1", EARLY),
        ("candles_and_lighting", "lanterns", None, Decimal("0.912"), "v2", LATE),
    ]
    for number in order:
        rows = star_of([Line()], batch(number))
        rows["dim_product"] = [row + answers[number] for row in rows["dim_product"]]
        stage_rows(engine, settings, batch(number), rows)
        publish(engine, settings, batch(number), "run", "drop", f"gold {number}")
    with transaction(engine) as connection:
        table = star_table("dim_product")
        found = connection.execute(select(table).where(table.c.stock_code == "85123A")).mappings().one()
    assert (found["category"], found["category_version"], found["enriched_at"]) == ("candles_and_lighting", "v2", LATE)
