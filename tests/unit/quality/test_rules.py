"""Each rule of the declared set, met and broken, with hand-computed scores."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from include.domain.line import LineText
from include.quality.rules import COLUMNS, DIMENSIONS, REQUIRED, RULES, WEIGHTS
from tests.support.relations import CLAIMED_AT, SOLD_AT, Batch, broken, line, repeat

EIGHT = [line(number) for number in range(8)]

BROKEN: dict[str, tuple[Batch, int, int, str]] = {
    **{
        f"{name}_present": (Batch(broken=[broken(10, f"missing_{name}", **{name: None})]), 1, 9, f"{name} (none)")
        for name in REQUIRED
    },
    "description_present": (
        Batch(lines=[*EIGHT[:7], line(7, description=None)], broken=[broken(10, "too_few_columns", description=None)]),
        1,
        8,
        "description (none), on invoice 540003",
    ),
    "customer_id_present": (
        Batch(lines=[*EIGHT[:6], line(6, customer_id=None), line(7, customer_id=None)]),
        2,
        8,
        "customer_id (none), on invoice 540003",
    ),
    "country_present": (
        Batch(lines=[*EIGHT[:7], line(7, country="Unspecified")], broken=[broken(10, "malformed_price", country=None)]),
        2,
        9,
        "country Unspecified, on invoice 540003",
    ),
    "row_valid": (Batch(broken=[broken(10, "malformed_price", price="n/a")]), 1, 9, "price n/a"),
    "record_readable": (Batch(broken=[broken(10, "nul_byte", raw="a;b")]), 1, 9, "a;b"),
    **{
        f"{name}_valid": (Batch(broken=[broken(10, f"malformed_{name}", **{name: "?"})]), 1, 9, f"{name} ?")
        for name in COLUMNS
    },
    "quantity_valid": (
        Batch(broken=[broken(10, "quantity_out_of_range", quantity="9999999"), broken(11, "malformed_quantity")]),
        2,
        10,
        "quantity 9999999",
    ),
    "line_not_repeated": (Batch(repeats=[repeat(10, 2)]), 1, 9, "the same as line 2 of a.csv"),
    "line_new": (Batch(repeats=[repeat(10, None)]), 1, 9, "invoice 540000, stock_code P0"),
    "line_once_in_silver": (Batch(lines=[*EIGHT, line(7)]), 2, 9, "invoice 540003, stock_code P7"),
    "invoice_has_one_customer": (
        Batch(lines=[*EIGHT[:7], line(7, customer_id=None)]),
        2,
        8,
        "invoice 540003, customer_id 17003",
    ),
    "invoice_has_one_country": (Batch(lines=[*EIGHT[:7], line(7, country="EIRE")]), 2, 8, "country France"),
    "invoice_has_one_day": (
        Batch(lines=[*EIGHT[:7], line(7, invoice_date=SOLD_AT + timedelta(days=-1))]),
        2,
        8,
        "invoice 540003, invoice_date 2011-01-04",
    ),
    "cancellation_takes_back": (
        Batch(lines=[*EIGHT[:6], line(6, invoice="C540003", kind="cancellation"), line(7)]),
        1,
        8,
        "invoice C540003, quantity 2",
    ),
    "customer_has_one_country": (
        Batch(lines=[*EIGHT[:7], line(8, customer_id="17000", country="EIRE")]),
        3,
        8,
        "customer_id 17000, country",
    ),
    "amount_is_quantity_times_price": (
        Batch(lines=[*EIGHT[:7], line(7, amount=Decimal("3.0001"))]),
        1,
        8,
        "quantity 2, price 1.5000",
    ),
    "date_not_in_future": (
        Batch(lines=[*EIGHT[:7], line(8, invoice_date=datetime(2011, 1, 6, 6, 0, 1))]),
        1,
        8,
        "invoice_date 2011-01-06 06:00:01",
    ),
    "file_read": (
        Batch(files=[("a.csv", True, None), ("b.csv", False, "The file is empty.")]),
        1,
        2,
        "The file is empty.",
    ),
    "rows_recounted": (Batch(rows_recorded=9), 1, 2, "recorded 9, found 8"),
    "money_recounted": (Batch(amount_recorded=Decimal("24.01")), 1, 2, "recorded 24.0100, found 24.0000"),
}
"""Rule -> a batch that breaks it, the rows that do, the rows looked at, and what the first example says."""


def test_every_rule_is_broken_by_a_case_here() -> None:
    assert set(BROKEN) == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_batch_that_breaks_a_rule_fails_it_with_an_example(name: str) -> None:
    batch, failing, rows, example = BROKEN[name]
    rule = batch.scores()[name]
    assert (rule.failing, rule.rows) == (failing, rows)
    assert rule.score == pytest.approx(1 - failing / rows, abs=1e-6)
    assert rule.cost == pytest.approx(rule.weight * failing / rows, abs=1e-6)
    assert example in rule.examples[0].value
    assert len(rule.examples) == min(failing, 3)


def test_a_batch_in_order_meets_every_rule() -> None:
    scores = Batch().scores()
    assert {name: rule.score for name, rule in scores.items()} == dict.fromkeys(scores, 1.0)
    assert not any(rule.examples for rule in scores.values())


@pytest.mark.parametrize(
    "batch",
    [
        Batch(lines=[*EIGHT[:7], line(8, invoice="C540008", kind="cancellation", quantity=-2)]),
        Batch(lines=[*EIGHT[:7], line(8, kind="return", quantity=-2)]),
        Batch(lines=[*EIGHT[:7], line(8, kind="free_of_charge", price=Decimal(0))]),
        Batch(lines=[*EIGHT[:7], line(8, invoice="A540008", kind="adjustment", price=Decimal("-100"))]),
        Batch(lines=[*EIGHT[:7], line(8, invoice_date=CLAIMED_AT.replace(tzinfo=None) + timedelta(days=1))]),
        Batch(lines=[*EIGHT[:7], line(8, invoice_date=datetime(1990, 1, 1))]),
        Batch(lines=[*EIGHT[:7], line(7, invoice_date=SOLD_AT + timedelta(hours=1))]),
        Batch(lines=[line(number, customer_id=None) for number in range(8)]),
    ],
    ids=[
        "cancellation",
        "return",
        "free",
        "adjustment",
        "a day ahead",
        "long ago",
        "two times of a day",
        "no customers",
    ],
)
def test_kinds_of_transaction_and_old_lines_are_no_faults(batch: Batch) -> None:
    scores = batch.scores()
    del scores["customer_id_present"]
    assert all(rule.score == 1 for rule in scores.values())


def test_a_rebuild_may_read_a_day_several_times() -> None:
    scores = Batch(kind="rebuild", repeats=[repeat(10, 2)] * 40).scores()
    assert (scores["line_not_repeated"].score, scores["line_not_repeated"].cost) == (None, None)
    assert scores["file_read"].score is None
    assert scores["row_valid"].rows == 48


def test_the_set_is_well_formed() -> None:
    for rule in RULES:
        assert rule.dimension in DIMENSIONS
        assert set(rule.columns) <= set(LineText.model_fields)
        assert 0 <= rule.weight < 1
        assert rule.formula.startswith("1 - ")
        assert rule.formula.endswith(".")
    assert sum(rule.weight for rule in RULES if rule.columns == ("customer_id",)) <= 0.05
    assert WEIGHTS["validity"] == pytest.approx(0.35)
