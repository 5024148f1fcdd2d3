"""What each part of a source profile does to the lines of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.sources.profiles.library import ProfileError, layouts, parse_profile
from include.sources.profiles.model import Profile
from include.sources.profiles.names import Layouts
from tests.support.source_files import Reject, Stage, Staged, text_of
from tests.support.workbooks import workbook

BASE = """
name: till
title: A till
recognise: {columns: [No, Sku, Qty, Day, Price]}
columns: {invoice: No, stock_code: Sku, quantity: Qty, invoice_date: Day, price: Price}
"""
HEADER = "No,Sku,Qty,Day,Price"


def _yaml(text: str) -> Any:
    """Return what a profile's YAML says; all of it is text."""
    return yaml.load(text, yaml.BaseLoader)


def declared(more: str = "", name: str = "till") -> Profile:
    """Return the profile of a till with other parts; its columns are added to."""
    content = _yaml(BASE)
    parts = _yaml(more) or {}
    columns = {key: value for key, value in (content["columns"] | parts.pop("columns", {})).items() if value}
    return Profile.model_validate(content | {"name": name} | parts | {"columns": columns})


def known(more: str = "") -> Layouts:
    return Layouts({"till": declared(more)})


def lines(staged: Staged, *more: str) -> list[tuple[Any, ...]]:
    """Return invoice, stock code, quantity and price of each sound line, and other values that are asked for."""
    return [tuple(row[name] for name in ("invoice", "stock_code", "quantity", "price", *more)) for row in staged.sound]


def values(staged: Staged, name: str) -> list[Any]:
    return [row[name] for row in staged.sound]


def with_columns(names: str, *rows: str) -> str:
    """Return a file of the till with more columns; each row has their values."""
    return text_of([f"{HEADER},{names}", *(f"1,A1,2,2024-02-13,10.00,{row}" for row in rows)])


# ---- which profile a file has


def test_a_profile_reads_files_that_have_its_columns(stage: Stage) -> None:
    staged = stage(text_of(["day, qty ,SKU,No,PRICE,Till", "2024-02-13,2,A1,1,10.00,7"]), layouts=known())
    assert staged.reading.decisions.profile == "till"
    assert lines(staged, "invoice_date") == [("1", "A1", "2", "10.00", "2024-02-13")]
    assert "Columns that profile till does not name: Till." in staged.warnings


def test_a_file_without_them_is_read_by_the_usual_names(stage: Stage) -> None:
    text = text_of(["Invoice,SKU,Qty,Date,Price,Country", "1,A1,2,2024-02-13,10.00,France"])
    staged = stage(text, layouts=known())
    assert staged.reading.decisions.profile is None
    assert lines(staged) == [("1", "A1", "2", "10.00")]


def test_the_profile_that_asks_for_more_is_taken(stage: Stage) -> None:
    more = declared("recognise: {columns: [No, Sku, Qty, Day, Price, Till]}", "with_till")
    both = Layouts({"till": declared(), "with_till": more})
    assert stage(with_columns("Till", "7"), layouts=both).reading.decisions.profile == "with_till"
    assert stage(with_columns("Shop", "7"), layouts=both).reading.decisions.profile == "till"


def test_two_profiles_that_fit_equally_refuse_the_file(rejection: Reject) -> None:
    refused = rejection(
        with_columns("Till", "7"), layouts=Layouts({"till": declared(), "other": declared("", "other")})
    )
    assert refused.code == "ambiguous_profile"
    assert "other and till" in refused.problem or "till and other" in refused.problem


def test_the_users_profile_and_patterns_of_names_come_first(stage: Stage) -> None:
    shipped, own = declared(), declared("", "own")
    named = declared('recognise: {columns: [No], files: ["Till-*.csv"]}', "named")
    text = with_columns("Till", "7")
    chosen = Layouts({"till": shipped, "own": own}, own=frozenset({"own"}))
    assert stage(text, layouts=chosen).reading.decisions.profile == "own"
    by_name = Layouts({"till": shipped, "named": named})
    assert stage(text, "till-2024.CSV", layouts=by_name).reading.decisions.profile == "named"
    assert stage(text, "sales.csv", layouts=by_name).reading.decisions.profile == "till"


def test_a_profile_of_another_format_does_not_count(stage: Stage) -> None:
    both = Layouts(
        {
            "till": declared(),
            "json_only": declared("recognise: {columns: [No, Sku, Qty, Day, Price], formats: [json]}", "json_only"),
        }
    )
    assert stage(with_columns("Till", "7"), layouts=both).reading.decisions.profile == "till"


def test_a_strict_profile_refuses_new_and_missing_columns(rejection: Reject, stage: Stage) -> None:
    strict = "{strict: true, known: [Till], columns: {country: [Land, State], customer_id: Card}}"
    refused = rejection(with_columns("Till,Shop", "7,3"), layouts=known(strict))
    assert refused.code == "profile_columns"
    assert "new are Shop and missing are Card, Land, State." in refused.problem
    whole = stage(with_columns("Till,State,Card", "7,France,17850"), layouts=known(strict))
    assert lines(whole, "country", "customer_id") == [("1", "A1", "2", "10", "France", "17850")]
    assert whole.warnings == ""


# ---- values


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("A", "a b"),
        ("[C, A]", "a b"),
        ("{text: SHIPPING}", "SHIPPING"),
        ("{column: b, map: {REFUND: A, Order: {text: sale}}}", "sale"),
        ("{column: B, map: {Refund: A}, otherwise: [C, D]}", "Häuser & Söhne"),
        ("{column: B, map: {Refund: A}}", None),
        ("{join: [A, C, D], with: ' / '}", "a b / Häuser & Söhne"),
        ("{join: [A, B]}", "a b Order"),
        ("{column: A, split: ' ', part: 2}", "b"),
        ("{column: A, split: ' ', part: -2}", "a"),
        ("{column: A, split: ' ', part: 3}", None),
        ("{code: D}", "Hauser-Sohne"),
        ("{code: [C, E]}", "a.b-1@example.org"),
        ("{code: {join: [B, E]}}", "Order-a.b-1@example.org"),
        ("Absent", None),
    ],
)
def test_texts(stage: Stage, value: str, becomes: str | None) -> None:
    text = with_columns("A,B,C,D,E", "a b,Order,,Häuser & Söhne,a.b-1@example.org")
    assert values(stage(text, layouts=known(f"columns: {{description: {value}}}")), "description") == [becomes]


def test_long_texts_as_codes_stay_apart(stage: Stage) -> None:
    long = "A very long name of a product that is the same up to its very last word, "
    rows = text_of([f"{HEADER},Name", f'1,,1,2024-02-13,1,"{long}red"', f'1,,1,2024-02-13,1,"{long}blue"'])
    codes = values(stage(rows, layouts=known("columns: {stock_code: [Sku, {code: Name}]}")), "stock_code")
    assert {len(code) for code in codes} == {64}
    assert {code[:56] for code in codes} == {"A-very-long-name-of-a-product-that-is-the-same-up-to-it-"}
    assert len(set(codes)) == 2


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("A", "1.5"),
        ("[C, B]", "-2.25"),
        ("{sum: [A, B, C]}", "-0.75"),
        ("{sum: [A, {minus: B}]}", "3.75"),
        ("{minus: A}", "-1.5"),
        ("{abs: B}", "2.25"),
        ("{abs: {sum: [A, B]}}", "0.75"),
        ("{column: D, map: {Refund: {minus: A}}, otherwise: A}", "-1.5"),
        ("{sum: [C, Absent]}", None),
    ],
)
def test_numbers(stage: Stage, value: str, becomes: str | None) -> None:
    more = f"charges: [{{column: {value}, code: FEES}}]"
    staged = stage(with_columns("A,B,C,D", "1.50,-2.25,,refund"), layouts=known(more))
    assert [price for _, code, _, price in lines(staged) if code == "FEES"] == ([becomes] if becomes else [])


@pytest.mark.parametrize(
    ("currency", "becomes"),
    [("gbp", "12.34"), ("EUR", "12.34"), ("JPY", "1234"), ("DJF", "1234"), ("KWD", "1.234"), ("IQD", "1.234")],
)
def test_amounts_in_the_smallest_unit(stage: Stage, currency: str, becomes: str) -> None:
    more = "columns: {price: {minor: Price}, currency: Ccy}"
    text = text_of([f"{HEADER},Ccy", f"1,A1,1,2024-02-13,1234,{currency}"])
    assert lines(stage(text, layouts=known(more))) == [("1", "A1", "1", becomes)]


@pytest.mark.parametrize(
    ("currency", "becomes"), [("ISK", "12.34"), ("MGA", "1234"), ("JPY", "1234"), ("GBP", "12.34")]
)
def test_a_sender_may_have_other_smallest_units(stage: Stage, currency: str, becomes: str) -> None:
    more = "columns: {price: {minor: Price}, currency: Ccy}\nvalues: {minor_places: {ISK: 2, MGA: 0}}"
    text = text_of([f"{HEADER},Ccy", f"1,A1,1,2024-02-13,1234,{currency}"])
    assert lines(stage(text, layouts=known(more))) == [("1", "A1", "1", becomes)]


ROWS = [
    {"No": "1", "Sku": "A1", "Qty": 2, "Day": "2024-02-13", "Price": 1.5, "Post": "3.00"},
    {"No": "2", "Sku": "A2", "Qty": 1, "Day": "2024-02-13", "Price": 2.5, "Post": None},
]
WITH_POST = "charges: [{column: Post, code: POST}]"


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"columns": list(ROWS[0]), "index": [0, 1], "data": [list(row.values()) for row in ROWS]},
        {"data": [list(row.values()) for row in ROWS], "columns": list(ROWS[0])},
        {name: {str(index): row[name] for index, row in enumerate(ROWS)} for name in ROWS[0]},
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        {str(index): row for index, row in enumerate(ROWS)},
        {"schema": {"fields": []}, "data": ROWS},
    ],
    ids=["records", "split", "data first", "columns", "lists", "index", "table"],
)
def test_json_of_a_declared_layout_in_every_orientation(stage: Stage, document: object) -> None:
    staged = stage(json.dumps(document), name="till.json", layouts=known(WITH_POST))
    assert lines(staged) == [("1", "A1", "2", "1.5"), ("1", "POST", "1", "3"), ("2", "A2", "1", "2.5")]


@pytest.mark.parametrize(
    "document",
    [
        {"data": [list(ROWS[1].values())], "columns": list(ROWS[1])},
        {name: {"0": value} for name, value in ROWS[1].items()},
        {name: [value] for name, value in ROWS[1].items()},
        {"0": ROWS[1]},
        {"order": ROWS[1], "shop": {"name": "North"}},
    ],
    ids=["data first", "columns", "lists", "index", "wrapped"],
)
def test_json_of_a_declared_layout_with_a_single_row(stage: Stage, document: object) -> None:
    staged = stage(json.dumps(document), name="till.json", layouts=known(WITH_POST))
    assert lines(staged) == [("2", "A2", "1", "2.5")]


def test_a_list_beside_the_lines_is_told(stage: Stage) -> None:
    staged = stage(json.dumps({"sales": ROWS, "refunds": [{"No": "1", "worth": 3}]}), layouts=known(WITH_POST))
    ((what, example),) = [(found.what, found.example) for found in staged.reading.decisions.left_out]
    assert (len(staged.sound), what, example) == (3, "entry of refunds", '{"No": "1", "worth": "3"}')


def test_a_row_by_name_that_lacks_a_field_is_not_lost(stage: Stage) -> None:
    incomplete = {name: value for name, value in ROWS[1].items() if name != "Post"}
    staged = stage(json.dumps({"a": ROWS[0], "b": incomplete, "page": {"number": 1}}), layouts=known(WITH_POST))
    assert [code for _, code, _, _ in lines(staged)] == ["A1", "POST", "A2"]


INVOICES = [
    {
        "no": "1",
        "at": "2024-02-13T10:00:00",
        "customer": {"id": 7},
        "fees": [{"name": "box", "worth": "1.50"}, {"name": "bow", "worth": "0.25"}],
        "items": [{"no": "A1", "n": 2, "each": "10.00"}, {"no": "A2", "n": 1, "each": "4.00"}],
    }
]
JSON_PROFILE = """
recognise: {columns: [no, at, items.no, items.n]}
lines: items
columns:
  {invoice: no, stock_code: items.no, quantity: items.n, invoice_date: at, price: items.each, customer_id: customer.id}
charges: [{column: {json_sum: fees, of: worth}, code: FEES, per: invoice}]
"""


def test_paths_of_an_invoice_and_of_its_lines(stage: Stage) -> None:
    staged = stage(json.dumps({"page": 1, "invoices": INVOICES}), "sales.json", layouts=known(JSON_PROFILE))
    assert lines(staged, "customer_id") == [
        ("1", "A1", "2", "10", "7"),
        ("1", "FEES", "1", "1.75", "7"),
        ("1", "A2", "1", "4", "7"),
    ]


@pytest.mark.parametrize(("text", "customer"), [('"{""id"": 7}"', "7"), ("C7", "C7"), ("", None)])
def test_a_path_into_a_column_of_a_csv(stage: Stage, text: str, customer: str | None) -> None:
    staged = stage(with_columns("Who", text), layouts=known("columns: {customer_id: Who.id}"))
    assert values(staged, "customer_id") == [customer]


# ---- amounts, dates and defaults


@pytest.mark.parametrize(
    ("quantity", "amount", "becomes"),
    [
        ("2", "19.98", ("2", "9.99", None)),
        ("3", "10.00", ("3", "3.3333", "10")),
        ("1", "-19.98", ("-1", "19.98", None)),
        ("-2", "-19.98", ("-2", "9.99", None)),
        ("0", "0.00", None),
    ],
)
def test_the_price_is_the_amount_of_one_unit(
    stage: Stage, quantity: str, amount: str, becomes: tuple[str | None, ...] | None
) -> None:
    text = text_of([HEADER, f"1,A1,{quantity},2024-02-13,{amount}"])
    staged = stage(text, layouts=known("columns: {price: '', amount: Price}"))
    assert staged.reading.defects == {}
    if becomes is None:
        assert lines(staged, "amount") == [("1", "A1", "0", None, None)]
    else:
        found = lines(staged, "amount")
        assert [(line[2], _four_places(line[3]), line[4]) for line in found] == [becomes]


def _four_places(price: str | None) -> str:
    return str(round(float(price or "nan"), 4))


@pytest.mark.parametrize(
    ("quantity", "amount", "code"),
    [("0", "5.00", "amount_without_quantity"), ("-1", "5.00", "amount_contradicts_quantity")],
)
def test_an_amount_that_no_quantity_explains_is_a_defect(stage: Stage, quantity: str, amount: str, code: str) -> None:
    text = text_of([HEADER, f"1,A1,{quantity},2024-02-13,{amount}"])
    assert stage(text, layouts=known("columns: {price: '', amount: Price}")).defects == [(2, code)]


def test_a_price_on_some_rows_only(stage: Stage) -> None:
    text = text_of(
        [f"{HEADER},Amount", "1,A1,2,2024-02-13,10.00,20.00", "1,A2,2,2024-02-13,,9.00", "1,A3,2,2024-02-13,?,9"]
    )
    staged = stage(text, layouts=known("columns: {amount: Amount}"))
    assert [(row["stock_code"], row["price"]) for row in staged.rows] == [("A1", "10"), ("A2", "4.5"), ("A3", "?")]


@pytest.mark.parametrize(
    ("zone", "written", "becomes"),
    [
        ("America/Sao_Paulo", "05.02.2024 22:30", "2024-02-06 01:30:00"),
        ("America/Sao_Paulo", "05.02.2024", "2024-02-05 00:00:00"),
        ("America/Sao_Paulo", "05.02.2024 22:30:00Z", "2024-02-05 22:30:00"),
        ("Europe/London", "05.07.2024 22:30", "2024-07-05 22:30:00"),
    ],
)
def test_dates_are_brought_to_the_shops_zone(stage: Stage, zone: str, written: str, becomes: str) -> None:
    text = text_of([HEADER, f"1,A1,2,{written},1.00"])
    assert values(stage(text, layouts=known(f"values: {{time_zone: {zone}}}")), "invoice_date") == [becomes]


def test_the_profile_says_how_dates_and_numbers_are_written(stage: Stage) -> None:
    text = text_of([HEADER.replace(",", ";"), "1;A1;2;03/04/2024;1.234"])
    comma = stage(text, layouts=known("values: {date_order: month_first, decimal_mark: comma}"))
    assert lines(comma, "invoice_date") == [("1", "A1", "2", "1234", "2024-03-04 00:00:00")]
    point = stage(text, layouts=known("values: {date_order: day_first, decimal_mark: point}"))
    assert lines(point, "invoice_date") == [("1", "A1", "2", "1.234", "2024-04-03 00:00:00")]


def test_defaults_stand_where_there_is_nothing(stage: Stage) -> None:
    more = """
    columns: {country: Land, customer_id: Card, description: Name}
    defaults: {country: Germany, currency: EUR, customer_id: unknown, description: goods}
    """
    staged = stage(with_columns("Land,Card,Name", "France,7,Mug", ",n/a,"), layouts=known(more))
    names = ("country", "customer_id", "description", "currency")
    assert [line[4:] for line in lines(staged, *names)] == [
        ("France", "7", "Mug", "EUR"),
        ("Germany", "unknown", "goods", "EUR"),
    ]


# ---- rows below one another


def test_fill_down_holds_for_the_rows_of_an_invoice(stage: Stage) -> None:
    more = "{columns: {country: Land}, fill_down: [Land]}"
    rows = ["1,A1,1,2024-02-13,1,", "1,A2,1,2024-02-13,1,France", "2,A1,1,2024-02-13,1,", "1,A3,1,2024-02-13,1,Spain"]
    staged = stage(text_of([f"{HEADER},Land", *rows]), layouts=known(more))
    assert values(staged, "country") == ["France", "France", None, "Spain"]


def test_carry_holds_for_all_rows_below(stage: Stage) -> None:
    more = """
    columns: {customer_id: column_1}
    carry: [column_1]
    statuses: [{column: [No, {text: group}], left_out: [group], otherwise: counts}]
    """
    rows = ["moor,,,,,", ",1,A1,1,2024-02-13,1", ",2,A1,1,2024-02-13,1", "fen,,,,,", ",3,A1,1,2024-02-13,1"]
    staged = stage(text_of([f",{HEADER}", *rows]), layouts=known(more))
    assert [line[0] + " " + line[4] for line in lines(staged, "customer_id")] == ["1 moor", "2 moor", "3 fen"]


def test_carry_goes_through_one_sheet_after_the_other(stage: Stage) -> None:
    header = [*HEADER.split(","), "Shop"]
    sheets: dict[str, list[list[Any]]] = {
        shop: [header, [first, "A1", 2, "2024-02-13", 10, shop], [first + 1, "A1", 2, "2024-02-13", 10, None]]
        for shop, first in (("X", 1), ("Y", 3))
    }
    more = "{columns: {customer_id: Shop}, carry: [Shop]}"
    staged = stage(workbook(sheets), "sales.xlsx", layouts=known(more))
    assert [line[0] for line in lines(staged)] == ["1", "2", "3", "4"]
    assert values(staged, "customer_id") == ["X", "X", "Y", "Y"]


def test_rows_that_are_left_out_give_the_values_of_their_invoice(stage: Stage) -> None:
    more = """
    columns: {customer_id: Buyer}
    fill_down: [Buyer]
    statuses: [{column: [Sku, {text: order}], left_out: [order], otherwise: counts}]
    charges: [{column: Post, code: SHIPPING, per: invoice}]
    total: {column: Total, per: invoice}
    """
    rows = ["1,,3,2024-02-13,,7,4.00,24.00", "1,A1,2,2024-02-13,10.00,,,", "2,,1,2024-02-13,,8,9.00,9.00"]
    staged = stage(text_of([f"{HEADER},Buyer,Post,Total", *rows]), layouts=known(more))
    assert lines(staged, "customer_id") == [("1", "A1", "2", "10", "7"), ("1", "SHIPPING", "1", "4", "7")]


# ---- statuses

STATUSES = """
statuses:
  - {column: State, counts: [Paid, sent], left_out: [VOID], reversed: [Refunded]}
  - {column: [Kind, {text: sale}], counts: [sale], reversed: [credit], otherwise: left_out}
"""


def test_statuses(stage: Stage) -> None:
    states = (
        "paid,Sale",
        "Sent,",
        "void,sale",
        "refunded,sale",
        "lost,sale",
        ",sale",
        "paid,training",
        "void,training",
    )
    rows = [f"{number},A1,2,2024-02-13,10.00,{state}" for number, state in enumerate(states, 1)]
    staged = stage(text_of([f"{HEADER},State,Kind", *rows]), layouts=known(STATUSES))
    assert lines(staged) == [("1", "A1", "2", "10"), ("2", "A1", "2", "10"), ("4", "A1", "-2", "10")]
    assert staged.defects == [(6, "unknown_status"), (7, "unknown_status")]
    told = [(entry.what, entry.example, entry.count, entry.first_line) for entry in staged.reading.decisions.left_out]
    assert told == [("row by State", "void", 2, 4), ("row by Kind", "training", 1, 8)]


@pytest.mark.parametrize(("listed", "written"), [("Maß", "MAß"), ("PART PAID", "part  paid"), ("ΟΔΟΣ", "οδοσ")])
def test_texts_are_compared_without_case_and_surplus_space(stage: Stage, listed: str, written: str) -> None:
    more = f"""
    columns: {{country: {{column: State, map: {{{listed}: {{text: Malta}}}}}}}}
    statuses: [{{column: State, counts: [{listed}]}}]
    charges: [{{column: Fee, code: FEES, when: {{column: State, is: [{listed}]}}}}]
    """
    staged = stage(with_columns("State,Fee", f"{written},1.00"), layouts=known(more))
    assert lines(staged, "country") == [("1", "A1", "2", "10", "Malta"), ("1", "FEES", "1", "1", "Malta")]


def test_a_reversed_row_of_a_reversed_kind_counts(stage: Stage) -> None:
    staged = stage(with_columns("State,Kind", "refunded,credit"), layouts=known(STATUSES))
    assert lines(staged) == [("1", "A1", "2", "10")]


CREDITS = """
statuses: [{column: Kind, counts: [sale], reversed: [credit]}]
charges:
  - {column: Tax, code: TAX, per: invoice}
  - {column: Off, code: DISCOUNT, sign: -1}
total: {column: Total, per: invoice}
"""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "2,2024-02-13,10.00,credit,4.00,1.00,23.00",
            [("A1", "-2", "10"), ("TAX", "-1", "4"), ("DISCOUNT", "-1", "-1")],
        ),
        (
            "-2,2024-02-13,10.00,credit,-4.00,-1.00,-23.00",
            [("A1", "-2", "10"), ("TAX", "1", "-4"), ("DISCOUNT", "1", "1")],
        ),
        (
            "-2,2024-02-13,10.00,credit,-4.00,-1.00,23.00",
            [("A1", "-2", "10"), ("TAX", "1", "-4"), ("DISCOUNT", "1", "1")],
        ),
    ],
)
def test_a_credit_is_negative_whichever_sign_it_has(stage: Stage, row: str, expected: list[tuple[Any, ...]]) -> None:
    staged = stage(text_of([f"{HEADER},Kind,Tax,Off,Total", f"1,A1,{row}"]), layouts=known(CREDITS))
    assert sorted(line[1:] for line in lines(staged)) == sorted(expected)


def test_an_invoice_of_sales_and_credits(stage: Stage) -> None:
    rows = ["1,A1,2,2024-02-13,10.00,sale,4.00,,14.00", "1,A2,1,2024-02-13,10.00,credit,4.00,,14.00"]
    staged = stage(text_of([f"{HEADER},Kind,Tax,Off,Total", *rows]), layouts=known(CREDITS))
    assert lines(staged) == [("1", "A1", "2", "10"), ("1", "TAX", "1", "4"), ("1", "A2", "-1", "10")]


# ---- charges and totals


def test_charges_of_lines_and_of_invoices(stage: Stage) -> None:
    more = """
    charges:
      - {column: Off, code: DISCOUNT, description: Coupon, sign: -1}
      - {column: Post, code: SHIPPING, per: invoice}
      - {column: Vat, code: VAT, when: {column: Land, is: [US, ca]}}
    """
    rows = [
        "1,A1,1,2024-02-13,5,1.00,4.00,0.50,us",
        "1,A2,1,2024-02-13,5,0.00,4.00,0.25,FR",
        "2,A1,1,2024-02-13,5,,,1.00,CA",
    ]
    staged = stage(text_of([f"{HEADER},Off,Post,Vat,Land", *rows]), layouts=known(more))
    assert lines(staged, "description") == [
        ("1", "A1", "1", "5", None),
        ("1", "DISCOUNT", "1", "-1", "Coupon"),
        ("1", "SHIPPING", "1", "4", "Post"),
        ("1", "VAT", "1", "0.5", "Vat"),
        ("1", "A2", "1", "5", None),
        ("2", "A1", "1", "5", None),
        ("2", "VAT", "1", "1", "Vat"),
    ]
    assert staged.reading.decisions.added_lines == {"DISCOUNT": 1, "SHIPPING": 1, "VAT": 2}


def test_equal_charges_of_two_lines_are_two_charges(stage: Stage) -> None:
    more = "{charges: [{column: Vat, code: VAT}], repeats: each}"
    staged = stage(with_columns("Vat", "0.50", "0.50"), layouts=known(more))
    assert [(line[1], line[4]) for line in lines(staged, "occurrence")] == [
        ("A1", None), ("VAT", None), ("A1", 2), ("VAT", 2)
    ]  # fmt: skip


def test_an_invoice_has_its_charge_once_however_it_is_written(stage: Stage) -> None:
    rows = [f"{number},A{place},2,2024-02-13,10.00,4.00" for place, number in enumerate(("1", "1.0", "c2", "C2"))]
    more = "charges: [{column: Post, code: SHIPPING, per: invoice}]"
    staged = stage(text_of([f"{HEADER},Post", *rows]), layouts=known(more))
    assert [line[:2] for line in lines(staged) if line[1] == "SHIPPING"] == [("1", "SHIPPING"), ("c2", "SHIPPING")]


def test_a_repeated_row_adds_nothing_where_repeats_are_one_sale(stage: Stage) -> None:
    more = """
    charges: [{column: Vat, code: VAT}]
    total: {column: Due, per: invoice}
    """
    staged = stage(with_columns("Vat,Due", "0.50,20.50", "0.50,20.50"), layouts=known(more))
    assert [(line[1], line[4]) for line in lines(staged, "occurrence")] == [("A1", None), ("VAT", None), ("A1", None)]
    staged = stage(with_columns("Vat,Due", "0.50,41.00", "0.50,41.00"), layouts=known(more))
    assert [code for _, code in staged.defects] == ["invoice_total_differs"] * 2


def test_rows_with_other_charges_are_no_repeats(stage: Stage) -> None:
    more = "{charges: [{column: Vat, code: VAT}], total: {column: Due, per: invoice}}"
    staged = stage(with_columns("Vat,Due", "0.50,41.50", "1.00,41.50"), layouts=known(more))
    assert [(line[1], line[4]) for line in lines(staged, "occurrence")] == [
        ("A1", None), ("VAT", None), ("A1", 2), ("VAT", None)
    ]  # fmt: skip


def test_numbers_stay_exact_and_their_sums_fit(stage: Stage) -> None:
    rows = [f"1,A{place},1,2024-02-13,999999999999.123456" for place in range(2)]
    rows += [f"2,A{place},999999999999,2024-02-13,999999999999" for place in range(150)]
    staged = stage(text_of([HEADER, *rows]), layouts=known("repeats: each"))
    assert values(staged, "price") == ["999999999999.123456"] * 2 + ["999999999999"] * 150


def test_an_invoice_with_several_sums_of_the_whole_is_kept_out(stage: Stage) -> None:
    more = "charges: [{column: Post, code: SHIPPING, per: invoice}]"
    staged = stage(with_columns("Post", "4.00", "5.00"), layouts=known(more))
    assert staged.defects == [(2, "conflicting_charge"), (3, "conflicting_charge")]


@pytest.mark.parametrize(
    "column",
    ["Post", "{sum: [Post, Vat]}", "{abs: {sum: [Vat, Post]}}", "{minus: Post}", "{minor: Post}", "[Post, {abs: Vat}]"],
)
def test_a_charge_that_is_no_number_keeps_the_invoice_out(stage: Stage, column: str) -> None:
    more = f"charges: [{{column: {column}, code: SHIPPING}}]"
    staged = stage(with_columns("Post,Vat", "free,1.00", "4.00,1.00"), layouts=known(more))
    assert lines(staged) == []
    assert staged.defects == [(2, "unreadable_amount"), (3, "unreadable_amount")]


@pytest.mark.parametrize(
    "fees",
    [
        [{"worth": "1.50"}, {"worth": "a box"}],
        [{"worth": "1.50"}, {"value": "0.25"}],
        [{"worth": "1.1234567"}],
        {"worth": "1.50"},
        "free",
    ],
)
def test_a_list_in_json_with_what_is_no_number_keeps_the_invoice_out(stage: Stage, fees: object) -> None:
    spoilt = [INVOICES[0] | {"fees": fees}]
    staged = stage(json.dumps(spoilt), "sales.json", layouts=known(JSON_PROFILE))
    assert [code for _, code in staged.defects] == ["unreadable_amount"] * 2


@pytest.mark.parametrize("amount", ["none given", "20.1234567", "1e13"])
def test_an_amount_that_is_no_number_is_not_made_of_the_price(stage: Stage, amount: str) -> None:
    staged = stage(with_columns("Due", amount), layouts=known("columns: {amount: Due}"))
    assert staged.defects == [(2, "unreadable_amount")]


def test_an_amount_made_of_what_is_no_number_is_a_defect(stage: Stage) -> None:
    more = "columns: {price: '', amount: {sum: [Price, Vat]}}"
    staged = stage(with_columns("Vat", "none given", "1.00"), layouts=known(more))
    assert [code for _, code in staged.defects] == ["unreadable_amount"] * 2


BY_TOTAL = """
charges:
  - {column: Off, code: DISCOUNT, sign: -1, per: invoice, included: by_total}
  - {column: Vat, code: VAT, per: invoice, included: by_total}
total: {column: Total, per: invoice}
"""


@pytest.mark.parametrize(
    ("off", "vat", "total", "added"),
    [
        ("0.00", "4.00", "24.00", {"VAT": 1}),
        ("0.00", "3.33", "20.00", {}),
        ("2.00", "3.00", "18.00", {"DISCOUNT": 1}),
        ("2.00", "3.60", "21.60", {"DISCOUNT": 1, "VAT": 1}),
        ("3.95", "3.33", "20.00", {}),
        ("0.00", "4.00", "24.01", {"VAT": 1}),
        ("", "", "20.00", {}),
        ("0.00", "0.00", "", {}),
    ],
)
def test_the_total_says_which_charges_the_prices_lack(
    stage: Stage, off: str, vat: str, total: str, added: dict[str, int]
) -> None:
    staged = stage(with_columns("Off,Vat,Total", f"{off},{vat},{total}"), layouts=known(BY_TOTAL))
    assert staged.defects == []
    assert staged.reading.decisions.added_lines == added


@pytest.mark.parametrize(
    ("off", "vat", "total"),
    [("0.00", "4.00", "30.00"), ("4.00", "4.00", "20.00"), ("0.00", "4.00", ""), ("0.00", "4.00", "24.05")],
    ids=["nothing fits", "two choices fit", "no total tells", "five pennies off"],
)
def test_an_invoice_whose_total_does_not_say_is_kept_out(stage: Stage, off: str, vat: str, total: str) -> None:
    staged = stage(with_columns("Off,Vat,Total", f"{off},{vat},{total}"), layouts=known(BY_TOTAL))
    assert staged.defects == [(2, "invoice_total_differs")]


@pytest.mark.parametrize(("first", "second", "sound"), [("20.00", "20.00", 2), ("20.00", "25.00", 0), ("", "", 2)])
def test_totals_of_lines_add_up_to_that_of_the_invoice(stage: Stage, first: str, second: str, sound: int) -> None:
    text = with_columns("Total", first, second).replace("A1", "A2", 1)
    staged = stage(text, layouts=known("total: {column: Total, per: line}"))
    assert len(staged.sound) == sound
    assert {code for _, code in staged.defects} == (set() if sound else {"invoice_total_differs"})


# ---- repeats, currencies, money that nothing explains


@pytest.mark.parametrize(("repeats", "occurrences"), [("once", [None, None]), ("each", [None, 2])])
def test_repeats(stage: Stage, repeats: str, occurrences: list[int | None]) -> None:
    staged = stage(with_columns("Till", "7", "8"), layouts=known(f"repeats: {repeats}"))
    assert values(staged, "occurrence") == occurrences


@pytest.mark.parametrize(
    ("price", "column", "default", "currency"),
    [
        ("10.00", "eur", "USD", "EUR"),
        ("10.00", "", "USD", "USD"),
        ("10.00", "", "", None),
        ("£10.00", "", "USD", None),
        ("€10.00", "", "USD", "EUR"),
        ("R$ 10.00", "", "", "BRL"),
        ("$10.00", "", "CAD", "CAD"),
        ("$10.00", "AUD", "", "AUD"),
        ("$10.00", "", "", "unknown_currency"),
        ("$10.00", "EUR", "", "unknown_currency"),
        ("10.00", "euros", "", "unknown_currency"),
        ("10.00", "GBX", "", "unknown_currency"),
        ("£10.00", "EUR", "", "currency_contradicts"),
    ],
)
def test_currencies(stage: Stage, price: str, column: str, default: str, currency: str | None) -> None:
    more = "columns: {currency: Ccy}" + (f"\ndefaults: {{currency: {default}}}" if default else "")
    staged = stage(text_of([f"{HEADER},Ccy", f"1,A1,2,2024-02-13,{price},{column}"]), layouts=known(more))
    assert [row["defect"] or row["currency"] for row in staged.rows] == [currency]


@pytest.mark.parametrize("more", ["charges: [{column: Sum, code: SHIPPING, per: invoice}]", "total: {column: Sum}"])
def test_a_sum_of_an_invoice_in_several_currencies_keeps_it_out(stage: Stage, more: str) -> None:
    text = with_columns("Ccy,Sum", "EUR,40.00", "USD,40.00")
    staged = stage(text, layouts=known("columns: {currency: Ccy}\n" + more))
    assert [code for _, code in staged.defects] == ["several_currencies"] * 2
    assert values(stage(text, layouts=known("{columns: {currency: Ccy}, ignored: [Sum]}")), "currency") == [
        "EUR",
        "USD",
    ]


def test_a_currency_that_the_profile_does_not_explain_refuses_the_file(rejection: Reject, stage: Stage) -> None:
    text = with_columns("Shop Currency", "EUR")
    assert rejection(text, layouts=known("repeats: each")).code == "unexplained_currency"
    assert values(stage(text, layouts=known("{repeats: each, defaults: {currency: EUR}}")), "currency") == ["EUR"]


def test_money_that_the_profile_does_not_explain_refuses_the_file(rejection: Reject, stage: Stage) -> None:
    text = with_columns("Discount", "5.00")
    assert rejection(text, layouts=known("known: [Discount]")).code == "unexplained_amounts"
    assert lines(stage(text, layouts=known("ignored: [Discount]"))) == [("1", "A1", "2", "10.00")]


# ---- what is wrong with a profile


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "a profile has names"),
        ("name: [", "line "),
        (BASE + "name: again", "'name' stands twice"),
        (BASE + "colour: red", "colour is no part of a profile"),
        (BASE.replace("title: A till", ""), "title is missing"),
        (BASE.replace(", price: Price", ""), "price or amount is needed"),
        (BASE + "repeats: twice", "repeats: "),
        (BASE + "values: {time_zone: Europe/Atlantis}", "'Europe/Atlantis' is no time zone"),
        (BASE + "charges: [{column: Tax, code: TAX, included: by_total}]", "need a total per invoice"),
        (BASE + "charges: [{column: Tax, code: tax}]", "charges.0.code: "),
        (BASE + "statuses: [{column: S, counts: [paid], left_out: [Paid]}]", "'Paid' is listed twice"),
        (BASE + "total: {column: {plus: [A, B]}}", "a value is the name of a column"),
        (BASE.replace("invoice: No", "invoice: {abs: No}"), "invoice is a text"),
        (BASE.replace("invoice: No", "invoice: {column: No, split: '-', part: 0}"), "parts are counted from 1"),
    ],
)
def test_a_mistake_in_a_profile_is_told(text: str, told: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "till.yaml")
    assert str(caught.value).startswith("till.yaml")
    assert told in str(caught.value)


def test_texts_of_yaml_stay_texts() -> None:
    profile = parse_profile(BASE + "statuses: [{column: Land, counts: [NO, 1.10, 2024-02-13]}]", "till.yaml")
    assert profile.statuses[0].counts == ["NO", "1.10", "2024-02-13"]


def test_a_profile_in_the_users_folder_hides_a_shipped_one(tmp_path: Path, stage: Stage) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "till.yaml").write_text(BASE)
    assert stage(with_columns("Till", "7"), layouts=layouts(folder)).reading.decisions.profile == "till"
    (folder / "other.yaml").write_text(BASE)
    assert "name: 'till' is not the name of the file" in layouts(folder).problem
