"""The rules of an invoice line."""

from __future__ import annotations

import pytest

from include.domain.line import TYPED_FROM, LineText, violations
from include.domain.reasons import RULES, explain, field_of
from include.sources.defects import DEFECTS

VALID = {
    "invoice": "489434",
    "stock_code": "85048",
    "description": "MUG",
    "quantity": "12",
    "invoice_date": "2009-12-01 07:45:00",
    "price": "6.95",
    "customer_id": "13085.0",
    "country": "United Kingdom",
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("customer_id", None),
        ("customer_id", "CUST-001"),
        ("country", None),
        ("description", None),
        ("quantity", "-1"),
        ("price", "0"),
        ("stock_code", "BANK CHARGES"),
        ("invoice", " C489449 "),
    ],
)
def test_what_shops_write_is_valid(column: str, value: str | None) -> None:
    assert violations(VALID | {column: value}) == []


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("invoice", None, "missing_invoice"),
        ("invoice", "!", "malformed_invoice"),
        ("quantity", "1.5", "malformed_quantity"),
        ("quantity", "1000001", "quantity_out_of_range"),
        ("invoice_date", "2010-02-30", "malformed_invoice_date"),
        ("invoice_date", "1/2/2010", "malformed_invoice_date"),
        ("invoice_date", "1989-12-31", "invoice_date_out_of_range"),
        ("price", "2,55", "malformed_price"),
        ("customer_id", "two words", "malformed_customer_id"),
    ],
)
def test_each_broken_rule_has_its_code(column: str, value: str | None, code: str) -> None:
    assert violations(VALID | {column: value}) == [code]


def test_the_files_style_decides_how_a_date_and_a_number_are_read() -> None:
    line = VALID | {"invoice_date": "13.1.2010 8:05", "price": "2,55"}
    assert violations(line, "dmy", ".", ",") == []
    assert violations(line, "mdy", ".", ",") == ["malformed_invoice_date"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("quantity", "1.000"), ("quantity", "6.0"), ("price", "1.234"), ("price", "12.5"), ("price", "1.234,50")],
)
def test_a_point_is_no_decimal_mark_where_the_file_has_a_comma(column: str, value: str) -> None:
    line = VALID | {"price": "2,55", column: value}
    assert violations(line, mark=",") == [f"malformed_{column}"]


def test_every_code_is_explained() -> None:
    assert all(all(explain(code)) for code in RULES)
    assert {field_of(code) for code in RULES} == set(LineText.model_fields)
    ranges = {code for code in RULES if code.endswith("_out_of_range")}
    assert ranges == {f"{column}_out_of_range" for column in TYPED_FROM.values()}
    assert all(explain(code)[1] for code, defect in DEFECTS.items() if defect.scope == "record")


def test_a_value_out_of_range_is_told_the_range() -> None:
    assert violations(VALID | {"invoice_date": "2100-01-01"}) == ["invoice_date_out_of_range"]
    problem, remedy = explain("invoice_date_out_of_range")
    assert "between 1990-01-01 and 2099-12-31" in problem
    assert "rows" not in remedy
    for column in ("quantity", "price"):
        assert violations(VALID | {column: "1000001"}) == [f"{column}_out_of_range"]
        problem, remedy = explain(f"{column}_out_of_range")
        assert "between -1,000,000 and 1,000,000" in problem
        assert "several rows" in remedy
