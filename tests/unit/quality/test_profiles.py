"""Profiles of days, counted from lines."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from include.quality.profiles import BINS, LINES_CAP, profiles_of
from tests.support.relations import Batch, line

JANUARY = datetime(2011, 1, 4, 9, 30)


def test_a_day_is_counted_by_batch() -> None:
    lines = [
        line(0, invoice="1", customer_id=None, price=Decimal("0.01")),
        line(1, invoice="1", customer_id=None, description=None, price=Decimal("0.02"), quantity=1),
        line(2, invoice="1", price=Decimal("-5"), kind="adjustment"),
        line(3, invoice="2", price=Decimal(0), quantity=-3, kind="stock_movement"),
        line(4, invoice="3", invoice_date=JANUARY.replace(hour=17), quantity=999_999, price=Decimal(1_000_000)),
        line(5, invoice="3", invoice_date=JANUARY.replace(day=5)),
        line(6, invoice="3", batch_id="c"),
    ]
    with Batch(lines=lines).open() as connection:
        first, second, third = profiles_of(connection)
    assert [(item.invoice_day, item.batch_id) for item in (first, second, third)] == [
        (date(2011, 1, 4), "b"),
        (date(2011, 1, 4), "c"),
        (date(2011, 1, 5), "b"),
    ]
    assert (first.lines, first.capped_lines, first.squared_lines) == (5, 5, 9 + 1 + 1)
    assert (first.sales, first.sale_lines) == (1, 2)
    assert (first.customer_missing, first.description_missing) == (2, 1)
    assert (first.hours[9], first.hours[17], sum(first.hours)) == (4, 1, 5)
    # negative, zero, 0.01 in the first bin, 0.02 a doubling (three bins) on, and the largest in the last
    assert [position for position, count in enumerate(first.prices) if count] == [0, 1, 2, 5, BINS - 1]
    assert [(position, count) for position, count in enumerate(first.quantities) if count] == [
        (0, 1),
        (2, 1),
        (5, 2),
        (2 + 59, 1),
    ]
    assert (second.lines, third.lines) == (1, 1)


def test_a_large_invoice_counts_some_of_its_lines() -> None:
    with Batch(lines=[line(number, invoice="1") for number in range(LINES_CAP + 30)]).open() as connection:
        (profile,) = profiles_of(connection)
    assert (profile.lines, profile.capped_lines, profile.sale_lines) == (80, 50, 50)
