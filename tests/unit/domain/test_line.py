"""The rules of an invoice line."""

from __future__ import annotations

import pytest

from include.domain.line import violations

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
        ("quantity", "1.00001", "malformed_quantity"),
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
