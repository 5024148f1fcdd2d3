from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from include.enrichment import fx


@pytest.mark.parametrize(
    ("day", "euro_in_dollars", "euro_in_pounds", "pound_in_dollars"),
    [
        (date(2009, 12, 1), "1.5074", "0.90985", "1.6568"),
        (date(2010, 6, 15), "1.2258", "0.832", "1.4733"),
        (date(2010, 12, 1), "1.3115", "0.8393", "1.5626"),
        (date(2011, 12, 9), "1.3384", "0.85315", "1.5688"),
        (date(2024, 9, 5), "1.1097", "0.84318", "1.3161"),
    ],
)
def test_rates_are_the_cross_rates_of_the_published_quotes(
    day: date, euro_in_dollars: str, euro_in_pounds: str, pound_in_dollars: str
) -> None:
    quotes = fx.ecb_history("GBP")[day]
    assert (quotes["USD"], quotes["GBP"]) == (Decimal(euro_in_dollars), Decimal(euro_in_pounds))
    (rate,) = fx.rates([day], None, "GBP")
    assert rate.usd is not None
    assert round(rate.usd, 4) == Decimal(pound_in_dollars)
    assert (rate.rate_date, rate.source, rate.missing_reason) == (day, "ecb", None)


def test_every_currency_has_eight_decimals() -> None:
    (rate,) = fx.rates([date(2010, 12, 1)], None, "GBP")
    assert rate.model_dump(include={"usd", "eur", "cad", "aud", "jpy"}) == {
        "usd": Decimal("1.56261170"),  # 1.3115 / 0.8393
        "eur": Decimal("1.19146908"),  # 1      / 0.8393
        "cad": Decimal("1.59180269"),  # 1.336  / 0.8393
        "aud": Decimal("1.62218515"),  # 1.3615 / 0.8393
        "jpy": Decimal("131.50244251"),  # 110.37 / 0.8393
    }


def test_a_day_without_quotes_takes_those_before_it() -> None:
    saturday, sunday, christmas = date(2010, 12, 4), date(2010, 12, 5), date(2010, 12, 26)
    found = fx.rates([sunday, christmas, saturday], None, "GBP")
    assert [(rate.day, rate.rate_date) for rate in found] == [
        (saturday, date(2010, 12, 3)),
        (sunday, date(2010, 12, 3)),
        (christmas, date(2010, 12, 24)),
    ]


def test_every_day_of_the_history_has_rates() -> None:
    first, last = min(fx.ecb_history("GBP")), max(fx.ecb_history("GBP"))
    assert first == date(1999, 1, 4)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    found = fx.rates(days, None, "GBP")
    assert [rate.day for rate in found] == days
    assert all(rate.source == "ecb" and rate.jpy for rate in found)
    assert max((rate.day - rate.rate_date).days for rate in found if rate.rate_date) <= fx.MAX_DAYS_APART


def test_days_are_answered_once_and_in_order() -> None:
    days = [date(2011, 1, 5), date(2011, 1, 4), date(2011, 1, 5)]
    assert [rate.day for rate in fx.rates(days, None, "GBP")] == [date(2011, 1, 4), date(2011, 1, 5)]


@pytest.mark.parametrize("day", [date(1999, 1, 3), date.min])
def test_days_before_the_history_have_no_rates(day: date) -> None:
    assert fx.rates([day], None, "GBP") == [fx.FxRate(day=day, missing_reason="before_history")]


def test_days_soon_after_the_history_take_its_end_and_later_ones_have_no_rates() -> None:
    last = max(fx.ecb_history("GBP"))
    near, far = fx.rates([last + timedelta(days=fx.MAX_DAYS_APART + more) for more in (0, 1)], None, "GBP")
    assert (near.rate_date, near.source) == (last, "ecb")
    assert far == fx.FxRate(day=far.day, missing_reason="disabled")


def test_the_last_day_there_can_be_has_an_answer() -> None:
    assert fx.rates([date.max], None, "GBP")[0].missing_reason == "disabled"


def test_another_base_currency_has_its_own_rates() -> None:
    (rate,) = fx.rates([date(2010, 12, 1)], None, "EUR")
    assert (rate.usd, rate.eur) == (Decimal("1.31150000"), Decimal(1))
    assert rate.base_rates["GBP"] == (1 / Decimal("0.8393")).quantize(Decimal("1e-12"))
    assert "EUR" not in rate.base_rates


def test_a_rate_to_the_base_currency_is_the_ecbs() -> None:
    (rate,) = fx.rates([date(2010, 12, 1)], None, "GBP")
    assert rate.base_rates["EUR"] == Decimal("0.8393")
    assert rate.base_rates["USD"] == (Decimal("0.8393") / Decimal("1.3115")).quantize(Decimal("1e-12"))
    assert "TND" not in rate.base_rates
