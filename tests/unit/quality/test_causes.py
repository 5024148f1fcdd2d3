"""Why a value cannot be read is told from the value, as far as it tells."""

from __future__ import annotations

import pytest

from include.domain.line import LineText, violations
from include.quality.causes import cause

VALID = {
    "invoice": "489434",
    "stock_code": "85048",
    "quantity": "12",
    "invoice_date": "2009-12-01 07:45:00",
    "price": "6.95",
}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("stock_code", "1.23E+05", "spreadsheet changed the code to a number; the original digits are lost"),
        ("invoice", "8,5E+12", "Format the column as text and export again"),
        ("customer_id", "1.2e+10", "original digits are lost"),
        ("stock_code", "15\u00a0CM", "no-break space (U+00A0)"),
        ("stock_code", "\u00e91", "'\u00e9', latin small letter e with acute (U+00E9)"),
        ("invoice", "1\u221222", "'\u2212', minus sign (U+2212)"),
        ("invoice", "a\x07b", "the character control character (U+0007)"),
        ("invoice", "a b", "a space"),
        ("invoice", "-1", "begins with the character '-'"),
        ("invoice", "x" * 70, "70 characters"),
        ("quantity", "many", "It is text: 'many'"),
        ("quantity", "12 pieces", "text beside the number: 'pieces'"),
        ("quantity", "12 pcs", "PCS stands beside the number"),
        ("quantity", "1.23456", "5 decimals, and nothing is rounded"),
        ("quantity", "1O", "letter O in the place of a digit"),
        ("quantity", "5+", "sign stands behind"),
        ("quantity", "\u0663", "arabic-indic digit three (U+0663)"),
        ("quantity", "#REF!", "#REF! is what a spreadsheet shows"),
        ("price", "2.5555555", "7 decimals, and nothing is rounded"),
        ("price", "2,5555555", "7 decimals"),
        ("price", "\u20ac2,55", "\u20ac, which is no sign of the base currency"),
        ("price", "2.55 USD", "USD, which is no sign of the base currency"),
        ("price", "1.2.3", "more than one mark"),
        ("price", "2,5,1", "more than one mark"),
        ("price", "--2", "more than one sign"),
        ("price", "10 DR", "sign stands behind"),
        ("price", "2.5l", "letter l"),
        ("price", "2\u00a055", "no-break space (U+00A0)"),
        ("price", "2 55", "a space where none belongs"),
        ("price", "\u200b2.55", "zero width space (U+200B)"),
        ("price", "12345678901.00", "11 digits before the decimals"),
        ("quantity", "1234567890", "10 digits before the decimals"),
        ("line_amount", "1234567890123", "13 digits before the decimals"),
        ("price", "2,55", "not that of the rest of the file"),
        ("invoice_date", "2010-02-30", "no such day as 2010-02-30"),
        ("invoice_date", "31/02/2010 10:00", "no such day as 31/02/2010 10:00"),
        ("invoice_date", "31-Feb-2010", "no such day as 31-Feb-2010"),
        ("invoice_date", "2010-13-01", "no such day as 2010-13-01"),
        ("invoice_date", "99-1-1", "two digits"),
        ("invoice_date", "2010-12-01 25:00", "'25:00', is no time of day"),
        ("invoice_date", "13/12/2010", "not in the style of the rest of the file"),
        ("invoice_date", "40513.5", "not in the style of the rest of the file"),
        ("invoice_date", "2O10-12-01", "letter O"),
        ("invoice_date", "2010\u221212\u221201", "minus sign (U+2212)"),
        ("invoice_date", "soon", "It is text: 'soon'"),
        ("description", "x" * 501, "501 characters"),
        ("country", "x" * 61, "61 characters"),
    ],
)
def test_the_cause_is_told(column: str, value: str, words: str) -> None:
    assert words in cause(column, value)
    assert cause(column, f" {value}\t") == cause(column, value)


@pytest.mark.parametrize("column", LineText.model_fields)
def test_nothing_is_told_of_nothing(column: str) -> None:
    assert cause(column, None) == cause(column, " ") == ""


@pytest.mark.parametrize("column", ["invoice", "stock_code", "customer_id"])
def test_what_is_said_of_a_code_is_why_the_rule_refuses_it(column: str) -> None:
    for character in map(chr, [*range(33, 127), 0xA1, 0x2212, 0x200B]):
        for code in (f"A{character}1", f"{character}1"):
            assert bool(cause(column, code)) == bool(violations(VALID | {column: code})), code
