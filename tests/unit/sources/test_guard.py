"""Columns that can change the money and that nothing explains hold the file; harmless ones do not."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.support.source_files import Reject, Stage, csv_with_prices, text_of

COLUMNS = ("Invoice", "SKU", "Qty", "Date", "Price", "Country")
LINE = ("1", "A1", "2", "2024-02-13", "10.00", "France")


def table(name: str, *values: str, price: str = "10.00") -> str:
    """Return a file with one more column."""
    rows = [dict(zip(COLUMNS, LINE, strict=True)) | {"Price": price, name: value} for value in values]
    return json.dumps(rows)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("Currency", ["GBP", "EUR", "XX"], "unexplained_currency"),
        ("W\u00e4hrung", ["EUR", ""], "unexplained_currency"),
        ("Currency Code", ["$"], "unexplained_currency"),
        ("Shop Currency", ["GBP", "EUR"], "unexplained_currency"),
        ("Rechnungsw\u00e4hrung", ["\u20ac"], "unexplained_currency"),
        ("Total", ["20.00", "10.00"], "total_differs"),
        ("Line Total", ["-20.00"], "total_differs"),
        ("Betrag", ["18.00"], "total_differs"),
        ("Discount", ["0", "5.00"], "unexplained_amounts"),
        ("VAT", ["20%"], "unexplained_amounts"),
        ("Shipping", ["4.00"], "unexplained_amounts"),
        ("Order Discount", ["0.00", "5.00"], "unexplained_amounts"),
        ("order.total_discount", ["5.00"], "unexplained_amounts"),
        ("VAT GBP", ["3.33"], "unexplained_amounts"),
        ("Refunded", ["20.00"], "unexplained_amounts"),
        ("Status", ["Paid", "VOIDED"], "unexplained_status"),
        ("Financial Status", ["partially_refunded"], "unexplained_status"),
        ("Type", ["Invoice", "Credit Note"], "unexplained_document_type"),
        ("Belegart", ["Gutschrift"], "unexplained_document_type"),
    ],
)
def test_what_nothing_explains_refuses_the_file(rejection: Reject, name: str, values: list[str], code: str) -> None:
    refused = rejection(table(name, *values), "sales.json")
    assert refused.code == code
    assert name in refused.problem


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Currency", ["GBP", "gbp", "", "\u00a3"]),
        ("Shop Currency", ["GBP", "", "\u00a3"]),
        ("Currency Rate", ["1.17"]),
        ("Total", ["20.00", "20", ""]),
        ("Total", ["\u00a320.00"]),
        ("Discount", ["0", "0.00", ""]),
        ("Status", ["Paid", "shipped", ""]),
        ("Type", ["Invoice", "Homeware"]),
        ("Till", ["7"]),
        ("VAT rate", ["20"]),
        ("Discount code", ["10"]),
        ("Delivery note", ["leave at the door"]),
        ("Order discount", ["0", "none"]),
    ],
)
def test_what_changes_nothing_is_harmless(stage: Stage, name: str, values: list[str]) -> None:
    assert stage(table(name, *values), "sales.json").reading.amount == 20 * len(values)


@pytest.mark.parametrize("total", ["twenty", "20.00 GBP incl.", "1" + "0" * 15, "-" + "9" * 40, "1e30", "20.00.00"])
def test_a_total_that_cannot_be_compared_refuses_the_file(rejection: Reject, stage: Stage, total: str) -> None:
    refused = rejection(table("Total", "20.00", total, "20"), "sales.json")
    assert (refused.code, refused.line, refused.value) == ("unreadable_total", 2, total)
    assert "Total holds what is no number, or one too large, on 1 lines" in refused.problem
    free = table("Total", total, price="0.00")
    if total[0] == "t" or total.startswith("20"):
        assert stage(free, "sales.json").reading.amount == 0
    else:
        assert rejection(free, "sales.json").code == "unreadable_total"


@pytest.mark.parametrize("total", ["9" * 15, "20.0049", "20." + "0" * 30])
def test_a_total_of_many_digits_is_compared(stage: Stage, rejection: Reject, total: str) -> None:
    if total.startswith("9"):
        assert rejection(table("Total", total), "sales.json").code == "total_differs"
    else:
        assert stage(table("Total", total), "sales.json").reading.amount == 20


@pytest.mark.parametrize("amount", ["1" + "0" * 15, "9" * 40])
def test_an_amount_too_large_is_unexplained(rejection: Reject, amount: str) -> None:
    assert rejection(table("Discount", amount), "sales.json").code == "unexplained_amounts"


def test_a_total_that_agrees_explains_discount_and_tax(stage: Stage) -> None:
    line = dict(zip(COLUMNS, LINE, strict=True)) | {"Discount": "5.00", "Tax": "3.00", "Total": "20.00"}
    staged = stage(json.dumps([line]), "sales.json")
    assert staged.reading.amount == 20
    assert "'Total' equals quantity x price on every line." in staged.warnings


@pytest.mark.parametrize("total", ["", "n/a"])
def test_a_total_that_says_nothing_explains_nothing(rejection: Reject, total: str) -> None:
    line = dict(zip(COLUMNS, LINE, strict=True)) | {"Discount": "5.00", "Total": total}
    assert rejection(json.dumps([line]), "sales.json").code == "unexplained_amounts"


@pytest.mark.parametrize(("name", "value"), [("Status", "Cancelled"), ("Type", "Refund")])
def test_a_line_that_is_worth_nothing_needs_no_explanation(stage: Stage, name: str, value: str) -> None:
    assert stage(table(name, value, price="0.00"), "sales.json").reading.amount == 0


def test_the_refusal_shows_the_first_line_that_differs(rejection: Reject) -> None:
    refused = rejection(table("Total", "20.00", "10.00"), "sales.json")
    assert (refused.line, refused.problem) == (
        2,
        "Total differs from quantity x price on 1 lines: on the first of them 2 x 10 is 20, not 10.",
    )


def test_prices_of_another_currency_are_never_taken_for_pounds(rejection: Reject, stage: Stage) -> None:
    assert rejection(csv_with_prices("2.55 kr", "$3.10")).code == "unexplained_currency"
    staged = stage(csv_with_prices("\u00a32.55", "$3.10", "4.00", "\u20ac5"))
    assert staged.column("price") == ["2.55", "$3.10", "4.00", "5"]
    assert staged.column("currency") == [None, None, None, "EUR"]
    assert (staged.reading.amount, staged.reading.foreign_amounts) == (Decimal("13.10"), {"EUR": Decimal(10)})
    assert "a currency that is not known or not clear ($ on 1 lines)" in staged.warnings


@pytest.mark.parametrize(
    ("prices", "told", "currencies"),
    [
        (["2", "3", "4"], ["EUR", "gbp", "\u20ac"], ["EUR", None, "EUR"]),
        (["$2", "3"], ["CAD", "USD"], ["CAD", "USD"]),
        (["2", "3"], ["\u00a3", ""], [None, None]),
    ],
)
def test_a_column_says_which_currency_a_line_is_in(
    stage: Stage, prices: list[str], told: list[str], currencies: list[str | None]
) -> None:
    rows = [
        dict(zip(COLUMNS, LINE, strict=True)) | {"Price": price, "Currency": text}
        for price, text in zip(prices, told, strict=True)
    ]
    assert stage(json.dumps(rows), "lines.json").column("currency") == currencies


def test_a_price_whose_sign_contradicts_the_column_refuses_the_file(rejection: Reject) -> None:
    assert rejection(table("Currency", "CAD", price="\u20ac2"), "lines.json").code == "unexplained_currency"


def test_a_dollar_is_the_base_currency_where_that_is_a_dollar(stage: Stage) -> None:
    staged = stage(csv_with_prices("$2.55"), base_currency="USD")
    assert (staged.column("currency"), staged.reading.foreign_amounts) == ([None], {})


def test_names_of_columns_may_hold_anything(rejection: Reject) -> None:
    content = text_of(['Invoice,SKU,Qty,Date,Price,Country,"Dis/count~\'$"', "1,A1,2,2024-02-13,10.00,France,5"])
    assert rejection(content).code == "unexplained_amounts"


def order(name: str, value: object) -> str:
    """Return an order of one line that has a list of its own."""
    line = {"sku": "A1", "qty": 2, "price": "10.00"}
    return json.dumps([{"invoice": "1", "date": "2024-02-13", "country": "France", "lines": [line], name: value}])


@pytest.mark.parametrize("name", ["refunds", "discount_codes", "tax_lines"])
def test_lists_beside_the_lines_of_an_order_are_looked_at(rejection: Reject, name: str) -> None:
    assert rejection(order(name, [{"amount": 5}]), "orders.json").code == "unexplained_amounts"


def test_an_empty_list_changes_nothing(stage: Stage) -> None:
    assert stage(order("refunds", []), "orders.json").reading.amount == 20
