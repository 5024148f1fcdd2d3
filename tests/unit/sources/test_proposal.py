"""Profiles that are proposed for files without a declared layout: what they say, and the lines that they make."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from include.settings import Settings, get_settings
from include.sources.profiles.__main__ import app
from include.sources.profiles.library import parse_profile
from include.sources.profiles.model import Charge, Profile, Status, Total
from include.sources.profiles.preview import Preview, preview_file
from include.sources.profiles.proposal import profile_name
from tests.support.workbooks import workbook

Look = Callable[..., Preview]

DISCOUNTS = """\
Invoice,SKU,Qty,Date,Price,Discount,Tax,Total,Country
1,A1,2,2024-02-01,10.00,5.00,3.00,18.00,United Kingdom
"""
LINE_TOTALS = """\
Invoice No,SKU,Product Name,Quantity,Date,Price,Total,Country
7001,SPN-12,Spoon,2,2024-01-31 23:40:12,19.98,19.98,United Kingdom
7002,SPN-13,Bowl,3,2024-01-31 23:41:12,15.00,15.00,United Kingdom
7003,SPN-13,Bowl,1,2024-01-31 23:42:12,5.00,5.00,United Kingdom
"""
CREDITS = """\
Type,Invoice Number,SKU,Qty,Date,Unit Price,Country
Invoice,INV-1,A1,2,2024-02-01,10.00,United Kingdom
Credit Note,CN-1,A1,2,2024-02-05,10.00,United Kingdom
"""
STATUSES = """\
Invoice,SKU,Qty,Date,Price,Status,Country
1,A1,2,2024-02-01,10.00,Paid,United Kingdom
2,A1,2,2024-02-01,10.00,VOIDED,United Kingdom
3,A1,2,2024-02-01,10.00,Cancelled,United Kingdom
4,A1,2,2024-02-01,10.00,Refunded,United Kingdom
"""
ORDERS = """\
Order,Ordered on,Item,Pieces,Item cost each,Shipping,Rebate,VAT,Order total,State,Region
S-1,2024-03-01,Mug blue,2,8.50,3.00,0,3.10,22.00,paid,N
S-1,,Towel,1,2.00,,,,,,
S-2,2024-03-02,Mug blue,1,8.50,3.00,1.00,1.00,10.50,paid,S
S-3,2024-03-03,Mug blue,3,8.50,3.00,0,1.00,28.50,authorized,N
"""


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Preview content under a name."""

    def run(content: str | bytes, name: str = "sales.csv", **settings: Any) -> Preview:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return preview_file(path, name, Settings(_env_file=None, data_dir=tmp_path / "data", **settings))

    return run


def proposed(found: Preview) -> Profile:
    """Return the profile that was proposed."""
    assert found.proposal is not None
    assert (found.layout, found.profile) == ("proposed", found.proposal.name)
    return parse_profile(found.proposal.text, "proposed")


def sums(found: Preview) -> list[tuple[str, int, Decimal]]:
    return [(one.currency, one.lines, one.amount) for one in found.sums]


def asked(found: Preview) -> tuple[int, int]:
    """Return how many things have to be decided, and how many should be checked."""
    assert found.proposal is not None
    return len(found.proposal.needed), len(found.proposal.doubts)


def test_discount_and_tax_beside_the_price_are_told_apart_by_the_total(look: Look) -> None:
    found = look(DISCOUNTS, "discount_columns.csv")
    profile = proposed(found)
    assert profile.name == "discount_columns"
    assert profile.charges == [
        Charge(column="Discount", code="DISCOUNT", sign=-1),
        Charge(column="Tax", code="TAX"),
    ]
    assert profile.total == Total(column="Total", per="line")
    assert sums(found) == [("GBP", 3, Decimal("18.00"))]
    assert [(line.stock_code, line.amount) for line in found.lines] == [
        ("A1", Decimal(20)),
        ("DISCOUNT", Decimal(-5)),
        ("TAX", Decimal(3)),
    ]
    assert asked(found) == (0, 1)


def test_a_price_that_is_the_lines_total_is_found_by_the_total(look: Look) -> None:
    found = look(LINE_TOTALS)
    columns = proposed(found).columns
    assert (columns.price, columns.amount) == (None, "Price")
    assert sums(found) == [("GBP", 3, Decimal("39.98"))]
    assert found.lines[0].price == "9.99"
    assert asked(found) == (0, 0)


def test_credit_notes_are_reversed(look: Look) -> None:
    found = look(CREDITS)
    assert proposed(found).statuses == [Status(column="Type", counts=["Invoice"], reversed=["Credit Note"])]
    assert sums(found) == [("GBP", 2, Decimal(0))]


def test_statuses_are_sorted_by_known_words(look: Look) -> None:
    found = look(STATUSES)
    left_out = ["Cancelled", "Refunded", "VOIDED"]
    assert proposed(found).statuses == [Status(column="Status", counts=["Paid"], left_out=left_out)]
    assert sums(found) == [("GBP", 1, Decimal("20.00"))]
    assert found.decisions is not None
    assert [(one.example, one.count) for one in found.decisions.left_out] == [
        ("VOIDED", 1),
        ("Cancelled", 1),
        ("Refunded", 1),
    ]
    assert asked(found) == (0, 1)  # refunds: was the sale loaded before?


def test_a_status_in_several_cases_is_one(look: Look) -> None:
    found = look(STATUSES.replace("Refunded", "PAID").replace("Cancelled", "paid"))
    assert proposed(found).statuses == [Status(column="Status", counts=["PAID"], left_out=["VOIDED"])]
    assert found.kept_out == {}


def test_an_unknown_status_is_left_to_a_person(look: Look) -> None:
    found = look(STATUSES.replace("Refunded", "partially refunded"))
    [status] = proposed(found).statuses
    assert (status.counts, status.left_out, status.otherwise) == (["Paid"], ["Cancelled", "VOIDED"], "refused")
    assert found.kept_out == {"unknown_status": 1}
    assert asked(found) == (0, 1)


def test_a_refund_with_a_negative_amount_counts(look: Look) -> None:
    found = look(STATUSES.replace("4,A1,2,", "4,A1,-2,"))
    assert proposed(found).statuses[0].counts == ["Paid", "Refunded"]
    assert sums(found) == [("GBP", 2, Decimal(0))]


def test_statuses_none_of_which_is_known_stop_the_profile(look: Look) -> None:
    found = look(
        STATUSES.replace("Paid", "K1").replace("VOIDED", "K2").replace("Cancelled", "K3").replace("Refunded", "K")
    )
    profile = proposed(found)
    assert (profile.statuses, profile.recognise.columns[0]) == ([], "?")
    assert found.refusal is not None
    assert found.refusal.code == "unexplained_status"
    assert asked(found) == (1, 0)


@pytest.mark.parametrize(("flag", "outcome"), [("Cancelled", {"left_out": ["yes"]}), ("Is refunded", {})])
def test_a_flag_says_that_a_row_is_no_sale(look: Look, flag: str, outcome: dict[str, list[str]]) -> None:
    found = look(f"Order,Item,Pieces,Day,Unit price,{flag}\n1,A1,1,2024-02-01,1.50,no\n2,A1,1,2024-02-02,1.50,yes\n")
    assert proposed(found).statuses == [Status(column=flag, counts=["no"], **outcome)]
    assert sums(found) == [("GBP", 1, Decimal("1.50"))]
    assert found.kept_out == ({} if outcome else {"unknown_status": 1})


@pytest.mark.parametrize(
    ("texts", "amount"), [(("Invoice", "Credit note"), "0"), (("PAID", "void"), "1.50"), (("Mug", "Credit card"), "3")]
)
def test_a_column_is_known_by_texts_that_tell_sales_from_others(
    look: Look, texts: tuple[str, str], amount: str
) -> None:
    head = "Order,Item,Pieces,Day,Unit price,Remark"
    found = look(f"{head}\n1,A1,1,2024-02-01,1.50,{texts[0]}\n2,A1,1,2024-02-02,1.50,{texts[1]}\n")
    assert [currency.amount for currency in found.sums] == [Decimal(amount)]


def test_days_of_cancellation_stop_the_profile(look: Look) -> None:
    found = look(
        "Order,Item,Pieces,Day,Unit price,Cancelled at\n1,A1,1,2024-02-01,1.50,\n2,A1,1,2024-02-02,1.50,2024-02-03\n"
    )
    assert proposed(found).recognise.columns[0] == "?"
    assert asked(found) == (1, 0)


def test_names_and_sums_of_orders_are_found_by_their_words_and_values(look: Look) -> None:
    found = look(ORDERS, "orders-2024-03.csv")
    profile = proposed(found)
    assert profile.name == "orders"
    columns = profile.columns.model_dump(exclude_none=True)
    assert columns == {
        "invoice": "Order",
        "stock_code": {"code": "Item"},
        "description": "Item",
        "quantity": "Pieces",
        "invoice_date": "Ordered on",
        "price": "Item cost each",
    }
    assert profile.charges == [
        Charge(column="Shipping", code="SHIPPING", per="invoice"),
        Charge(column="Rebate", code="DISCOUNT", sign=-1, per="invoice"),
        Charge(column="VAT", code="TAX", per="invoice", included="by_total"),
    ]
    assert profile.total == Total(column="Order total", per="invoice")
    assert profile.fill_down == ["Ordered on", "State"]
    assert profile.known == ["Region"]
    assert sums(found) == [("GBP", 6, Decimal("32.50"))]  # 22.00 and 10.50
    assert found.kept_out == {"unknown_status": 1}
    assert asked(found) == (0, 1)


def test_a_code_that_is_missing_is_not_that_of_another_line(look: Look) -> None:
    found = look("Order,SKU,Item,Pieces,Day,Unit cost\n1,A1,Mug,1,2024-02-01,1.50\n1,,Tea towel,1,,2.00\n")
    assert proposed(found).fill_down == ["Day"]
    assert [line.stock_code for line in found.lines] == ["A1", "Tea-towel"]


def test_without_a_total_charges_are_not_guessed(look: Look) -> None:
    found = look(DISCOUNTS.replace(",Total,", ",Note,"), "x.csv")
    profile = proposed(found)
    assert (profile.charges, profile.ignored, profile.total) == ([], [], None)
    assert profile.recognise.columns[0] == "?"
    assert found.refusal is not None
    assert found.refusal.code == "unexplained_amounts"
    assert found.proposal is not None
    assert "# ? {column: Discount, code: DISCOUNT, sign: -1, per: line}" in found.proposal.text
    assert [question.split()[0] for question in found.proposal.needed] == ["Discount", "Tax"]


def test_a_tax_beside_a_total_of_lines_without_it_may_come_on_top(look: Look) -> None:
    rows = ["1,A1,2,2024-02-01,10.00,3.33,20.00", "2,A1,1,2024-02-01,10.00,1.67,10.00"]
    found = look("\n".join(["Order,SKU,Qty,Date,Unit cost,Tax,Total", *rows]))
    profile = proposed(found)
    assert (profile.charges, profile.ignored) == ([], [])
    assert (profile.columns.price, profile.total) == ("Unit cost", Total(column="Total", per="line"))
    assert asked(found) == (1, 0)


def test_a_total_that_differs_within_an_invoice_is_none_of_the_invoice(look: Look) -> None:
    rows = [
        "1,A1,2,2024-02-01,10.00,4.00,20.00",
        "1,A2,1,2024-02-01,10.00,,10.00",
        "2,A2,1,2024-02-01,10.00,4.00,10.00",
    ]
    found = look("\n".join(["Order,SKU,Qty,Date,Unit cost,Shipping,Total", *rows]))
    assert proposed(found).total == Total(column="Total", per="line")
    assert asked(found) == (1, 0)  # shipping


def test_a_name_with_a_number_in_it_is_no_amount(look: Look) -> None:
    found = look(CREDITS.replace("Country", "Sales record number").replace("United Kingdom", "7"))
    assert proposed(found).columns.amount is None
    assert sums(found) == [("GBP", 2, Decimal(0))]


def test_customers_with_spaces_become_codes(look: Look) -> None:
    found = look(CREDITS.replace("Country", "Customer").replace("United Kingdom", "Ann Lee"))
    assert [line.customer_id for line in found.lines] == ["Ann-Lee", "Ann-Lee"]


def test_a_price_without_total_is_of_one_unit_if_other_quantities_do_not_change_it(look: Look) -> None:
    head = "Order,Product code,Pieces,Day,Item price"
    found = look(f"{head}\n1,A1,1,2024-02-01,1.50\n2,A1,4,2024-02-02,1.50\n")
    assert proposed(found).columns.price == "Item price"
    assert asked(found) == (0, 0)
    found = look(f"{head}\n1,A1,1,2024-02-01,1.50\n2,A1,4,2024-02-02,6.00\n")
    assert proposed(found).columns.amount == "Item price"
    assert sums(found) == [("GBP", 2, Decimal("7.50"))]
    found = look(f"{head}\n1,A1,3,2024-02-01,1.50\n")
    assert proposed(found).recognise.columns[0] == "?"
    assert asked(found) == (1, 0)


def test_a_needed_column_that_is_not_found_is_asked_for(look: Look) -> None:
    found = look("Receipt,Article,Day,Unit price\n1,A1,2024-02-01,1.50\n")
    profile = proposed(found)
    assert (profile.columns.quantity, profile.recognise.columns[0]) == ("?", "?")
    assert (found.lines, found.refusal) == ([], None)
    assert asked(found) == (1, 0)


def test_dates_that_may_be_either_are_left_to_the_setting(look: Look) -> None:
    content = DISCOUNTS.replace("2024-02-01", "03/04/2024")
    found = look(content)
    assert proposed(found).values.date_order == "auto"
    assert found.refusal is not None
    assert found.refusal.code == "ambiguous_dates"
    assert asked(found) == (0, 2)
    found = look(content, date_order="day_first")
    assert found.lines[0].invoice_date == "2024-04-03 00:00:00"
    assert asked(found) == (0, 1)


def test_equal_rows_are_told(look: Look) -> None:
    found = look(CREDITS + "Invoice,INV-1,A1,2,2024-02-01,10.00,United Kingdom\n")
    assert proposed(found).repeats == "once"
    assert asked(found) == (0, 1)


def test_signs_of_currencies_become_codes(look: Look) -> None:
    found = look(CREDITS.replace(",Country", ",Currency").replace("United Kingdom", "€"))
    proposed(found)
    assert sums(found) == [("EUR", 2, Decimal(0))]


def test_orders_of_json_with_their_lines(look: Look) -> None:
    def order(number: str, *lines: tuple[str, int, str], **more: Any) -> dict[str, Any]:
        items = [{"sku": sku, "title": "Lamp", "qty": quantity, "price": price} for sku, quantity, price in lines]
        return {
            "number": number,
            "placed": "2024-01-10T11:00:00Z",
            "buyer": {"id": 5, "land": "GB"},
            "rows": items,
            **more,
        }

    orders = [
        order("A1", ("L1", 1, "49.00"), ("L2", 2, "6.50"), shipping=4, grand_total="66.00", currency="EUR"),
        order("A2", ("L2", 1, "6.50"), shipping=4, grand_total="10.50", currency="EUR"),
    ]
    found = look(json.dumps({"page": 1, "orders": orders}), "export.json")
    profile = proposed(found)
    assert profile.lines == "rows"
    assert profile.columns.model_dump(exclude_none=True) == {
        "invoice": "number",
        "stock_code": "rows.sku",
        "description": "rows.title",
        "quantity": "rows.qty",
        "invoice_date": "placed",
        "price": "rows.price",
        "customer_id": "buyer.id",
        "country": "buyer.land",
        "currency": "currency",
    }
    assert profile.charges == [Charge(column="shipping", code="SHIPPING", per="invoice")]
    assert profile.total == Total(column="grand_total", per="invoice")
    assert sums(found) == [("EUR", 5, Decimal("76.50"))]
    assert asked(found) == (0, 0)
    lines = look("\n".join(map(json.dumps, orders)), "export.jsonl")
    assert (proposed(lines).columns, sums(lines)) == (profile.columns, sums(found))


def test_lists_of_discounts_stop_the_profile(look: Look) -> None:
    row = {"sku": "A", "qty": 1, "price": "2.00", "discount_lines": [{"amount": "1.00"}]}
    found = look(json.dumps([{"number": "1", "placed": "2024-01-10", "rows": [row]}]), "export.json")
    assert proposed(found).recognise.columns[0] == "?"
    assert asked(found)[0] == 1


def test_titles_above_the_column_names(look: Look) -> None:
    found = look("Sales report;of;March;\n;;;;;;;;\n" + DISCOUNTS.replace(",", ";"))
    assert sums(found) == [("GBP", 3, Decimal("18.00"))]


def test_names_in_no_known_language_are_found_by_the_width_of_the_rows(look: Look) -> None:
    head = "Kuitti,Tuote,Nimi,Kpl,Aika,Hinta"
    found = look(
        f"Myynti,Kevat,Kaikki,Helsinki\n{head}\nK-1,A1,Muki,2,2024-02-01,1.50\nK-2,A2,Lasi,1,2024-02-02,2.50\n"
    )
    assert found.proposal is not None
    assert "invoice_date: Aika" in found.proposal.text
    assert set(proposed(found).recognise.columns) == {"?", "Kuitti", "Aika"}


def test_workbook_and_parquet(look: Look) -> None:
    names = ["Order ref", "Article no", "Pieces", "Sold on", "Net unit price", "Row total"]
    row: list[Any] = ["R-1", "A1", 3, date(2024, 2, 1), 1.5, 4.5]
    found = look(workbook({"Spring": [["Spring"], names, row], "Notes": [["Nothing"]]}), "till.xlsx")
    assert sums(found) == [("GBP", 1, Decimal("4.5"))]
    assert proposed(found).total == Total(column="Row total", per="line")
    table = io.BytesIO()
    pq.write_table(pa.table({name: [value] for name, value in zip(names, row, strict=True)}), table)
    again = look(table.getvalue(), "till.parquet")
    assert (proposed(again).columns, sums(again)) == (proposed(found).columns, sums(found))


def test_a_file_that_fits_already_is_said_to(look: Look, tmp_path: Path) -> None:
    found = look("Invoice,SKU,Qty,Date,Price\n1,A1,2,2024-02-01,10.00\n1,A 1/2,x,2024-02-01,1\n")
    assert (found.layout, found.profile, found.proposal) == ("usual names", None, None)
    assert (sums(found), found.kept_out) == ([("GBP", 1, Decimal("20.00"))], {"malformed_quantity": 1})
    proposal = look(LINE_TOTALS, "mine.csv").proposal
    assert proposal is not None
    (tmp_path / "data" / "profiles").mkdir(parents=True)
    (tmp_path / "data" / "profiles" / "mine.yaml").write_text(proposal.text)
    found = look(LINE_TOTALS, "later.csv")
    assert (found.layout, found.profile, found.proposal) == ("profile", "mine", None)
    assert sums(found) == [("GBP", 3, Decimal("39.98"))]
    refused = look(LINE_TOTALS.replace("Country", "Tax").replace("United Kingdom", "1.00"), "later.csv")
    assert (refused.layout, refused.proposal is None) == ("proposed", False)  # Country is missing: another layout
    refused = look(LINE_TOTALS.replace("Country", "Country,Tax").replace("Kingdom", "Kingdom,1.00"), "later.csv")
    assert (refused.layout, refused.profile) == ("profile", "mine")
    assert refused.refusal is not None
    assert refused.refusal.remedy.endswith(
        "Or say in profile mine what it is: under charges, total, statuses or ignored."
    )


def test_what_is_no_table_is_refused(look: Look) -> None:
    found = look("just\ntext\n", "note.txt")
    assert (found.layout, found.proposal) == ("unknown", None)
    assert found.refusal is not None
    assert found.refusal.code == "missing_columns"
    assert found.refusal.remedy.endswith("Or declare the layout: make profile FILE=note.txt")


def test_of_an_archive_one_file_is_looked_at(look: Look) -> None:
    def archive(*names: str) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as packed:
            for name in names:
                packed.writestr(name, CREDITS)
        return content.getvalue()

    assert sums(look(archive("a.csv"), "one.zip")) == [("GBP", 2, Decimal(0))]
    refused = look(archive("a.csv", "b.csv"), "two.zip").refusal
    assert refused is not None
    assert (refused.code, refused.problem[:26]) == ("several_files", "The archive holds 2 files,")


@pytest.mark.parametrize(
    ("file", "taken", "name"),
    [
        ("Orders 2024-03.csv", [], "orders"),
        ("2024.csv.gz", [], "file_2024"),
        ("Größe.jsonl", [], "gr_e"),
        ("shop.csv", ["shop"], "shop_2"),
        ("---.csv", [], "file"),
        ("x" * 90 + ".csv", [], "x" * 40),
    ],
)
def test_names(file: str, taken: list[str], name: str) -> None:
    assert profile_name(file, taken) == name


def test_names_of_columns_that_are_no_plain_yaml(look: Look) -> None:
    content = CREDITS.replace("Invoice Number", '"Invoice: no, #"').replace("Unit Price", '"Unit ""Price"" # [x]"')
    found = look(content.replace("Type", "Type {a}").replace("Country", "yes"))
    profile = proposed(found)
    assert (profile.columns.invoice, profile.columns.price) == ("Invoice: no, #", 'Unit "Price" # [x]')
    assert profile.statuses[0].column == "Type {a}"
    assert profile.known == ["yes"]
    assert sums(found) == [("GBP", 2, Decimal(0))]


def test_the_command_prints_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIL_PROFILES_DIR", str(tmp_path / "profiles"))
    monkeypatch.setenv("RETAIL_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    try:
        file = tmp_path / "mine.csv"
        file.write_text(LINE_TOTALS)
        shown = CliRunner().invoke(app, [str(file)])
        assert shown.exit_code == 0
        assert "  amount: Price  # what the line costs in all" in shown.stdout
        assert "Sum: GBP 39.98 of 3 lines" in shown.stdout
        assert list(tmp_path.iterdir()) == [file]
        kept = CliRunner().invoke(app, [str(file), "--write"])
        path = tmp_path / "profiles" / "mine.yaml"
        assert f"Written: {path}" in kept.stdout
        assert parse_profile(path.read_text(), "mine").columns.amount == "Price"
        fits = CliRunner().invoke(app, [str(file), "--write"])
        assert "mine.csv has the layout of profile mine." in fits.stdout
        refused = CliRunner().invoke(app, [str(tmp_path / "absent.csv")])
        assert refused.exit_code == 1
    finally:
        get_settings.cache_clear()
