"""Date and number style: one decision a file; the amount is exact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.source_files import HEADER, Stage, csv_with_dates, csv_with_prices, text_of


@pytest.mark.parametrize(
    ("dates", "order", "separator", "basis"),
    [
        (["2010-12-01 08:26:00"], "ymd", "-", "evidence"),
        (["2010-12-01T08:26"], "ymd", "-", "evidence"),
        (["2010/12/1"], "ymd", "/", "evidence"),
        (["12/1/2010 8:26", "12/13/2010 9:00"], "mdy", "/", "evidence"),
        (["01/12/2010 08:26", "13/12/2010 08:26"], "dmy", "/", "evidence"),
        (["01-12-2009 07:45", "31-12-2009 07:45"], "dmy", "-", "evidence"),
        (["12-31-2009 07:45"], "mdy", "-", "evidence"),
        (["01.12.2009", "31.12.2009"], "dmy", ".", "evidence"),
        (["12/1/2010 8:26"], "mdy", "/", "convention"),
        (["12/10/2010 8:26"], "mdy", "/", "convention"),
        (["12/01/2010 08:26"], "dmy", "/", "convention"),
        (["1-12-2010 8:26"], "dmy", "-", "convention"),
        (["1.12.2010 8:26"], "dmy", ".", "convention"),
    ],
)
def test_date_style(stage: Stage, dates: list[str], order: str, separator: str, basis: str) -> None:
    decisions = stage(csv_with_dates(*dates)).reading.decisions
    assert (decisions.date_order, decisions.date_separator, decisions.date_basis) == (order, separator, basis)
    assert bool(decisions.warnings) is (basis == "convention")


@pytest.mark.parametrize(("setting", "order"), [("day_first", "dmy"), ("month_first", "mdy")])
def test_the_setting_decides_without_evidence(stage: Stage, setting: str, order: str) -> None:
    decisions = stage(csv_with_dates("03/04/2010 10:00"), date_order=setting).reading.decisions
    assert (decisions.date_order, decisions.date_basis) == (order, "setting")


def test_evidence_beats_the_setting(stage: Stage) -> None:
    decisions = stage(csv_with_dates("13/04/2010 10:00"), date_order="month_first").reading.decisions
    assert (decisions.date_order, decisions.date_basis) == ("dmy", "evidence")


def test_the_order_that_fits_more_rows_wins_and_the_rest_is_counted(stage: Stage) -> None:
    staged = stage(csv_with_dates("13/04/2010", "14/04/2010", "04/15/2010", "01/02/2010", "soon", ""))
    assert staged.reading.decisions.date_order == "dmy"
    assert "2 of 5 invoice dates do not fit day/month/year" in staged.warnings


def test_another_separator_does_not_fit(stage: Stage) -> None:
    staged = stage(csv_with_dates("2010-12-01", "2010-12-02", "2010/12/03", "2010-12/04"))
    assert staged.reading.decisions.date_separator == "-"
    assert "2 of 4" in staged.warnings


def test_an_ambiguous_file_says_how_its_first_date_was_read(stage: Stage) -> None:
    assert "03/04/2010 08:00 was read as day 3 of month 4" in stage(csv_with_dates("03/04/2010 08:00")).warnings
    assert "RETAIL_DATE_ORDER=month_first" in stage(csv_with_dates("03/04/2010 08:00")).warnings
    assert "3/4/2010 was read as day 4 of month 3" in stage(csv_with_dates("3/4/2010")).warnings


@pytest.mark.parametrize(("setting", "order"), [("auto", "day"), ("day_first", "day"), ("month_first", "month")])
def test_dates_that_contradict_each_other_are_said(stage: Stage, setting: str, order: str) -> None:
    warnings = stage(csv_with_dates("01/02/2011", "31/12/2011", "12/31/2011"), date_order=setting).warnings
    assert "31/12/2011 can only be day first and 12/31/2011 only month first" in warnings
    assert f"All were read {order} first" in warnings
    assert "1 of 3 invoice dates do not fit" in warnings
    assert "Nothing in the file" not in warnings


def test_defective_records_are_no_evidence(stage: Stage) -> None:
    staged = stage(csv_with_dates("03/04/2010") + "536365,85123A,MUG,6,04/13/2010\n")
    assert staged.reading.decisions.date_basis == "convention"


def test_no_date_can_be_read(stage: Stage) -> None:
    staged = stage(csv_with_dates("soon", "later"))
    assert "None of the 2 invoice dates" in staged.warnings


@pytest.mark.parametrize(
    ("prices", "mark"),
    [
        (["2.55", "3"], "."),
        (["2,55", "3"], ","),
        (["2,55", "1.234,50"], ","),
        (["1,234.50"], "."),
        (["1,234"], "."),
        (["1.234"], "."),
        (["2,50", "1.250"], ","),
        (["2,50", "1.250", "12.500"], ","),
        (["2,50", "0.250"], "."),
        (["2,50", "1234.500"], "."),
        (["3"], "."),
        (["2.55", "2.55", "2,55"], "."),
    ],
)
def test_decimal_mark(stage: Stage, prices: list[str], mark: str) -> None:
    assert stage(csv_with_prices(*prices)).reading.decisions.decimal_mark == mark


def test_mixed_decimal_marks_are_said(stage: Stage) -> None:
    assert "1 prices are written with a decimal comma" in stage(csv_with_prices("2.55", "2.55", "2,55")).warnings
    assert (
        "1 prices are written with a point, unlike 2 others" in stage(csv_with_prices("2,5", "2,5", "1.255")).warnings
    )


def test_amount_with_decimal_comma(stage: Stage) -> None:
    assert stage(csv_with_prices("2,55", "1,0005")).reading.amount == Decimal("7.1010")


def test_a_point_is_no_decimal_mark_where_the_file_has_a_comma(stage: Stage) -> None:
    lines = [("1.000", "2,50"), ("2", "1.234"), ("2", "1.234,50"), ("3,0", "2,50")]
    content = text_of([HEADER.replace(",", ";"), *(f"1;2;3;{q};2010-12-01;{p};6;France" for q, p in lines)])
    assert stage(content).reading.amount == Decimal("7.50")


def test_amount_is_exact_and_counts_only_plain_numbers(stage: Stage) -> None:
    values = [
        ("6", "0.1"),
        ("-3.0", "0.1000"),
        (" 1 ", "+0.0001"),
        ("999999999", "9999999999.9999"),
        ("six", "1"),
        ("1.5", "1"),
        ("1", "1.00001"),
        ("1", ""),
        ("", "1"),
        ("1", "1e3"),
        ("1", "\u0661"),
    ]
    staged = stage(text_of([HEADER, *(f"1,2,3,{q},2010-12-01,{p},6,France" for q, p in values), "1,2,3,9"]))
    assert staged.reading.amount == Decimal("0.3001") + 999999999 * Decimal("9999999999.9999")


def test_amount_of_nothing(stage: Stage) -> None:
    assert stage(HEADER).reading.amount == 0
