"""Scores of dimensions, columns and whole batches, and what holds for any batch."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.quality.reasons import RULES as REASONS
from include.quality.rules import STRUCTURAL, WEIGHTS
from include.quality.scoring import column_scores, dimension_scores, file_summaries, lag_days, overall_score
from include.runs.records import StagedFile
from include.sources.model import FileDecisions, SourceReading
from tests.support.relations import Batch, broken, line, repeat

CODES = st.sampled_from([*REASONS, *STRUCTURAL])


def by_name(batch: Batch) -> tuple[float, dict[str, float | None], dict[str, float | None]]:
    rules = list(batch.scores().values())
    dimensions = {item.name: item.score for item in dimension_scores(rules)}
    return overall_score(rules), dimensions, {item.name: item.score for item in column_scores(rules)}


def test_hand_computed() -> None:
    # 8 lines of 4 invoices, one of which has no customer; 2 broken rows, of which one has no price; 2 repeats.
    lines = [line(number, **({"customer_id": None} if number > 5 else {})) for number in range(8)]
    bad = [broken(10, "missing_price", "malformed_quantity"), broken(11, "nul_byte", customer_id=None)]
    overall, dimensions, columns = by_name(Batch(lines=lines, broken=bad, repeats=[repeat(12, 2), repeat(13, None)]))
    costs = {
        "price_present": 0.03 * 1 / 12,
        "customer_id_present": 0.02 * 2 / 9,
        "row_valid": 0.35 * 2 / 12,
        "line_not_repeated": 0.20 * 1 / 12,
    }
    assert overall == pytest.approx(1 - sum(costs.values()), abs=1e-5)
    assert dimensions["validity"] == pytest.approx(10 / 12, abs=1e-5)
    completeness = 1 - (costs["price_present"] + costs["customer_id_present"]) / (5 * 0.03 + 3 * 0.02)
    assert dimensions["completeness"] == pytest.approx(completeness, abs=1e-5)
    assert dimensions["uniqueness"] == pytest.approx(1 - costs["line_not_repeated"] / 0.55, abs=1e-5)
    assert (dimensions["consistency"], dimensions["timeliness"], dimensions["reconciliation"]) == (1, 1, 1)
    assert columns["price"] == pytest.approx(11 / 12, abs=1e-5)
    assert columns["quantity"] == pytest.approx(11 / 12, abs=1e-5)
    assert columns["customer_id"] == pytest.approx(7 / 9, abs=1e-5)
    assert columns["country"] == 1


def test_a_batch_half_of_which_is_broken_is_below_any_sensible_bar() -> None:
    for code in (*REASONS, *STRUCTURAL):
        overall, dimensions, _ = by_name(Batch(broken=[broken(10 + number, code) for number in range(8)]))
        assert overall <= 0.825
        assert dimensions["validity"] == 0.5


def test_a_batch_of_broken_rows_has_no_score_for_what_it_has_no_rows_of() -> None:
    overall, dimensions, columns = by_name(Batch(lines=[], broken=[broken(2, "nul_byte")]))
    assert overall == pytest.approx(0.65)
    assert (dimensions["validity"], dimensions["consistency"], dimensions["timeliness"]) == (0, None, None)
    assert (columns["customer_id"], columns["price"]) == (1, 1)


def test_a_batch_that_an_earlier_one_has_loaded_is_in_order() -> None:
    overall, dimensions, _ = by_name(Batch(lines=[], repeats=[repeat(number, None) for number in range(5)]))
    assert overall == 1
    assert dimensions["uniqueness"] == 1


def test_a_table_that_holds_other_rows_than_recorded_is_held_alone() -> None:
    assert by_name(Batch(rows_recorded=9))[0] < 0.85
    assert by_name(Batch(amount_recorded=Decimal("24.0001")))[0] < 0.85


def test_a_file_that_cannot_be_read_does_not_hold_the_others() -> None:
    overall, dimensions, _ = by_name(Batch(files=[("a.csv", True, None), *[("b.csv", False, "Empty.")] * 50]))
    assert overall > 0.9
    assert (dimensions["reconciliation"] or 0) < 1


def test_files_are_summed_up_for_their_senders() -> None:
    bad = [
        broken(10, "missing_price", "malformed_quantity", quantity="six", price=None),
        broken(4, "malformed_quantity", quantity="four"),
        broken(7, "too_few_columns", raw="x" * 300),
    ]
    reading = SourceReading(decisions=FileDecisions(format="csv"), rows=11, defects={}, amount=Decimal(24), seconds=0.1)
    files = [
        StagedFile(name="a.csv", sha256="s", reading=reading),
        StagedFile(
            name="b.csv", sha256="t", code="empty_file", problem="The file is empty.", remedy="Export it again."
        ),
    ]
    with Batch(broken=bad).open() as connection:
        first, second = file_summaries(connection, files, {"s": "quarantine/r/a.csv.rows.csv"})
        assert lag_days(connection) == (1, 1)
    assert (first.rows, first.quarantined, first.report) == (11, 3, "quarantine/r/a.csv.rows.csv")
    assert [(item.code, item.rows, item.first_line, item.first_value[:4]) for item in first.problems] == [
        ("malformed_quantity", 2, 4, "four"),
        ("missing_price", 1, 10, ""),
        ("too_few_columns", 1, 7, "xxxx"),
    ]
    assert len(first.problems[2].first_value) == 200
    assert (second.rows, second.rejection) == (0, "The file is empty. Export it again.")


@settings(max_examples=40, deadline=None)
@given(
    bad=st.lists(st.lists(CODES, min_size=1, max_size=3, unique=True), max_size=6),
    good=st.integers(0, 8),
    repeats=st.lists(st.booleans(), max_size=4),
    worse=st.lists(CODES, min_size=1, max_size=3, unique=True),
)
def test_scores_stay_between_0_and_1_and_worse_input_is_never_more_valid(
    bad: list[list[str]], good: int, repeats: list[bool], worse: list[str]
) -> None:
    def batch(lines: int, codes: list[list[str]]) -> Batch:
        return Batch(
            lines=[line(number) for number in range(lines)],
            broken=[broken(20 + number, *found) for number, found in enumerate(codes)],
            repeats=[repeat(40 + number, 2 if twin else None) for number, twin in enumerate(repeats)],
        )

    overall, dimensions, columns = by_name(batch(good, bad))
    for score in (overall, *dimensions.values(), *columns.values()):
        assert score is None or 0 <= score <= 1
    for worsened in (
        batch(good, [*bad, worse]),  # one more broken row
        batch(max(0, good - 1), [*bad, worse]),  # a good row broken
        batch(good, [sorted({*bad[0], *worse}), *bad[1:]] if bad else [worse]),  # a broken row broken further
    ):
        lower, lower_dimensions, _ = by_name(worsened)
        before, after = dimensions["validity"], lower_dimensions["validity"]
        assert after is not None
        assert before is None or after <= before
        if good:
            assert lower <= overall + 1e-9


def test_the_weights_leave_no_dimension_out() -> None:
    assert all(weight > 0 for weight in WEIGHTS.values())
