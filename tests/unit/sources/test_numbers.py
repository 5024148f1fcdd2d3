"""One number style a file; the amount is exact."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.domain.line import violations
from include.sources.numbers import NumberStyle
from tests.support.source_files import HEADER, Reject, Stage, csv_with_prices, text_of


@pytest.mark.parametrize(
    ("prices", "mark"),
    [
        (["2.55", "3"], "."),
        (["2,55", "3"], ","),
        (["2,55", "1.234,50"], ","),
        (["1,234.50"], "."),
        (["1,234.50", "1,234"], "."),
        (["1.234.567"], ","),
        (["1'234.50"], "."),
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


@pytest.mark.parametrize("price", ["1.234", "1,234"])
def test_a_thousand_or_a_decimal_is_not_guessed(rejection: Reject, stage: Stage, price: str) -> None:
    refused = rejection(csv_with_prices("3", price))
    assert (refused.code, refused.value) == ("ambiguous_numbers", price)
    amounts = {
        setting: stage(csv_with_prices("3", price), decimal_mark=setting).reading.amount
        for setting in ("point", "comma")
    }
    assert sorted(amounts.values()) == [Decimal("8.468"), Decimal(2474)]


def test_commas_between_the_values_tell_that_the_point_marks_decimals(stage: Stage) -> None:
    assert stage(text_of([HEADER, "1,2,3,1,2010-12-01,1.234,6,France"])).reading.amount == Decimal("1.234")


def test_mixed_decimal_marks_are_said(stage: Stage) -> None:
    assert "1 numbers are written with a decimal comma" in stage(csv_with_prices("2.55", "2.55", "2,55")).warnings
    assert "1 numbers are written with a point, unlike 2" in stage(csv_with_prices("2,5", "2,5", "1.25")).warnings


@pytest.mark.parametrize(
    ("mark", "text", "number"),
    [
        (".", "1,234.50", "1234.50"),
        (".", "1,23,456.50", "123456.50"),
        (".", "1 234.50", "1234.50"),
        (".", "1\u202f234.50", "1234.50"),
        (".", "1'234.50", "1234.50"),
        (".", "1\u2019234.50", "1234.50"),
        (",", "1.234,50", "1234.50"),
        (",", "1 234,50", "1234.50"),
        (",", "2", "2"),
        (".", "\u00a32.55", "2.55"),
        (".", "GBP 2.55", "2.55"),
        (".", "2.55 GBP", "2.55"),
        (".", "-\u00a32.55", "-2.55"),
        (".", "\u00a3-2.55", "-2.55"),
        (".", "(12.50)", "-12.50"),
        (".", "\u00a3(12.50)", "-12.50"),
        (".", "(\u00a312.50)", "-12.50"),
        (".", "12.50-", "-12.50"),
        (".", "12.50 CR", "-12.50"),
        (".", "\u221212.50", "-12.50"),
        (".", "1.5E+3", "1500"),
        (".", "1e-3", "0.001"),
        (".", ".5", "0.5"),
        (".", "5.", "5"),
        (".", "2.5500000000", "2.5500"),
        (".", "2.55123", "2.55123"),
    ],
)
def test_forms_of_a_number(mark: str, text: str, number: str) -> None:
    read = NumberStyle(mark).read(text)  # type: ignore[arg-type]
    assert read is not None
    assert read.text == number


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (".", "2,55"),
        (".", "1,2345.6"),
        (".", "1.2.3"),
        (".", "1,234'567"),
        (".", "(12.50"),
        (".", "-(12.50)"),
        (".", "--1"),
        (".", "-1-"),
        (".", "six"),
        (".", ""),
        (".", "1 2"),
        (".", "\u0661"),
        (".", "\u00a32.55 GBP"),
        (",", "2.55"),
        (",", "1.234,50,1"),
        (",", "12.34,5"),
    ],
)
def test_what_is_no_number_in_the_style(mark: str, text: str) -> None:
    assert NumberStyle(mark).read(text) is None  # type: ignore[arg-type]


@hypothesis_settings(max_examples=10_000, deadline=None)
@given(
    st.decimals(min_value=0, max_value=9_999_999, places=2),
    st.sampled_from([".", ","]),
    st.sampled_from(["", "group", " ", "'", "\u2019", "\u00a0", "\u202f"]),
    st.sampled_from(["", "-", "-after", "brackets", "\u2212"]),
    st.sampled_from(["", "\u00a3", "GBP ", " GBP"]),
)
def test_numbers_are_read_as_they_were_written(value: Decimal, mark: str, group: str, sign: str, currency: str) -> None:
    group = {".": ",", ",": "."}[mark] if group == "group" else group
    text = f"{value:,}".replace(",", "\0").replace(".", mark).replace("\0", group)
    text = text + currency if currency.startswith(" ") else currency + text
    written = {"-after": f"{text}-", "brackets": f"({text})"}.get(sign, f"{sign}{text}")
    read = NumberStyle(mark).read(written)  # type: ignore[arg-type]
    assert read is not None
    assert Decimal(read.text) == (-value if sign else value)
    assert (read.currency or "") == currency.strip()


@hypothesis_settings(max_examples=2000, deadline=None)
@given(st.text(alphabet="0123456789-+.,' ()\u00a3E", max_size=14), st.sampled_from([".", ","]))
def test_what_is_read_is_a_number(text: str, mark: str) -> None:
    read = NumberStyle(mark).read(text)  # type: ignore[arg-type]
    if read is not None:
        assert Decimal(read.text).is_finite()
        assert sum(letter.isdigit() for letter in read.text.lstrip("-0.")) <= 120


def test_amount_with_decimal_comma(stage: Stage) -> None:
    assert stage(csv_with_prices("2,55", "1,0005")).reading.amount == Decimal("7.1010")


def test_a_point_marks_thousands_where_the_file_has_a_comma(stage: Stage) -> None:
    lines = [("1.000", "2,50"), ("2", "1.234"), ("2", "1.234,50"), ("3,0", "2,50"), ("3", "12.5")]
    content = text_of([HEADER.replace(",", ";"), *(f"1;2;3;{q};2010-12-01;{p};6;France" for q, p in lines)])
    staged = stage(content)
    assert staged.column("quantity") == ["1000", "2", "2", "3.0", "3"]
    assert staged.column("price") == ["2.50", "1234", "1234.50", "2.50", "? 12.5"]


def test_amount_is_exact_and_counts_only_numbers(stage: Stage) -> None:
    values = [
        ("6", "0.1"),
        ("-3.0", "0.1000"),
        (" 1 ", "+0.0001"),
        ("999999999", "9999999999.9999"),
        ("six", "1"),
        ("1.5", "1"),
        ("1", "1.00001"),
        ("1.0001", "1.00001"),
        ("1.00001", "1"),
        ("1", "1.0000001"),
        ("1", ""),
        ("", "1"),
        ("1", "\u0661"),
    ]
    staged = stage(text_of([HEADER, *(f"1,2,3,{q},2010-12-01,{p},6,France" for q, p in values), "1,2,3,9"]))
    assert staged.reading.amount == Decimal("2.80011") + 999999999 * Decimal("9999999999.9999")


def test_amount_of_nothing(stage: Stage) -> None:
    assert stage(HEADER).reading.amount == 0


def test_words_for_nothing_are_null_and_kept_as_written(stage: Stage) -> None:
    staged = stage(
        text_of([HEADER, "1,A1,NaN,6,2010-12-01,2.55,NULL,#N/A", "2,A1,none left,6,2010-12-01,2.55,-, n/a "])
    )
    assert [(row["description"], row["customer_id"], row["country"]) for row in staged.rows] == [
        (None, None, None),
        ("none left", None, None),
    ]
    assert json.loads(staged.rows[0]["written"]) == {"description": "NaN", "customer_id": "NULL", "country": "#N/A"}
    assert json.loads(staged.rows[1]["written"]) == {"customer_id": "-", "country": "n/a"}


def test_a_point_among_decimal_commas_is_no_number(stage: Stage) -> None:
    staged = stage(csv_with_prices("2,55", "3,75", "2.5"))
    assert [violations(row) for row in staged.rows] == [[], [], ["malformed_price"]]
    assert json.loads(staged.rows[2]["written"]) == {"price": "2.5"}
    assert staged.reading.amount == Decimal("12.60")
