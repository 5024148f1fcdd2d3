"""Drift: each statistic on days made by hand, and what is compared with what."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.quality.drift import (
    Reference,
    compare,
    customer_missing,
    description_missing,
    drift_of,
    hours_without_lines,
    lines_per_invoice,
    prices,
    quantities,
    reference_for,
    volume,
)
from include.quality.findings import Drift
from include.quality.profiles import BINS, DayProfile

TUESDAY = date(2011, 3, 1)
LATER = datetime(2011, 6, 1, tzinfo=UTC)


def histogram(size: int, **bins: int) -> tuple[int, ...]:
    found = [0] * size
    for name, count in bins.items():
        found[int(name[1:])] = count
    return tuple(found)


ORDINARY = DayProfile(
    invoice_day=TUESDAY,
    batch_id="b",
    lines=1000,
    capped_lines=1000,
    squared_lines=20_000,
    sales=50,
    sale_lines=1000,
    customer_missing=200,
    description_missing=0,
    hours=histogram(24, h9=400, h12=500, h15=100),
    prices=histogram(BINS, b20=500, b24=500),
    quantities=histogram(BINS, b2=400, b11=600),
)


def day(weeks_ago: int = 0, shift: int = 0, **changes: Any) -> DayProfile:
    moved = TUESDAY - timedelta(weeks=weeks_ago, days=-shift)
    return replace(ORDINARY, invoice_day=moved, **changes)


def known(*profiles: DayProfile) -> dict[date, DayProfile]:
    return {profile.invoice_day: profile for profile in profiles}


EARLIER = known(*(day(weeks, batch_id=f"b{weeks}") for weeks in range(1, 9)))


def reference(**changes: Any) -> Reference:
    found = reference_for(TUESDAY, known(*(day(weeks, **changes) for weeks in range(1, 9))))
    assert found is not None
    return found


def test_volume_counts_robust_deviations_of_the_log() -> None:
    found = volume(day(capped_lines=2000), reference())
    assert found.distance == pytest.approx(math.log(2) / 0.25)
    assert "2,000 lines" in found.words
    assert "1,000 are ordinary" in found.words
    assert volume(day(), reference()).distance == 0


def test_volume_is_measured_by_how_much_days_differ() -> None:
    earlier = known(*(day(weeks, capped_lines=500 if weeks % 2 else 2000) for weeks in range(1, 9)))
    found = reference_for(TUESDAY, earlier)
    assert found is not None
    assert volume(day(capped_lines=2000), found).distance == pytest.approx(1 / 1.4826)


def test_volume_follows_the_level_of_the_last_days_half_way() -> None:
    wednesdays = [day(weeks, shift=1, capped_lines=1000 if weeks > 4 else 2000) for weeks in range(2, 9)]
    tuesdays = [day(weeks, capped_lines=1000 if weeks > 4 else 2000) for weeks in range(1, 9)]
    found = reference_for(TUESDAY, known(*tuesdays, *wednesdays))
    assert found is not None
    # The median Tuesday has the logarithmic middle of 1000 and 2000, Wednesday 1000; of the last ten days, seven are
    # above their weekday's median, and half of the median surprise counts.
    assert "about 1,6" in volume(day(), found).words


def test_hours_in_which_a_day_has_no_lines() -> None:
    found = hours_without_lines(day(hours=histogram(24, h9=1000)), reference())
    assert found.distance == pytest.approx(0.6)
    assert found.bound == pytest.approx(0.15 + 0.4 / math.sqrt(50))
    assert "no lines at 12-13, 15-16 h, when 60%" in found.words
    assert hours_without_lines(day(), reference()).distance == 0


def test_hours_may_be_empty_where_they_often_are() -> None:
    short = histogram(24, h9=500, h12=500)
    earlier = [day(weeks, hours=short if weeks % 2 else ORDINARY.hours) for weeks in range(1, 9)]
    found = reference_for(TUESDAY, known(*earlier))
    assert found is not None
    # Each short day lacks an hour in which the seven others have 400 of their 7000 lines.
    assert hours_without_lines(day(), found).bound == pytest.approx(0.15 + 0.4 / math.sqrt(50))
    quiet = histogram(24, h9=300, h12=700)
    earlier = [day(weeks, hours=quiet if weeks % 2 else histogram(24, h12=1000)) for weeks in range(1, 9)]
    found = reference_for(TUESDAY, known(*earlier))
    assert found is not None
    # Each day that opens late lacks an hour in which the seven others have 1200 of their 7000 lines.
    assert hours_without_lines(day(), found).bound == pytest.approx(1200 / 7000 + 0.05)


def test_lines_of_an_invoice() -> None:
    found = lines_per_invoice(day(sale_lines=500), reference())
    assert found is not None
    assert found.distance == pytest.approx(math.log(2))
    assert "10.0 lines an invoice where 20.0 are ordinary" in found.words
    assert lines_per_invoice(day(sales=0, sale_lines=0), reference()) is None


def test_missing_customers_are_bounded_by_clusters_of_lines() -> None:
    found = customer_missing(day(customer_missing=500), reference())
    assert found.distance == pytest.approx(0.3)
    # Invoices of 20 lines: 1000 lines are 50 observations.
    assert found.bound == pytest.approx(0.05 + 3 * math.sqrt(0.2 * 0.8 / 50))
    assert customer_missing(day(squared_lines=80_000), reference()).bound == pytest.approx(
        0.05 + 3 * math.sqrt(0.2 * 0.8 * 80 / 1000)
    )


def test_missing_descriptions_that_never_were_may_be_one_in_as_many_lines() -> None:
    found = description_missing(day(description_missing=100), reference())
    assert found.distance == pytest.approx(0.1)
    assert found.bound == pytest.approx(0.04 + 3 * math.sqrt(1 / 8000 * (1 - 1 / 8000) / 1000))


def test_prices_and_quantities_are_compared_by_their_distribution() -> None:
    assert prices(day(), reference()).distance == 0
    assert prices(day(prices=histogram(BINS, b20=250, b24=750)), reference()).distance == pytest.approx(0.25)
    assert prices(day(prices=histogram(BINS, b40=500, b44=500)), reference()).distance == 1
    assert quantities(day(quantities=histogram(BINS, b1=1000)), reference()).distance == 1


def test_an_ordinary_day_raises_nothing_and_a_fault_a_sentence() -> None:
    assert compare(day(), EARLIER) == []
    (alert,) = compare(day(prices=histogram(BINS, b40=500, b44=500)), EARLIER) or []
    assert (alert.day, alert.statistic, alert.distance) == (TUESDAY, "prices", 1.0)
    assert alert.sentence() == (
        "Tuesday 2011-03-01: prices are distributed differently (distance 1.00); prices is 1.00 away from the last "
        "8 Tuesdays, ordinary is up to 0.18."
    )


def test_it_takes_four_earlier_days_of_the_weekday() -> None:
    three = known(*(day(weeks) for weeks in range(1, 4)))
    wednesdays = known(*(day(weeks, shift=1) for weeks in range(1, 9)))
    later = known(*(day(-weeks) for weeks in range(1, 9)))
    assert compare(day(), three | wednesdays | later) is None
    assert compare(day(), three | known(day(4))) == []
    small = known(*(day(weeks, lines=49) for weeks in range(4, 9)))
    assert compare(day(), three | small) is None
    assert compare(day(lines=49), EARLIER) is None


def test_only_the_last_eight_days_count() -> None:
    long_ago = known(*(day(weeks, prices=histogram(BINS, b60=1000)) for weeks in range(9, 30)))
    assert compare(day(), EARLIER | long_ago) == []


def test_a_day_that_is_not_over_may_be_small() -> None:
    morning = day(lines=300, capped_lines=300, hours=histogram(24, h9=300))
    assert {alert.statistic for alert in compare(morning, EARLIER) or []} == {"lines", "hours_without_lines"}
    assert compare(morning, EARLIER, over=False) == []
    noon = datetime(2011, 3, 1, 12, tzinfo=UTC)
    assert drift_of([morning], EARLIER.values(), noon).alerts == []
    assert len(drift_of([morning], EARLIER.values(), LATER).alerts) == 2


def test_a_day_that_comes_in_two_batches_counts_whole() -> None:
    half = {"lines": 500, "capped_lines": 500, "sales": 25, "sale_lines": 500, "squared_lines": 10_000}
    first = day(batch_id="first", **half, customer_missing=100, hours=histogram(24, h9=500))
    second = day(batch_id="second", **half, customer_missing=100, hours=histogram(24, h12=450, h15=50))
    assert {alert.statistic for alert in drift_of([first], EARLIER.values(), LATER).alerts} == {"hours_without_lines"}
    assert drift_of([second], [*EARLIER.values(), first], LATER).alerts == []


def test_days_of_one_batch_are_not_compared_with_each_other() -> None:
    wrong = histogram(BINS, b40=500, b44=500)
    batch = [day(-weeks, batch_id="b", prices=wrong) for weeks in range(4)]
    found = drift_of(batch, EARLIER.values(), LATER)
    assert [alert.day for alert in found.alerts] == [profile.invoice_day for profile in batch]
    assert (found.days, found.compared, found.summary) == (4, 4, None)


def test_a_batch_of_many_days_gets_one_sentence() -> None:
    batch = [day(-weeks, batch_id="b") for weeks in range(40)]
    found = drift_of(batch, [], LATER)
    assert found == Drift(
        days=40, compared=36, summary="0 of 36 compared days are unlike earlier days of their weekday.", unusual=False
    )
    assert found.warnings() == []
    odd = histogram(BINS, b1=1000)
    late = [replace(item, quantities=odd) if number >= 31 else item for number, item in enumerate(batch)]
    found = drift_of(late, [], LATER)
    # The sixth such day has had five like it among the eight before.
    assert found.summary == "6 of 36 compared days are unlike earlier days of their weekday (quantities 6)."
    assert (found.unusual, found.warnings()) == (False, [])
    mixed = [replace(item, quantities=odd) if number % 3 == 0 else item for number, item in enumerate(batch)]
    found = drift_of(mixed, [], LATER)
    assert (found.unusual, found.alerts, found.warnings()) == (True, [], [found.summary])


def test_profiles_add_up() -> None:
    both = ORDINARY + ORDINARY
    assert (both.lines, both.hours[9], both.batch_id, both.invoice_day) == (2000, 800, "", TUESDAY)
